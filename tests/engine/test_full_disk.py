"""Real file systems that are full: of the journal, through a real Docker Engine, and of the log."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from tests.admin import command
from tests.process import until

from .box import done, run
from .case import DockerCase, DriverCase


def _name(line: str) -> object:
    """Return the volume that a line of the log is about, or ``torn``."""
    try:
        return json.loads(line).get("name")
    except ValueError:
        return "torn"


def fill(file: Path) -> None:
    """Write a file until there is no space."""
    with file.open("wb", buffering=0) as opened, contextlib.suppress(OSError):
        while True:
            opened.write(b"x" * 4096)


def make_small(case: DriverCase, place: Path, size: str, mode: str) -> None:
    """Give a directory a small file system of its own, while the daemon does not use it."""
    done("mount", "-t", "tmpfs", "-o", f"size={size},mode={mode}", "tmpfs", str(place))
    case.addCleanup(run, "umount", "--lazy", str(place))


class FullLogTests(DriverCase):
    """A log file on a real file system that is full."""

    def setUp(self) -> None:
        super().setUp()
        self.logs = self.daemon.base / "logs"
        self.logs.mkdir()
        make_small(self, self.logs, "64k", "700")

    def names(self) -> list[object]:
        """Return the volumes that the lines of the log are about, the oldest first."""
        files = sorted(self.logs.iterdir(), reverse=True)
        return [_name(line) for file in files for line in file.read_text().splitlines()]

    def test_goes_on(self) -> None:
        """Changes go on; once there is space, lines are written again, each of them whole."""
        log = self.logs / "x.log"
        self.daemon.stop()
        self.daemon.options = [f"--log-file={log}", "--log-format=json", "--log-rotate-size=20k"]
        self.daemon.start()
        ballast = self.logs / "ballast"
        ballast.write_bytes(b"x" * 32768)
        # More lines than fit, with several rotations that cannot open their file.
        for number in range(400):
            self.daemon.ok("Create", Name=f"v{number}")
        self.assertGreaterEqual(sum(path.stat().st_size for path in self.logs.iterdir()), 60000)
        ballast.unlink()
        for old in self.logs.glob("x.log.*"):
            old.unlink()
        for number in range(40):
            self.daemon.ok("Create", Name=f"later{number}")
        # The line of a change is written after its answer.
        until(lambda: self.names()[-1:] == ["later39"], "the last line")
        names = self.names()
        self.assertEqual(names[-40:], [f"later{number}" for number in range(40)])
        self.assertLessEqual(names.count("torn"), 5)


class FullDiskTests(DockerCase):
    """J6: the change fails with a clear error, reads go on, and with space it succeeds."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.stop()
        make_small(self, self.daemon.state, "1m", "700")
        self.daemon.start()

    def test_full_disk(self) -> None:
        """A Create that does not fit, Gets that go on, and the next Create after space is freed."""
        self.create()
        ballast = self.daemon.state / "ballast"
        fill(ballast)
        # What is left of the journal's last page takes some small records yet.
        errors: list[str] = []

        def refused() -> bool:
            name = f"fill{len(errors)}"
            found = self.engine.run("volume", "create", "-d", "x", name)
            errors.append(found.stderr)
            return found.returncode != 0

        until(refused, "a full disk")
        self.assertIn("No space left on device", errors[-1])
        self.assertIn("nothing was changed: free some space on its file system", errors[-1])
        lost = f"fill{len(errors) - 1}"
        self.assertNotIn(lost, self.daemon.names())
        self.assertFalse((self.daemon.root / lost).exists())
        self.assertEqual(self.inspect()["Status"]["Health"], "ok")
        self.engine.sh(f"{self.name}:/data", "echo reads and mounts go on > /data/file")
        ballast.unlink()
        self.engine.docker("volume", "create", "-d", "x", lost)
        names = self.daemon.names()
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.daemon.names(), names)
        self.assertIn(lost, names)


class FullRootTests(DockerCase):
    """The volumes' own file system is full."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.stop()
        make_small(self, self.daemon.root, "1m", "710")
        self.daemon.start()

    def test_remove(self) -> None:
        """A volume that does not fit into the trash stays, and the error says what frees space."""
        self.create()
        removed = f"{self.name}-removed"
        self.engine.docker("volume", "create", "-d", "x", removed)
        (self.daemon.root / removed / "file").write_bytes(b"x" * 65536)
        self.engine.docker("volume", "rm", removed)
        file = self.daemon.root / self.name / "file"
        fill(file)
        error = self.engine.run("volume", "rm", self.name).stderr
        self.assertIn('free some space: "exampledriver trash purge"', error)
        self.assertEqual(file.read_bytes().strip(b"x"), b"")
        command.done(self.daemon, "trash", "purge", removed, "--yes")
        self.engine.docker("volume", "rm", self.name)
        self.assertNotIn(self.name, self.daemon.names())
