"""One writer for a directory.

flock(2) belongs to the open file, not to the process: it survives the forks of
daemonising and dies with the last process that holds the file.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from attrs import define

from ..processes import command
from .records import JournalError


@define(eq=False)
class Lock:
    """A lock file, held.

    :ivar path: where it was made.
    """

    path: Path
    _fd: int

    @classmethod
    def take(cls, path: Path) -> Lock:
        """Hold the lock file `path`, making it if there is none.

        :raises JournalError: another process holds the lock; the text says which.
        :raises OSError: the lock file cannot be opened.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.fchmod(fd, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise JournalError(
                f"{path.parent} is in use by {_describe(holder)}: stop that first, or give "
                "this one a directory of its own"
            ) from None
        lock = cls(path, fd)
        lock.sign()
        return lock

    def is_in_place(self) -> bool:
        """Return whether another process that takes the lock would find this one."""
        held = os.fstat(self._fd)
        return identity(self.path) == (held.st_dev, held.st_ino)

    def renew(self) -> None:
        """Hold the lock file that is at the path now, making it if there is none.

        :raises JournalError: another process holds it; the text says which.
        :raises OSError: it cannot be opened.
        """
        if not self.is_in_place():
            other = Lock.take(self.path)
            os.close(self._fd)
            self._fd = other._fd

    def sign(self) -> None:
        """Write this process's id into the lock file, for the one who finds it locked."""
        # As long as any: whoever reads meanwhile finds the old id or the new one.
        os.pwrite(self._fd, b"%-19d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let another process have the directory."""
        os.close(self._fd)


def identity(path: str | Path) -> tuple[int, int] | None:
    """Return device and inode of what is at a path; ``None`` if that cannot be seen."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _describe(holder: str) -> str:
    if not holder.isdigit():
        return "another process"
    return f"process {holder} ({command(int(holder))})"
