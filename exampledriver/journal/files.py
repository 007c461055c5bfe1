"""Real files below one directory, which is held open: a renamed parent changes nothing."""

from __future__ import annotations

import os

from attrs import define, field
from zope.interface import implementer

from .interfaces import IFile, IFiles


@implementer(IFile)
@define(eq=False)
class RealFile:
    """A file descriptor opened for appending."""

    _fd: int

    def write(self, data: bytes) -> None:
        """Append `data`, going on after a short write."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]

    def sync(self) -> None:
        """Call fdatasync(2)."""
        os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        """Call ftruncate(2), then fsync(2): a size is metadata."""
        os.ftruncate(self._fd, size)
        os.fsync(self._fd)

    def close(self) -> None:
        """Call close(2)."""
        os.close(self._fd)


@implementer(IFiles)
@define(eq=False)
class RealFiles:
    """The files of the directory `path`, which must exist."""

    path: str
    _dir: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Hold the directory open."""
        self._dir = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

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
