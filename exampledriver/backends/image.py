"""Volumes that are file systems of their own, each in a file: a hard limit for everyone.

The file is ``ROOT/.images/NAME.img``, sparse unless ``reserve=yes``, and is mounted by a loop
device at ``ROOT/NAME`` while the volume is used. It is made under another name and gets its
own when the file system in it is whole, so that a crash leaves either nothing or all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import define, frozen
from zope.interface import implementer

from ..volumes import values
from ..volumes.errors import InvalidNameError, VolumeError, quoted
from ..volumes.model import StoredVolume, Wanted
from . import mounting, mounts, owned
from .commands import CommandError, run
from .durable import sync
from .explaining import explained
from .growing import alone, enlarge, grow_ext4, grow_mounted, remove_lost_and_found
from .interfaces import IBackend, IResizable
from .mounted import MountedBackend, failed
from .trash import manifest

IMAGE = "image"

#: The smallest file systems, in bytes. A Btrfs can be smaller, and would then never grow.
_SMALLEST = {"ext4": 8 << 20, "xfs": 300 << 20, "btrfs": 256 << 20}

#: How a file system is made in a file.
_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K"],
    "btrfs": ["mkfs.btrfs", "-q", "-f", "-K"],
}

#: The options that there are.
READERS: Mapping[str, values.Reader] = {
    **owned.READERS,
    "fs": values.choice(*_SMALLEST),
    "reserve": values.yes_no,
    "size": values.size,
}

#: So that there is room for what follows a name, in 255 characters.
_LONGEST_NAME = 240

_STAGED = ".new"
_SCRATCH = ".mnt"


@frozen
class ImageOptions:
    """The options of a volume.

    :ivar size: of the file, in bytes; the file system in it holds a little less.
    :ivar fs: the type of the file system.
    :ivar reserve: take all of the space at once.
    """

    size: int
    fs: str
    reserve: bool
    access: owned.Access

    @classmethod
    def of(cls, options: Mapping[str, str]) -> ImageOptions:
        """Read canonical texts."""
        size = values.size_bytes(options["size"])
        reserve = options.get("reserve") == "yes"
        return cls(size, options.get("fs", "ext4"), reserve, owned.Access.of(options))


def parse(name: str, given: Mapping[str, str]) -> Wanted:
    """Read the options of a Create.

    :raises InvalidOptionError: one cannot be used.
    """
    options = values.canonical(name, IMAGE, given, READERS)
    if len(name) > _LONGEST_NAME:
        raise InvalidNameError(
            f"volume {quoted(name)}: the name is too long for backend {IMAGE}: its file needs a "
            f"name too; give at most {_LONGEST_NAME} characters"
        )
    if "size" not in options:
        raise values.missing(name, IMAGE, "size", "how much it may hold, such as 10G")
    options = dict(sorted({"fs": "ext4", **options}.items()))
    smallest = _SMALLEST[options["fs"]]
    if values.size_bytes(options["size"]) < smallest:
        rule = f"a file system {options['fs']} needs at least {values.size_text(smallest)}"
        raise values.bad(name, "size", options["size"], rule)
    return Wanted(IMAGE, options)


@implementer(IBackend, IResizable)
@define(eq=False)
class ImageBackend(MountedBackend):
    """The backend ``image``."""

    kind = IMAGE

    @property
    def images(self) -> Path:
        """Where the files are; its name cannot be a volume's."""
        return self.root / ".images"

    def file(self, volume: StoredVolume) -> Path:
        """Return the file of a volume."""
        return self.images / f"{volume.name}.img"

    def parse(self, name: str, given: Mapping[str, str]) -> Wanted:
        """Read the options."""
        return parse(name, given)

    def judge(self, backend: str, options: Mapping[str, str]) -> None:
        """Judge the options of the journal."""
        parse("", options)

    def create(self, volume: StoredVolume) -> bool:
        """Make the file with its file system, durably; one that is there is adopted."""
        with explained(volume, "creating"):
            self._place(volume)
            self.images.mkdir(mode=0o700, exist_ok=True)
            if os.path.lexists(self.file(volume)):
                self._check_adoptable(volume)
                sync(self.images)
                return False
        self._make(volume)
        return True

    def _check_adoptable(self, volume: StoredVolume) -> None:
        found = self.file(volume).stat().st_size
        wanted = ImageOptions.of(volume.options).size
        if found != wanted:
            raise VolumeError(
                f"volume {quoted(volume.name)}: {self.file(volume)} is there already with a size "
                f"of {values.size_text(found)}, asked for is {values.size_text(wanted)}: give that "
                "size to adopt it, or move it elsewhere"
            )

    def _make(self, volume: StoredVolume) -> None:
        options = ImageOptions.of(volume.options)
        final = self.file(volume)
        staged = final.with_name(final.name + _STAGED)
        try:
            with explained(volume, f"making {staged}"):
                with suppress(FileNotFoundError):
                    staged.unlink()
                self._fill(staged, options)
            self._make_file_system(volume, staged, options)
            with explained(volume, f"making {staged}"):
                sync(staged)
                staged.rename(final)
                sync(self.images)
        except BaseException:
            with suppress(OSError):
                staged.unlink()
            raise

    @staticmethod
    def _fill(staged: Path, options: ImageOptions) -> None:
        fd = os.open(staged, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if options.reserve:
                os.posix_fallocate(fd, 0, options.size)
            else:
                os.ftruncate(fd, options.size)
        finally:
            os.close(fd)

    def _make_file_system(self, volume: StoredVolume, file: Path, options: ImageOptions) -> None:
        try:
            run([*_MAKE[options.fs], str(file)], mounting.LOCAL)
        except CommandError as error:
            hint = mounting.hint(options.fs, error, mounting.LOCAL)
            raise failed(volume, f"making a file system {options.fs}", error, hint) from error
        # Mounted once now, so that a kernel which does not know it says so at the Create.
        with self._scratch(volume, file, options) as scratch:
            _prepare(scratch, options.access)

    @contextmanager
    def _scratch(self, volume: StoredVolume, file: Path, options: ImageOptions) -> Iterator[Path]:
        """Mount a file where nobody else sees it; errors in the body are explained."""
        scratch = self.images / f"{volume.name}{_SCRATCH}"
        with explained(volume, f"preparing {scratch}"):
            mounting.detach(str(scratch))
            scratch.mkdir(mode=0o700, exist_ok=True)
        try:
            self._mount_file(volume, file, str(scratch), options)
            with explained(volume, f"preparing {file}"):
                try:
                    yield scratch
                finally:
                    mounting.unmount(str(scratch), force=True)
        finally:
            with suppress(OSError):
                scratch.rmdir()

    @staticmethod
    def _mount_file(volume: StoredVolume, file: Path, target: str, options: ImageOptions) -> None:
        words = ["loop", "discard"] if not options.reserve else ["loop"]
        try:
            mounting.mount(options.fs, words, str(file), target, mounting.LOCAL)
        except CommandError as error:
            hint = mounting.hint(options.fs, error, mounting.LOCAL)
            raise failed(volume, f"mounting {file} ({options.fs})", error, hint) from error

    def undo_create(self, volume: StoredVolume) -> None:
        """Delete the file; it was never mounted for anybody."""
        with explained(volume, "undoing the creation of"):
            os.rmdir(volume.mountpoint)
            self.file(volume).unlink()

    def mount_at(self, volume: StoredVolume, target: str) -> None:
        """Mount the file."""
        missing = self.look_unmounted(volume)
        if missing:
            raise VolumeError(f"volume {quoted(volume.name)}: {missing}")
        with explained(volume, "mounting"), alone(self.file(volume)):
            options = ImageOptions.of(volume.options)
            self._mount_file(volume, self.file(volume), target, options)
            if options.fs == "ext4":
                # A growth that was cut off leaves it.
                remove_lost_and_found(Path(target))

    def check_ours(self, volume: StoredVolume, found: Sequence[mounts.Mount]) -> str:
        """See that what is mounted is the volume's file."""
        file = _backing_file(found[-1])
        if file in (None, str(self.file(volume))):
            return ""
        return f"something else ({file}) is mounted at {volume.mountpoint}: unmount that"

    def look_unmounted(self, volume: StoredVolume) -> str:
        """See that the file is there."""
        if os.path.lexists(self.file(volume)):
            return ""
        return (
            f"its file {self.file(volume)} is missing: mount the file system that holds it, or "
            "bring the file back, or remove the volume"
        )

    def put_aside(self, volume: StoredVolume) -> None:
        """Move the file to the trash."""
        super().put_aside(volume)
        if os.path.lexists(self.file(volume)):
            self.trash.put(self.file(volume), manifest(volume), volume.name)
        elif not self.images.is_dir():
            raise FileNotFoundError(2, f"{self.images} is missing: is its file system mounted?")

    def data_path(self, volume: StoredVolume) -> str:
        """Return the file."""
        return str(self.file(volume))

    def durable_places(self) -> Sequence[Path]:
        """Return the root, and where the files are."""
        return [self.root, self.images]

    def recover(self, known: Set[str], fresh: Set[str]) -> list[str]:
        """Clear what was half made; list the files that are no volume's."""
        if not self.images.is_dir():
            return []
        strays = []
        for entry in sorted(os.listdir(self.images)):
            path = self.images / entry
            if entry.endswith(_SCRATCH):
                mounting.detach(str(path))
                path.rmdir()
            elif entry.endswith(_STAGED):
                path.unlink()
            elif entry.removesuffix(".img") not in known:
                strays.append(f".images/{entry}")
        return strays

    def resize(self, volume: StoredVolume, size: int) -> None:
        """Let the file and its file system grow."""
        options = ImageOptions.of(volume.options)
        file = self.file(volume)
        with explained(volume, f"growing {file}"):
            now = file.stat().st_size
            if size < now:
                raise VolumeError(
                    f"volume {quoted(volume.name)}: has {values.size_text(now)}, asked for is "
                    f"{values.size_text(size)}: an image can only grow"
                )
            enlarge(file, size, options.reserve)
            if mounting.layers(volume.mountpoint):
                grow_mounted(options.fs, volume.mountpoint)
                return
            if options.fs == "ext4":
                grow_ext4(file)
        with self._scratch(volume, file, options) as scratch:
            if options.fs == "ext4":
                remove_lost_and_found(scratch)
            else:
                grow_mounted(options.fs, str(scratch))


def _prepare(directory: Path, access: owned.Access) -> None:
    """Make the root of a new file system that of a new volume."""
    remove_lost_and_found(directory)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        access.give(fd)
    finally:
        os.close(fd)


def _backing_file(mount: mounts.Mount) -> str | None:
    """Return the file of the loop device that is mounted; ``None`` if that is not known."""
    # Btrfs has no device number that says which device it is on.
    try:
        path = f"/sys/dev/block/{mount.device}/loop/backing_file"
        return Path(path).read_text(encoding="utf-8").rstrip("\n")
    except OSError:
        return None
