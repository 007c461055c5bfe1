"""Copies of Btrfs subvolumes: snapshots of the file system's own, of one moment and at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from attrs import define
from zope.interface import implementer

from ..volumes.errors import VolumeError
from ..volumes.model import StoredVolume
from . import owned
from .commands import CommandError, run
from .copying.copiers import CRASH_CONSISTENT, EXACT, ICopier
from .copying.progress import Progress
from .copying.staging import Stage
from .copying.trees import Copied, check_no_mounts

#: Seconds for a snapshot, which writes first what the subvolume has in memory.
_SECONDS = 600.0

METHOD = "subvolume"


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

    def copy(self, source: Path, target: Path, progress: Progress) -> Copied:
        """Make a read-only snapshot."""
        return self._snapshot(source, target, progress, "-r")

    def clone(self, source: Path, target: Path, progress: Progress, new: bool) -> Copied:
        """Make a snapshot that is written to, with the volume's size."""
        copied = self._snapshot(source, target, progress)
        if new:
            owned.change(target, self._volume.options)
        self._limit(self._volume, str(target))
        return copied

    def _snapshot(self, source: Path, target: Path, progress: Progress, *how: str) -> Copied:
        check_no_mounts(source)
        _check_flat(source)
        progress.advance()
        _btrfs("subvolume", "snapshot", *how, str(source), str(target))
        return Copied(METHOD, None, None)

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
        """Say that a snapshot is of one moment."""
        return CRASH_CONSISTENT if in_use else EXACT

    def consistency_read(self, in_use: bool) -> str:
        """Say that what is read is a snapshot."""
        return self.consistency(in_use)


def _check_flat(source: Path) -> None:
    """Refuse what a snapshot would lack.

    :raises VolumeError: there are subvolumes in it; the text names them.
    """
    listed = _btrfs("subvolume", "list", "-o", str(source)).splitlines()
    inside = [line.rpartition(" path ")[2] for line in listed if line.strip()]
    if inside:
        shown = ", ".join(inside[:5]) + (" …" if len(inside) > 5 else "")
        raise VolumeError(
            f"subvolumes are inside ({shown}), whose data a snapshot would lack: move them out, or "
            "copy the data in a container"
        )


def _btrfs(*words: str) -> str:
    try:
        return run(["btrfs", *words], _SECONDS)
    except CommandError as error:
        raise VolumeError(f"btrfs {' '.join(words[:2])}: {error}") from error
