"""The volume drivers of ``examples/`` on a real Docker Engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.process import PATIENCE, until

from .box import Engine, new_base, remove_base

ROOT = Path(__file__).parents[2]


class ExampleTests(SynchronousTestCase):
    """Each example, from a container's first line to its end."""

    def setUp(self) -> None:
        self.base = new_base()
        self.addCleanup(remove_base, self.base)
        self.engine = Engine(self.base)
        self.addCleanup(self.engine.down)
        self.engine.up()

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start an example."""
        socket = self.base / f"plugins/{name}.sock"
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, str(ROOT / f"examples/{name}.py"),
             f"--listen=unix:{socket}"],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                f"{name.upper()}_ROOT": str(self.base / "volumes"),
            },
            stdin=subprocess.DEVNULL,
            stdout=(self.base / "log").open("ab"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        until(socket.exists, "the example's socket")
        return process

    def life(self, name: str) -> None:
        """Take a volume through its life, and the example to its end."""
        process = self.start(name)
        docker = self.engine.docker
        docker("volume", "create", "-d", name, "db")
        self.engine.sh("db:/data", "echo precious >/data/file")
        self.assertEqual(self.engine.sh("db:/data", "cat /data/file"), "precious")
        self.assertEqual(docker("volume", "ls", "-q"), "db")
        wrong = self.engine.run("volume", "create", "-d", name, "--name", "..")
        self.assertNotEqual(wrong.returncode, 0)
        docker("volume", "rm", "db")
        self.assertEqual(docker("volume", "ls", "-q"), "")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0, (self.base / "log").read_text())
        self.assertFalse((self.base / f"plugins/{name}.sock").exists())
        self.assertNotIn("Traceback", (self.base / "log").read_text())

    def test_directories(self) -> None:
        """The driver of forty lines."""
        self.life("directories")

    def test_locked(self) -> None:
        """The driver that awaits asyncio's locks and subprocesses."""
        self.life("locked")
