"""Endpoint strings. Real sockets are in the functional tests."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.daemon.listening import UnixEndpoint


class ParseTests(SynchronousTestCase):
    """--listen."""

    def test_good(self) -> None:
        """A path, and the arguments of Twisted's own unix: endpoint; 0600 unless asked."""
        self.assertEqual(UnixEndpoint.parse("unix:/a/b.sock"), UnixEndpoint(Path("/a/b.sock")))
        self.assertEqual(UnixEndpoint(Path("/a")).mode, 0o600)
        self.assertEqual(
            UnixEndpoint.parse("unix:address=/a:mode=660:backlog=5:lockfile=1"),
            UnixEndpoint(Path("/a"), 0o660, 5),
        )

    def test_escapes(self) -> None:
        """A colon or backslash in the path is written with a backslash before it."""
        self.assertEqual(UnixEndpoint.parse(r"unix:/a\:b\\c").path, Path("/a:b\\c"))

    def test_relative(self) -> None:
        """A relative path is meant from where the daemon is started."""
        self.assertEqual(UnixEndpoint.parse("unix:x.sock").path, Path.cwd() / "x.sock")

    def test_bad(self) -> None:
        """Anything else is an error that repeats it and says what is good."""
        for text in (
            "", ":", "unix", "unix:", "/a/b.sock", "http:80", "unix:/a:mode=rwx",
            "unix:/a:mode=9", "unix:/a:backlog=0", "unix:/a:what=1", f"unix:/{'x' * 107}",
        ):  # fmt: skip
            error = self.assertRaises(ValueError, UnixEndpoint.parse, text)
            self.assertTrue(str(error).startswith(f"{text}: "), error)

    def test_kinds(self) -> None:
        """What is of no kind that there is gets all of them told."""
        for text in ("foo:bar", "tls:443", "unix"):
            error = self.assertRaises(ValueError, UnixEndpoint.parse, text)
            for kind in ("unix:PATH", "systemd:", "ssl:PORT"):
                self.assertIn(kind, str(error))
