"""The file layer: one suite for real files and for the fake that models a crash.

What a power cut does is modelled only; that a real daemon's files outlive SIGKILL is
shown by the functional tests.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.journal import JournalError, Lock
from exampledriver.journal import files as module
from exampledriver.journal.files import RealFiles
from exampledriver.journal.interfaces import IFiles

from . import suites
from .crashfiles import Crash, CrashFiles


class RealFilesTests(suites.FilesSuite):
    """Real files."""

    def files(self) -> IFiles:
        path = Path(self.mktemp())
        path.mkdir()
        return RealFiles(str(path))

    def test_mode(self) -> None:
        """A file has mode 0600, whatever the umask (J11)."""
        files = self.files()
        old = os.umask(0)
        try:
            files.create("a").close()
        finally:
            os.umask(old)
        mode = stat.S_IMODE(os.stat(Path(files.path, "a")).st_mode)
        self.assertEqual(mode, 0o600)

    def test_system_calls(self) -> None:
        """Syncing is fdatasync of the file, truncating and the directory's names are fsync."""
        path = Path(self.mktemp())
        path.mkdir()
        files = RealFiles(str(path))
        file = files.create("a")
        calls: list[tuple[str, str]] = []
        for name in ("fsync", "fdatasync"):
            self.patch(os, name, lambda fd, name=name: calls.append((name, _name(fd))))
        file.sync()
        file.truncate(0)
        files.sync_directory()
        self.assertEqual(calls, [("fdatasync", "a"), ("fsync", "a"), ("fsync", path.name)])

    def test_reserve(self) -> None:
        """Blocks behind the end are kept, also after a cut, and the size stays what was written."""
        files = self.files()
        file = files.create("a")
        self.addCleanup(file.close)
        for _ in range(20):
            file.write(b"x" * 1000)
            found = os.stat(Path(files.path, "a"))
            self.assertGreaterEqual(found.st_blocks * 512 - found.st_size, 4096)
        file.truncate(10)
        file.write(b"x")
        found = os.stat(Path(files.path, "a"))
        self.assertEqual(found.st_size, 11)
        self.assertGreaterEqual(found.st_blocks * 512, 8192)

    def test_no_reserve(self) -> None:
        """Where no blocks can be kept all else goes on."""
        self.patch(module, "_fallocate", lambda *words: -1)
        files = self.files()
        file = files.create("a")
        self.addCleanup(file.close)
        file.write(b"x" * 10000)
        file.sync()
        self.assertEqual(files.read("a"), b"x" * 10000)

    def test_symbolic_link(self) -> None:
        """A symbolic link in a file's place is not followed."""
        files = self.files()
        os.symlink("/etc/passwd", Path(files.path, "a"))
        self.assertRaises(OSError, files.read, "a")
        self.assertRaises(OSError, files.create, "a")

    def test_renamed_directory(self) -> None:
        """A file of a renamed directory is not current; renewing makes the directory, mode 0700."""
        base = Path(self.mktemp())
        base.mkdir()
        path = base / "state"
        path.mkdir()
        lock = Lock.take(path / "lock")
        files = RealFiles(str(path), lock)
        file = files.create("a")
        self.assertTrue(files.is_current("a", file))
        path.rename(base / "moved")
        self.assertFalse(files.is_current("a", file))
        files.renew()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o700)
        self.assertTrue(files.is_current("a", files.create("a")))
        self.assertRaises(JournalError, Lock.take, path / "lock")
        Lock.take(base / "moved/lock").release()
        lock.release()

    def test_another_file_system(self) -> None:
        """A directory of another file system at the path is not written to."""
        path = Path(self.mktemp())
        path.mkdir()
        files = RealFiles(str(path))
        file = files.create("a")
        path.rename(f"{path}.away")
        with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
            path.symlink_to(other)
            self.assertFalse(files.is_current("a", file))
            error = self.assertRaises(OSError, files.renew)
            self.assertIn("is on another file system than before", str(error))
            self.assertEqual(os.listdir(other), [])

    def test_deleted_lock(self) -> None:
        """A file whose directory another process may lock is not current."""
        path = Path(self.mktemp())
        path.mkdir()
        lock = Lock.take(path / "lock")
        self.addCleanup(lock.release)
        files = RealFiles(str(path), lock)
        file = files.create("a")
        (path / "lock").unlink()
        self.assertFalse(files.is_current("a", file))
        other = Lock.take(path / "lock")
        error = self.assertRaises(OSError, files.renew)
        self.assertIn("is in use by process", str(error))
        other.release()
        files.renew()
        self.assertTrue(files.is_current("a", file))


def _name(fd: int) -> str:
    """Return the name of an open file."""
    return os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))


class CrashFilesTests(suites.FilesSuite):
    """The fake."""

    def files(self) -> IFiles:
        return CrashFiles()


class CrashTests(SynchronousTestCase):
    """The fake loses what may be lost, and nothing else."""

    def outcomes(self, sync: bool, sync_directory: bool) -> set[bytes | None]:
        """Return all contents of a file with 8 synced and 40 more bytes after 300 crashes."""
        found: set[bytes | None] = set()
        for seed in range(300):
            files = CrashFiles()
            file = files.create("a")
            file.write(b"12345678")
            file.sync()
            if sync_directory:
                files.sync_directory()
            file.write(b"x" * 40)
            if sync:
                file.sync()
            left = files.after_crash(Random(seed))
            found.add(left.read("a") if "a" in left.names() else None)
        return found

    def test_synced(self) -> None:
        """What was synced, name and bytes, is always there."""
        self.assertEqual(self.outcomes(True, True), {b"12345678" + b"x" * 40})

    def test_unsynced_bytes(self) -> None:
        """What was not synced may end anywhere, and have holes."""
        found = self.outcomes(False, True)
        self.assertNotIn(None, found)
        contents = {content for content in found if content is not None}
        self.assertTrue(all(content.startswith(b"12345678") for content in contents))
        self.assertEqual({len(content) for content in contents}, set(range(8, 49)))
        self.assertTrue(any(b"\0x" in content for content in contents))

    def test_unsynced_name(self) -> None:
        """A name that was not synced with its directory may be gone."""
        self.assertIn(None, self.outcomes(True, False))

    def test_plan(self) -> None:
        """A plan crashes a call before, during and after its effect."""
        for verdict, content in (("before", b""), ("during", b"ab"), ("after", b"abcd")):
            files = CrashFiles()
            file = files.create("a")
            files.plan = {"write": verdict}.get
            self.assertRaises(Crash, file.write, b"abcd")
            self.assertEqual(files.read("a"), content)
