"""Copies of Btrfs subvolumes: snapshots of the file system's own, of one moment and at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from attrs import define, field
from twisted.logger import Logger
from zope.interface import implementer

from ..volumes.errors import VolumeError
from ..volumes.model import StoredVolume
from . import owned
from .commands import CommandError, run
from .copying.copiers import CRASH_CONSISTENT, EXACT, ONE_BY_ONE, ICopier
from .copying.inner import close_all, copy_inner
from .copying.progress import Progress
from .copying.staging import Stage
from .copying.trees import Copied, check_no_mounts

#: Seconds for a snapshot, which writes first what the subvolume has in memory.
_SECONDS = 600.0

METHOD = "subvolume"

_log = Logger()


@implementer(ICopier)
@define(eq=False)
class SubvolumeCopier:
    """Copies a volume that is a subvolume.

    :ivar make: makes an empty subvolume of the volume's options at a path.
    :ivar limit: gives a subvolume the volume's size.
    """

    _volume: StoredVolume
    _make: Callable[[StoredVolume, str], None]
    _limit: Callable[[StoredVolume, str], None]
    #: The last copy has subvolumes inside.
    _nested: bool = field(default=False, init=False)

    def copy(self, source: Path, target: Path, progress: Progress) -> Copied:
        """Make a read-only snapshot."""
        return self._snapshot(source, target, progress, True)

    def clone(self, source: Path, target: Path, progress: Progress, new: bool) -> Copied:
        """Make a snapshot that is written to, with the volume's size."""
        copied = self._snapshot(source, target, progress, False)
        if new:
            owned.change(target, self._volume.options)
        return copied

    def _snapshot(self, source: Path, target: Path, progress: Progress, kept: bool) -> Copied:
        """Make a snapshot of a subvolume and of those inside it.

        :param kept: it is read-only, and has no size.
        """
        check_no_mounts(source)
        progress.advance()
        _btrfs("subvolume", "snapshot", str(source), str(target))
        if not kept:
            # Before others come into it, which inherit the limit.
            self._limit(self._volume, str(target))
        with opened(source) as theirs, opened(target) as ours:
            made, left_out = copy_inner(theirs, ours, progress)
            if kept:
                close_all(ours, made)
        self._nested = bool(made or left_out)
        if left_out:
            _log.warn(
                "{source}: {count} subvolumes inside were moved or deleted meanwhile, or lie too "
                "deep, and are not in its copy",
                source=str(source),
                count=left_out,
            )
        return Copied(METHOD, None, None, left_out)

    @contextmanager
    def reading(self, source: Path) -> Iterator[Path]:
        """Give a snapshot; of a volume that is in use one that goes again."""
        if os.fspath(source) != self._volume.mountpoint:
            yield source
            return
        with Stage(source.with_name(f"{source.name}@{token_hex(4)}")) as stage:
            self.copy(source, stage.content, Progress())
            yield stage.content

    @contextmanager
    def filling(self, target: Path) -> Iterator[Path]:
        """Give a new subvolume."""
        self._make(self._volume, str(target))
        yield target

    def consistency(self, in_use: bool) -> str:
        """Say that a snapshot is of one moment, and one with others inside of several."""
        if not in_use:
            return EXACT
        return ONE_BY_ONE if self._nested else CRASH_CONSISTENT

    def consistency_read(self, in_use: bool) -> str:
        """Say that what is read is a snapshot."""
        return self.consistency(in_use)


@contextmanager
def opened(path: Path | str) -> Iterator[int]:
    """Open a directory, through no link, and close it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)


def _btrfs(*words: str) -> None:
    try:
        run(["btrfs", *words], _SECONDS)
    except CommandError as error:
        raise VolumeError(f"btrfs {' '.join(words[:2])}: {error}") from error
