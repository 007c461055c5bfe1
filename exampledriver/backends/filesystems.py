"""What is particular to each file system that an image may have, beside its growing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .commands import CommandError, run

#: Seconds for what goes through a whole file system.
SECONDS = 600.0

#: How a copy is mounted beside what it is a copy of.
BESIDE = {"ext4": [], "xfs": ["nouuid"], "btrfs": []}
#: How a copy is read that nobody changes: it was frozen, so there is nothing to be recovered.
READ = {"ext4": ["ro"], "xfs": ["ro", "norecovery", "nouuid"], "btrfs": ["ro"]}

#: e2fsck's exit status when it has corrected something.
_CORRECTED = 1


def renew(fs: str, file: Path) -> None:
    """Give a file system that is not mounted another UUID: two of one are one to the kernel.

    :raises CommandError: it could not be done.
    """
    argv = {
        "ext4": ["tune2fs", "-U", "random", str(file)],
        "xfs": ["xfs_admin", "-U", "generate", str(file)],
        "btrfs": ["btrfstune", "-f", "-m", str(file)],
    }[fs]
    try:
        words = run(argv, SECONDS)
    except CommandError:
        if fs != "ext4":
            raise
        # Made by an e2fsprogs before 1.47: its checksums are made of its UUID.
        check_ext4(file)
        words = run(argv, SECONDS)
    if fs == "xfs" and "new UUID" not in words:
        raise CommandError(argv[0], 0, words)


def check_ext4(file: Path, inherited: Sequence[int] = ()) -> None:
    """Let e2fsck correct what it can.

    :raises CommandError: it could not correct all.
    """
    try:
        run(["e2fsck", "-f", "-p", str(file)], SECONDS, inherited)
    except CommandError as error:
        if error.status != _CORRECTED:
            raise
