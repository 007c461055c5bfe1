"""Directories whose names survive a power cut.

A directory that needs an owner is made under a name of its own, gets owner and mode
there, and is then renamed: whoever sees it sees it complete, and a crash leaves either
nothing or all. The name is derived from the final one, so the same call again clears
what a crash left.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from .. import processes

_STAGED = ".exampledriver-new"


def sync(path: Path | str) -> None:
    """Make a file's content durable, or the names in a directory.

    :raises OSError: it could not be done.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_parents(path: Path, mode: int = 0o755) -> None:
    """Make the missing directories above `path`, durably, with `mode`.

    :raises OSError: it could not be done.
    """
    parent = path.parent
    if parent.is_dir():
        return
    make_parents(parent, mode)
    make_directory(parent, mode, None, None)


def make_directory(path: Path, mode: int, uid: int | None, gid: int | None) -> bool:
    """Make one directory, durably; return whether it is new. Its parent exists.

    :raises FileExistsError: something else than a directory is there.
    :raises OSError: it could not be done, and nothing of it is left.
    """
    made = place_directory(path, mode, uid, gid)
    try:
        if made:
            sync(path)
        # What is not new was made by an earlier call whose sync a crash may have prevented.
        sync(path.parent)
    except OSError:
        if made:
            os.rmdir(path)
        raise
    return made


def place_directory(path: Path | str, mode: int, uid: int | None, gid: int | None) -> bool:
    """Make one directory whole, but not durable; return whether it is new. Its parent exists.

    One that needs nothing but permissions is made with them, in one step. Any other is renamed
    before it is synced: file systems with a journal make both durable in their order, and one
    wait for the disk is enough.

    :raises FileExistsError: something else than a directory is there.
    :raises OSError: it could not be done, and nothing of it is left.
    """
    # Not with pathlib's own operations: there are many directories, and this is all of a Create.
    final = os.fspath(path)
    if uid is None and gid is None and not mode & _withheld():
        with suppress(FileExistsError):
            os.mkdir(final, mode)
            return True
    if _is_directory(final):
        return False
    parent = os.path.dirname(final)
    staged = f"{parent}/.{sha256(os.fsencode(final)).hexdigest()[:16]}{_STAGED}"
    try:
        os.mkdir(staged, mode=0o700)
    except FileExistsError:
        os.rmdir(staged)
        os.mkdir(staged, mode=0o700)
    try:
        fd = os.open(staged, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            give_access(fd, mode, uid, gid)
        finally:
            os.close(fd)
        os.rename(staged, final)
    except OSError:
        os.rmdir(staged)
        raise
    return True


@cache
def _withheld() -> int:
    """Return the permissions that mkdir(2) does not give, of which the umask is a part.

    The daemon's is what it was started with. Where it cannot be told, nothing is given.
    """
    with suppress(OSError):
        umask = processes.status("self", "Umask")
        if umask:
            return int(umask[0], 8) | ~0o1777
    return ~0


def give_access(fd: int, mode: int | None, uid: int | None, gid: int | None) -> None:
    """Give an open directory its permissions, its owner and its group; ``None`` is as it is.

    :raises OSError: it could not be done.
    """
    if uid is not None or gid is not None:
        os.fchown(fd, -1 if uid is None else uid, -1 if gid is None else gid)
    if mode is not None:
        os.fchmod(fd, mode)


def is_left(name: str, suffix: str) -> bool:
    """Tell whether a name is one of those, with this suffix, under which work is under way.

    They are hidden, as no volume and no snapshot is: these may end in any suffix.
    """
    return name.startswith(".") and name.endswith(suffix)


def clear_staged(parent: Path, names: Iterable[str]) -> None:
    """Remove the half-made directories that a crash left among these of `parent`."""
    for name in names:
        if is_left(name, _STAGED) and stat.S_ISDIR(os.lstat(parent / name).st_mode):
            os.rmdir(parent / name)


def _is_directory(path: str) -> bool:
    """Tell whether a directory, and no symbolic link to one, is at `path`.

    :raises FileExistsError: something else is there.
    """
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(kind):
        raise FileExistsError(f"{path} is a symbolic link")
    if not stat.S_ISDIR(kind):
        raise FileExistsError(f"{path} exists and is not a directory")
    return True
