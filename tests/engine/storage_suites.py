"""What is expected of the kinds that mount, beside the suite of all; it needs root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from exampledriver.backends import mounting
from exampledriver.backends.image import ImageBackend
from exampledriver.backends.interfaces import IBackend
from exampledriver.backends.trash import Trash
from exampledriver.volumes.errors import VolumeError
from exampledriver.volumes.model import StoredVolume
from tests.backends import suites

from .storage import may_grow_ext4, release


class MountedSuite(suites.BackendSuite):
    """A kind that mounts."""

    def setUp(self) -> None:
        self.root = Path(os.path.realpath(self.mktemp())) / "volumes"
        self.root.mkdir(parents=True)
        self.addCleanup(release, self.root)

    def fill(self, backend: IBackend, volume: StoredVolume) -> None:
        backend.mount(volume)
        Path(volume.mountpoint, "file").write_text("x")

    def test_mount_again(self) -> None:
        """A volume is mounted once, however often that is asked for, and unmounted once."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        backend.mount(volume)
        backend.mount(volume)
        self.assertEqual(len(mounting.layers(volume.mountpoint)), backend.layers(volume))  # type: ignore[attr-defined]
        self.assertEqual(backend.mounted(), {"db"})
        backend.unmount(volume)
        backend.unmount(volume)
        self.assertEqual(mounting.layers(volume.mountpoint), [])
        self.assertEqual(backend.mounted(), set())

    def test_hides_nothing(self) -> None:
        """What somebody has put into a mountpoint is not hidden by a mount, and is kept."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        Path(volume.mountpoint, "precious").write_text("x")
        error = self.assertRaises(VolumeError, backend.mount, volume)
        self.assertIn("something is in its mountpoint", str(error))
        backend.remove(volume)
        self.assertEqual(len(list(self.root.glob(".trash/*/db/precious"))), 1)

    def test_mount_missing(self) -> None:
        """A mountpoint is made again: nothing is in it that could be lost."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        os.rmdir(volume.mountpoint)
        self.assertEqual(backend.mount(volume), volume.mountpoint)

    def test_undo(self) -> None:
        """A creation is taken back while the volume is not mounted, and not otherwise."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        backend.undo_create(volume)
        self.assertEqual(os.listdir(self.root), self.left)
        backend.create(volume)
        self.fill(backend, volume)
        self.assertRaises(VolumeError, backend.undo_create, volume)
        self.assertEqual(backend.mount(volume), volume.mountpoint)

    #: What is in the root when there is no volume any more.
    left: list[str] = []  # noqa: RUF012

    def test_settle(self) -> None:
        """A removal that a crash undid is done again; creations need no settling."""
        backend = self.backend()
        removed, back = (self.volume(backend, name) for name in ("c", "d"))
        for volume in (removed, back):
            self.assertFalse(backend.settles(volume))
            backend.create(volume)
        backend.remove(removed)
        self.assertEqual(backend.settle([], [removed, back]), {})
        for volume in (removed, back):
            self.assertFalse(os.path.lexists(volume.mountpoint))

    def test_recover(self) -> None:
        """The root's entries are listed by the directory backend."""
        self.assertEqual(self.backend().recover({}, set()), [])

    def test_look(self) -> None:
        """A volume that should be mounted and is not has a trouble, one that is has none."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        self.assertEqual(backend.look(volume, False), ("", None))
        self.assertIn("not mounted: the next Mount", backend.look(volume, True)[0])
        backend.mount(volume)
        self.assertEqual(backend.look(volume, True), ("", ""))


class ImageSuite(MountedSuite):
    """File systems in files."""

    left = [".images"]  # noqa: RUF012

    def backend(self) -> IBackend:
        return ImageBackend(self.root, Trash(self.root))

    def test_recover(self) -> None:
        """What was half made goes, mounted or not; files that are no volume's are listed."""
        backend = cast(ImageBackend, self.backend())
        made = {name: self.volume(backend, name) for name in ("a", "b")}
        for volume in made.values():
            backend.create(volume)
        (backend.images / "c.img.new").write_text("")
        (backend.images / "c.mnt").mkdir()
        mounting.mount("tmpfs", [], "none", str(backend.images / "c.mnt"), 10)
        self.assertEqual(backend.recover({"a": made["a"]}, set()), [".images/b.img"])
        self.assertEqual(sorted(os.listdir(backend.images)), ["a.img", "b.img"])

    def test_new(self) -> None:
        """A new volume is empty, has its owner and mode, is sparse and private."""
        backend = cast(ImageBackend, self.backend())
        volume = self.volume(backend)
        backend.create(volume)
        found = backend.file(volume).stat()
        self.assertEqual(found.st_mode & 0o7777, 0o600)
        self.assertLess(found.st_blocks * 512, found.st_size // 2)
        backend.mount(volume)
        self.assertEqual(os.listdir(volume.mountpoint), [])
        found = os.stat(volume.mountpoint)
        self.assertEqual((found.st_mode & 0o7777, found.st_uid, found.st_gid), (0o750, 7, 8))

    def test_trash(self) -> None:
        """The file goes to the trash, and brings the data back when it is put in its place."""
        backend = cast(ImageBackend, self.backend())
        volume = self.volume(backend)
        backend.create(volume)
        self.fill(backend, volume)
        backend.remove(volume)
        (image,) = self.root.glob(".trash/*/db")
        image.rename(backend.file(volume))
        self.assertFalse(backend.create(volume))
        backend.mount(volume)
        self.assertEqual(Path(volume.mountpoint, "file").read_text(), "x")

    def test_grow(self) -> None:
        """A file system grows while it is mounted and while it is not, and never shrinks."""
        backend = cast(ImageBackend, self.backend())
        volume = self.volume(backend)
        backend.create(volume)
        self.fill(backend, volume)
        before = _size(volume.mountpoint)
        start = backend.file(volume).stat().st_size
        larger = start + (64 << 20)
        if self.options.get("fs", "ext4") == "ext4" and not may_grow_ext4():
            error = self.assertRaises(VolumeError, backend.resize, volume, larger)
            self.assertIn("do it again when nobody uses the volume", str(error))
            self.assertEqual(backend.file(volume).stat().st_size, start)
        else:
            backend.resize(volume, larger)
            self.assertGreater(_size(volume.mountpoint), before + (32 << 20))
        backend.unmount(volume)
        backend.resize(volume, start + (128 << 20))
        backend.mount(volume)
        self.assertGreater(_size(volume.mountpoint), before + (96 << 20))
        self.assertEqual(os.listdir(volume.mountpoint), ["file"])
        error = self.assertRaises(VolumeError, backend.resize, volume, start)
        self.assertIn("an image can only grow", str(error))
        self.assertEqual(sorted(os.listdir(backend.images)), ["db.img"])

    def test_missing(self) -> None:
        """A file that is missing is an error that names it, at a Mount and in the health."""
        backend = cast(ImageBackend, self.backend())
        volume = self.volume(backend)
        backend.create(volume)
        backend.file(volume).unlink()
        self.assertIn("db.img is missing", backend.look(volume, False)[0])
        self.assertIn(
            "db.img is missing", str(self.assertRaises(VolumeError, backend.mount, volume))
        )


def _size(path: str) -> int:
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize
