"""``Plugin.run``: a plugin of ten lines as a process."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.process import PATIENCE, UnixConnection, remove_directory, short_directory, until

ROOT = Path(__file__).parents[2]

PLUGIN = """
import os, time
from twisted.internet import defer, task
from zope.interface import implementer
from exampledriver.plugin import Plugin
from exampledriver.plugin.metrics import IMetricsCollector

@implementer(IMetricsCollector)
class Slow:
    async def start_metrics(self):
        from twisted.internet import reactor
        open(os.environ["BASE"] + "/began", "w").close()
        await task.deferLater(reactor, float(os.environ.get("TAKES", "0")))
    def stop_metrics(self):
        raise ValueError(f"cannot use {dict(password='hunter' + str(2))}")

if os.environ["EARLY"]:
    import signal
    from twisted.internet import reactor
    run = reactor.run
    def late():
        os.kill(os.getpid(), signal.SIGTERM)
        run()
    reactor.run = late
Plugin("slow", [Slow()]).run()
"""


class RunTests(SynchronousTestCase):
    """Starting, serving, stopping."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        (self.base / "slow.py").write_text(PLUGIN)
        self.socket = self.base / "slow.sock"

    def spawn(self, *options: str, takes: float = 0, early: bool = False) -> subprocess.Popen[str]:
        """Start the plugin, which gets a SIGTERM `early`, before its reactor runs."""
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, str(self.base / "slow.py"),
             f"--listen=unix:{self.socket}", *options],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "BASE": str(self.base),
                "TAKES": str(takes),
                "EARLY": "yes" if early else "",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        return process

    def start(self, *options: str, takes: float = 0) -> subprocess.Popen[str]:
        """Start the plugin, and wait until it listens."""
        process = self.spawn(*options, takes=takes)
        until(self.listens, "the socket")
        return process

    def listens(self) -> bool:
        """Tell whether the plugin accepts connections: its socket is there a moment before."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    def test_life(self) -> None:
        """The socket is the owner's alone, the spec is there while it serves, the exit is 0."""
        (self.base / "specs").mkdir()
        process = self.start(f"--spec-dir={self.base}/specs")
        spec = self.base / "specs/slow.spec"
        until(spec.exists, "the spec file")
        self.assertEqual(stat.S_IMODE(self.socket.stat().st_mode), 0o600)
        self.assertEqual(spec.read_text(), f"unix://{self.socket}\n")
        process.send_signal(signal.SIGHUP)
        process.terminate()
        output, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, output)
        self.assertIn(f"listening on unix:{self.socket}", output)
        self.assertEqual((self.socket.exists(), spec.exists()), (False, False))

    def test_early_signal(self) -> None:
        """A SIGTERM between the socket and the reactor's start is a stop like any other."""
        process = self.spawn(early=True)
        output, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, output)
        self.assertFalse(self.socket.exists())

    def test_drain(self) -> None:
        """A stop waits for what has begun, and answers it."""
        process = self.start(takes=1)
        connection = UnixConnection(self.socket)
        connection.request("POST", "/MetricsCollector.StartMetrics", b"")
        until((self.base / "began").exists, "the call's beginning")
        process.terminate()
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.read()), (200, b'{"Err":""}'))
        connection.close()
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_secret(self) -> None:
        """A bug's traceback is in the log without the secrets that it repeats."""
        process = self.start()
        connection = UnixConnection(self.socket)
        self.addCleanup(connection.close)
        connection.request("POST", "/MetricsCollector.StopMetrics", b"")
        self.assertNotIn(b"hunter2", connection.getresponse().read())
        process.terminate()
        output, _ = process.communicate(timeout=PATIENCE)
        self.assertIn("ValueError: cannot use {'password': ***}", output)
        self.assertNotIn("hunter2", output)

    def test_cannot_listen(self) -> None:
        """A plugin that cannot listen says why in one line, and exits 1."""
        (self.base / "file").touch()
        for option, why in (
            (f"--listen=unix:{self.base}/file", "is not a socket"),
            ("--listen=udp:1", "--listen=udp:1: give unix:PATH"),
            ("--listen=tcp:1", "listen on unix:PATH, or on ssl:"),
            ("--listen=unix:x.sock", "the path is relative"),
            (f"--listen=unix:{self.base}/typo/x.sock", "/typo is no directory"),
            ("--spec-dir=specs", "--spec-dir=specs: the path is relative"),
        ):
            process = self.spawn(option)
            output, _ = process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, 1, output)
            self.assertRegex(output, "^slow: .*\n$")
            self.assertIn(why, output)
            self.assertNotIn("insecure", output)
