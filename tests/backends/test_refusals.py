"""What kinds of storage refuse: how the error says so, and that nothing is left half done."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends import btrfs, growing, imagefiles, mounting, projects, tmpfs
from exampledriver.backends.btrfs import BtrfsBackend
from exampledriver.backends.commands import CommandError, run
from exampledriver.backends.directory import DirectoryBackend
from exampledriver.backends.explaining import explained
from exampledriver.backends.image import ImageBackend
from exampledriver.backends.measuring import Measure
from exampledriver.backends.mount import MountBackend
from exampledriver.backends.tmpfs import TmpfsBackend
from exampledriver.backends.trash import MANIFEST, Trash
from exampledriver.volumes.copying import explaining
from exampledriver.volumes.errors import InvalidOptionError, VolumeError
from exampledriver.volumes.model import StoredVolume

NOON = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


class RefusalCase(SynchronousTestCase):
    """A root, and a volume ``v``."""

    def setUp(self) -> None:
        self.root = Path(os.path.realpath(self.mktemp()))
        self.root.mkdir()
        self.trash = Trash(self.root)

    def volume(self, backend: str, options: Mapping[str, str]) -> StoredVolume:
        """Return the volume."""
        return StoredVolume("v", f"{self.root}/v", NOON, options, backend)


class ProgramTests(SynchronousTestCase):
    """What programs write."""

    def test_words(self) -> None:
        """What a program writes is one line of an error, and nothing that a terminal obeys."""
        script = r"printf 'no\nsuch \033[2J\r\377 \302\205export\n' >&2; exit 3"
        error = self.assertRaises(CommandError, run, ["sh", "-c", script], 60)
        self.assertEqual(error.words, "no such \\x1b[2J \ufffd export")


class ImageTests(RefusalCase):
    """Growing, which may be refused, or cut off."""

    def setUp(self) -> None:
        super().setUp()
        self.backend = ImageBackend(self.root, self.trash)
        self.image = self.volume("image", {"fs": "ext4", "size": "8M"})
        self.file = self.root / ".images/v.img"
        self.file.parent.mkdir()
        self.size(8 << 20)

    def size(self, size: int) -> None:
        """Give the file a size."""
        with self.file.open("ab") as file:
            file.truncate(size)

    def test_not_made(self) -> None:
        """An image that cannot be made leaves neither a file nor a mountpoint."""
        self.file.unlink()
        self.patch(imagefiles, "_MAKE", {"ext4": ["false"]})
        self.assertRaises(VolumeError, self.backend.create, self.image)
        self.assertEqual([path.name for path in self.root.rglob("*")], [".images"])
        self.size(16 << 20)
        self.assertRaises(VolumeError, self.backend.create, self.image)
        self.assertFalse((self.root / "v").exists())

    def test_damaged(self) -> None:
        """A file that is no file system is said to be damaged, and what checks it."""

        def refused(*_: object) -> None:
            raise CommandError("mount", 32, "wrong fs type, bad option, bad superblock")

        self.patch(mounting, "mount", refused)
        error = self.assertRaises(VolumeError, self.backend.mount, self.image)
        self.assertIn(f'may be damaged: "e2fsck -f {self.file}"', str(error))

    def test_full_disk(self) -> None:
        """A disk that has room for some of it leaves the file as large as it was."""

        def some(fd: int, start: int, length: int) -> None:
            os.ftruncate(fd, length // 2)
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(os, "posix_fallocate", some)
        self.assertRaises(OSError, growing.enlarge, self.file, 64 << 20, True)
        self.assertEqual(self.file.stat().st_size, 8 << 20)

    def test_cut_off(self) -> None:
        """A file that a growth left larger goes to the trash with that size, and comes back."""
        self.size(16 << 20)
        self.backend.put_aside(self.image)
        (manifest,) = self.trash.path.glob(f"*/{MANIFEST}")
        self.assertEqual(json.loads(manifest.read_bytes())["options"]["size"], "16M")

    def test_removed_now(self) -> None:
        """An image that is removed without the trash is deleted, and leaves no slot."""
        self.backend.put_aside(self.image, True)
        self.assertFalse(self.file.exists())
        (slot,) = self.trash.slots()
        self.assertTrue(slot.bare)
        self.trash.finish()
        self.assertEqual(self.trash.slots(), [])


class OtherTests(RefusalCase):
    """The other kinds."""

    def test_no_space(self) -> None:
        """Where a disk is full the error says what frees some of it."""

        def full() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        volume = self.volume("directory", {})
        for work in (explained(volume, "creating")(full), explaining("v", "copying", full)):
            error = self.assertRaises(VolumeError, work)
            self.assertIn('on device; free some space: "exampledriver volume usage"', str(error))

    def test_tmpfs(self) -> None:
        """A tmpfs that holds more than the new size says how much."""
        self.patch(mounting, "layers", lambda path: [path])
        self.patch(tmpfs, "measure_whole", lambda path: Measure(9 << 20, 1, 16 << 20))
        backend = TmpfsBackend(self.root, self.trash)
        volume = self.volume("tmpfs", {"size": "16M"})
        error = self.assertRaises(VolumeError, backend.resize, volume, 8 << 20)
        self.assertIn("holds 9437184 bytes, asked for is 8M", str(error))

    def test_btrfs(self) -> None:
        """An import to a root that is no Btrfs says that, as a Create does."""
        directory = DirectoryBackend(self.root, [], self.trash)
        backend = BtrfsBackend(directory, lambda path: ("ext4", "/dev/x"))
        volume = self.volume("btrfs", {})
        filling = backend.copier(volume).filling(self.root / "stage")
        with self.assertRaises(VolumeError) as caught, filling:
            pass
        self.assertIn("needs a root that is Btrfs", str(caught.exception))

    def test_no_quotas(self) -> None:
        """A copy with a size where there are no quotas names the root, as a Create does."""

        def none(*_: object) -> None:
            raise OSError(errno.ESRCH, "No such process")

        self.patch(projects, "_quota", none)
        self.patch(mounting, "file_system", lambda path: ("ext4", "/dev/x"))
        backend = DirectoryBackend(self.root, [], self.trash)
        filling = backend.copier(self.volume("directory", {"size": "1G"})).filling(
            self.root / "stage/content"
        )
        with self.assertRaises(InvalidOptionError) as caught, filling:
            pass
        self.assertIn(f"the file system of {self.root} (ext4)", str(caught.exception))

    def test_no_compression(self) -> None:
        """Data without copy on write is not told to be without compression: Btrfs refuses that."""
        made: list[list[str]] = []
        self.patch(btrfs, "run", lambda argv, seconds: made.append(argv))
        directory = DirectoryBackend(self.root, [], self.trash)
        backend = BtrfsBackend(directory, lambda path: ("btrfs", "/dev/x"))
        volume = self.volume("btrfs", {"compression": "none", "cow": "no"})
        with contextlib.suppress(VolumeError), backend.copier(volume).filling(self.root / "stage"):
            pass
        self.assertEqual([argv[0] for argv in made], ["btrfs", "chattr"])

    def test_path(self) -> None:
        """An error names one path: the one that was worked on, or the volume's."""
        volume = self.volume("image", {})
        for doing, text in (
            ("making /x/v.img", "making /x/v.img: File too large"),
            ("creating", f"creating {self.root}/v: File too large"),
        ):
            with self.assertRaises(VolumeError) as caught, explained(volume, doing):
                raise OSError(errno.EFBIG, "File too large")
            self.assertEqual(str(caught.exception), f'volume "v": {text}')


