"""Letting a file system in an image grow into a file that has become larger."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from . import mounting
from .commands import CommandError, run

#: e2fsck's exit status when it has corrected something.
_CORRECTED = 1


def enlarge(file: Path, size: int, reserve: bool) -> None:
    """Give a file another size, durably; what is there already is no error.

    :raises OSError: it could not be done.
    """
    fd = os.open(file, os.O_RDWR)
    try:
        if reserve:
            os.posix_fallocate(fd, 0, size)
        elif size > os.fstat(fd).st_size:
            os.ftruncate(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)


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
    try:
        run(programs[fs], mounting.LOCAL)
    except CommandError as error:
        if fs == "ext4" and "Permission denied to resize" in error.words:
            why = (
                "while it is mounted the kernel lets only a daemon with CAP_SYS_RESOURCE do it: "
                "give it that, or do it again when nobody uses the volume"
            )
            raise CommandError(error.program, error.status, why) from error
        raise


def grow_ext4(file: Path) -> None:
    """Let an ext4 that is not mounted have all of its file.

    :raises CommandError: it could not be done.
    """
    try:
        run(["e2fsck", "-f", "-p", str(file)], mounting.LOCAL)
    except CommandError as error:
        if error.status != _CORRECTED:
            raise
    run(["resize2fs", str(file)], mounting.LOCAL)


def remove_lost_and_found(directory: Path) -> None:
    """Remove what ext4 keeps for e2fsck, if nothing is in it.

    Engines fill an empty volume with what the image has at its place; with this it would be
    none. e2fsck makes it again should it need it.
    """
    with suppress(OSError):
        (directory / "lost+found").rmdir()
