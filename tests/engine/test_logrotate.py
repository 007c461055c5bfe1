"""Debian's logrotate and the daemon's log file."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
from pathlib import Path

from tests.process import PATIENCE, until

from .box import done
from .case import DriverCase

TAP = Path(__file__).parents[2] / "tap"
ROTATIONS = 50


def _age(file: Path) -> int:
    """Return the number that logrotate gave to a file; the newest has none."""
    words = file.name.split(".")
    return int(words[2]) if len(words) > 2 else 0


def _target(link: Path) -> str:
    """Return what a descriptor is open for, or nothing if it was closed meanwhile."""
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


class LogrotateTests(DriverCase):
    """The snippet of tap/, with its paths and its signal for this daemon."""

    def setUp(self) -> None:
        super().setUp()
        self.logs = self.daemon.base / "logs"
        self.log = self.logs / "x.log"
        self.daemon.options = [
            f"--log-file={self.log}", "--log-format=json", "--log-rotate-size=0",
        ]  # fmt: skip
        self.daemon.stop()
        self.daemon.start()
        assert self.daemon.process is not None
        self.pid = self.daemon.process.pid
        text = (TAP / "exampledriver.logrotate").read_text()
        lines = [
            f"kill -HUP {self.pid}" if "systemctl" in line else line for line in text.splitlines()
        ]
        text = "\n".join(lines).replace("/var/log/exampledriver/", f"{self.logs}/")
        # Kept until they are counted; how many are kept is asked at the end.
        self.config = self.daemon.base / "logrotate.conf"
        self.config.write_text(text.replace("rotate 8", f"rotate {ROTATIONS + 5}") + "\n")
        self.short = self.daemon.base / "short.conf"
        self.short.write_text(text + "\n")

    def rotate(self, config: Path) -> None:
        """Run logrotate, and wait until the daemon has its new file."""
        done("logrotate", "--force", "--state", str(self.daemon.base / "rotated"), str(config))
        until(self.log.exists, "the new log file")

    def names(self) -> list[str]:
        """Return the volumes whose creation is in a log, from the oldest file to the newest."""
        found = []
        files = sorted(self.logs.iterdir(), key=_age, reverse=True)
        for file in files:
            text = done("zcat", "--force", str(file))
            for line in text.splitlines():
                event = json.loads(line)
                if event.get("call") == "VolumeDriver.Create":
                    found.append(event["name"])
        return found

    def test_rotations(self) -> None:
        """50 rotations under load: no line lost, none in an old file, a bounded count of files."""
        created: list[str] = []
        enough = threading.Event()

        def load() -> None:
            while not enough.is_set():
                name = f"v{len(created)}"
                self.daemon.ok("Create", Name=name)
                created.append(name)

        writer = threading.Thread(target=load, daemon=True)
        writer.start()
        for _ in range(ROTATIONS):
            before = len(created)
            until(lambda before=before: len(created) > before + 2, "load")  # type: ignore[misc]
            self.rotate(self.config)
            self.assertEqual(self.open_logs(), [str(self.log)])
        enough.set()
        writer.join(PATIENCE)
        self.assertGreater(len(created), 2 * ROTATIONS)
        # The line of a change is written after its answer.
        until(lambda: created[-1] in self.names(), "the last line")
        self.assertEqual(self.names(), created)
        self.assertEqual(len(list(self.logs.iterdir())), ROTATIONS + 1)
        self.assertEqual(stat.S_IMODE(self.log.stat().st_mode), 0o640)
        for old in self.logs.glob("x.log.*"):
            old.unlink()
        for number in range(12):
            self.daemon.ok("Create", Name=f"again{number}")
            self.rotate(self.short)
            self.open_logs()
        self.assertEqual(len(list(self.logs.iterdir())), 9)
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)

    def open_logs(self) -> list[str]:
        """Return the log files that the daemon has open, once it has obeyed the signal."""

        def found() -> list[str]:
            links = map(_target, Path(f"/proc/{self.pid}/fd").iterdir())
            return [path for path in links if path.startswith(str(self.logs))]

        until(lambda: found() == [str(self.log)], "the new file alone")
        return found()
