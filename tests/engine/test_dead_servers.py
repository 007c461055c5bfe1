"""Servers that stop answering: they hang no other volume, no Get and no List."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exampledriver.backends.mounts import mounts_inside
from tests.process import Daemon, until

from .box import IMAGE
from .kinds import KindCase
from .servers import Sshd, write_blocking, write_program

#: Seconds that anything takes which has nothing to do with the dead server.
QUICK = 1.0


#: A command line that no other run of the tests has.
SLEEP = f"sleep 50.{os.getpid()}"


class DeadCase(KindCase):
    """A daemon that finds a FUSE file system which never answers, and one that never mounts."""

    def prepare(self, daemon: Daemon) -> None:
        programs = daemon.base / "bin"
        write_blocking(programs / "blocking")
        write_program(programs / "sleeping", f"#!/bin/sh\nsetsid {SLEEP} &\nexec {SLEEP}\n")
        # As mount.fuse takes it: the program, and what that is to mount.
        self.blocking = f"{programs}/blocking#nothing"
        self.sleeping = f"{programs}/sleeping#nothing"

    def quick(self, what: Callable[[], Any]) -> Any:
        """Do something that must not wait; return what it gives."""
        begun = time.monotonic()
        result = what()
        self.assertLess(time.monotonic() - begun, QUICK)
        return result

    def others_go_on(self) -> None:
        """See that other volumes are created, listed, mounted and removed at once."""
        self.quick(lambda: self.engine.docker("volume", "ls"))
        self.quick(lambda: self.engine.docker("volume", "inspect", self.name))
        for options in ({}, {"backend": "tmpfs", "size": "1M"}):
            self.quick(lambda: self.daemon.ok("Create", Name="other", Opts=options))  # noqa: B023
            self.quick(lambda: self.daemon.ok("Mount", Name="other", ID="1"))
            self.quick(lambda: self.daemon.ok("Unmount", Name="other", ID="1"))
            self.quick(lambda: self.daemon.ok("Remove", Name="other"))

    def mount_fails(self, within: float) -> str:
        """Return the error of a Mount; it comes within so many seconds."""
        begun = time.monotonic()
        status, answer = self.daemon.call("VolumeDriver.Mount", {"Name": self.name, "ID": "m"})
        self.assertEqual(status, 500)
        self.assertLess(time.monotonic() - begun, within + QUICK)
        return str(answer["Err"])

    def processes(self, word: str) -> list[int]:
        """Return the processes with a word in their command line."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if word in line:
                found.append(int(path.parent.name))
        return found

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.end_blocking)

    def end_blocking(self) -> None:
        """End the servers that never answer; the mounts' deadline has nothing to do with them."""
        for pid in self.processes(f"{self.daemon.base}/bin/"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class SshfsTests(DeadCase):
    """SSHFS with an sshd that is stopped, and goes on later."""

    def setUp(self) -> None:
        super().setUp()
        self.server = Sshd(self.daemon.base / "ssh")
        self.addCleanup(self.server.down)
        self.server.up()
        self.options = {"backend": "mount", "timeout": "2s", **self.server.options()}

    def test_never_mounted(self) -> None:
        """A Mount fails within its time with an error that says so, and leaves nothing."""
        self.make(self.options)
        self.server.signal(signal.SIGSTOP)
        text = self.mount_fails(2)
        self.assertIn("no answer within 2 s: is the server up", text)
        self.others_go_on()
        self.assertEqual(self.mounted(), [])
        until(lambda: not self.processes(str(self.server.served)), "the end of sshfs and ssh")
        self.server.signal(signal.SIGCONT)
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "echo alive"), "alive")

    def test_stops_while_mounted(self) -> None:
        """The volume says so in its health, another Mount fails in time, and it can be removed."""
        self.make(self.options)
        self.engine.background(self.name, f"{self.name}:/data")
        self.engine.docker("exec", self.name, "sh", "-c", "echo precious > /data/file")
        self.server.signal(signal.SIGSTOP)
        self.assertIn("its server does not answer", self.mount_fails(2))
        until(
            lambda: "does not answer" in str(self.quick(self.inspect)["Status"]["Health"]),
            "the health",
        )
        self.others_go_on()
        self.revive()
        self.others_go_on()
        self.engine.docker("rm", "-f", self.name)
        self.engine.docker("volume", "rm", self.name)
        self.nothing_left()

    def test_wrong(self) -> None:
        """Errors of ssh come back with what to look at: the key, the name, the directory."""
        other = self.daemon.base / "other"
        other.write_text("no key\n")
        other.chmod(0o600)
        for change, hint in (
            ({"credentials-file": str(other)}, "the user's name, the key (credentials-file=)"),
            ({"device": "root@127.0.0.1:/not/there"}, "there is no such export, share"),
            ({"o": "port=1,BatchMode=yes"}, "not reach the server"),
        ):
            self.daemon.ok("Create", Name=self.name, Opts={**self.options, **change})
            self.assertIn(hint, self.mount_fails(10))
            self.daemon.ok("Remove", Name=self.name)
        self.nothing_left()


