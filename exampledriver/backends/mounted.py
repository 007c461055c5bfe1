"""What the kinds have in common whose volumes are mounted at ``ROOT/NAME`` while they are used.

``ROOT/NAME`` is a directory with mode 0700 that nobody writes into; the file system is
mounted there at the first Mount and unmounted after the last Unmount. What is mounted is
asked of the kernel each time, so that a daemon which was killed goes on where it was.
Nothing is done to the mountpoint while something is mounted at it: that could wait for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path

from attrs import define, field
from twisted.logger import Logger
from zope.interface import implementer

from ..plugin.redaction import hidden
from ..volumes.errors import BusyError, VolumeError, quoted
from ..volumes.model import StoredVolume, Wanted
from . import mounting, mounts
from .commands import CommandError
from .durable import place_directory, sync
from .explaining import described, explained, failures
from .interfaces import IMeasurable
from .measuring import Measure, MeasureError, measure_file, measure_whole
from .mounts import Holder, holders, inside
from .trash import Trash, manifest

_log = Logger()


@implementer(IMeasurable)
@define(eq=False)
class MountedBackend:
    """A kind that mounts; a base class.

    :ivar root: a real path, without symbolic links.
    :ivar find_holders: who uses a directory; from :mod:`exampledriver.backends.mounts`.
    """

    root: Path
    trash: Trash
    find_holders: Callable[[str], list[Holder]] = field(default=holders, kw_only=True)

    #: The kind's name, as in ``-o backend=``.
    kind = ""
    #: Unmount even what is in use or does not answer: it goes when nobody uses it.
    forced = False

    # What a kind is.

    def mount_at(self, volume: StoredVolume, target: str) -> None:
        """Mount the volume at an empty directory; on an error nothing is mounted.

        :raises VolumeError: it could not be done.
        """
        raise NotImplementedError

    def layers(self, volume: StoredVolume) -> int:
        """Return how many mounts there are on top of each other when it is mounted."""
        return 1

    def check_ours(self, volume: StoredVolume, found: Sequence[mounts.Mount]) -> str:
        """Return what is wrong with what is mounted at the volume's place, or an empty text."""
        return ""

    # What all of them do.

    def resolve(self, name: str, wanted: Wanted) -> Wanted:
        """Return what is wanted: nothing is to be resolved."""
        return wanted

    def mountpoint(self, name: str, wanted: Wanted) -> str:
        """Return the mountpoint."""
        return f"{self.root}/{name}"

    def create(self, volume: StoredVolume) -> bool:
        """Make the mountpoint."""
        with explained(volume, "creating"):
            return self._place(volume)

    def _place(self, volume: StoredVolume) -> bool:
        if mounting.layers(volume.mountpoint):
            return False
        return place_directory(volume.mountpoint, 0o700, None, None)

    def undo_create(self, volume: StoredVolume) -> None:
        """Remove the mountpoint."""
        with explained(volume, "undoing the creation of"):
            os.rmdir(volume.mountpoint)

    def mount(self, volume: StoredVolume) -> str:
        """Mount the volume, if it is not mounted."""
        found = mounting.layers(volume.mountpoint)
        if found:
            trouble = self.check_ours(volume, found)
            if trouble:
                raise VolumeError(f"volume {quoted(volume.name)}: {trouble}")
        if len(found) < self.layers(volume):
            if found:
                # A crash came in between.
                self._unmount(volume, force=True)
            self._check_mountpoint(volume)
            self.mount_at(volume, volume.mountpoint)
        return volume.mountpoint

    def _check_mountpoint(self, volume: StoredVolume) -> None:
        """See that the mountpoint is there and empty, so that nothing is hidden by the mount."""
        with explained(volume, "looking at the mountpoint"):
            self._place(volume)
            inside_it = os.listdir(volume.mountpoint)
        if inside_it:
            raise VolumeError(
                f"volume {quoted(volume.name)}: something is in its mountpoint "
                f"{volume.mountpoint} ({sorted(inside_it)[0]}), which the mount would hide: move "
                "it elsewhere"
            )

    def unmount(self, volume: StoredVolume) -> None:
        """Unmount the volume. If that cannot be done it stays mounted, which the log says."""
        try:
            self._unmount(volume, self.forced)
        except VolumeError as error:
            _log.warn("{error}; it stays mounted until it is mounted or removed", error=error)

    def _unmount(self, volume: StoredVolume, force: bool) -> None:
        with explained(volume, f"unmounting {volume.mountpoint}"):
            mounting.unmount(volume.mountpoint, force)

    def mounted(self) -> Set[str]:
        """Return the names of what is mounted directly below the root, whatever its kind."""
        start = len(str(self.root)) + 1
        return {
            mount.mountpoint[start:]
            for mount in mounts.here()
            if inside(mount.mountpoint, str(self.root)) and "/" not in mount.mountpoint[start:]
        } - {""}

    def check_unused(self, volume: StoredVolume) -> None:
        """Ask the kernel for mounts of what is mounted."""
        if not mounting.layers(volume.mountpoint):
            return
        users = self.users(volume)
        if users:
            raise BusyError(
                f"volume {quoted(volume.name)}: in use by {users}; stop the containers that use "
                "it, then remove it"
            )

    def users(self, volume: StoredVolume) -> str:
        """Return who uses the volume, which is mounted, for people; empty if nobody does."""
        return described(self.find_holders(volume.mountpoint))

    def keeps_data(self, volume: StoredVolume) -> bool:
        """Tell that there is always a mountpoint to be removed."""
        return True

    def remove(self, volume: StoredVolume, now: bool = False) -> None:
        """Unmount the volume and remove its mountpoint; what is in that goes to the trash."""
        self._unmount(volume, self.forced)
        with explained(volume, "removing", self.trash.advice):
            self.put_aside(volume, now)

    def put_aside(self, volume: StoredVolume, now: bool = False) -> None:
        """Put aside what there is of a volume that is not mounted.

        :param now: where it is deleted for good; without that, in the trash.
        :raises OSError: it could not be done.
        """
        with suppress(FileNotFoundError):
            try:
                os.rmdir(volume.mountpoint)
            except FileNotFoundError:
                raise
            except OSError:
                self.trash.put(Path(volume.mountpoint), manifest(volume))

    def trashes(self, volume: StoredVolume) -> bool:
        """Tell that there is no data here, but where a kind has files."""
        return False

    def data_path(self, volume: StoredVolume) -> str:
        """Return the mountpoint."""
        return volume.mountpoint

    def settles(self, volume: StoredVolume) -> bool:
        """Tell that what is made is durable, or is made again when it is missing."""
        return False

    def settle(
        self, made: Sequence[StoredVolume], removed: Sequence[StoredVolume]
    ) -> Mapping[str, str]:
        """Do removals again that a crash undid."""
        failed = failures(self.remove, removed)
        try:
            for place in self.durable_places():
                sync(place)
            if self.trash.path.is_dir():
                self.trash.sync()
        except OSError as error:
            raise VolumeError(f"syncing {self.root}: {error.strerror or error}") from error
        return failed

    def durable_places(self) -> Sequence[Path]:
        """Return the directories in which names must be durable."""
        return [self.root]

    def look(self, volume: StoredVolume, mounted: bool) -> tuple[str, str | None]:
        """Ask the kernel what is mounted; nothing else is asked, which could wait for ever."""
        found = mounting.layers(volume.mountpoint)
        if not found:
            trouble = "counted as mounted, and not mounted: the next Mount mounts it again"
            return (trouble, "") if mounted else (self.look_unmounted(volume), None)
        trouble = self.check_ours(volume, found) or self.look_mounted(volume)
        return trouble, self.users(volume) if mounted else None

    def look_unmounted(self, volume: StoredVolume) -> str:
        """Return what would keep a Mount from succeeding, or an empty text."""
        return ""

    def look_mounted(self, volume: StoredVolume) -> str:
        """Return what is wrong with a volume that is mounted, or an empty text.

        It is local: its directory is read, as it is with a directory of the root.
        """
        try:
            with suppress(PermissionError), os.scandir(volume.mountpoint) as entries:
                next(entries, None)
            read_only = os.statvfs(volume.mountpoint).f_flag & os.ST_RDONLY
        except OSError as error:
            return f"its file system cannot be read: {error.strerror}: look at dmesg"
        if read_only:
            return (
                "its file system has become read-only, as the kernel does with one that has "
                "errors: look at its log, and stop the containers, so that it is mounted again"
            )
        return ""

    def measure(self, volume: StoredVolume, pulse: Callable[[], None]) -> Measure:
        """Ask the file system, if it is mounted."""
        try:
            if mounting.layers(volume.mountpoint):
                return self.measure_mounted(volume, pulse)
            return self.measure_unmounted(volume)
        except OSError as error:
            why = error.strerror or str(error)
            raise MeasureError(f"cannot be measured: {error.filename}: {why}") from None

    def measure_mounted(self, volume: StoredVolume, pulse: Callable[[], None]) -> Measure:
        """Return what a volume takes that is mounted, and local."""
        return measure_whole(volume.mountpoint)

    def measure_unmounted(self, volume: StoredVolume) -> Measure:
        """Return what a volume takes that is not mounted: the file that is mounted, if any."""
        return measure_file(self.data_path(volume))

    def recover(self, known: Mapping[str, StoredVolume], fresh: Set[str]) -> list[str]:
        """Do nothing: the directory backend lists what lies in the root."""
        return []


def failed(volume: StoredVolume, doing: str, error: CommandError, hint: str) -> VolumeError:
    """Return the error of a program that has failed, with a hint."""
    return VolumeError(
        f"volume {quoted(volume.name)}: {doing}: {hidden(error.words, True) or 'failed'}; {hint}"
    )
