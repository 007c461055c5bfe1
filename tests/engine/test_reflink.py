"""Copies on file systems that can share data, and on one that cannot; root mounts them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.copying.copiers import TreeCopier
from exampledriver.backends.copying.fingerprints import fingerprint
from exampledriver.backends.copying.progress import Progress
from exampledriver.backends.copying.snapshots import Snapshots
from tests.backends.forest import add_socket, allocated, plant
from tests.process import short_directory

from .loops import file_system

SIZE = 64 << 20


class ReflinkTests(SynchronousTestCase):
    """Snapshots of a tree with 64 MiB of data."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(shutil.rmtree, self.base)

    def snapshot(self, kind: str) -> tuple[str, int]:
        """Make a snapshot on a file system; return the method, and what it took on disk."""
        with file_system(kind, self.base) as root:
            volume = root / "db"
            plant(volume)
            add_socket(volume)
            (volume / "big").write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
            snapshots = Snapshots(root, TreeCopier())
            os.sync()
            before = self.used(root)
            made = snapshots.make("db", volume, "first", lambda: False, Progress())
            taken = self.used(root) - before
            copy = snapshots.data("db", "first")
            self.assertEqual(fingerprint(copy), fingerprint(volume))
            self.assertLess(allocated(copy / "sparse"), 1 << 20)
            # What is shared is no longer when either is written to.
            (volume / "big").write_bytes(b"other")
            self.assertEqual((copy / "big").stat().st_size, SIZE)
            return made.method, taken

    def used(self, root: Path) -> int:
        """Return how many bytes of a file system are in use."""
        os.sync()
        found = os.statvfs(root)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def test_xfs(self) -> None:
        """On XFS data is shared."""
        method, taken = self.snapshot("xfs")
        self.assertEqual(method, "reflink")
        self.assertLess(taken, SIZE // 4)

    def test_btrfs(self) -> None:
        """On Btrfs data is shared."""
        method, taken = self.snapshot("btrfs")
        self.assertEqual(method, "reflink")
        self.assertLess(taken, SIZE // 4)

    def test_ext4(self) -> None:
        """On ext4 data is copied, and the method says so."""
        method, taken = self.snapshot("ext4")
        self.assertEqual(method, "copy")
        self.assertGreater(taken, SIZE // 2)
