"""``Plugin.service``: where a plugin listens, and what is refused before anything is made."""

from __future__ import annotations

import asyncio
import os
import stat
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from exampledriver.daemon.listening import ListenError
from exampledriver.plugin import Plugin, serving
from tests.process import remove_directory, short_directory

from .memory import FakeDriver


class ServiceTests(TestCase):
    """Endpoints and spec files."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        self.plugin = Plugin("x", [FakeDriver()])

    def refused(self, error: type[Exception], endpoints: Any, **more: Any) -> str:
        """Return why there is no such service; nothing is made."""
        more = {"signals": False, **more}
        before = sorted(os.listdir(self.base))
        raised = self.assertRaises(error, self.plugin.service, reactor, endpoints, **more)
        self.assertEqual(sorted(os.listdir(self.base)), before)
        return str(raised)

    async def test_one(self) -> None:
        """A single endpoint may be given as it is, not in a list."""
        path = self.base / "x.sock"
        service = self.plugin.service(reactor, f"unix:{path}", signals=False)
        service.startService()
        self.assertTrue(stat.S_ISSOCK(path.stat().st_mode))
        await service.stopService()

    def test_tcp(self) -> None:
        """A text about tcp: names what a plugin has, and no option of the daemon's."""
        for text in ("tcp:1", "tcp:7373:interface=127.0.0.1"):
            said = self.refused(ValueError, text)
            self.assertIn(f"endpoints: {text}: tcp: is not offered", said)
            self.assertNotIn("insecure", said)

    def test_relative(self) -> None:
        """A relative path is refused: where it is would be chance."""
        for text in ("unix:x.sock", "unix:~/x.sock", "unix:address=./x.sock"):
            said = self.refused(ValueError, text)
            self.assertEqual(
                said,
                f"endpoints: {text}: the path is relative; give an absolute one, such as "
                "unix:/run/docker/plugins/NAME.sock",
            )
        said = self.refused(ValueError, f"unix:{self.base}/x.sock", spec_dir="specs")
        self.assertIn("spec_dir: specs: the path is relative", said)

    def test_in_a_coroutine(self) -> None:
        """run() within asyncio's loop, which would wait for itself, is refused."""

        async def main() -> None:
            for mode in (False, True):
                error = self.assertRaises(SystemExit, self.plugin.run, [], asyncio=mode)
                self.assertIn("x: run() is called while asyncio's loop turns", str(error))

        asyncio.run(main())

    def test_twice(self) -> None:
        """An endpoint that is given twice is said, not taken for another process."""
        path = self.base / "x.sock"
        (self.base / "link").symlink_to(self.base)
        said = self.refused(ValueError, [f"unix:{path}", f"unix:{self.base}/link/x.sock"])
        self.assertEqual(said, f"endpoints: unix:{path} is given twice: once is enough")

    def test_mistyped(self) -> None:
        """A directory that is not there is not made, but for those of engines."""
        text = f"unix:{self.base}/dokcer/plugins/x.sock"
        said = self.refused(ListenError, text)
        self.assertIn(f"endpoints: {text}: {self.base}/dokcer/plugins is no directory", said)
        self.assertIn("/run/docker/plugins", said)
        specs = self.base / "specs"
        said = self.refused(ListenError, f"unix:{self.base}/x.sock", spec_dir=specs)
        self.assertIn(f"spec_dir: {specs}: {specs} is no directory", said)

    def test_parameters(self) -> None:
        """No text names an option of a command line that there is not."""
        (self.base / "file").touch()
        good = f"unix:{self.base}/x.sock"
        for error, endpoints, more in (
            (ValueError, "foo:bar", {}),
            (ValueError, "unix:/a:mode=rwx", {}),
            (ValueError, "systemd:0", {}),
            (ListenError, "systemd:", {}),
            (ValueError, "ssl:443", {}),
            (ListenError, good, {"spec_dir": self.base / "file"}),
            (ListenError, "systemd:", {"spec_dir": self.base}),
        ):
            self.assertNotIn("--", self.refused(error, endpoints, **more))

    def test_types(self) -> None:
        """What is of a wrong type is shown, and what is expected; not a line of ours."""
        path = self.base / "x.sock"
        good = f"unix:{path}"
        for endpoints, says in (
            (path, f"a PosixPath; a str is expected, such as 'unix:{path}', or a list"),
            ([good, path], f"a PosixPath; a str is expected, such as 'unix:{path}', or a list"),
            ([good, 7], "endpoints: 7 is an int; a str is expected, such as 'unix:/run/docker/"),
            ({good}, "is a set; a str is expected"),
            (good.encode(), "is a bytes; a str is expected"),
            (None, "endpoints: None is None; a str is expected"),
        ):
            self.assertIn(says, self.refused(TypeError, endpoints))
        said = self.refused(TypeError, good, spec_dir=7)
        self.assertEqual(said, "spec_dir: 7 is an int; a str or Path is expected")

    def test_no_reactor(self) -> None:
        """Endpoints in the reactor's place are said, before the default socket is made."""
        wrong: Any = f"unix:{self.base}/x.sock"
        error = self.assertRaises(TypeError, self.plugin.service, wrong)
        says = f"reactor: {wrong!r} is a str; Twisted's reactor is expected"
        self.assertIn(says, str(error))
        self.assertIn(says, str(self.assertRaises(TypeError, Plugin, "x", [FakeDriver()], wrong)))

    def test_steps(self) -> None:
        """A step of a stop without a name, or that is no function, is refused at once."""

        def step() -> None: ...

        for steps in ([step], step, ("a name", step), [("a name", None)], [(step, "a name")]):
            for name in ("finish", "close"):
                said = self.refused(TypeError, f"unix:{self.base}/x.sock", **{name: steps})
                self.assertTrue(said.startswith(f"{name}: "), said)
                self.assertIn("such as ('closing the database', database.close)", said)

    async def test_known(self) -> None:
        """The directories of engines are made."""
        sockets, specs = self.base / "run/docker/plugins", self.base / "etc/docker/plugins"
        self.patch(serving, "ENGINES", (str(sockets), str(specs)))
        service = self.plugin.service(
            reactor, [f"unix:{sockets}/x.sock"], spec_dir=specs, signals=False
        )
        service.startService()
        self.assertEqual((os.listdir(sockets), os.listdir(specs)), (["x.sock"], ["x.spec"]))
        await service.stopService()
