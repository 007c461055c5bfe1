"""Letting a file system in an image grow into a file that has become larger."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..volumes import values
from . import mounting
from .commands import CommandError, run
from .filesystems import SECONDS, check_ext4

_MAY_GROW = (
    "while it is mounted the kernel lets only a daemon with CAP_SYS_RESOURCE do it: give it that, "
    "or do it again when nobody uses the volume"
)

#: Bytes that are to be free on the disk of an image that grows; and, at least, one for so many of
#: its size, for what resize2fs writes of each group of blocks.
_ROOM, _STRUCTURES = 64 << 20, 1 << 14

#: Seconds between two looks whether somebody is still at work in a file.
_TICK = 0.05


@contextmanager
def alone(file: Path, seconds: float = mounting.LOCAL) -> Iterator[int]:
    """Wait until no program works on the file system in a file, and keep others out.

    A program outlives a daemon that is killed. It has the lock that its daemon took, so the
    next daemon does not mount, or change, what is being changed.

    :return: a descriptor that has the lock, for programs to inherit.
    :raises OSError: EBUSY: one is at work for longer than that.
    """
    fd = os.open(file, os.O_RDONLY)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    why = "a program that an earlier daemon has started works on it; try again"
                    raise OSError(errno.EBUSY, why, os.fspath(file)) from None
            time.sleep(_TICK)
        yield fd
    finally:
        os.close(fd)


def enlarge(file: Path, size: int, reserve: bool) -> None:
    """Give a file another size, durably; what is there already is no error.

    :raises OSError: it could not be done; the file has the size that it had.
    """
    fd = os.open(file, os.O_RDWR)
    try:
        if reserve:
            before = os.fstat(fd).st_size
            try:
                os.posix_fallocate(fd, 0, size)
            except OSError:
                os.ftruncate(fd, before)  # a full disk has given it some
                raise
        elif size > os.fstat(fd).st_size:
            os.ftruncate(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)


def check_may_grow(fs: str) -> None:
    """Refuse, before anything is changed, what :func:`grow_mounted` could not do.

    :raises CommandError: the kernel would not let this process do it.
    """
    if fs == "ext4" and not mounting.is_capable(mounting.SYS_RESOURCE):
        raise CommandError("resize2fs", None, _MAY_GROW)


def check_room(file: Path, size: int) -> None:
    """Refuse, before anything is changed, a growth by :func:`grow_ext4` that may fill the disk.

    Its structures are written where the file has holes, and a resize2fs that is cut off leaves a
    file system that is damaged. What is mounted grows by its journal.

    :raises OSError: there is too little room for sure.
    """
    found = os.statvfs(file)
    needed = _ROOM + (size // _STRUCTURES >> 20 << 20)
    if found.f_bavail * found.f_frsize < needed:
        why = f"{values.size_text(needed)} of its disk have to be free to let it grow"
        raise OSError(errno.ENOSPC, why, os.fspath(file))


def grow_mounted(fs: str, place: str) -> None:
    """Let a mounted file system have all of its file.

    :raises CommandError: it could not be done.
    """
    device = mounting.file_system(place)[1]
    programs = {
        "ext4": ["resize2fs", device],
        "xfs": ["xfs_growfs", place],
        "btrfs": ["btrfs", "filesystem", "resize", "max", place],
    }
    run(["losetup", "--set-capacity", device], mounting.LOCAL)
    run(programs[fs], SECONDS)


def grow_ext4(file: Path) -> None:
    """Let an ext4 that is not mounted have all of its file.

    :raises CommandError, OSError: it could not be done.
    """
    with alone(file) as lock:
        check_ext4(file, [lock])
        run(["resize2fs", str(file)], SECONDS, [lock])


def remove_lost_and_found(directory: Path) -> None:
    """Remove what ext4 keeps for e2fsck, if nothing is in it.

    Engines fill an empty volume with what the image has at its place; with this it would be
    none. e2fsck makes it again should it need it.
    """
    with suppress(OSError):
        (directory / "lost+found").rmdir()
