"""What the functional tests are made of; it has no tests of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.process import (
    PATIENCE,
    Daemon,
    remove_directory,
    request_bytes,
    short_directory,
    until,
)

TAC = Path(__file__).parents[2] / "tap/exampledriver.tac"

#: An application file in which making or removing a volume's directory takes a while.
SLOW = """
import os, time
from twisted.application.service import Application
from exampledriver.backends.directory import DirectoryBackend
from exampledriver.tap import Options, makeService

quick = DirectoryBackend.create

def slow(self, volume):
    if volume.name.startswith("slow"):
        open(os.environ["BEGUN"], "a").close()
        time.sleep(float(os.environ["SLOW"]))
    return quick(self, volume)

DirectoryBackend.create = slow
options = Options()
options.parseOptions(os.environ["OPTIONS"].split())
application = Application("slow")
makeService(options).setServiceParent(application)
"""


class DaemonCase(SynchronousTestCase):
    """A daemon that is ended after the test."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        self.daemon = self.another()

    def another(self) -> Daemon:
        """Return a further daemon in the same place."""
        daemon = Daemon(self.base)
        self.addCleanup(daemon.close)
        return daemon

    def refused(self, daemon: Daemon) -> str:
        """Return the one line with which a daemon refuses to start, with exit status 1."""
        found = subprocess.run(
            daemon.arguments(), cwd=self.base, capture_output=True, timeout=PATIENCE, text=True
        )
        self.assertEqual(found.returncode, 1, found.stderr)
        lines = (found.stdout + found.stderr).splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith("exampledriver: "), lines[0])
        return lines[0]


class SlowCase(DaemonCase):
    """A daemon in which making some volumes takes a while."""

    def slow(self, seconds: float) -> Daemon:
        """Return a daemon that takes so long to make a volume whose name begins with slow."""
        tac = self.base / "slow.tac"
        tac.write_text(SLOW)
        daemon = self.daemon
        daemon.command = ()
        options = " ".join(word for word in daemon.arguments() if word.startswith("--"))
        daemon.environment = {
            "SLOW": str(seconds),
            "BEGUN": str(self.base / "begun"),
            "OPTIONS": options.removeprefix("--pidfile= "),
        }
        daemon.command = ["-n", "--pidfile=", "-y", str(tac)]
        daemon.start()
        return daemon

    def begin(self, daemon: Daemon, name: str) -> socket.socket:
        """Send a Create and wait until the daemon has begun it."""
        connection = daemon.connect()
        connection.sendall(request_bytes("VolumeDriver.Create", {"Name": name}))
        until((self.base / "begun").exists, "the beginning of the Create")
        return connection


def run_program(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of these tests that is a program, to its end."""
    return subprocess.run(
        [sys.executable, "-m", f"tests.functional.{name}", *words],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def end(pid: int) -> None:
    """End a daemonised process if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