class MountTests(RefusalCase):
    """What mount(8) is given, and what its words point to."""

    def test_password(self) -> None:
        """mount.cifs is not let ask for a password, for which it would wait."""
        program = self.root / "mount"
        program.write_text('#!/bin/sh\necho "${PASSWD-asks}"; exit 1\n')
        program.chmod(0o755)
        self.patch(os, "environ", {**os.environ, "PATH": f"{self.root}:{os.environ['PATH']}"})
        for options, words in (
            (["username=u"], ""),
            (["credentials=/x"], "asks"),
            (["cred=/x"], "asks"),
        ):
            error = self.assertRaises(
                CommandError, mounting.mount, "cifs", options, "//h/s", f"{self.root}/v", 30.0
            )
            self.assertEqual(error.words, words)

    def test_bases(self) -> None:
        """A path is one in each way in which mount(8) takes it; it runs in the directory "/"."""
        allowed = self.root / "allowed"
        allowed.mkdir()
        backend = MountBackend(self.root / "r", self.trash, [self.root / "s"], [allowed])
        (self.root / "s").mkdir()
        for device, why in (
            ("/etc", "allowed are paths below"),
            ("//etc", "allowed are paths below"),
            ("etc", "allowed are paths below"),
            (f"{allowed}/../s"[1:], "is the driver's own"),
            (f"/{self.root}/s", "is the driver's own"),
        ):
            wanted = backend.parse("v", {"type": "none", "o": "bind", "device": device})
            self.assertTrue(wanted.unresolved)
            error = self.assertRaises(InvalidOptionError, backend.resolve, "v", wanted)
            self.assertIn(why, str(error))
        for kind, device in (
            ("none", str(allowed)),
            ("cifs", "//etc/x"),
            ("nfs", "etc:/x"),
            ("tmpfs", "tmpfs"),
        ):
            wanted = backend.parse("v", {"type": kind, "device": device})
            self.assertFalse(backend.resolve("v", wanted).unresolved)

    def test_no_directory(self) -> None:
        """A subpath that leads through a symbolic link is said to; and so is a full disk."""
        for words, text in (
            ("a: Not a directory", "a symbolic link"),
            ("mkfs.ext4: No space left on device while writing out", "is full"),
        ):
            self.assertIn(text, mounting.hint("none", CommandError("x", 1, words), 30.0))

    def test_no_right(self) -> None:
        """A loop device that the daemon may not have is not said to be missing."""
        error = CommandError("mount", 32, "failed to setup loop device for x")
        for may, text in ((True, "no free loop device"), (False, "the daemon may not mount")):
            self.patch(mounting, "is_capable", lambda bit, may=may: may)
            self.assertIn(text, mounting.hint("none", error, 30.0))
