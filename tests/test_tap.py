"""The options of twistd exampledriver. What refuses to start is in the functional tests."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.daemon.listening import UnixEndpoint
from exampledriver.tap import Options


class OptionsTests(SynchronousTestCase):
    """Options and their defaults."""

    def parsed(self, *words: str) -> Options:
        """Return the options of a command line."""
        options = Options()
        options.parseOptions(list(words))
        return options

    def test_defaults(self) -> None:
        """The documented defaults."""
        options = self.parsed()
        self.assertEqual(options["name"], "exampledriver")
        self.assertEqual(options["root"], "/var/lib/exampledriver/volumes")
        self.assertEqual(options["state"], "/var/lib/exampledriver/state")
        self.assertEqual(options["runtime"], "/run/exampledriver")
        self.assertEqual(options["retention"], timedelta(hours=24))
        self.assertFalse(options["root-only"])
        socket = Path("/run/docker/plugins/exampledriver.sock")
        self.assertEqual(options["endpoints"], [UnixEndpoint(socket, 0o600)])

    def test_twice(self) -> None:
        """An endpoint that is given twice is refused, of whatever kind."""
        for endpoint in ("tcp:80:interface=127.0.0.1", "systemd:", "unix:/tmp/x.sock"):
            words = [f"--listen={endpoint}", f"--listen={endpoint}"]
            words += ["--insecure-tcp"] if endpoint.startswith("tcp:") else []
            error = self.assertRaises(SystemExit, self.parsed, *words)
            self.assertIn("is given twice", str(error))

    def test_name(self) -> None:
        """The name makes the socket's name."""
        options = self.parsed("--name=other")
        self.assertEqual(options["endpoints"][0].path, Path("/run/docker/plugins/other.sock"))

    def test_listen_replaces(self) -> None:
        """Endpoints that are given replace the default one."""
        options = self.parsed("--listen=unix:/a", "--listen=unix:/b")
        self.assertEqual([e.path for e in options["endpoints"]], [Path("/a"), Path("/b")])

    def test_flags(self) -> None:
        """What loosens or tightens the rules is off unless it is given."""
        flags = ("insecure-tcp", "root-only")
        options = self.parsed()
        self.assertFalse(any(options[flag] for flag in flags))
        tcp = "--listen=tcp:80:interface=127.0.0.1"
        options = self.parsed(tcp, *(f"--{flag}" for flag in flags))
        self.assertTrue(all(options[flag] for flag in flags))

    def test_owner(self) -> None:
        """--owner is a user's id and a group's."""
        self.assertEqual(self.parsed("--owner=100000:0")["owner_ids"], (100000, 0))
        self.assertIsNone(self.parsed()["owner_ids"])
        for text in ("5", "a:b", "-1:0", "0:4294967295", "0:0:0", "root:root"):
            error = self.assertRaises(SystemExit, self.parsed, f"--owner={text}")
            self.assertIn("give UID:GID", str(error))

    def test_of_no_use(self) -> None:
        """An option that changes nothing beside the others is refused, and says what it needs."""
        for word, needed in (
            ("--log-keep=3", "--log-file"),
            ("--log-keep=10", "--log-file"),
            ("--log-rotate-size=1M", "--log-file"),
            ("--insecure-tcp", "--listen=tcp:"),
        ):
            error = self.assertRaises(SystemExit, self.parsed, word)
            self.assertEqual(str(error), f"exampledriver: {word} is of no use without {needed}")
        self.parsed("--log-keep=3", "--log-rotate-size=1M", "--log-file=/tmp/x.log")

    def test_relative(self) -> None:
        """Relative directories are meant from where the daemon is started, not where it goes."""
        self.assertEqual(self.parsed("--root=vols")["root_path"], Path.cwd() / "vols")
