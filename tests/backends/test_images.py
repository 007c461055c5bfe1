"""File systems in files, as far as that needs no root: what is refused before it is done."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends import filesystems, growing, mounting
from exampledriver.backends.freezing import frozen, thaw_all
from exampledriver.backends.image import ImageBackend
from exampledriver.backends.imagefiles import ImageFiles, backing_file
from exampledriver.backends.mounts import Mount
from exampledriver.backends.trash import Trash
from exampledriver.volumes.errors import BusyError, VolumeError
from exampledriver.volumes.model import StoredVolume

SIZE = 16 << 20


class FreezingTests(SynchronousTestCase):
    """Freezing, and what it must never be done to."""

    def test_not_mounted(self) -> None:
        """A place at which nothing is mounted is not frozen: that would be the host's disk."""
        asked: list[object] = []
        self.patch(fcntl, "ioctl", lambda *words: asked.append(words))
        place = os.path.abspath(self.mktemp())
        os.mkdir(place)
        with self.assertRaises(VolumeError) as caught, frozen(place):
            self.fail("it is frozen")
        self.assertIn("was unmounted by somebody else", str(caught.exception))
        self.assertEqual(asked, [])

    def test_thaw_all(self) -> None:
        """A process that ends thaws what it still has frozen, and nothing else."""
        asked: list[object] = []
        self.patch(fcntl, "ioctl", lambda fd, request, argument: asked.append(request))
        thaw_all()
        self.assertEqual(asked, [])
        with frozen("/proc"):
            thaw_all()
            self.assertEqual(len(asked), 2)
        thaw_all()
        self.assertEqual(len(asked), 3)


class LoopTests(SynchronousTestCase):
    """The loop devices of a machine, which are not only the daemon's."""

    def test_names(self) -> None:
        """The file of a loop device may have any name."""
        device = Path(self.mktemp())
        self.assertIsNone(backing_file(str(device)))
        (device / "loop").mkdir(parents=True)
        for name in (b"/a/\xff.img", b"/a\r", b"/a\n", b"/a b\x85"):
            (device / "loop/backing_file").write_bytes(name + b"\n")
            self.assertEqual(os.fsencode(backing_file(str(device)) or ""), name)


class ImageTests(SynchronousTestCase):
    """An image, of which the kernel says what a test wants."""

    def setUp(self) -> None:
        self.root = Path(os.path.realpath(self.mktemp()))
        self.backend = ImageBackend(self.root, Trash(self.root))
        options = {"fs": "ext4", "size": "16M"}
        created = datetime(2026, 11, 24, tzinfo=timezone.utc)
        self.volume = StoredVolume("db", str(self.root / "db"), created, options, "image")
        self.file = self.backend.file(self.volume)
        self.file.parent.mkdir(parents=True)
        with self.file.open("wb") as file:
            file.truncate(SIZE)

    def attached(self, *devices: str) -> None:
        """Let loop devices have the file."""
        self.patch(ImageFiles, "attached", lambda self, file, seconds: list(devices))

    def test_not_allowed(self) -> None:
        """What the kernel would not let grow keeps its size: its copies would not fit else."""
        mount = Mount("7:0", "/", self.volume.mountpoint)
        self.patch(mounting, "layers", lambda path: [mount])
        self.patch(mounting, "is_capable", lambda capability: False)
        error = self.assertRaises(VolumeError, self.backend.resize, self.volume, 2 * SIZE)
        self.assertIn("CAP_SYS_RESOURCE", str(error))
        self.assertEqual(self.file.stat().st_size, SIZE)

    def test_elsewhere(self) -> None:
        """A file that is mounted in another namespace is not worked on as if it were not."""
        self.attached("/dev/loop9")
        error = self.assertRaises(BusyError, self.backend.resize, self.volume, 2 * SIZE)
        self.assertIn("/dev/loop9 still has its file", str(error))
        self.assertEqual(self.file.stat().st_size, SIZE)

    def test_copy_elsewhere(self) -> None:
        """A copy that somebody still has mounted gets no other UUID: he would write the old one."""
        self.attached("/dev/loop9")
        self.patch(ImageFiles, "scratch", lambda *words: nullcontext(self.root))
        self.patch(ImageFiles, "renew", lambda *words: self.fail("it is at work"))
        fit = self.backend.files.fit
        error = self.assertRaises(BusyError, fit, self.volume, self.file, False)
        self.assertIn("/dev/loop9 still has its file", str(error))

    def test_full(self) -> None:
        """An ext4 does not grow where resize2fs, which leaves damage then, would fill the disk."""
        self.attached()
        room = os.statvfs_result((4096, 4096, 1 << 20, 2, 2, 0, 0, 0, 0, 255))
        self.patch(os, "statvfs", lambda path: room)
        self.patch(growing, "run", lambda *words: self.fail("it is at work"))
        error = self.assertRaises(VolumeError, self.backend.resize, self.volume, 2 * SIZE)
        self.assertIn("have to be free to let it grow", str(error))
        self.assertEqual(self.file.stat().st_size, SIZE)

    def test_deadlines(self) -> None:
        """What goes through a whole file system, or changes all of it, has ten minutes for it."""
        asked: dict[str, float] = {}

        def run(argv: Sequence[str], seconds: float, kept: Sequence[int] = ()) -> str:
            asked[argv[0]] = seconds
            return ""

        for module in (filesystems, growing):
            self.patch(module, "run", run)
        growing.grow_ext4(self.file)
        self.assertEqual(asked, {"e2fsck": 600, "resize2fs": 600})

    def test_recover(self) -> None:
        """What cannot be cleared does not keep the daemon from its start."""
        self.attached()
        (self.file.parent / "0.mnt/in-the-way").mkdir(parents=True)
        (self.file.parent / "db.img.new").mkdir()
        self.assertEqual(self.backend.recover({"db": self.volume}, set()), [])
        self.assertEqual(len(os.listdir(self.file.parent)), 3)
