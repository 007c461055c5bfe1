"""Snapshots and rollbacks, and what a crash between any two steps leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from exampledriver.backends.copying import rollback, syscalls
from exampledriver.backends.copying.copiers import ICopier, TreeCopier, duplicate
from exampledriver.backends.copying.fingerprints import fingerprint
from exampledriver.backends.copying.outputs import new_file
from exampledriver.backends.copying.progress import Progress, StoppedError
from exampledriver.backends.copying.removing import remove_tree
from exampledriver.backends.copying.rollback import recover, roll_back
from exampledriver.backends.copying.snapshots import NoSuchSnapshotError, Snapshots
from exampledriver.backends.removed import removed
from exampledriver.backends.trash import MANIFEST, Trash
from exampledriver.volumes.errors import InvalidNameError, VolumeError

from .forest import plant

ABOUT = {"name": "db", "backend": "directory", "created": "2026-01-01T00:00:00Z", "options": {}}


class CrashError(BaseException):
    """The process ends here."""


class Case(SynchronousTestCase):
    """A root with a volume ``db``."""

    def setUp(self) -> None:
        self.root = Path(os.path.realpath(self.mktemp()))
        self.root.mkdir()
        self.addCleanup(remove_tree, self.root)
        self.volume = self.root / "db"
        self.trash = Trash(self.root)
        self.copier = TreeCopier()
        self.snapshots = Snapshots(self.root, self.copier)

    def snapshot(self, label: str | None = "first") -> None:
        """Make a snapshot of the volume."""
        self.snapshots.make("db", self.volume, label, lambda: False, Progress())

    @contextmanager
    def crash_at(self, module: object, name: str, after: bool) -> Iterator[None]:
        """End the process, so to say, before or after the first call of a function."""
        function = getattr(module, name)

        def crash(*args: object) -> None:
            if after:
                function(*args)
            raise CrashError

        patch = self.patch(module, name, crash)
        try:
            yield
        except CrashError:
            pass
        else:
            self.fail(f"{name} was not called")
        finally:
            patch.restore()


class SnapshotTests(Case):
    """Snapshots."""

    def setUp(self) -> None:
        super().setUp()
        plant(self.volume)

    def test_copier(self) -> None:
        """The tree's copier is one."""
        verifyObject(ICopier, self.copier)

    def test_make(self) -> None:
        """A snapshot is a copy, and says of when and how."""
        self.snapshot()
        self.assertEqual(fingerprint(self.snapshots.data("db", "first")), fingerprint(self.volume))
        (found,) = self.snapshots.of("db")
        self.assertEqual((found.label, found.consistency, found.changed), ("first", "exact", 0))
        self.assertIn(found.method, ("reflink", "copy"))
        self.assertGreater(found.files or 0, 10)
        in_use = self.snapshots.make("db", self.volume, "busy", lambda: True, Progress())
        self.assertEqual(in_use.consistency, "file by file")

    def test_labels(self) -> None:
        """A label is the time where none is given; a taken or impossible one is refused."""
        for _ in range(3):
            self.snapshot(None)
        self.assertEqual(len(self.snapshots.of("db")), 3)
        self.snapshot()
        error = self.assertRaises(VolumeError, self.snapshot)
        self.assertIn("already", str(error))
        for label in ("../x", ".x", "a/b", "x" * 129, "é", "a@b"):
            self.assertRaises(InvalidNameError, self.snapshot, label)

    def test_delete(self) -> None:
        """A deleted snapshot is gone, and nothing of it is left."""
        self.snapshot("a")
        self.snapshot("b")
        self.snapshots.delete("db", "a")
        self.assertEqual([found.label for found in self.snapshots.of("db")], ["b"])
        error = self.assertRaises(NoSuchSnapshotError, self.snapshots.delete, "db", "a")
        self.assertIn("it has: b", str(error))
        self.snapshots.delete("db", "b")
        self.assertEqual(os.listdir(self.root / ".snapshots"), [])

    def test_delete_is_cut_off(self) -> None:
        """A snapshot that is half deleted is no snapshot, and is cleared at the next start."""
        self.snapshot()
        with self.crash_at(os, "rename", after=True):
            self.snapshots.delete("db", "first")
        self.assertEqual(self.snapshots.of("db"), [])
        self.snapshots.recover()
        self.assertEqual(os.listdir(self.root / ".snapshots"), [])

    def test_clone(self) -> None:
        """A snapshot, and a volume, become a new directory."""
        self.snapshot()
        for number, source in enumerate((self.volume, self.snapshots.data("db", "first"))):
            final = self.root / f"clone-{number}"
            duplicate(source, final, self.copier, Progress())
            self.assertEqual(fingerprint(final), fingerprint(self.volume))

    def test_stopped(self) -> None:
        """A snapshot that is stopped leaves nothing."""
        progress = Progress(lambda progress: progress.stop.set(), 0)
        self.assertRaises(
            StoppedError, self.snapshots.make, "db", self.volume, "x", lambda: False, progress
        )
        self.assertEqual(self.snapshots.of("db"), [])
        self.snapshots.recover()
        self.assertEqual(os.listdir(self.root / ".snapshots"), [])


