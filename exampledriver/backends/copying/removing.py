"""Deleting trees, of any depth and any width.

Containers make them: time and memory are in proportion to the entries, however deep these are,
and a few descriptors are enough. Whoever can still write in the tree cannot lead the deletion
out of it: no link is followed, and the way up is known to be the one that led down.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...volumes.errors import quoted
from ..mounts import mount_id, mounts_inside, named
from .inner import lift_limits, set_read_only
from .nodes import handle
from .progress import Progress
from .syscalls import SUBVOLUME, delete_subvolume

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_tree(path: Path, progress: Progress | None = None) -> None:
    """Delete a tree of any depth, or a single file; what is missing is no error.

    Follows no link, and stops at what is mounted (EBUSY). A Btrfs subvolume goes at once, one with
    others inside after these; a read-only one is made writable for that.

    :raises OSError: something could not be deleted.
    :raises StoppedError: told to stop; the rest is there.
    """
    try:
        top = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(top).st_mode):
            os.unlink(path)
            return
        mounted = mounts_inside(os.path.realpath(path))
        if mounted:
            raise OSError(errno.EBUSY, f"{named(mounted)} is mounted inside", os.fspath(path))
        if os.fstat(top).st_ino == SUBVOLUME and _delete_subvolume(path):
            return
        _open_up(top)
        here = os.open(handle(top), os.O_RDONLY | os.O_DIRECTORY)
        if os.fstat(here).st_ino == SUBVOLUME:
            with _parent(path) as parent:
                _prepare(parent, here)
        _empty(path, here, progress or Progress())
    finally:
        os.close(top)
    os.rmdir(path)


@contextmanager
def _parent(path: Path) -> Iterator[int]:
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _delete_subvolume(path: Path) -> bool:
    with _parent(path) as parent:
        return delete_subvolume(parent, path.name)


def _empty(path: Path, here: int, progress: Progress) -> None:
    """Delete what is in a directory: down into one after the other, up again, and it is gone.

    :param path: the directory's, for error texts.
    :param here: the directory; it is closed.
    """
    #: The way down: the names of the directories, and those that led to them.
    way: list[tuple[str, os.stat_result]] = []
    try:
        mount = mount_id(here)
        #: For each directory on it, and the first: the directories in it that are left.
        left = [_delete_files(here, progress)]
        while left:
            if left[-1]:
                name = left[-1].pop()
                above = os.fstat(here)
                way.append((name, above))
                here = _go(here, name, mount)
                left.append(_delete_files(here, progress))
                continue
            left.pop()
            if way:
                name, above = way.pop()
                here = _go(here, "..")
                if not os.path.samestat(os.fstat(here), above):
                    raise OSError(f"{quoted(name)} was moved meanwhile")
                os.rmdir(name, dir_fd=here)
    except OSError as error:
        if isinstance(error.filename, str):
            # Where it is, and not only what it is called.
            error.filename = os.path.join(path, *(name for name, _ in way), error.filename)
        raise
    finally:
        os.close(here)


def _go(here: int, name: str, mount: bytes = b"") -> int:
    """Open a directory that is named in `here`, and close that.

    :param mount: the mount that a subvolume must lie in, which is prepared.
    """
    there = os.open(name, _DIRECTORY, dir_fd=here)
    try:
        if mount and os.fstat(there).st_dev != os.fstat(here).st_dev:
            if mount_id(there) != mount:
                raise OSError(f"{quoted(name)} is another file system")
            _prepare(here, there)
    except BaseException:
        os.close(there)
        raise
    os.close(here)
    return there


def _delete_files(directory: int, progress: Progress) -> list[str]:
    """Delete what is no directory; return the names of those."""
    directories: list[str] = []
    device = os.fstat(directory).st_dev
    # Not listdir(): there may be millions.
    with os.scandir(directory) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=directory)
                progress.advance(files=1)
            elif not _delete_other(directory, entry, device):
                directories.append(entry.name)
    return directories


def _delete_other(directory: int, entry: os.DirEntry[str], device: int) -> bool:
    """Delete a directory that is a subvolume; return whether it is done. Prepare another one."""
    status = entry.stat(follow_symlinks=False)
    if status.st_dev != device:
        if status.st_ino != SUBVOLUME:
            raise OSError(f"{quoted(entry.name)} is another file system")
        if delete_subvolume(directory, entry.name):
            return True
    if status.st_mode & 0o700 != 0o700 and os.geteuid() != 0:
        node = os.open(entry.name, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
        try:
            _open_up(node)
        finally:
            os.close(node)
    return False


def _prepare(parent: int, subvolume: int) -> None:
    """Let entries be deleted in a subvolume, though it is full or read-only."""
    lift_limits(parent, subvolume)
    try:
        set_read_only(subvolume, False)
    except OSError as error:
        raise OSError(error.errno, f"making it writable: {error.strerror}") from error


def _open_up(node: int) -> None:
    """Let a user that is not root delete in a directory of his that was closed to himself."""
    if os.geteuid() != 0 and os.fstat(node).st_mode & 0o700 != 0o700:
        os.chmod(handle(node), 0o700)
