"""Volumes that are subvolumes of a Btrfs root: with a size, compression, without copy on write.

They are directories to everybody else, and are removed into the trash as such.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from attrs import define, field, frozen
from twisted.logger import Logger
from zope.interface import implementer

from ..volumes import values
from ..volumes.errors import VolumeError, quoted
from ..volumes.model import FROM, StoredVolume, Wanted
from . import mounting, owned
from .clones import clone_options, taken_over
from .commands import CommandError, run
from .copying.copiers import ICopier
from .copying.inner import has_simple_quotas, lift_limits, limit_group, set_read_only
from .copying.removing import remove_tree
from .directory import DirectoryBackend
from .durable import is_left, sync
from .explaining import explained, failures
from .interfaces import SIZE_LIMITS, IBackend, ICopyable, IPlaced, IResizable
from .mounted import failed
from .subvolumes import SubvolumeCopier, opened

_log = Logger()

BTRFS = "btrfs"

#: The options that there are.
READERS: Mapping[str, values.Reader] = {
    **owned.READERS,
    "compression": values.choice("none", "lzo", "zlib", "zstd"),
    "copyonwrite": values.yes_no,
    "cow": values.yes_no,
    FROM: values.source,
    "size": values.size,
}

_STAGED = ".exampledriver-sub"

#: The inode number of every subvolume's root.
_SUBVOLUME = 256


@frozen
class BtrfsOptions:
    """The options of a volume.

    :ivar size: how much it may hold, in bytes, or ``None``.
    :ivar compression: how new data is compressed, or an empty text for the root's own way.
    :ivar cow: copy on write, which data of databases does better without.
    """

    size: int | None
    compression: str
    cow: bool
    access: owned.Access

    @classmethod
    def of(cls, options: Mapping[str, str]) -> BtrfsOptions:
        """Read canonical texts."""
        size = values.size_bytes(options["size"]) if "size" in options else None
        cow = options.get("cow", "yes") == "yes"
        return cls(size, options.get("compression", ""), cow, owned.Access.of(options))


def parse(name: str, given: Mapping[str, str]) -> Wanted:
    """Read the options of a Create; ``copyonwrite`` is what buttervolume calls ``cow``.

    :raises InvalidOptionError: one cannot be used.
    """
    options = values.canonical(name, BTRFS, given, READERS)
    if "copyonwrite" in options:
        if options.get("cow", options["copyonwrite"]) != options["copyonwrite"]:
            raise values.bad(name, "copyonwrite", options["copyonwrite"], "cow says otherwise")
        options["cow"] = options.pop("copyonwrite")
    if options.get("cow") == "no" and options.get("compression", "none") != "none":
        rule = "data without copy on write (cow=no) is never compressed: leave one of them out"
        raise values.bad(name, "compression", options["compression"], rule)
    return Wanted(BTRFS, dict(sorted(options.items())))


@implementer(IBackend, ICopyable, IPlaced, IResizable)
@define(eq=False)
class BtrfsBackend:
    """The backend ``btrfs``: what a directory under the root does, but for how it is made."""

    _directory: DirectoryBackend
    _file_system: Callable[[str], tuple[str, str]] = field(default=mounting.file_system)

    @property
    def root(self) -> Path:
        """Where volumes live."""
        return self._directory.root

    def parse(self, name: str, given: Mapping[str, str]) -> Wanted:
        """Read the options."""
        return parse(name, given)

    def judge(self, backend: str, options: Mapping[str, str]) -> None:
        """Judge the options of the journal."""
        parse("", options)

    def resolve(self, name: str, wanted: Wanted) -> Wanted:
        """Return what is wanted: nothing is to be resolved."""
        return wanted

    def mountpoint(self, name: str, wanted: Wanted) -> str:
        """Return the directory under the root."""
        return f"{self.root}/{name}"

    def create(self, volume: StoredVolume) -> bool:
        """Make the subvolume, durably; one that is there is adopted."""
        self._check_root(volume)
        if os.path.lexists(volume.mountpoint):
            if not is_subvolume(volume.mountpoint):
                raise VolumeError(
                    f"volume {quoted(volume.name)}: {volume.mountpoint} is there already and is "
                    "no subvolume: move it elsewhere, or leave backend=btrfs out to adopt it"
                )
            return False
        if "size" in volume.options:
            _log.info(
                "volume {name}: its size limit is {why}", name=volume.name, why=SIZE_LIMITS[BTRFS]
            )
        staged = f"{self.root}/.{sha256(volume.name.encode()).hexdigest()[:16]}{_STAGED}"
        remove_tree(Path(staged))
        try:
            self._make(volume, staged)
            with explained(volume, "creating"):
                os.rename(staged, volume.mountpoint)
                sync(volume.mountpoint)
                sync(self.root)
        except VolumeError:
            remove_tree(Path(staged))
            raise
        return True

    def _check_root(self, volume: StoredVolume) -> None:
        kind = self._kind()
        if kind != "btrfs":
            raise VolumeError(
                f"volume {quoted(volume.name)}: backend=btrfs needs a root that is Btrfs, and "
                f"{self.root} is {kind}: use backend=directory, backend=image, or another --root"
            )

    def _kind(self) -> str:
        """Return the kind of file system that the root is."""
        return self._file_system(str(self.root))[0]

    def _make_for_a_copy(self, volume: StoredVolume, staged: str) -> None:
        self._check_root(volume)
        self._make(volume, staged)

    def _make(self, volume: StoredVolume, staged: str) -> None:
        options = BtrfsOptions.of(volume.options)
        commands = [["btrfs", "subvolume", "create", staged]]
        if not options.cow:
            commands.append(["chattr", "+C", staged])
        if options.compression and options.cow:  # without, there is none
            value = options.compression
            commands.append(["btrfs", "property", "set", staged, "compression", value])
        for argv in commands:
            self._run(volume, argv)
        with explained(volume, "creating"), opened(staged) as fd:
            options.access.by(self._directory.owner).give(fd)
        self._limit(volume, staged)

    def _limit(self, volume: StoredVolume, path: str) -> None:
        if "size" in volume.options:
            self._limit_to(volume, path, values.size_bytes(volume.options["size"]))

    def _limit_to(self, volume: StoredVolume, path: str, size: int) -> None:
        with (
            explained(volume, "limiting"),
            opened(path) as fd,
            opened(os.path.dirname(path)) as parent,
        ):
            if has_simple_quotas(fd):
                limit_group(parent, fd, size)
                return
        self._run(volume, ["btrfs", "qgroup", "limit", str(size), path])

    def _run(self, volume: StoredVolume, argv: Sequence[str]) -> None:
        try:
            run(argv, mounting.LOCAL)
        except CommandError as error:
            hint = mounting.hint(BTRFS, error, mounting.LOCAL)
            if "qgroup" in argv and error.found:
                hint = f'a size needs quotas: "btrfs quota enable {self.root}", once'
            raise failed(volume, " ".join(argv[:3]), error, hint) from error

    def resize(self, volume: StoredVolume, size: int) -> None:
        """Set another limit."""
        self._limit_to(volume, volume.mountpoint, size)

    def copier(self, volume: StoredVolume) -> ICopier:
        """Return what makes snapshots of subvolumes."""
        return SubvolumeCopier(volume, self._make_for_a_copy, self._limit)

    def _make_movable(self, volume: StoredVolume) -> None:
        """Make a subvolume writable, which its owner, such as a container, may have closed.

        The kernel moves no read-only subvolume to another directory, and opens no full one.
        Anything else in its place is moved as it is.
        """
        if os.path.islink(volume.mountpoint) or not os.path.isdir(volume.mountpoint):
            return
        with (
            explained(volume, "making writable"),
            suppress(FileNotFoundError),
            opened(volume.mountpoint) as fd,
            opened(self.root) as parent,
        ):
            try:
                set_read_only(fd, False)
            except OSError as error:
                if error.errno != errno.EDQUOT:
                    raise
                lift_limits(parent, fd)
                set_read_only(fd, False)
                self._limit(volume, volume.mountpoint)

    def users(self, volume: StoredVolume) -> str:
        """Ask the kernel for mounts of it."""
        return self._directory.users(volume)

    def open(self, volume: StoredVolume) -> None:
        """Do nothing: it is always ready."""

    def close(self, volume: StoredVolume) -> StoredVolume:
        """Make sure that it can be moved."""
        self._make_movable(volume)
        return volume

    def taken_over(self, backend: str, options: Mapping[str, str]) -> Mapping[str, str]:
        """Return the size, and how data is kept."""
        return taken_over(backend, options)

    def clone_options(
        self, name: str, backend: str, options: Mapping[str, str], given: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Return all options of a clone."""
        return clone_options(name, backend, options, given)

    def leftovers(self) -> Sequence[Path]:
        """Return nothing: the directory backend returns what lies in the root."""
        return []

    def undo_create(self, volume: StoredVolume) -> None:
        """Remove the subvolume if nothing is in it."""
        self._directory.undo_create(volume)

    def mount(self, volume: StoredVolume) -> str:
        """Check that the subvolume is there."""
        return self._directory.mount(volume)

    def unmount(self, volume: StoredVolume) -> None:
        """Do nothing: it is always there."""

    def mounted(self) -> Set[str]:
        """Return nothing: it is not unmounted."""
        return frozenset()

    def check_unused(self, volume: StoredVolume) -> None:
        """Ask the kernel for mounts of it, and inside it."""
        self._directory.check_unused(volume)

    def keeps_data(self, volume: StoredVolume) -> bool:
        """Tell that it lives under the root."""
        return True

    def remove(self, volume: StoredVolume, now: bool = False) -> None:
        """Move it to the trash, or where it is deleted."""
        self._make_movable(volume)
        self._directory.remove(volume, now)

    def trashes(self, volume: StoredVolume) -> bool:
        """Tell that its data does."""
        return True

    def data_path(self, volume: StoredVolume) -> str:
        """Return the mountpoint."""
        return volume.mountpoint

    def settles(self, volume: StoredVolume) -> bool:
        """Tell that what is made is durable."""
        return False

    def settle(
        self, made: Sequence[StoredVolume], removed: Sequence[StoredVolume]
    ) -> Mapping[str, str]:
        """Do removals again that a crash undid."""
        failed = failures(self._make_movable, removed)
        return {**failed, **self._directory.settle([], removed)}

    def place(self, volume: StoredVolume) -> str:
        """Return which file system it lies in."""
        return self._directory.place(volume)

    def look(self, volume: StoredVolume, mounted: bool) -> tuple[str, str | None]:
        """Read it and ask the kernel."""
        return self._directory.look(volume, mounted)

    def recover(self, known: Mapping[str, StoredVolume], fresh: Set[str]) -> list[str]:
        """Clear what was half made; the directory backend lists what is no volume's."""
        if self._kind() != "btrfs":
            return []
        for entry in os.listdir(self.root):
            if is_left(entry, _STAGED):
                remove_tree(self.root / entry)
        return []


def is_subvolume(path: str) -> bool:
    """Tell whether a directory of a Btrfs is a subvolume's root."""
    found = os.lstat(path)
    return found.st_ino == _SUBVOLUME
