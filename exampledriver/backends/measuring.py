"""How much a directory takes on the disk, found out slowly.

A measurement is nobody's hurry: it works for a fifth of the time, at the lowest priority.
It follows no symbolic link, stays on one file system, and does not touch what is mounted
inside: its server may be dead, and a look at it would hang.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable

from attrs import define, field, frozen

from .copying.syscalls import SUBVOLUME
from .mounts import around, here, inside, mounts_inside

#: Seconds of work at a time, and how much longer it rests than it worked.
_WORK, _REST = 0.005, 4.0
#: Seconds of one rest at most.
_LONGEST_REST = 0.2
#: How deep directories are followed; each level has an open file.
_DEEPEST = 200
#: How many files with more than one name are remembered, not to be counted twice.
_MOST_LINKED = 1_000_000
#: The unit of st_blocks, in bytes; stat(2).
_BLOCK = 512

#: File systems that answer without a network or a program of somebody's.
LOCAL = frozenset(
    (
        "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfsplus", "jfs",
        "nilfs2", "ntfs3", "overlay", "ramfs", "reiserfs", "squashfs", "tmpfs", "udf", "vfat",
        "xfs", "zfs",
    )
)  # fmt: skip


class MeasureError(Exception):
    """A directory cannot be measured; the text says why."""


@frozen
class Measure:
    """What a directory takes.

    :ivar bytes: on the disk, with those of directories; a file with many names counts once.
    :ivar files: how many entries there are, of any kind, at any depth; ``None``: not known.
    :ivar size: how many bytes it may take, where it is a file system or a file of its own.
    """

    bytes: int
    files: int | None
    size: int | None = None


def measure_file(path: str) -> Measure:
    """Measure a file that has a file system in it, and is not mounted.

    :raises OSError: it is not there.
    """
    found = os.lstat(path)
    return Measure(found.st_blocks * _BLOCK, None, found.st_size)


def measure_whole(path: str) -> Measure:
    """Return what a mounted file system that is local says of itself; statvfs(3).

    :raises OSError: it says nothing.
    """
    found = os.statvfs(path)
    unit = found.f_frsize
    # Btrfs does not count files.
    files = found.f_files - found.f_ffree if found.f_files else None
    return Measure((found.f_blocks - found.f_bfree) * unit, files, found.f_blocks * unit)


def weigh(path: str, seconds: float) -> tuple[Measure, bool]:
    """Return what a directory or file takes, as far as that is known after so many seconds.

    Btrfs subvolumes inside count, unlike in :func:`measure`: they are deleted with it.

    :return: it, and whether that is all. What is not there takes nothing.
    """
    walk = _Hurry(set(mounts_inside(path)), lambda: None, until=time.monotonic() + seconds)
    try:
        if stat.S_ISREG(os.lstat(path).st_mode):
            return Measure(measure_file(path).bytes, 1), True
        return walk.whole(path), True
    except (OSError, _EnoughError) as error:
        return Measure(walk.bytes, walk.files), isinstance(error, FileNotFoundError)


def measure(path: str, pulse: Callable[[], None]) -> Measure:
    """Measure a directory, or an image of the trash. Blocks, for long.

    :param path: real and absolute.
    :param pulse: called while it goes on.
    :raises MeasureError: it is not there, or not on a local file system.
    """
    # setpriority(2): on Linux a thread has a priority of its own.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
    mounts = here()
    over = around(path, mounts)
    kind = over.source()[0] if over else "a file system that is not known"
    if kind not in LOCAL:
        raise MeasureError(f"not measured: {path} is on {kind}, which may be slow or not answer")
    mounted = {m.mountpoint for m in mounts if m.mountpoint != path and inside(m.mountpoint, path)}
    try:
        if stat.S_ISREG(os.lstat(path).st_mode):
            return measure_file(path)
        return _Walk(mounted, pulse).whole(path)
    except OSError as error:
        raise MeasureError(f"cannot be measured: {path}: {error.strerror or error}") from None


@define(eq=False)
class _Walk:
    """One measurement.

    :ivar mounted: where something is mounted below the directory.
    """

    mounted: set[str]
    pulse: Callable[[], None]
    bytes: int = field(default=0, init=False)
    files: int = field(default=0, init=False)
    _device: int = field(default=0, init=False)
    _linked: set[int] = field(factory=set, init=False)
    _since: float = field(factory=time.monotonic, init=False)

    def whole(self, path: str) -> Measure:
        fd = _open(path, None)
        try:
            found = os.fstat(fd)
            self._device = found.st_dev
            self.bytes += found.st_blocks * _BLOCK
            self._directory(fd, path, 0)
        finally:
            os.close(fd)
        return Measure(self.bytes, self.files)

    def _directory(self, fd: int, path: str, depth: int) -> None:
        below: list[str] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                self._rest()
                self.files += 1
                if f"{path}/{entry.name}" not in self.mounted and self._entry(entry):
                    below.append(entry.name)
        if depth == _DEEPEST:
            return
        for name in below:
            self._below(fd, name, f"{path}/{name}", depth + 1)

    def _below(self, parent: int, name: str, path: str, depth: int) -> None:
        try:
            fd = _open(name, parent)
        except OSError:
            return  # gone, or another one by now
        try:
            found = os.fstat(fd)
            if found.st_dev == self._device:
                self._directory(fd, path, depth)
            elif self._is_inner(found):
                # Numbers of inodes are its own.
                before = self._device, self._linked
                self._device, self._linked = found.st_dev, set()
                self._directory(fd, path, depth)
                self._device, self._linked = before
        finally:
            os.close(fd)

    def _is_inner(self, found: os.stat_result) -> bool:
        """Tell whether a directory of another device counts all the same."""
        return False

    def _entry(self, entry: os.DirEntry[str]) -> bool:
        """Count an entry; return whether it is a directory to go into."""
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            return False
        directory = stat.S_ISDIR(found.st_mode)
        if found.st_dev != self._device:
            return directory and self._is_inner(found)
        if found.st_nlink > 1 and not directory:
            if found.st_ino in self._linked:
                return False
            if len(self._linked) < _MOST_LINKED:
                self._linked.add(found.st_ino)
        self.bytes += found.st_blocks * _BLOCK
        return directory

    def _rest(self) -> None:
        worked = time.monotonic() - self._since
        if worked > _WORK:
            self.pulse()
            time.sleep(min(worked * _REST, _LONGEST_REST))
            self._since = time.monotonic()


class _EnoughError(Exception):
    """The time is over."""


@define(eq=False)
class _Hurry(_Walk):
    """A measurement that does not rest, and ends in time."""

    until: float = field(kw_only=True)

    def _is_inner(self, found: os.stat_result) -> bool:
        # What is mounted inside is not looked at, so that it is a Btrfs subvolume.
        return found.st_ino == SUBVOLUME

    def _rest(self) -> None:
        if time.monotonic() > self.until:
            raise _EnoughError


def _open(path: str, parent: int | None) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
