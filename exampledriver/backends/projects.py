"""A size for a directory: project quotas of ext4 and XFS.

A directory gets a project's number, which all that is made in it inherits, and the project a
limit. Nobody but the kernel counts; it must have been asked to when the file system was
mounted (``prjquota``), which is the operator's business.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from hashlib import sha256

from . import mounting

#: ioctl_xfs_fsgetxattr(2): flags, extent size, extents, project, copy-on-write extent size.
_ATTRIBUTES = struct.Struct("=IIIII8x")
_GET_ATTRIBUTES = 0x801C581F
_SET_ATTRIBUTES = 0x401C5820
_INHERIT = 0x200

#: quotactl(2): limits in blocks of 1 KiB, then what is used, in bytes and files.
_QUOTA = struct.Struct("=QQQQQQQQIxxxx")
_GET, _SET, _PROJECT = 0x800007, 0x800008, 2
_BLOCK_LIMITS = 1
_XFS_STATUS, _XFS_ENFORCED = 0x5805, 1 << 5

_FIRST, _LAST = 1 << 20, (1 << 31) - 1


class NoQuotaError(Exception):
    """The file system gives no directory a size; the text says why and what to do."""


def check(path: str) -> str:
    """Return the device of the file system of a directory, which has project quotas.

    :raises NoQuotaError: it has none.
    """
    kind, device = mounting.file_system(os.path.realpath(path))
    where = f"the file system of {path} ({kind})"
    if kind not in ("ext4", "xfs"):
        raise NoQuotaError(f"{where} has no project quotas, ext4 and XFS have; {_INSTEAD}")
    try:
        _quota(device, 0)
        enforced = kind != "xfs" or _xfs_flags(device) & _XFS_ENFORCED
    except OSError as error:
        how = "with the option prjquota"
        if kind == "ext4":
            how += ', after "tune2fs -O project -Q prjquota"'
        raise NoQuotaError(
            f"{where} counts no projects ({error.strerror}): mount it {how}; {_INSTEAD}"
        ) from None
    if not enforced:
        raise NoQuotaError(f"{where} counts projects and does not limit them; {_INSTEAD}")
    return device


_INSTEAD = "or use backend=image, which has a size everywhere"


def limit(path: str, size: int) -> None:
    """Give an empty directory, or one that has a size, a size in bytes.

    :raises NoQuotaError: it cannot have one.
    :raises OSError: the kernel refuses.
    """
    device = check(path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        data = bytearray(_ATTRIBUTES.size)
        fcntl.ioctl(fd, _GET_ATTRIBUTES, data)
        flags, extent, extents, project, cow = _ATTRIBUTES.unpack(data)
        if not (project and flags & _INHERIT):
            if os.listdir(fd):
                raise NoQuotaError(f"{path} is not empty: what is in it would not be counted")
            project = _free(device, path)
            _limit(device, project, size)
            new = _ATTRIBUTES.pack(flags | _INHERIT, extent, extents, project, cow)
            fcntl.ioctl(fd, _SET_ATTRIBUTES, new)
        else:
            _limit(device, project, size)
    finally:
        os.close(fd)


def _free(device: str, path: str) -> int:
    """Return a project's number that nothing uses."""
    number = int.from_bytes(sha256(os.fsencode(path)).digest()[:4], "big")
    while True:
        number = _FIRST + number % (_LAST - _FIRST)
        used = _quota(device, number)
        if not (used[2] or used[5]):
            return number
        number += 1


def _quota(device: str, project: int) -> tuple[int, ...]:
    data = ctypes.create_string_buffer(_QUOTA.size)
    try:
        _quotactl(_GET, device, project, data)
    except FileNotFoundError:
        return (0,) * 9  # XFS: nothing was ever counted
    return _QUOTA.unpack(data.raw)


def _limit(device: str, project: int, size: int) -> None:
    blocks = -(-size // 1024)
    data = ctypes.create_string_buffer(
        _QUOTA.pack(blocks, blocks, 0, 0, 0, 0, 0, 0, _BLOCK_LIMITS), _QUOTA.size
    )
    _quotactl(_SET, device, project, data)


def _xfs_flags(device: str) -> int:
    data = ctypes.create_string_buffer(256)
    _quotactl(_XFS_STATUS, device, 0, data)
    (flags,) = struct.unpack_from("=H", data.raw, 2)
    return int(flags)


def _quotactl(command: int, device: str, project: int, data: ctypes.Array[ctypes.c_char]) -> None:
    call = ctypes.CDLL(None, use_errno=True).quotactl
    if call(command << 8 | _PROJECT, os.fsencode(device), project, data):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
