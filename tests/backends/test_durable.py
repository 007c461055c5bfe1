"""Directories: what is synced, in which order, and what a failure leaves."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends import durable, owned
from exampledriver.backends.durable import make_directory, make_parents
from exampledriver.backends.trash import MANIFEST, Trash


class DurableTests(SynchronousTestCase):
    """Names that survive a power cut."""

    def setUp(self) -> None:
        self.root = Path(os.path.realpath(self.mktemp()))
        self.root.mkdir()
        self.calls: list[str] = []
        rename, fsync = os.rename, os.fsync

        def note_rename(old: Path, new: Path) -> None:
            rename(old, new)
            self.calls.append(f"rename {Path(new).name}")

        def note_fsync(fd: int) -> None:
            fsync(fd)
            name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
            self.calls.append(f"fsync {name}")

        self.patch(os, "rename", note_rename)
        self.patch(os, "fsync", note_fsync)

    def test_make(self) -> None:
        """A directory has its owner before its name, and is then synced, and its parent."""
        self.assertTrue(make_directory(self.root / "db", 0o700, os.geteuid(), None))
        self.assertEqual(self.calls, ["rename db", "fsync db", f"fsync {self.root.name}"])

    def test_at_once(self) -> None:
        """A directory that needs nothing but permissions is made with them, in one step."""
        self.assertTrue(make_directory(self.root / "db", 0o700, None, None))
        self.assertEqual(self.calls, ["fsync db", f"fsync {self.root.name}"])
        self.assertEqual((self.root / "db").stat().st_mode & 0o7777, 0o700)

    def test_withheld(self) -> None:
        """Permissions that mkdir(2) would not give are there before the name, all the same."""
        for mode in (0o777, 0o2755):
            path = self.root / f"{mode:o}"
            self.assertTrue(make_directory(path, mode, None, None))
            self.assertIn(f"rename {path.name}", self.calls)
            self.assertEqual(path.stat().st_mode & 0o7777, mode)

    def test_umask(self) -> None:
        """What the daemon's umask withholds is known."""
        before = os.umask(0o077)
        try:
            self.assertEqual(durable._withheld.__wrapped__() & 0o7777, 0o6077)
        finally:
            os.umask(before)

    def test_make_again(self) -> None:
        """A directory that is there is synced with its parent: a crash may have come between."""
        (self.root / "db").mkdir()
        self.assertFalse(make_directory(self.root / "db", 0o700, None, None))
        self.assertEqual(self.calls, [f"fsync {self.root.name}"])

    def test_parents(self) -> None:
        """Each missing parent is made and synced, from the top."""
        make_parents(self.root / "a/b/c")
        self.assertEqual(
            self.calls,
            ["fsync a", f"fsync {self.root.name}", "fsync b", "fsync a"],
        )

    def test_cannot(self) -> None:
        """What cannot be made complete leaves nothing."""
        if os.geteuid() == 0:
            self.patch(os, "fchown", _denied)
        self.assertRaises(PermissionError, make_directory, self.root / "db", 0o700, 0, 0)
        self.assertEqual(list(self.root.iterdir()), [])

    def test_cannot_sync(self) -> None:
        """What cannot be synced is taken back."""
        self.patch(os, "fsync", _denied)
        self.assertRaises(PermissionError, make_directory, self.root / "db", 0o700, None, None)
        self.assertEqual(list(self.root.iterdir()), [])

    def test_trash(self) -> None:
        """A removal is one rename; then both ends of it are synced, and what is to be known."""
        (self.root / "db").mkdir()
        trash = Trash(self.root)
        trash.put(self.root / "db", b"{}")
        trash.sync()
        (slot,) = (self.root / ".trash").iterdir()
        self.assertEqual(
            self.calls,
            [
                "rename db",
                f"fsync {MANIFEST}",
                f"fsync {slot.name}",
                "fsync .trash",
                f"fsync {self.root.name}",
            ],
        )

    def test_purge_in_the_middle(self) -> None:
        """A purge of everything during a removal leaves that one alone until it has been moved.

        Found by the kill harness: with a retention of zero the purge of one removal took
        the slot that the next one was filling.
        """
        trash = Trash(self.root)
        (self.root / "db").mkdir()
        rename = os.rename

        def purge_and_rename(old: Path, new: Path) -> None:
            if new.name == "db":
                trash.purge(timedelta())
            rename(old, new)

        self.patch(os, "rename", purge_and_rename)
        trash.put(self.root / "db", b"{}")
        self.assertEqual([p.name for p in self.root.glob(".trash/*/db")], ["db"])
        self.assertEqual(trash.purge(timedelta()), 1)
        trash.sync()

    def test_same_moment(self) -> None:
        """Removals in one microsecond do not collide."""
        trash = Trash(self.root)
        trash.path.mkdir()
        moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
        self.assertEqual(len({trash._slot(moment) for _ in range(3)}), 3)

    def test_trash_not_synced(self) -> None:
        """A sync that failed is made up for by the next."""
        (self.root / "db").mkdir()
        trash = Trash(self.root)
        trash.put(self.root / "db", b"{}")
        fsync = os.fsync
        self.patch(os, "fsync", _denied)
        self.assertRaises(OSError, trash.sync)
        self.patch(os, "fsync", fsync)
        trash.sync()


def _denied(*arguments: object) -> None:
    raise PermissionError(1, "Operation not permitted")


class OwnedTests(SynchronousTestCase):
    """Owner and permissions that options set."""

    def setUp(self) -> None:
        self.base = Path(os.path.realpath(self.mktemp()))
        self.base.mkdir()

    def test_change(self) -> None:
        """A directory gets what options ask for, and keeps the rest."""
        directory = self.base / "db"
        directory.mkdir(mode=0o751)
        before = directory.stat()
        owned.change(directory, {"gid": str(os.getegid())})
        self.assertEqual(directory.stat().st_mode, before.st_mode)
        owned.change(directory, {"mode": "0705", "size": "1G"})
        self.assertEqual(directory.stat().st_mode & 0o7777, 0o705)

    def test_no_link(self) -> None:
        """Only a directory is given an owner or permissions, never the target of a link."""
        target, file = self.base / "target", self.base / "file"
        target.mkdir(mode=0o700)
        file.touch(mode=0o600)
        os.symlink("target", self.base / "to-directory")
        os.symlink("file", self.base / "to-file")
        os.mkfifo(self.base / "fifo", 0o600)
        before = {path: os.lstat(path) for path in self.base.iterdir()}
        options = {"mode": "0777", "uid": str(os.geteuid()), "gid": str(os.getegid())}
        for path in before.keys() - {target}:
            self.assertRaises(NotADirectoryError, owned.change, path, options)
        self.assertEqual({path: os.lstat(path) for path in self.base.iterdir()}, before)
