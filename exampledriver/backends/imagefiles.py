"""The files of images: made, mounted, grown."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from attrs import frozen

from ..volumes.errors import BusyError, VolumeError, quoted
from ..volumes.model import StoredVolume
from . import mounting, owned
from .commands import CommandError, run
from .copying.syscalls import sync_filesystem
from .explaining import explained
from .filesystems import BESIDE, READ, renew
from .growing import enlarge, grow_ext4, grow_mounted, remove_lost_and_found
from .imageoptions import ImageOptions
from .mounted import failed

#: The directory of the files, in the root; it cannot be a volume's name.
IMAGES = ".images"

#: How a file system is made in a file.
_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K"],
    "btrfs": ["mkfs.btrfs", "-q", "-f", "-K"],
}

#: How mount(8) says that it cannot make sense of a file, and what may mend that.
_DAMAGED = ("wrong fs type", "superblock", "structure needs cleaning")
_CHECK = {"ext4": "e2fsck -f", "xfs": "xfs_repair", "btrfs": "btrfs check"}

#: How the names end of what is being made, and of what it is mounted at.
STAGED, SCRATCH = ".new", ".mnt"

#: Seconds for a loop device to let go of a file that was unmounted.
_LETTING_GO = 5.0


@frozen
class ImageFiles:
    """The files below a root directory. All methods block.

    :ivar owner: of new volumes.
    """

    root: Path
    owner: owned.Owner = owned.DAEMON

    @property
    def images(self) -> Path:
        """Where the files are."""
        return self.root / IMAGES

    def of(self, name: str) -> Path:
        """Return the file of a volume."""
        return self.images / f"{name}.img"

    def mountpoint(self, file: Path) -> str:
        """Return where a file is mounted while its volume is used; empty if it is no volume's."""
        return f"{self.root}/{file.stem}" if file.parent == self.images else ""

    @contextmanager
    def new(self, volume: StoredVolume, file: Path) -> Iterator[Path]:
        """Make a file with a new file system, and give its root directory to be filled."""
        options = ImageOptions.of(volume.options)
        with explained(volume, f"making {file}"):
            _fill(file, options)
        try:
            run([*_MAKE[options.fs], str(file)], mounting.LOCAL)
        except CommandError as error:
            hint = mounting.hint(options.fs, error, mounting.LOCAL)
            raise failed(volume, f"making a file system {options.fs}", error, hint) from error
        # Mounted once now, so that a kernel which does not know it says so at the Create.
        with self.scratch(volume, file) as scratch:
            _prepare(scratch, options.access.by(self.owner))
            yield scratch

    @contextmanager
    def scratch(
        self, volume: StoredVolume, file: Path, words: Sequence[str] = ()
    ) -> Iterator[Path]:
        """Mount a file where nobody else sees it; errors in the body are explained.

        What the body has written is in the file, durably, when it is left: a file system that is
        unmounted tells nobody that its file's disk is full.
        """
        scratch = self.images / f"{token_hex(8)}{SCRATCH}"
        with explained(volume, f"preparing {scratch}"):
            scratch.mkdir(mode=0o700)
        try:
            self.mount(volume, file, str(scratch), words)
            with explained(volume, f"preparing {file}"):
                try:
                    with _written(scratch):
                        yield scratch
                finally:
                    mounting.unmount(str(scratch), force=True)
        finally:
            with suppress(OSError):
                scratch.rmdir()

    @staticmethod
    def mount(volume: StoredVolume, file: Path, target: str, words: Sequence[str] = ()) -> None:
        """Mount a file.

        :param words: further options of mount(8).
        :raises VolumeError: it could not be done; nothing is mounted.
        """
        options = ImageOptions.of(volume.options)
        words = ["loop", *([] if options.reserve else ["discard"]), *words]
        try:
            mounting.mount(options.fs, words, str(file), target, mounting.LOCAL)
        except CommandError as error:
            hint = mounting.hint(options.fs, error, mounting.LOCAL)
            if any(sign in error.words.lower() for sign in _DAMAGED):
                how = f"{_CHECK[options.fs]} {file}"
                hint = f'the file system in it may be damaged: "{how}", when nobody uses it'
            raise failed(volume, f"mounting {file} ({options.fs})", error, hint) from error

    @contextmanager
    def read(self, volume: StoredVolume, file: Path) -> Iterator[Path]:
        """Mount a copy that nobody changes, read-only."""
        with self.scratch(volume, file, READ[ImageOptions.of(volume.options).fs]) as scratch:
            yield scratch

    def renew(self, volume: StoredVolume, file: Path) -> None:
        """Give the file system in a copy another UUID."""
        with explained(volume, f"giving {file} another UUID"):
            renew(ImageOptions.of(volume.options).fs, file)

    def fit(self, volume: StoredVolume, file: Path, new: bool) -> None:
        """Make a copy of an image the data of a volume: its size, its owner, its own UUID.

        :param new: give its root directory the owner and permissions that the options ask for.
        :raises VolumeError: it is larger than the volume, or it could not be done.
        """
        options = ImageOptions.of(volume.options)
        if options.fs == "btrfs":
            self.renew(volume, file)  # first: the kernel takes two of one UUID for one
        with explained(volume, f"preparing {file}"):
            size = file.stat().st_size
            if size > options.size:
                raise VolumeError(
                    f"volume {quoted(volume.name)}: what is copied has {size} bytes, the volume "
                    f"{options.size}, and an image can only grow: resize the volume first, or give "
                    "a clone a size"
                )
            enlarge(file, options.size, options.reserve)
        # Mounted, so that what was in its journal is in its place.
        with self.scratch(volume, file, BESIDE[options.fs]) as scratch:
            if new:
                owned.change(scratch, volume.options)
        if options.fs != "btrfs":
            # A container that was started just now may have the mount for a moment.
            self.check_let_go(volume, file)
            self.renew(volume, file)
        if size < options.size:
            self.grow(volume, file)

    def grow(self, volume: StoredVolume, file: Path) -> None:
        """Let the file system in a file that is not mounted have all of it."""
        fs = ImageOptions.of(volume.options).fs
        with explained(volume, f"growing {file}"):
            if fs == "ext4":
                grow_ext4(file)
        with self.scratch(volume, file) as scratch:
            if fs == "ext4":
                remove_lost_and_found(scratch)
            else:
                grow_mounted(fs, str(scratch))

    def check_let_go(self, volume: StoredVolume, file: Path) -> None:
        """See that nobody has the file system in a file mounted, in any namespace.

        :raises BusyError: a loop device has the file.
        """
        devices = self.attached(file, _LETTING_GO)
        if devices:
            raise BusyError(
                f"volume {quoted(volume.name)}: {', '.join(devices)} still has its file {file}: "
                'end what uses that; "losetup --detach" lets it go'
            )

    def attached(self, file: Path, seconds: float) -> list[str]:
        """Return the loop devices that have a file; those that are letting go are waited for."""
        limit = time.monotonic() + seconds
        while True:
            found = [
                f"/dev/{device.name}"
                for device in Path("/sys/block").glob("loop*")
                if backing_file(str(device)) == str(file)
            ]
            if not found or time.monotonic() > limit:
                return found
            time.sleep(0.05)


@contextmanager
def _written(place: Path) -> Iterator[None]:
    """See that all that the body writes to a file system gets there.

    :raises OSError: it did not; errors are told to who had it open before.
    """
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield
        sync_filesystem(fd)
    finally:
        os.close(fd)


def backing_file(device: str) -> str | None:
    """Return the file of a loop device; ``None`` if it has none, or that is not known.

    Any name may be there: the kernel shows those of every program's devices, and as they are.

    :param device: its directory in ``/sys``.
    """
    try:
        name = Path(device, "loop/backing_file").read_bytes()
    except OSError:
        return None
    return os.fsdecode(name.removesuffix(b"\n"))


def _fill(staged: Path, options: ImageOptions) -> None:
    fd = os.open(staged, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if options.reserve:
            os.posix_fallocate(fd, 0, options.size)
        else:
            os.ftruncate(fd, options.size)
    finally:
        os.close(fd)


def _prepare(directory: Path, access: owned.Access) -> None:
    """Make the root of a new file system that of a new volume."""
    remove_lost_and_found(directory)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        access.give(fd)
    finally:
        os.close(fd)
