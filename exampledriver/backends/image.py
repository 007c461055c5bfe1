"""Volumes that are file systems of their own, each in a file: a hard limit for everyone.

The file is ``ROOT/.images/NAME.img``, sparse unless ``reserve=yes``, and is mounted by a loop
device at ``ROOT/NAME`` while the volume is used. It is made under another name and gets its
own when the file system in it is whole, so that a crash leaves either nothing or all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path

from attrs import define, evolve, field
from twisted.logger import Logger
from zope.interface import implementer

from ..processes import printable
from ..volumes import values
from ..volumes.errors import VolumeError, quoted
from ..volumes.model import StoredVolume, Wanted
from . import mounting, mounts, owned
from .clones import clone_options, taken_over
from .copying.copiers import ICopier
from .durable import sync
from .explaining import explained
from .freezing import thaw
from .growing import alone, check_may_grow, check_room, enlarge, grow_mounted, remove_lost_and_found
from .imagecopies import ImageCopier
from .imagefiles import SCRATCH, STAGED, ImageFiles, backing_file
from .imageoptions import IMAGE, ImageOptions, parse
from .interfaces import IBackend, ICopyable, IResizable
from .mounted import MountedBackend
from .trash import manifest

_log = Logger()


@implementer(IBackend, ICopyable, IResizable)
@define(eq=False)
class ImageBackend(MountedBackend):
    """The backend ``image``.

    :ivar owner: of new volumes.
    """

    kind = IMAGE
    owner: owned.Owner = owned.DAEMON
    #: The hidden entries where the files are, at the start.
    _hidden: Sequence[Path] = field(default=(), init=False)

    @property
    def files(self) -> ImageFiles:
        """The files."""
        return ImageFiles(self.root, self.owner)

    @property
    def images(self) -> Path:
        """Where the files are; its name cannot be a volume's."""
        return self.files.images

    def file(self, volume: StoredVolume) -> Path:
        """Return the file of a volume."""
        return self.files.of(volume.name)

    def parse(self, name: str, given: Mapping[str, str]) -> Wanted:
        """Read the options."""
        return parse(name, given)

    def judge(self, backend: str, options: Mapping[str, str]) -> None:
        """Judge the options of the journal."""
        parse("", options)

    def create(self, volume: StoredVolume) -> bool:
        """Make the file with its file system, durably; one that is there is adopted."""
        with explained(volume, "creating"):
            placed = self._place(volume)
        try:
            return self._make_or_adopt(volume)
        except BaseException:
            if placed:
                with suppress(OSError):
                    os.rmdir(volume.mountpoint)
            raise

    def _make_or_adopt(self, volume: StoredVolume) -> bool:
        with explained(volume, "creating"):
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
        final = self.file(volume)
        staged = final.with_name(final.name + STAGED)
        try:
            with suppress(FileNotFoundError):
                staged.unlink()
            with self.files.new(volume, staged):
                pass
            with explained(volume, f"making {staged}"):
                sync(staged)
                staged.rename(final)
                sync(self.images)
        except BaseException:
            with suppress(OSError):
                staged.unlink()
            raise

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
            self.files.mount(volume, self.file(volume), target)
            if ImageOptions.of(volume.options).fs == "ext4":
                # A growth that was cut off leaves it.
                remove_lost_and_found(Path(target))

    def check_ours(self, volume: StoredVolume, found: Sequence[mounts.Mount]) -> str:
        """See that what is mounted is the volume's file."""
        # Btrfs has no device number that says which device it is on.
        file = backing_file(f"/sys/dev/block/{found[-1].device}")
        if file in (None, str(self.file(volume))):
            return ""
        return f"something else ({printable(file)}) is mounted at {volume.mountpoint}: unmount that"

    def look_unmounted(self, volume: StoredVolume) -> str:
        """See that the file is there."""
        if os.path.lexists(self.file(volume)):
            return ""
        return (
            f"its file {self.file(volume)} is missing: mount the file system that holds it, or "
            "bring the file back, or remove the volume"
        )

    def put_aside(self, volume: StoredVolume, now: bool = False) -> None:
        """Move the file to the trash, or where it is deleted."""
        there = os.path.lexists(volume.mountpoint)
        super().put_aside(volume, now)
        if now and os.path.lexists(self.file(volume)):
            self.trash.put_now(self.file(volume))
        elif os.path.lexists(self.file(volume)):
            self.trash.put(self.file(volume), manifest(self._as_it_is(volume)), volume.name)
        elif there:
            # So that the start sees, should it have to do this again, that it has been done.
            self.trash.prepare()
        elif not self.images.is_dir() and not self.trash.path.is_dir():
            raise FileNotFoundError(2, f"{self.images} is missing: is its file system mounted?")

    def _as_it_is(self, volume: StoredVolume) -> StoredVolume:
        """Return the volume with the size of its file: a growth that was cut off left it larger."""
        size = self.file(volume).stat().st_size
        if size <= ImageOptions.of(volume.options).size:
            return volume
        return evolve(volume, options={**volume.options, "size": values.size_text(size)})

    def trashes(self, volume: StoredVolume) -> bool:
        """Tell that the file does."""
        return True

    def data_path(self, volume: StoredVolume) -> str:
        """Return the file."""
        return str(self.file(volume))

    def durable_places(self) -> Sequence[Path]:
        """Return the root, and where the files are, if there was any."""
        return [self.root, *([self.images] if self.images.is_dir() else [])]

    def recover(self, known: Mapping[str, StoredVolume], fresh: Set[str]) -> list[str]:
        """Clear what was half made, thaw what was being copied; list files that are no volume's."""
        if not self.images.is_dir():
            return []
        for mount in mounts.here():
            if self._is_image(Path(mount.mountpoint)) and thaw(mount.mountpoint):
                _log.warn("{place}: a copy left it frozen; it is thawed", place=mount.mountpoint)
        strays, hidden = [], []
        for entry in sorted(os.listdir(self.images)):
            path = self.images / entry
            if entry.endswith((SCRATCH, STAGED)):
                _clear(path)
            elif entry.startswith("."):
                hidden.append(path)
            elif entry.removesuffix(".img") not in known:
                strays.append(f".images/{entry}")
        self._hidden = hidden
        return strays

    def _is_image(self, place: Path) -> bool:
        """Tell whether a file is mounted there, and not what may not answer."""
        return (
            place.parent == self.root
            and os.path.lexists(self.files.of(place.name))
            and mounting.file_system(str(place))[1].startswith("/dev/loop")
        )

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
            mounted = bool(mounting.layers(volume.mountpoint))
            if mounted:
                check_may_grow(options.fs)
            else:
                self.files.check_let_go(volume, file)
                if options.fs == "ext4" and not options.reserve:
                    check_room(file, size)
            enlarge(file, size, options.reserve)
            if mounted:
                grow_mounted(options.fs, volume.mountpoint)
                return
        self.files.grow(volume, file)

    def copier(self, volume: StoredVolume) -> ICopier:
        """Return what copies files of file systems."""
        return ImageCopier(volume, self.files)

    def users(self, volume: StoredVolume) -> str:
        """Ask the kernel for mounts of it, also if only a container has one."""
        if not mounting.layers(volume.mountpoint):
            missing = self.look_unmounted(volume)
            if missing:
                raise VolumeError(f"volume {quoted(volume.name)}: {missing}")
            if not self._is_elsewhere(volume):
                return ""
            self.mount(volume)
        return super().users(volume)

    def check_unused(self, volume: StoredVolume) -> None:
        """Ask the kernel for mounts of it, also if only a container has one."""
        here = mounting.layers(volume.mountpoint) or not os.path.lexists(self.file(volume))
        if here or not self._is_elsewhere(volume):
            super().check_unused(volume)
            return
        self.mount(volume)
        try:
            super().check_unused(volume)
        finally:
            self.unmount(volume)

    def _is_elsewhere(self, volume: StoredVolume) -> bool:
        """Tell whether somebody has a volume's file that is not mounted here."""
        return bool(self.files.attached(self.file(volume), 0.3))

    def open(self, volume: StoredVolume) -> None:
        """Mount it, so that it can be frozen, whoever comes meanwhile."""
        self.mount(volume)

    def close(self, volume: StoredVolume) -> StoredVolume:
        """Unmount it, and see that no loop device has its file."""
        self._unmount(volume, force=False)
        self.files.check_let_go(volume, self.file(volume))
        return self._as_it_is(volume)

    def taken_over(self, backend: str, options: Mapping[str, str]) -> Mapping[str, str]:
        """Return the size and the file system."""
        return taken_over(backend, options)

    def clone_options(
        self, name: str, backend: str, options: Mapping[str, str], given: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Return all options of a clone."""
        return clone_options(name, backend, options, given)

    def leftovers(self) -> Sequence[Path]:
        """Return the hidden entries where the files are, as they were at the start."""
        return self._hidden


def _clear(path: Path) -> None:
    """Remove what was being made, or its mountpoint; the log says if that cannot be done."""
    try:
        if path.name.endswith(SCRATCH):
            mounting.detach(str(path))
            path.rmdir()
        else:
            path.unlink()
    except OSError as error:
        _log.warn("{path}: was left half made, and stays: {error}", path=str(path), error=error)