class FuseTests(DeadCase):
    """A FUSE file system that mounts itself and never answers; and one that does not mount."""

    def test_blocking(self) -> None:
        """A Mount fails within its time; nothing stays mounted for the engine to hang on."""
        self.make({"backend": "mount", "type": "fuse", "device": self.blocking, "timeout": "2s"})
        self.assertIn("its server does not answer", self.mount_fails(2))
        self.others_go_on()
        self.engine.docker("volume", "rm", self.name)
        self.nothing_left()

    def test_subpath(self) -> None:
        """Nor does going to a directory of it take longer."""
        self.make(
            {
                "backend": "mount",
                "type": "fuse",
                "device": self.blocking,
                "timeout": "2s",
                "subpath": "a",
            }
        )
        self.assertIn('going to subpath="a"', self.mount_fails(2))
        self.others_go_on()
        self.nothing_mounted()
        self.engine.docker("volume", "rm", self.name)
        self.nothing_left()

    def nothing_mounted(self) -> None:
        """See that the failed Mount has left nothing."""
        self.assertEqual(self.mounted(), [])

    def test_sleeping(self) -> None:
        """A helper that never ends is killed with all that it has started."""
        self.make({"backend": "mount", "type": "fuse", "device": self.sleeping, "timeout": "1s"})
        self.assertIn("no answer within 1 s", self.mount_fails(1))
        until(lambda: not self.processes(SLEEP), "the end of its children")
        self.nothing_mounted()

    def test_many(self) -> None:
        """More dead volumes than there are threads for changes delay no other volume."""
        options = {"backend": "mount", "type": "fuse", "device": self.sleeping, "timeout": "8s"}
        connections = []
        for number in range(80):
            name = f"dead{number}"
            self.daemon.ok("Create", Name=name, Opts=options)
            connection = self.daemon.dial()
            self.addCleanup(connection.close)
            connection.request(
                "POST", "/VolumeDriver.Mount", f'{{"Name": "{name}", "ID": "1"}}'.encode()
            )
            connections.append(connection)
        self.daemon.ok("Create", Name=self.name)
        self.others_go_on()
        for connection in connections:
            self.assertEqual(connection.getresponse().status, 500)

    def test_engine(self) -> None:
        """A container on a dead volume fails with the driver's error, and the engine lives on."""
        self.make({"backend": "mount", "type": "fuse", "device": self.blocking, "timeout": "2s"})
        text = self.error("run", "--rm", "--network=none", "-v", f"{self.name}:/data", IMAGE, "ls")
        self.assertIn("its server does not answer", text)
        self.others_go_on()
        self.assertEqual(mounts_inside(str(self.daemon.root / self.name)), [])
