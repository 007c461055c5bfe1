"""Copies of trees: what is kept, what is refused, and what a change meanwhile does.

Shared data (reflink) is tested on a real XFS in tests.engine.test_reflink.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.copying.fingerprints import fingerprint
from exampledriver.backends.copying.nodes import DEEPEST
from exampledriver.backends.copying.progress import Progress, StoppedError
from exampledriver.backends.copying.removing import remove_tree
from exampledriver.backends.copying.trees import copy_tree
from exampledriver.volumes.errors import VolumeError
from tests.backends.forest import add_socket, allocated, dig, plant, sparse


class TreeTests(SynchronousTestCase):
    """copy_tree, fingerprint and remove_tree."""

    def setUp(self) -> None:
        self.base = Path(os.path.realpath(self.mktemp()))
        self.base.mkdir()
        self.addCleanup(remove_tree, self.base)
        self.source, self.target = self.base / "source", self.base / "target"

    def copy(self) -> int:
        """Copy, and return how many nodes were seen to change."""
        return copy_tree(self.source, self.target, Progress()).changed

    def test_everything(self) -> None:
        """A copy has the contents, owners, times, attributes and links of its source."""
        plant(self.source)
        add_socket(self.source)
        before = fingerprint(self.source)
        self.assertEqual(self.copy(), 0)
        self.assertEqual(fingerprint(self.target), before)
        self.assertEqual(fingerprint(self.source), before)

    def test_holes(self) -> None:
        """Holes stay holes."""
        plant(self.source)
        self.copy()
        for name in ("sparse", "hole", "tailless"):
            self.assertLess(allocated(self.target / name), 200_000, name)
        self.assertEqual(allocated(self.target / "hole"), 0)

    def test_inode(self) -> None:
        """Names of one file are names of one file in the copy, and no name of the source's."""
        plant(self.source)
        self.copy()
        names = [self.target / name for name in ("plain", "also", "sub/below/linked")]
        inodes = {os.stat(name).st_ino for name in names}
        self.assertEqual(len(inodes), 1)
        self.assertEqual(os.stat(names[0]).st_nlink, 3)
        self.assertNotIn(os.stat(self.source / "plain").st_ino, inodes)

    def test_default_acl(self) -> None:
        """A default ACL is copied and not obeyed."""
        plant(self.source)
        plain = self.source / "sub/plain"
        plain.touch()
        os.removexattr(plain, "system.posix_acl_access")
        self.copy()
        self.assertEqual(os.listxattr(self.target / "sub/plain"), [])

    def test_single_file(self) -> None:
        """A file is copied as a tree of one."""
        sparse(self.source, 8 << 20, (4 << 20, b"image"))
        self.copy()
        self.assertEqual(fingerprint(self.target), fingerprint(self.source))

    def test_existing_directory(self) -> None:
        """An empty directory may be there already; one with something in it is refused."""
        plant(self.source)
        self.target.mkdir()
        self.copy()
        self.assertEqual(fingerprint(self.target), fingerprint(self.source))
        error = self.assertRaises(VolumeError, self.copy)
        self.assertIn("not empty", str(error))

    def test_links_are_not_followed(self) -> None:
        """A link to a directory is copied as a link, also where the root should be."""
        outside = self.base / "outside"
        plant(outside)
        self.source.mkdir()
        os.symlink(outside, self.source / "link")
        self.copy()
        self.assertEqual(os.readlink(self.target / "link"), str(outside))
        self.source = self.source / "link"
        self.target = self.base / "other"
        self.copy()
        self.assertTrue(self.target.is_symlink())

    def test_swapped_directory(self) -> None:
        """A directory that becomes a link while it is copied leads nowhere."""
        outside = self.base / "outside"
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (self.source / "a").mkdir(parents=True)
        (self.source / "a/inside").touch()
        (self.source / "first").touch()

        def swap(progress: Progress) -> None:
            if progress.files == 1 and not (self.source / "a").is_symlink():
                shutil.rmtree(self.source / "a")
                os.symlink(outside, self.source / "a")

        changed = copy_tree(self.source, self.target, Progress(swap, 0)).changed
        self.assertEqual(changed, 1)
        self.assertEqual(os.listdir(self.target), ["first"])

    def test_vanished(self) -> None:
        """What vanishes while the tree is copied is counted, and fails nothing."""
        self.source.mkdir()
        for number in range(10):
            (self.source / str(number)).touch()

        def vanish(progress: Progress) -> None:
            if progress.files == 4:
                for number in (7, 9):
                    (self.source / str(number)).unlink(missing_ok=True)

        copied = copy_tree(self.source, self.target, Progress(vanish, 0))
        self.assertEqual((copied.changed, copied.files), (2, 8))

    def test_written_meanwhile(self) -> None:
        """A file that is written to while it is copied is counted."""
        self.source.mkdir()
        (self.source / "log").write_bytes(b"x" * (40 << 20))

        def write(progress: Progress) -> None:
            with (self.source / "log").open("ab") as log:
                log.write(b"y")

        self.assertEqual(copy_tree(self.source, self.target, Progress(write, 0)).changed, 1)

    def test_stop(self) -> None:
        """A copy that is told to stop stops."""
        plant(self.source)
        progress = Progress(lambda progress: progress.stop.set(), 0)
        self.assertRaises(StoppedError, copy_tree, self.source, self.target, progress)

    def test_named_error(self) -> None:
        """An error names the node and says what was done."""
        plant(self.source)

        def fill(progress: Progress) -> None:
            (self.target / "sub").mkdir(exist_ok=True)

        error = self.assertRaises(
            VolumeError, copy_tree, self.source, self.target, Progress(fill, 0)
        )
        self.assertEqual(str(error), 'copying "sub": File exists')

    def test_too_deep(self) -> None:
        """A tree that lies deeper than any path reaches is refused: its copy would take memory."""
        self.source.mkdir()
        dig(self.source, DEEPEST + 1)
        error = self.assertRaises(VolumeError, self.copy)
        self.assertIn("level/level/level", str(error))
        self.assertIn(f"more than {DEEPEST} directories below each other", str(error))

    def test_depth(self) -> None:
        """A deep tree is copied, compared and deleted with few descriptors."""
        plant(self.source, depth=1500)
        self.copy()
        self.assertEqual(fingerprint(self.target), fingerprint(self.source))
        remove_tree(self.target)
        self.assertFalse(self.target.exists())

    def test_fingerprint_differs(self) -> None:
        """Each thing that can differ makes the fingerprint of its node another one."""
        changes = {
            "plain": lambda: os.truncate(self.source / "plain", 10),
            "large": lambda: os.removexattr(self.source / "large", "user.bytes"),
            "hole": lambda: os.chmod(self.source / "hole", 0o611),
            "fifo": lambda: os.utime(self.source / "fifo", ns=(3, 3)),
            "empty": lambda: os.link(self.source / "empty", self.source / "zzz"),
        }
        plant(self.source)
        for name, change in changes.items():
            before = fingerprint(self.source)
            change()
            after = fingerprint(self.source)
            if name != "empty":  # the first of two names is as one name was
                self.assertNotEqual(before[name], after[name], name)
            self.assertNotEqual(before, after, name)
