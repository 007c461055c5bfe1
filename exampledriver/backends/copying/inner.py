"""Btrfs subvolumes inside other ones: found, copied with what they are in, made writable.

Any program makes them without a capability, in a container too. A snapshot of the file
system's own has an empty directory in the place of each; here a snapshot of that comes into
its place. The numbers of the calls are those of ``linux/btrfs.h``, the same on x86, ARM and RISC-V.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from .nodes import GONE, Parts, directory_below, explained
from .progress import Progress
from .syscalls import SUBVOLUME, subvolume_id

_FILE_SYSTEM = 0x8400941F
_ASSIGN, _CREATE_GROUP, _LIMIT_GROUP = 0x40189429, 0x4010942A, 0x8030942B
_SNAPSHOT, _GET_FLAGS, _SET_FLAGS, _READ_ONLY = 0x50009417, 0x80089419, 0x4008941A, 2
_CHILDREN, _NAME = 0xD000943D, 0xD000943E
#: The flag of a limit on what is referred to, the number that is none, and a group's level.
_REFERRED, _NONE, _LEVEL = 1, (1 << 64) - 1, 1 << 48
#: What stands in a snapshot in the place of a subvolume: an inode number.
_PLACEHOLDER = 2


def set_read_only(fd: int, wanted: bool) -> None:
    """Make a subvolume read-only, or writable.

    :param fd: its root directory; if it is not a subvolume's, nothing is changed.
    :raises OSError: it could not be done.
    """
    data = bytearray(8)
    try:
        fcntl.ioctl(fd, _GET_FLAGS, data)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP):
            return
        raise
    flags = int.from_bytes(data, "little")
    if bool(flags & _READ_ONLY) != wanted:
        fcntl.ioctl(fd, _SET_FLAGS, (flags ^ _READ_ONLY).to_bytes(8, "little"))


def has_simple_quotas(fd: int) -> bool:
    """Tell whether the file system counts by simple quotas (``btrfs quota enable --simple``).

    Only there a new subvolume comes into the groups of the one that it is made in.
    """
    data = bytearray(1024)
    fcntl.ioctl(fd, _FILE_SYSTEM, data)
    try:
        mode = Path(f"/sys/fs/btrfs/{UUID(bytes=bytes(data[16:32]))}/qgroups/mode").read_bytes()
    except OSError:  # no quotas, or a kernel older than 6.7
        return False
    return mode.strip() == b"squota"


def limit_group(parent: int, fd: int, size: int) -> None:
    """Limit a subvolume and those that are made in it, by the group ``1/ID``; simple quotas.

    A group has the number of its subvolume, which never comes again.

    :param parent: the directory that the subvolume is in: in one that is full, the kernel changes
        no limit.
    :param fd: the subvolume's root directory.
    :param size: bytes.
    :raises OSError: it could not be done.
    """
    number = subvolume_id(fd)
    group = _LEVEL | number
    for request, words in (
        (_CREATE_GROUP, struct.pack("=QQ", 1, group)),
        (_ASSIGN, struct.pack("=QQQ", 1, number, group)),
    ):
        with suppress(FileExistsError):
            fcntl.ioctl(parent, request, words)
    _limit(parent, group, size)
    _limit(parent, number, _NONE)


def _limit(parent: int, group: int, size: int) -> None:
    fcntl.ioctl(parent, _LIMIT_GROUP, struct.pack("=QQQ24x", group, _REFERRED, size))


def lift_limits(parent: int, fd: int) -> None:
    """Let a subvolume take any space, as far as it has a limit: in a full one nothing is deleted.

    :param parent: the directory that the subvolume is in.
    :param fd: the subvolume's root directory.
    """
    with suppress(OSError):  # it is not on a Btrfs
        number = subvolume_id(fd)
        for group in (number, _LEVEL | number):
            with suppress(OSError):  # it has no such group, or there are no quotas
                _limit(parent, group, _NONE)


def children(fd: int) -> list[tuple[int, Parts | None]]:
    """Return the subvolumes directly inside the one whose root directory is open.

    :return: the number of each, and the names that lead to it; ``None``: its path is too long.
    :raises OSError: it is not on a Btrfs, or the kernel is older than 4.18.
    """
    found: list[tuple[int, Parts | None]] = []
    least, more = 0, True
    while more:
        data = bytearray(struct.pack("=Q4088x", least))
        more = False
        try:
            fcntl.ioctl(fd, _CHILDREN, data)
        except OSError as error:
            if error.errno != errno.EOVERFLOW:
                raise
            more = True
        for position in range(data[4088]):
            number, directory = struct.unpack_from("=QQ", data, 8 + 16 * position)
            least = number + 1
            try:
                found.append((number, _way(fd, number, directory)))
            except FileNotFoundError:
                continue  # it is gone
    return found


def _way(fd: int, number: int, directory: int) -> Parts | None:
    data = bytearray(struct.pack("=QQ4080x", directory, number))
    try:
        fcntl.ioctl(fd, _NAME, data)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise
    name, path = (os.fsdecode(bytes(part).split(b"\0")[0]) for part in (data[16:272], data[272:]))
    return (*(part for part in path.split("/") if part), name)


def copy_inner(source: int, target: int, progress: Progress) -> tuple[list[Parts], int]:
    """Put snapshots of the subvolumes in `source` into a snapshot of it, at any depth.

    :param source: the root directory of a subvolume; others may be at work in it.
    :param target: that of its snapshot, which is writable, and used by no other process.
    :return: where they are; and how many are left out, because they vanished or were moved
        meanwhile, or lie deeper than the kernel can say (3,824 bytes).
    :raises VolumeError: one could not be copied.
    :raises StoppedError: told to stop.
    """
    made: list[Parts] = []
    left_out = 0
    pending: list[Parts] = [()]
    while pending:
        parts = pending.pop()
        with explained("reading subvolume", parts):
            try:
                with directory_below(source, parts) as here:
                    found = children(here)
            except OSError as error:
                if not parts or error.errno not in GONE:
                    raise
                continue  # what was copied of it is there
        for number, below in found:
            progress.advance()
            if below is None or not _copy(source, target, (*parts, *below), number):
                left_out += 1
                continue
            made.append((*parts, *below))
            pending.append((*parts, *below))
    return made, left_out


def _copy(source: int, target: int, parts: Parts, number: int) -> bool:
    """Copy one subvolume; return whether it was there still."""
    with explained("copying subvolume", parts):
        try:
            with (
                directory_below(source, parts) as inner,
                directory_below(target, parts[:-1]) as parent,
            ):
                place = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
                if place.st_ino != _PLACEHOLDER or _subvolume(inner) != number:
                    return False
                before = os.fstat(parent)
                os.rmdir(parts[-1], dir_fd=parent)
                words = struct.pack("=qQQ32x4040s", inner, 0, 0, os.fsencode(parts[-1]))
                fcntl.ioctl(parent, _SNAPSHOT, bytearray(words))
                os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
        except OSError as error:
            if error.errno not in GONE:
                raise
            return False
    return True


def _subvolume(fd: int) -> int:
    """Return the number of the subvolume whose root directory is open; 0 if it is none's."""
    return subvolume_id(fd) if os.fstat(fd).st_ino == SUBVOLUME else 0


def close_all(target: int, made: list[Parts]) -> None:
    """Make a copy read-only, and the copies in it.

    :raises VolumeError: it could not be done.
    """
    for parts in [*reversed(made), ()]:
        with explained("making read-only", parts), directory_below(target, parts) as here:
            set_read_only(here, True)
