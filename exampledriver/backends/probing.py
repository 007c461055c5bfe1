"""A program: see that a mounted file system can be read and, if asked to, written.

``probing.py TARGET [write]`` opens the directory, reads its first entries and asks for one of
them. ``write`` makes a file without a name (O_TMPFILE), writes to it, syncs it and closes it, which
is the end of it: nothing is ever seen of it in the directory, which an engine may be about to
fill, and nothing is left when this process is killed. File systems that have no such files (NFS,
CIFS, most of FUSE) are read alone: a file with a name would be seen by containers and backups.

It is a process of its own because a server that does not answer would keep it forever.
"""

import errno
import os
import sys
from contextlib import suppress

#: Errors of a write that say nothing about the file system: it has no files without a name; root
#: may not write there, or no process may (a read-only Btrfs subvolume); it is full, or a quota is.
_NOTHING = frozenset(
    {
        errno.EACCES, errno.EDQUOT, errno.EINVAL, errno.EISDIR, errno.ENOENT, errno.ENOSPC,
        errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EROFS,
    }
)  # fmt: skip


def main(target: str, write: bool) -> None:
    """Look at the target.

    :raises OSError: it cannot be read, or not be written.
    """
    flags = os.O_DIRECTORY | os.O_CLOEXEC
    try:
        fd = os.open(target, os.O_RDONLY | flags)
    except PermissionError:  # root may be mapped to another user there
        fd = os.open(target, os.O_PATH | flags)
        write = False
    else:
        _read(fd)
    read_only = os.fstatvfs(fd).f_flag & os.ST_RDONLY
    if write and not read_only:
        _write(fd)


def _read(directory: int) -> None:
    with os.scandir(directory) as entries:
        first = next(entries, None)
    if first is not None:
        _stat(first.name, directory)


def _stat(name: str, directory: int) -> None:
    with suppress(FileNotFoundError, PermissionError):  # gone meanwhile
        os.stat(name, dir_fd=directory, follow_symlinks=False)


def _write(directory: int) -> None:
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=directory)
        os.write(fd, b"probe\n")
        os.fsync(fd)
        os.close(fd)
    except OSError as error:
        if error.errno not in _NOTHING:
            raise OSError(error.errno, f"{error.strerror}, when it was written to") from None


if __name__ == "__main__":
    try:
        main(sys.argv[1], "write" in sys.argv[2:])
    except OSError as error:
        sys.exit(error.strerror)
