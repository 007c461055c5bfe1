"""Whether what is at the root's path is what the volumes are in.

A file system that is not mounted when the daemon starts, or is unmounted while it runs
(``umount --lazy``; an engine that tidies up after a managed plugin), leaves an empty directory.
What is made there is out of sight when the file system is back, and a volume that is removed
there comes back with it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Set
from pathlib import Path

from attrs import define, field

from ..volumes.errors import VolumeError, quoted
from ..volumes.model import StoredVolume
from .copying.snapshots import SNAPSHOTS
from .imagefiles import IMAGES
from .mounts import inside
from .trash import TRASH

#: What the daemon makes in its root beside volumes, and only where there is no trouble.
_MADE = (IMAGES, SNAPSHOTS, TRASH)


@define(eq=False)
class Root:
    """The directory below which volumes live, as it was when this was made.

    :ivar path: a real path, without symbolic links.
    :ivar mounting: the kinds whose volumes have no data in it, but are mounted there.
    """

    path: Path
    mounting: Set[str] = frozenset()
    #: The volumes whose data was to be in it at the start, if nothing of any was.
    _absent: Set[str] = field(default=frozenset(), init=False)
    _was: tuple[int, int] | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        """See which directory it is."""
        self._was = self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _has_any(self, wanted: Callable[[str], bool]) -> bool:
        """Tell whether something is there that only the daemon makes, or such a name."""
        try:
            with os.scandir(self.path) as entries:
                return any(entry.name in _MADE or wanted(entry.name) for entry in entries)
        except OSError:
            return False

    def begin(self, known: Mapping[str, StoredVolume], fresh: Set[str]) -> None:
        """See whether any volume is there, of those that must be. Blocks.

        :param fresh: those of `known` whose creation a crash may have undone.
        """

        def must(name: str) -> bool:
            return name in known and name not in fresh and self._keeps(known[name])

        # Of a hundred thousand, the first one that is looked at is there.
        if len(known) > len(fresh) and not self._has_any(must):
            self._absent = frozenset(filter(must, known))

    def _keeps(self, volume: StoredVolume) -> bool:
        return self.holds(volume) and volume.backend not in self.mounting

    def holds(self, volume: StoredVolume) -> bool:
        """Tell whether a volume lives below the root."""
        return inside(volume.mountpoint, str(self.path))

    def trouble(self) -> str:
        """Return why nothing may be done in the root, and what to do; empty if all is well."""
        absent = self._absent
        if self._identity() != self._was:
            if absent:
                return (
                    f"the file system of {self.path} was mounted after the driver had started: "
                    "start the driver again"
                )
            return (
                f"{self.path} is not the directory that it was when the driver started: its file "
                "system was unmounted, or something was mounted over it; put that back, or start "
                "the driver again"
            )
        if absent and self._has_any(absent.__contains__):
            absent = self._absent = frozenset()
        if absent:
            what = f"{len(absent)} volumes that were" if len(absent) > 1 else "volume that was"
            empty = shlex.quote(f"{self.path}/{next(iter(absent))}")
            return (
                f"{self.path} has nothing of the {what} made in it: if its file system is not "
                "mounted, mount it and start the driver again; if the data is in another "
                "directory, give that as --root; if it is gone for good, say so by making an empty "
                f"volume of one, mkdir {empty}"
            )
        return ""

    def trouble_of(self, volume: StoredVolume) -> str:
        """Return the :meth:`trouble` that a volume has; one that lives elsewhere has none."""
        return self.trouble() if self.holds(volume) else ""

    def check(self, volume: StoredVolume) -> None:
        """Refuse to work on a volume with a :meth:`trouble_of` the root.

        :raises VolumeError: it has.
        """
        trouble = self.trouble_of(volume)
        if trouble:
            raise VolumeError(f"volume {quoted(volume.name)}: {trouble}")
