"""Copies of volumes that are file systems in files: of the file, while it stands still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, evolve
from zope.interface import implementer

from ..volumes.model import StoredVolume
from .copying.copiers import CRASH_CONSISTENT, EXACT, FILE_BY_FILE, ICopier
from .copying.progress import Progress
from .copying.trees import Copied, copy_tree
from .freezing import frozen
from .imagefiles import ImageFiles
from .imageoptions import ImageOptions


@implementer(ICopier)
@define(eq=False)
class ImageCopier:
    """Copies the file of a volume, which is mounted, and frozen meanwhile."""

    _volume: StoredVolume
    _files: ImageFiles

    def copy(self, source: Path, target: Path, progress: Progress) -> Copied:
        """Copy the file; the copy can be mounted beside it."""
        copied = self._copy(source, target, progress)
        if ImageOptions.of(self._volume.options).fs == "btrfs":
            self._files.renew(self._volume, target)
        return copied

    def clone(self, source: Path, target: Path, progress: Progress, new: bool) -> Copied:
        """Copy the file, and let it grow to the volume's size."""
        copied = self._copy(source, target, progress)
        self._files.fit(self._volume, target, new)
        return copied

    def _copy(self, source: Path, target: Path, progress: Progress) -> Copied:
        # What is reserved would not be any more if it were shared.
        apart = ImageOptions.of(self._volume.options).reserve
        mountpoint = self._files.mountpoint(source)
        if mountpoint:
            with frozen(mountpoint):
                copied = copy_tree(source, target, progress, apart)
        else:
            copied = copy_tree(source, target, progress, apart)
        return evolve(copied, files=None)

    @contextmanager
    def reading(self, source: Path) -> Iterator[Path]:
        """Give the volume as it is mounted, or mount a copy."""
        mountpoint = self._files.mountpoint(source)
        if mountpoint:
            yield Path(mountpoint)
            return
        with self._files.read(self._volume, source) as tree:
            yield tree

    @contextmanager
    def filling(self, target: Path) -> Iterator[Path]:
        """Make a file system, and give its root directory."""
        with self._files.new(self._volume, target) as tree:
            yield tree

    def consistency(self, in_use: bool) -> str:
        """Say that the file is copied while nobody writes to it."""
        return CRASH_CONSISTENT if in_use else EXACT

    def consistency_read(self, in_use: bool) -> str:
        """Say that a mounted tree is read file by file."""
        return FILE_BY_FILE if in_use else EXACT
