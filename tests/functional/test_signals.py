"""Signals to a real process: none kills it but those that stop it, and what a stop answers."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from tests.process import PATIENCE, Daemon, read_answer, request_bytes, until

from .case import TAC, DaemonCase, SlowCase, end

#: What a daemon is told while it runs.
TOLD = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


#: Put before an application file: the process signals itself while it reads its journal.
AT_THE_START = """
import os, signal
from exampledriver.volumes.service import VolumeService

load = VolumeService.load

def signalled(self):
    for number in (signal.SIGHUP, signal.SIGUSR2):
        os.kill(os.getpid(), number)
    load(self)

VolumeService.load = signalled
"""


class KeptTests(DaemonCase):
    """SIGHUP, SIGUSR1 and SIGUSR2 never end the daemon, however it is run."""

    def tell(self, daemon: Daemon, pid: int, *logs: Path) -> str:
        """Send all of them twice, wait until the last is obeyed; return what was logged."""

        def logged() -> str:
            return daemon.log() + "".join(p.read_text() for p in logs if p.exists())

        def summarised(times: int) -> bool:
            return logged().count(summary) >= times

        summary = "changes under way"
        before = logged().count(summary)

        for turn in (1, 2):
            for number in TOLD:
                os.kill(pid, number)
            until(partial(summarised, before + turn), f"the summary of turn {turn}")
        self.assertTrue(daemon.answers())
        self.assertNotIn("Traceback", logged())
        return logged()

    def test_foreground(self) -> None:
        """twistd -n, with standard output, twistd's --logfile, and --log-file."""
        log = self.base / "the.log"
        for runner, options in (
            (["-n", "--pidfile=", "exampledriver"], []),
            (["-n", "--pidfile=", f"--logfile={log}", "exampledriver"], []),
            (["-n", "--pidfile=", "exampledriver"], [f"--log-file={log}"]),
        ):
            self.daemon.runner, self.daemon.options = runner, options
            self.daemon.start()
            assert self.daemon.process is not None
            files = [log, Path(f"{log}.1"), Path(f"{log}.2")]
            logged = self.tell(self.daemon, self.daemon.process.pid, *files)
            self.assertEqual("no --log-file to rotate" in logged, False)
            self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)
            for file in files:
                file.unlink(missing_ok=True)

    def test_background(self) -> None:
        """A daemonised process, with a log file and without a word of one."""
        pidfile = self.base / "pid"
        for words, log in (
            ([f"--logfile={self.base}/the.log"], self.base / "the.log"),
            ([], self.base / "twistd.log"),
        ):
            self.daemon.runner = [f"--pidfile={pidfile}", *words, "exampledriver"]
            self.daemon.spawn().wait(PATIENCE)
            until(self.daemon.answers, "an answer")
            pid = int(pidfile.read_text())
            self.addCleanup(end, pid)
            self.tell(self.daemon, pid, log, Path(f"{log}.1"), Path(f"{log}.2"))
            os.kill(pid, signal.SIGTERM)
            until(lambda: not pidfile.exists(), "the end of the daemon")

    def test_twist(self) -> None:
        """twist, with its own log and with --log-file beside it."""
        self.daemon.program, self.daemon.runner = "twist", ["exampledriver"]
        for options in ([], [f"--log-file={self.base}/the.log"]):
            self.daemon.options = options
            self.daemon.start()
            assert self.daemon.process is not None
            self.tell(self.daemon, self.daemon.process.pid)
            self.assertEqual(self.daemon.signal(signal.SIGINT), 0)
        self.assertIn("listening on", (self.base / "the.log.2").read_text())

    def test_at_the_start(self) -> None:
        """A signal that comes while the journal is read, before anything listens."""
        for log in ([], [f"--log-file={self.base}/the.log"]):
            self.daemon.command = ()
            self.daemon.options = log
            self.tac(self.daemon)
            tac = self.base / "exampledriver.tac"
            tac.write_text(AT_THE_START + tac.read_text())
            self.daemon.start()
            self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)

    def test_application_file(self) -> None:
        """An application file with twistd's own --logfile, which SIGUSR1 still rotates."""
        log = self.base / "the.log"
        self.tac(self.daemon, f"--logfile={log}")
        self.daemon.start()
        assert self.daemon.process is not None
        # Each turn rotates, and the first may do so after its summary.
        kept = (log, Path(f"{log}.1"), Path(f"{log}.2"))
        logged = self.tell(self.daemon, self.daemon.process.pid, *kept)
        self.assertIn("there is no --log-file to open anew", logged)
        self.assertTrue(Path(f"{log}.1").exists())
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)

    def tac(self, daemon: Daemon, *words: str) -> None:
        """Let a daemon run from the application file, with its options edited."""
        tac = self.base / "exampledriver.tac"
        options = [word for word in daemon.arguments() if word.startswith("--")][1:]
        tac.write_text(TAC.read_text().replace("parseOptions([])", f"parseOptions({options!r})"))
        daemon.command = ["-n", "--pidfile=", *words, "-y", str(tac)]


class ExitTests(SlowCase):
    """The exit status says whether everything was answered; a second signal hurries."""

    def test_complete(self) -> None:
        """0 when all that was read has been answered, for SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.slow(0.3)
            busy = self.begin(daemon, f"slow{number}")
            self.assertEqual(daemon.signal(number), 0)
            self.assertEqual(read_answer(busy), (200, {"Err": ""}))

    def test_incomplete(self) -> None:
        """1 when something was cut, and a second SIGTERM cuts at once; the journal is whole."""
        daemon = self.slow(1000.0)
        daemon.ok("Create", Name="quick")
        busy = self.begin(daemon, "slow")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: not daemon.socket.exists(), "the beginning of the stop")
        daemon.process.send_signal(signal.SIGTERM)
        # Well before the limit of a stop, which is 8 s.
        self.assertEqual(daemon.process.wait(5), 1)
        self.assertIs(read_answer(busy), None)
        self.assertIn("told again to stop", daemon.log())
        self.assertIn("stopped in", daemon.log())
        again = self.another()
        again.start()
        self.assertEqual(again.names(), ["quick"])

    def test_many(self) -> None:
        """64 clients in flight, quick and slow ones: each request that was read is answered."""
        daemon = self.slow(1.0)
        quick = [daemon.connect() for _ in range(48)]
        slow = [self.begin(daemon, f"slow{number}") for number in range(16)]
        for number, connection in enumerate(quick):
            connection.sendall(request_bytes("VolumeDriver.Create", {"Name": f"v{number}"}))
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        for connection in [*quick, *slow]:
            self.assertEqual(read_answer(connection), (200, {"Err": ""}))
        self.assertEqual(daemon.process.wait(PATIENCE), 0)

    def test_slow_reader(self) -> None:
        """An answer that is still being written when the stop comes is written to its end."""
        self.daemon.start()
        for number in range(2000):
            self.daemon.ok("Create", Name=f"{'x' * 200}{number}")
        reader = self.daemon.connect()
        reader.sendall(request_bytes("VolumeDriver.List", {}))
        first = reader.recv(1)
        assert self.daemon.process is not None
        self.daemon.process.send_signal(signal.SIGTERM)
        until(lambda: not self.daemon.socket.exists(), "the beginning of the stop")
        answer = read_answer(reader, first)
        assert answer is not None
        self.assertEqual(len(answer[1]["Volumes"]), 2000)
        self.assertEqual(self.daemon.process.wait(PATIENCE), 0)