class RollbackTests(Case):
    """Rollbacks."""

    def setUp(self) -> None:
        super().setUp()
        self.volume.mkdir()
        (self.volume / "value").write_text("old")
        self.snapshot()
        (self.volume / "value").write_text("new")

    def roll_back(self) -> None:
        """Roll the volume back."""
        source = self.snapshots.data("db", "first")
        roll_back(self.root, self.volume, source, ABOUT, self.copier, Progress())

    def value(self) -> str:
        """Return what the volume holds."""
        return (self.volume / "value").read_text()

    def in_trash(self) -> list[str]:
        """Return what the volumes in the trash hold; nothing else is in it."""
        found = removed(self.trash)
        self.assertEqual(len(os.listdir(self.trash.path)), len(found))
        return [Path(one.path, "value").read_text() for one in reversed(found)]

    def test_roll_back(self) -> None:
        """The volume is as it was; what it was before the rollback is in the trash."""
        self.roll_back()
        self.assertEqual(self.value(), "old")
        self.assertEqual(self.in_trash(), ["new"])
        (old,) = removed(self.trash)
        self.assertEqual((old.name, old.created), ("db", ABOUT["created"]))
        self.assertEqual(len(self.snapshots.of("db")), 1)

    def test_crashes(self) -> None:
        """A crash at any step leaves the whole old or the whole new data, and loses none."""
        steps = [
            (rollback, "duplicate", False, "new"),
            (rollback, "duplicate", True, "new"),
            (rollback, "exchange", False, "new"),
            (rollback, "exchange", True, "old"),
            (rollback, "write_note", True, "new"),
            (rollback, "rename_new", False, "old"),
            (rollback, "rename_new", True, "old"),
        ]
        for module, name, after, expected in steps:
            with self.crash_at(module, name, after):
                self.roll_back()
            self.assertEqual(self.value(), expected, (name, after))
            recover(self.root)
            self.assertEqual(self.value(), expected, (name, after))
            self.assertEqual(self.in_trash(), ["new"] if expected == "old" else [], (name, after))
            remove_tree(self.trash.path)
            (self.volume / "value").write_text("new")

    def test_again(self) -> None:
        """The same rollback again ends one that was cut off first."""
        with self.crash_at(rollback, "exchange", after=True):
            self.roll_back()
        (self.volume / "value").write_text("newer")
        self.roll_back()
        self.assertEqual(self.value(), "old")
        self.assertEqual(self.in_trash(), ["newer", "new"])

    def test_elsewhere(self) -> None:
        """A directory that is not below the root is refused."""
        outside = self.root.parent
        work = (self.root / "db", outside, self.volume, ABOUT, self.copier, Progress())
        self.assertIn("is not below", str(self.assertRaises(VolumeError, roll_back, *work)))

    def test_file(self) -> None:
        """A volume that is a file is rolled back, whatever the file is called."""
        (self.root / ".images").mkdir()
        image, kept = self.root / ".images/db.img", self.root / "kept"
        image.write_text("new")
        kept.write_text("old")
        roll_back(self.root, image, kept, ABOUT, self.copier, Progress())
        self.assertEqual(image.read_text(), "old")
        (old,) = removed(self.trash)
        self.assertEqual(Path(old.path).read_text(), "new")

    def test_in_two_steps(self) -> None:
        """Where two names cannot change places, a crash between the steps is mended."""

        def unsupported(one: Path, other: Path) -> None:
            raise OSError(syscalls.UNSUPPORTED[0], "not here")

        self.patch(rollback, "exchange", unsupported)
        self.roll_back()
        self.assertEqual((self.value(), self.in_trash()), ("old", ["new"]))
        (self.volume / "value").write_text("newer")
        rename = os.rename

        def crash(old: Path, new: Path) -> None:
            if new == self.volume:
                raise CrashError
            rename(old, new)

        patch = self.patch(os, "rename", crash)
        self.assertRaises(CrashError, self.roll_back)
        patch.restore()
        self.assertFalse(self.volume.exists())
        self.assertEqual(recover(self.root), ["db"])
        self.assertEqual((self.value(), self.in_trash()), ("old", ["newer", "new"]))

    def test_damaged_note(self) -> None:
        """Data of which it is not known what it was is never deleted."""
        with self.crash_at(rollback, "exchange", after=True):
            self.roll_back()
        (aside,) = self.trash.path.iterdir()
        (aside / MANIFEST).write_text("{")
        error = self.assertRaises(VolumeError, recover, self.root)
        self.assertIn(str(aside), str(error))
        self.assertEqual((aside / ".new/value").read_text(), "new")

    def test_damaged_other(self) -> None:
        """One of which that is not known does not keep others from their end."""
        with self.crash_at(rollback, "exchange", after=True):
            self.roll_back()
        other = self.trash.path / f".0{rollback.SUFFIX}"
        (other / "data").mkdir(parents=True)
        self.assertRaises(VolumeError, recover, self.root)
        remove_tree(other)
        self.assertEqual(self.in_trash(), ["new"])


class OutputTests(Case):
    """Files that appear whole."""

    def test_new_file(self) -> None:
        """A file has its name when it is whole, and none if writing fails."""
        path = self.root / "a.tar"
        with new_file(path) as file:
            file.write(b"data")
            self.assertEqual(os.listdir(self.root), [])
        self.assertEqual(path.read_bytes(), b"data")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

        def fail() -> None:
            with new_file(self.root / "b.tar"):
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual(os.listdir(self.root), ["a.tar"])

    def test_taken(self) -> None:
        """A file that is there is not replaced, nor one that comes meanwhile."""
        path = self.root / "a.tar"

        def write() -> None:
            with new_file(path):
                path.write_text("theirs")

        for _ in range(2):
            self.assertRaises(VolumeError, write)
        self.assertEqual(path.read_text(), "theirs")
