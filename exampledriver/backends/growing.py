"""Letting a file system in an image grow into a file that has become larger."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import mounting
from .commands import CommandError, run
from .filesystems import check_ext4

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
    """Refuse what the kernel would refuse for a mounted file system, before its file grows.

    :raises CommandError: it would.
    """
    if fs == "ext4" and not mounting.capable(mounting.SYS_RESOURCE):
        why = (
            "while it is mounted the kernel lets only a daemon with CAP_SYS_RESOURCE do it: give "
            "it that, or do it again when nobody uses the volume"
        )
        raise CommandError("resize2fs", None, why)


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
    run(programs[fs], mounting.LOCAL)


def grow_ext4(file: Path) -> None:
    """Let an ext4 that is not mounted have all of its file.

    :raises CommandError, OSError: it could not be done.
    """
    with alone(file) as lock:
        check_ext4(file, [lock])
        run(["resize2fs", str(file)], mounting.LOCAL, [lock])


def remove_lost_and_found(directory: Path) -> None:
    """Remove what ext4 keeps for e2fsck, if nothing is in it.

    Engines fill an empty volume with what the image has at its place; with this it would be
    none. e2fsck makes it again should it need it.
    """
    with suppress(OSError):
        (directory / "lost+found").rmdir()
