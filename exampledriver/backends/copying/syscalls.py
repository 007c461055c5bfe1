"""Linux system calls that Python's ``os`` does not have."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2
#: ioctl_ficlone(2); the number is the same on x86, ARM and RISC-V.
_FICLONE = 0x40049409

#: btrfs(5): the number of a subvolume's root directory, and what is asked of it.
SUBVOLUME = 256
_SNAP_DESTROY, _INO_LOOKUP = 0x5000940F, 0xD0009412
_LOOKED_UP = struct.Struct("=QQ4080x")

#: What a file system says that cannot do what was asked, for these calls.
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY)


def _checked(result: int, path: Path | str | None = None) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), None if path is None else os.fspath(path))


def sync_filesystem(fd: int) -> None:
    """Make everything durable that was written to the file system of `fd`; syncfs(2).

    :raises OSError: something could not be written (reported since Linux 5.8).
    """
    _checked(_libc.syncfs(fd))


def _rename(old: Path | str, new: Path | str, flags: int) -> None:
    if not hasattr(_libc, "renameat2"):  # an old C library
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), os.fspath(old))
    _checked(_libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flags), old)


def rename_new(old: Path | str, new: Path | str) -> None:
    """Rename, and replace nothing, not even an empty directory.

    On a file system that cannot (NFS) this looks first, and then renames.

    :raises FileExistsError: `new` is there.
    :raises OSError: it could not be done, and `old` is where it was.
    """
    try:
        _rename(old, new, _NOREPLACE)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(new)) from None
        os.rename(old, new)


def exchange(one: Path | str, other: Path | str) -> None:
    """Let two names change places, in one step: nobody sees either missing.

    :raises OSError: it could not be done; with an errno of :data:`UNSUPPORTED`, never here.
    """
    _rename(one, other, _EXCHANGE)


def reflink(source: int, target: int) -> None:
    """Let an empty file share all data of another one, until either is written.

    :raises OSError: the file system cannot do it, or not for these two.
    """
    fcntl.ioctl(target, _FICLONE, source)


def subvolume_id(fd: int) -> int:
    """Return the number of the Btrfs subvolume of an open directory; it never comes again.

    :raises OSError: it is not on a Btrfs.
    """
    data = bytearray(_LOOKED_UP.pack(0, SUBVOLUME))
    fcntl.ioctl(fd, _INO_LOOKUP, data)
    (found, _) = _LOOKED_UP.unpack(data)
    return int(found)


def delete_subvolume(parent: int, name: str) -> bool:
    """Delete a Btrfs subvolume at once, a read-only one too.

    :return: whether it was done; not so if it is none, has others in it, or this is not root.
    """
    data = bytearray(struct.pack("=q4088s", 0, os.fsencode(name)))
    try:
        fcntl.ioctl(parent, _SNAP_DESTROY, data)
    except OSError:
        return False
    return True
