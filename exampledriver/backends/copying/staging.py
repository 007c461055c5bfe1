"""Things that take long to make, and appear all at once.

What becomes ``PARENT/NAME`` is made in ``PARENT/.HASH.exampledriver-stage/``, on the same
file system. When it is whole, the file system is synced, one rename gives it its name, and
the parent is synced. A crash leaves the whole thing or a stage. A stage's name comes from the
final one, so the same work again clears what a crash left; :func:`clear_stages` clears
all others. A stage in use is locked (flock(2), which dies with its process).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from attrs import define, field

from ...volumes.errors import BusyError
from ..durable import is_left, sync
from .progress import Progress
from .removing import remove_tree
from .syscalls import rename_new, sync_filesystem

SUFFIX = ".exampledriver-stage"


@define(eq=False)
class Stage:
    """A context in which one thing is made; left without :meth:`publish`, nothing of it stays.

    :ivar final: the name under which it appears. Its parent exists.
    """

    final: Path
    _lock: int = field(default=-1, init=False)

    @property
    def directory(self) -> Path:
        """The stage itself, closed to others (0700); for what else the work needs."""
        digest = sha256(os.fsencode(self.final.name)).hexdigest()[:16]
        return self.final.parent / f".{digest}{SUFFIX}"

    @property
    def content(self) -> Path:
        """Where the thing is made; it does not exist at first."""
        return self.directory / "content"

    def __enter__(self) -> Stage:
        """Take the stage, and clear what a crash left of it.

        :raises BusyError: the same work is under way.
        :raises OSError: it cannot be made.
        """
        while self._lock < 0:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            self._lock = _take(self.directory)
            if self._lock == _BUSY:
                raise BusyError(
                    f"{self.final}: it is being made by somebody else; wait until that has ended"
                )
        try:
            for entry in os.scandir(self.directory):
                remove_tree(Path(entry.path))
            _forget_default_acl(self._lock)
        except BaseException:
            self._unlock()
            raise
        return self

    def publish(self, progress: Progress | None = None) -> None:
        """Make the content durable and give it its name.

        :param progress: of the work, which may be stopped until the file has its name.
        :raises StoppedError: it was told to stop; nothing is there.
        :raises FileExistsError: something has that name; it stays as it is.
        :raises OSError: it could not be done; unless the name's own sync failed, nothing is there.
        """
        sync_filesystem(self._lock)  # which may take long
        if progress is not None:
            progress.advance()
        rename_new(self.content, self.final)
        sync(self.final.parent)

    def __exit__(self, *_: object) -> None:
        """Remove the stage, and what is left in it."""
        try:
            remove_tree(self.directory)
        finally:
            self._unlock()

    def _unlock(self) -> None:
        os.close(self._lock)
        self._lock = -1


_GONE, _BUSY = -1, -2


def _take(directory: Path) -> int:
    """Return a descriptor that holds the lock of a stage, or ``_GONE`` or ``_BUSY``."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return _GONE
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(directory)):
            return fd
    except BlockingIOError:
        os.close(fd)
        return _BUSY
    except FileNotFoundError:
        pass
    os.close(fd)
    return _GONE


def _forget_default_acl(directory: int) -> None:
    """Let nothing inherit a parent's ACL: what is copied has its own."""
    try:
        os.removexattr(directory, "system.posix_acl_default")
    except OSError:
        return  # there is none


def clear_stages(paths: Iterable[Path]) -> list[Path]:
    """Remove those of these entries that are stages, and that nobody is at work in.

    :return: what was removed.
    :raises OSError: one could not be removed.
    """
    found = []
    for path in paths:
        # Not lstat(): its work may have ended meanwhile.
        if not is_left(path.name, SUFFIX) or not path.is_dir() or path.is_symlink():
            continue
        lock = _take(path)
        if lock >= 0:
            try:
                remove_tree(path)
            finally:
                os.close(lock)
            found.append(path)
    return found
