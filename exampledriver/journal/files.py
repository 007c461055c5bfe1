"""Real files below one directory.

The directory is held open, so that an operation never hits another directory that took its
path. Whether it is still the one at its path is asked before answers are given (J13).
"""

from __future__ import annotations

import ctypes
import errno
import os

from attrs import define, field
from zope.interface import implementer

from .interfaces import IFile, IFiles
from .lock import Lock, identity
from .records import JournalError

#: So many bytes behind the end of a file are kept for it: on a full disk, volumes can be removed.
RESERVE = 8192
#: With less than this it is tried to keep that many again.
_LOW = 4096
#: fallocate(2): the file's size stays as it is.
_KEEP_SIZE = 1


@implementer(IFile)
@define(eq=False)
class RealFile:
    """A file descriptor opened for appending.

    :ivar identity: the file's device and inode.
    """

    _fd: int
    identity: tuple[int, int] = field(init=False)
    #: How many bytes behind the end are kept, as far as that is known.
    _reserved: int = field(default=0, init=False)

    @identity.default
    def _identify(self) -> tuple[int, int]:
        found = os.fstat(self._fd)
        return found.st_dev, found.st_ino

    def write(self, data: bytes) -> None:
        """Append `data`, going on after a short write."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]
        self._reserved -= len(data)
        if self._reserved < _LOW and _allocate(self._fd, os.fstat(self._fd).st_size, RESERVE):
            self._reserved = RESERVE

    def sync(self) -> None:
        """Call fdatasync(2)."""
        os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        """Call ftruncate(2), then fsync(2): a size is metadata."""
        os.ftruncate(self._fd, size)
        self._reserved = 0  # it went with the rest
        os.fsync(self._fd)

    def close(self) -> None:
        """Call close(2)."""
        os.close(self._fd)


@implementer(IFiles)
@define(eq=False)
class RealFiles:
    """The files of the directory `path`, which must exist.

    :ivar lock: what keeps other writers away; it moves with the directory.
    """

    path: str
    lock: Lock | None = None
    _dir: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Hold the directory open."""
        self._dir = self._open_directory()

    def _open_directory(self) -> int:
        return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def _open(self, name: str, flags: int) -> RealFile:
        flags |= os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
        fd = os.open(name, flags, 0o600, dir_fd=self._dir)
        if flags & os.O_CREAT:
            os.fchmod(fd, 0o600)
        return RealFile(fd)

    def names(self) -> set[str]:
        """List the directory."""
        return set(os.listdir(self._dir))

    def read(self, name: str) -> bytes:
        """Read a file."""
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._dir)
        with open(fd, "rb") as file:
            return file.read()

    def create(self, name: str) -> IFile:
        """Create a file."""
        return self._open(name, os.O_CREAT | os.O_TRUNC)

    def append(self, name: str) -> IFile:
        """Open a file for appending."""
        return self._open(name, 0)

    def rename(self, old: str, new: str) -> None:
        """Call renameat(2)."""
        os.rename(old, new, src_dir_fd=self._dir, dst_dir_fd=self._dir)

    def remove(self, name: str) -> None:
        """Call unlinkat(2)."""
        os.unlink(name, dir_fd=self._dir)

    def sync_directory(self) -> None:
        """Call fsync(2) on the directory."""
        os.fsync(self._dir)

    def link(self, old: str, new: str) -> None:
        """Call linkat(2)."""
        os.link(old, new, src_dir_fd=self._dir, dst_dir_fd=self._dir, follow_symlinks=False)

    def is_current(self, name: str, file: IFile) -> bool:
        """Compare device and inode; the lock must be in place, too."""
        assert isinstance(file, RealFile)
        return file.identity == identity(f"{self.path}/{name}") and (
            self.lock is None or self.lock.is_in_place()
        )

    def renew(self) -> None:
        """Open the directory at the path again, and lock it."""
        here = os.fstat(self._dir)
        try:
            os.mkdir(self.path, 0o700)
        except FileExistsError:
            pass
        else:
            _sync_name(self.path)
        fd = self._open_directory()
        try:
            found = os.fstat(fd)
            if found.st_dev != here.st_dev:
                # What is written there would be out of sight when things are put back.
                raise OSError(
                    errno.EXDEV,
                    f"{self.path} is on another file system than before: one was mounted or "
                    "unmounted there; put it back",
                )
            if found.st_ino != here.st_ino:
                os.fchmod(fd, 0o700)
            if self.lock is not None:
                self.lock.renew()
        except JournalError as error:
            os.close(fd)
            raise OSError(errno.EBUSY, str(error)) from None
        except OSError:
            os.close(fd)
            raise
        os.close(self._dir)
        self._dir = fd


_libc = ctypes.CDLL(None, use_errno=True)
#: With offsets of 64 bits everywhere.
_fallocate = getattr(_libc, "fallocate64", None) or _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def _allocate(fd: int, start: int, length: int) -> bool:
    """Give a file blocks behind its end; return whether that could be done. fallocate(2)."""
    return bool(_fallocate(fd, _KEEP_SIZE, start, length) == 0)


def _sync_name(path: str) -> None:
    """Make the name of a new directory durable."""
    parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
