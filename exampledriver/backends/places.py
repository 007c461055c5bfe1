"""Which file system a volume's directory lies in, and whether it still is the same one.

A directory on a file system of its own is another directory while that is not mounted: empty,
and on another disk. Containers that write there lose their data from sight. So the place of each
directory is noted once, as a text that is the same after a reboot, and compared at each use.

What is noted is the file system and the directory in it, not the device number, which may change
with each boot. Where a file system has no identifier of its own (NFS, FUSE, tmpfs, overlay) its
type and its source stand for it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from ..processes import printable
from ..volumes.model import OWN
from . import mounts

#: Types whose statvfs(3) has an identifier that is made of the UUID in the file system.
_FSID = frozenset({"ext2", "ext3", "ext4", "btrfs"})
#: XFS_IOC_FSGEOMETRY_V1: the size of its answer, and where the UUID is in that.
_XFS_GEOMETRY, _XFS_SIZE, _XFS_UUID = 0x80705864, 112, slice(64, 80)
_BY_UUID = "/dev/disk/by-uuid"
_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def trouble(name: str, path: str, home: str, noted: str) -> str:
    """Return why the directory of a volume cannot be used, and what to do; empty if it can. Blocks.

    :param path: as it was when the volume was made: without symbolic links.
    :param home: the root, or ``/``: in the mount of this it lies if nothing else is mounted.
    :param noted: what :func:`place` returned before; empty if that is not known.
    """
    try:
        real = os.path.realpath(path, strict=True)
    except FileNotFoundError:
        return (
            f"its directory {path} is missing: mount the file system that holds it, or bring "
            "the directory back, or remove the volume"
        )
    except OSError as error:
        return f"its directory {path} cannot be reached: {error.strerror}"
    if real != path:
        return (
            f"its directory {path} is now a symbolic link to {real}: put the directory back, or "
            f"remove the volume, and create it with -o mountpoint={real}"
        )
    if not os.path.isdir(path):
        return f"{path} is not a directory any more: put the directory back"
    try:
        fd = _open(path)
        try:
            _read(fd)
            found = _place(fd, path, home) if noted else ""
        finally:
            os.close(fd)
    except OSError as error:
        return f"its directory {path} cannot be read: {error.strerror}"
    return _difference(name, path, home, noted, found) if found != noted else ""


def place(path: str, home: str) -> str:
    """Return where a directory lies, as a text that is the same after a reboot. Blocks.

    :param path: real and absolute.
    :param home: as that of :func:`trouble`.
    :raises OSError: it cannot be reached.
    """
    fd = _open(path)
    try:
        return _place(fd, path, home)
    finally:
        os.close(fd)


def file_system(path: str) -> str:
    """Return the file system of a path, for people: its type, its source and its mountpoint.

    The kernel's list of mounts is read, and nothing at the path: it may not answer. Where that
    list cannot be read, for want of a descriptor or of memory, the path is all that is said: Get
    asks, and does not fail.
    """
    try:
        mount = mounts.around(os.path.normpath(path), mounts.here())
    except OSError:
        mount = None
    if mount is None:
        return f"the file system of {path}"
    return printable(f"{' '.join(mount.source())}, mounted at {mount.mountpoint},")


def _open(path: str) -> int:
    """Open a directory; unlike stat(2) that mounts what an automounter mounts there."""
    try:
        return os.open(path, os.O_RDONLY | _DIRECTORY)
    except PermissionError:  # not root
        return os.open(path, os.O_PATH | _DIRECTORY)


def _read(fd: int) -> None:
    """See that a directory can be read, by its first entries: stat(2) may answer from memory.

    :raises OSError: it cannot.
    """
    with suppress(PermissionError), os.scandir(fd) as entries:
        next(entries, None)


def _mount_id(fd: int) -> str:
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        return next(line.split()[1] for line in file if line.startswith("mnt_id:"))


def _place(fd: int, path: str, home: str) -> str:
    at_home = os.open(home, os.O_PATH | _DIRECTORY)
    try:
        mine, other = _mount_id(fd), _mount_id(at_home)
    finally:
        os.close(at_home)
    if mine == other:
        return OWN
    found = {mount.number: mount for mount in mounts.here() if mount.number in (mine, other)}
    if mine not in found:
        raise OSError(0, "its file system was unmounted just now; try again")
    mount = found[mine]
    inner = _below(path, mount)
    if other in found:
        usual = found[other]
        # The same directory once more, as services with private mounts have it.
        if mount.device == usual.device and inner == _below(path, usual):
            return OWN
    kind, source = mount.source()
    # Which version of NFS a mount has may be agreed upon with the server, each time.
    known = "nfs" if kind == "nfs4" else kind
    text = " ".join(filter(None, (known, _identity(fd, kind, source, mount.device), inner)))
    # Paths need not be UTF-8, and the journal is.
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _below(path: str, mount: mounts.Mount) -> str:
    """Return where a path, which lies in a mount, is in the file system of that."""
    return os.path.normpath(f"//{mount.root}/{path[len(mount.mountpoint) :]}")


def _identity(fd: int, kind: str, source: str, device: str) -> str:
    """Return what distinguishes a file system from others of its type, after a reboot too."""
    if kind in _FSID:
        return f"{os.fstatvfs(fd).f_fsid:016x}"
    if kind == "xfs":
        with suppress(OSError):
            answer = fcntl.ioctl(fd, _XFS_GEOMETRY, bytes(_XFS_SIZE))
            return answer[_XFS_UUID].hex()
    if not source.startswith("/dev/"):
        return source
    # A disk's name changes with the order in which disks are found.
    with suppress(OSError):
        for uuid in os.listdir(_BY_UUID):
            number = os.stat(f"{_BY_UUID}/{uuid}").st_rdev
            if f"{os.major(number)}:{os.minor(number)}" == device:
                return uuid
    return ""


def _difference(name: str, path: str, home: str, noted: str, found: str) -> str:
    """Say that a directory lies elsewhere than it did, and what to do."""
    if noted == OWN:
        what = f"was in the file system of {home}, and {found} is mounted over it: unmount that"
    elif found == OWN:
        what = f"was on {noted}, which is not mounted: mount it"
    else:
        what = f"was on {noted}, and is on {found} now: mount what was there"
    return (
        f"its directory {path} {what}; or, if this change is meant, run "
        f'"exampledriver volume accept {name}"'
    )
