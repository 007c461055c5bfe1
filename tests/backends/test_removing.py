"""Deleting trees: of any depth and width, following nothing, and led nowhere."""

from __future__ import annotations

import os
import resource
from datetime import timedelta
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.copying.progress import Progress, StoppedError
from exampledriver.backends.copying.removing import remove_tree
from exampledriver.backends.trash import Trash

from .forest import dig


class RemovingTests(SynchronousTestCase):
    """Trees on a real file system."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir()

    def test_purge_depth(self) -> None:
        """A removed volume is purged however deep its directories are, with few descriptors."""
        trash = Trash(self.base)
        (self.base / "db").mkdir()
        dig(self.base / "db", 5_000)
        trash.put(self.base / "db", b"{}")
        opened = len(os.listdir("/proc/self/fd"))
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 40, limits[1]))
        try:
            self.assertEqual(trash.purge(timedelta(0)), 1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        self.assertEqual(os.listdir(trash.path), [])
        self.assertEqual(len(os.listdir("/proc/self/fd")), opened)

    def test_bushy(self) -> None:
        """A tree with much of everything on every level is deleted, all of it."""
        for first in range(10):
            for second in range(10):
                place = self.base / f"tree/{first}/{second}/below"
                place.mkdir(parents=True)
                (place / "file").touch()
                (place.parent / "beside").touch()
            os.mkfifo(self.base / f"tree/{first}/fifo")
        remove_tree(self.base / "tree")
        self.assertEqual(os.listdir(self.base), [])

    def test_follows_nothing(self) -> None:
        """Deleting a tree follows no link, and what is missing is no error."""
        (self.base / "kept").mkdir()
        (self.base / "kept/file").touch()
        (self.base / "tree/sub").mkdir(parents=True)
        os.symlink(self.base / "kept", self.base / "tree/sub/link")
        os.symlink(self.base / "kept", self.base / "link")
        os.chmod(self.base / "tree/sub", 0)
        for name in ("tree", "link", "missing"):
            remove_tree(self.base / name)
        self.assertEqual(os.listdir(self.base), ["kept"])
        self.assertEqual(os.listdir(self.base / "kept"), ["file"])

    def test_moved_meanwhile(self) -> None:
        """Whoever moves a directory while it is emptied does not lead the deletion elsewhere."""
        (self.base / "tree/a/b").mkdir(parents=True)
        (self.base / "tree/a/b/file").touch()
        (self.base / "other/b").mkdir(parents=True)
        (self.base / "other/file").touch()

        def move(*_: object) -> None:
            os.rmdir(self.base / "other/b")
            os.rename(self.base / "tree/a/b", self.base / "other/b")

        progress = Progress(move, 0.0)
        error = self.assertRaises(OSError, remove_tree, self.base / "tree", progress)
        self.assertIn("moved meanwhile", str(error))
        self.assertEqual(sorted(os.listdir(self.base / "other")), ["b", "file"])

    def test_stopped(self) -> None:
        """Told to stop, it stops, and keeps no descriptor."""
        (self.base / "tree/a").mkdir(parents=True)
        (self.base / "tree/a/file").touch()
        opened = len(os.listdir("/proc/self/fd"))
        progress = Progress()
        progress.stop.set()
        self.assertRaises(StoppedError, remove_tree, self.base / "tree", progress)
        self.assertTrue((self.base / "tree/a").is_dir())
        self.assertEqual(len(os.listdir("/proc/self/fd")), opened)
