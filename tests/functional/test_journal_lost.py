"""A state directory that loses its journal while a real daemon runs, or before it starts (J13)."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from tests.process import until

from .case import DaemonCase


class RunningTests(DaemonCase):
    """What was answered is there after the next start, whatever happened to the file."""

    def after_a_kill(self) -> list[str]:
        """Kill the daemon, start it again, and return the names of the volumes."""
        self.daemon.kill()
        self.daemon.start()
        return self.daemon.names()

    def test_next_change(self) -> None:
        """A Create after the loss of the journal is as durable as any."""
        self.daemon.start()
        journal = self.daemon.state / "journal"
        self.daemon.ok("Create", Name="before")
        backups = [self.base / "backup", self.base / "older"]
        for backup in backups:
            shutil.copy(journal, backup)
        losses: dict[str, Callable[[], object]] = {
            "deleted": journal.unlink,
            "moved": lambda: journal.rename(self.daemon.state / "elsewhere"),
            "replaced": lambda: backups.pop().rename(journal),
            "directory": lambda: self.daemon.state.rename(self.base / "elsewhere"),
        }
        expected = ["before"]
        for name, lose in losses.items():
            lose()
            self.daemon.ok("Create", Name=name)
            expected.append(name)
            self.assertEqual(self.after_a_kill(), sorted(expected), name)
        self.assertIn("is no longer trusted: it was deleted, moved or", self.daemon.log())

    def test_idle(self) -> None:
        """Without a change it is noticed, too: the journal and the counts are there again."""
        self.daemon.start()
        self.daemon.ok("Create", Name="db")
        self.daemon.ok("Mount", Name="db", ID="m1")
        for directory in (self.daemon.state, self.base / "run"):
            journal = directory / "journal"
            journal.unlink()
            until(journal.exists, f"a fresh {journal}")
        self.assertEqual(self.after_a_kill(), ["db"])
        self.assertEqual(self.daemon.ok("Get", Name="db")["Volume"]["Status"]["Mounts"], 1)

    def test_lock(self) -> None:
        """Without its lock file, the directory is not left to a second daemon (J9)."""
        self.daemon.start()
        lock = self.daemon.state / "lock"
        lock.unlink()
        until(lock.exists, "a new lock file")
        second = self.another()
        second.options = [f"--runtime={self.base}/run2", f"--root={self.base}/volumes2"]
        assert self.daemon.process is not None
        self.assertIn(f"in use by process {self.daemon.process.pid} (", self.refused(second))


class StartTests(DaemonCase):
    """A root with volumes is not served with an empty map."""

    def lost(self) -> None:
        """Make volumes with a daemon that has stopped since, and lose its journal."""
        self.daemon.start()
        for name in ("db", "empty", "web"):
            self.daemon.ok("Create", Name=name)
        self.daemon.stop()
        for name in ("db", "web"):
            (self.daemon.root / name / "file").write_text(name)
        (self.daemon.state / "journal").rename(self.base / "moved")

    def test_refused(self) -> None:
        """The start is refused with what to do, and nothing is made; the journal put back helps."""
        self.lost()
        line = self.refused(self.daemon)
        self.assertIn(f"--state={self.daemon.state} has no journal, and --root=", line)
        self.assertIn("has 3 volumes (db, empty, web): if the journal was moved", line)
        self.assertIn("start once with --adopt", line)
        self.assertFalse((self.daemon.state / "journal").exists())
        (self.base / "moved").rename(self.daemon.state / "journal")
        self.daemon.start()
        self.assertEqual(self.daemon.names(), ["db", "empty", "web"])

    def test_adopt(self) -> None:
        """With --adopt, each directory with data is a volume again, durably; links are not."""
        self.lost()
        (self.daemon.root / "link").symlink_to("/etc")
        self.daemon.options = ["--adopt"]
        self.daemon.start()
        self.assertEqual(self.daemon.names(), ["db", "web"])
        self.assertIn("volume db is adopted", self.daemon.log())
        self.assertIn("2 entries of the root belong to no volume: empty, link", self.daemon.log())
        self.daemon.kill()
        self.daemon.options = []
        self.daemon.start()
        self.assertEqual(self.daemon.names(), ["db", "web"])
        self.daemon.ok("Create", Name="empty")
        self.assertEqual((self.daemon.root / "db/file").read_text(), "db")

    def test_other_entries(self) -> None:
        """What cannot be a volume, such as lost+found, refuses no first start."""
        (self.daemon.root / "lost+found").mkdir(parents=True)
        self.daemon.start()
        self.assertEqual(self.daemon.names(), [])
