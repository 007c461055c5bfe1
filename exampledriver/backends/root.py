"""Whether what is at the root's path is what the volumes are in.

A file system that is not mounted when the daemon starts, or is unmounted while it runs
(``umount --lazy``; an engine that tidies up after a managed plugin), leaves an empty directory.
What is made there is out of sight when the file system is back, and nothing of what was
there can be removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from attrs import define, field

from ..volumes.errors import VolumeError, quoted
from ..volumes.model import StoredVolume


@define(eq=False)
class Root:
    """The directory below which volumes live, as it was when this was made.

    :ivar path: a real path, without symbolic links.
    :ivar absent: the names of the volumes that were to be in it at the start, if none was.
    """

    path: Path
    absent: Set[str] = field(default=frozenset(), init=False)
    _below: str = field(init=False)
    _was: tuple[int, int] | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        """See which directory it is."""
        self._below = f"{self.path}/"
        self._was = self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def begin(
        self, entries: Iterable[str], known: Mapping[str, StoredVolume], fresh: Set[str]
    ) -> None:
        """See whether any volume is there, of those that must be.

        :param entries: the names in the root.
        :param fresh: those of `known` whose creation a crash may have undone.
        """
        self.absent = frozenset()
        # Of a hundred thousand, what is looked at first is there.
        if not any(name in known and name not in fresh for name in entries):
            self.absent = {
                name for name, volume in known.items() if name not in fresh and self.has(volume)
            }

    def has(self, volume: StoredVolume) -> bool:
        """Tell whether a volume lives below the root."""
        return volume.mountpoint.startswith(self._below)

    def check(self, volume: StoredVolume) -> None:
        """Refuse to work on a volume of the root if another directory is in its place.

        :raises VolumeError: so it is.
        """
        if self.has(volume) and self._identity() != self._was:
            raise VolumeError(
                f"volume {quoted(volume.name)}: {self.path} is not the directory that it was when "
                "the driver started: its file system was unmounted, or something was mounted over "
                "it; put that back, or start the driver again"
            )

    def check_new(self, volume: StoredVolume) -> None:
        """Refuse also to make a volume where none of the others is.

        :raises VolumeError: so it is.
        """
        self.check(volume)
        if self.absent and self.has(volume):
            count, one = len(self.absent), min(self.absent)
            raise VolumeError(
                f"volume {quoted(volume.name)}: {self.path} has nothing of its {count} volumes, "
                f"such as {quoted(one)}: if its file system is not mounted, mount it and start the "
                "driver again; if their data is gone, remove them first"
            )

    def removed(self, volume: StoredVolume) -> None:
        """Take note that a volume is not expected any more."""
        if self.absent:
            self.absent = self.absent - {volume.name}
