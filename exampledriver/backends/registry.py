"""All kinds of storage as one: the volume service knows no kinds.

A volume of the journal whose kind may not be created any more works as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path

from attrs import define, field
from zope.interface import implementer

from ..volumes.errors import VolumeError, quoted
from ..volumes.model import StoredVolume, Wanted
from . import kinds, places
from .clones import clone_options, taken_over
from .copying.copiers import ICopier
from .interfaces import (
    IBackend,
    IConfigured,
    ICopyable,
    IMeasurable,
    IPlaced,
    IResizable,
    IRooted,
)
from .kinds import Choice
from .measuring import Measure, measure
from .root import Root

#: Why volumes of a kind are not copied, or what does it instead.
_NOT_COPIED = {
    "mount": "its data is on a server: that has snapshots of its own, or copy it in a container",
    "tmpfs": "its data is in memory, and gone when nobody has it mounted",
}


@implementer(IBackend, IConfigured, ICopyable, IMeasurable, IPlaced, IResizable, IRooted)
@define(eq=False)
class Backends:
    """The kinds of storage by name.

    :ivar home: the root, which is looked at before anything is done in it.
    """

    _kinds: Mapping[str, IBackend]
    home: Root
    choice: Choice = field(factory=Choice)

    def of(self, volume: StoredVolume) -> IBackend:
        """Return the backend of a volume."""
        return self._kinds[volume.backend]

    def parse(self, name: str, given: Mapping[str, str]) -> Wanted:
        """Read the options, for the kind that they ask for."""
        return self.choice.parse(name, given)

    def parse_whole(self, name: str, given: Mapping[str, str]) -> Wanted:
        """Read all the options of a volume, for the kind that they name."""
        return self.choice.parse(name, given, whole=True)

    def judge(self, backend: str, options: Mapping[str, str]) -> None:
        """Judge what the journal says."""
        kinds.judge(backend, options)

    def resolve(self, name: str, wanted: Wanted) -> Wanted:
        """Resolve what is wanted."""
        return self._kinds[wanted.backend].resolve(name, wanted)

    def mountpoint(self, name: str, wanted: Wanted) -> str:
        """Return where a volume lives."""
        return self._kinds[wanted.backend].mountpoint(name, wanted)

    def create(self, volume: StoredVolume) -> bool:
        """Make the volume."""
        self.home.check(volume)
        return self._kinds[volume.backend].create(volume)

    def undo_create(self, volume: StoredVolume) -> None:
        """Take the creation back."""
        self.of(volume).undo_create(volume)

    def mount(self, volume: StoredVolume) -> str:
        """Make the volume usable."""
        self.home.check(volume)
        return self.of(volume).mount(volume)

    def unmount(self, volume: StoredVolume) -> None:
        """Unmount the volume."""
        self.of(volume).unmount(volume)

    def mounted(self) -> Set[str]:
        """Return the names of what is mounted."""
        return frozenset().union(*(backend.mounted() for backend in self._kinds.values()))

    def check_unused(self, volume: StoredVolume) -> None:
        """Refuse if somebody uses the volume, or its data cannot be reached."""
        self.home.check(volume)
        self.of(volume).check_unused(volume)

    def keeps_data(self, volume: StoredVolume) -> bool:
        """Tell whether there is something to be removed."""
        return self._kinds[volume.backend].keeps_data(volume)

    def remove(self, volume: StoredVolume, now: bool = False) -> None:
        """Put the volume's data aside."""
        self.home.check(volume)
        self.of(volume).remove(volume, now)

    def trashes(self, volume: StoredVolume) -> bool:
        """Tell whether the volume's data goes to the trash."""
        return self._kinds[volume.backend].trashes(volume)

    def data_path(self, volume: StoredVolume) -> str:
        """Return where the volume's data is."""
        return self._kinds[volume.backend].data_path(volume)

    def settles(self, volume: StoredVolume) -> bool:
        """Tell whether the volume is to be settled."""
        return self._kinds[volume.backend].settles(volume)

    def settle(
        self, made: Sequence[StoredVolume], removed: Sequence[StoredVolume]
    ) -> Mapping[str, str]:
        """Settle the volumes of each kind; what fails for one kind does not keep the others."""
        # One look for all of them, which are in the root, or were.
        trouble = self.home.trouble() if any(map(self.home.holds, (*made, *removed))) else ""
        if trouble:
            raise VolumeError(trouble)
        failed: dict[str, str] = {}
        for kind, backend in self._kinds.items():
            ours = [volume for volume in made if volume.backend == kind]
            gone = [volume for volume in removed if volume.backend == kind]
            if not (ours or gone):
                continue
            try:
                failed.update(backend.settle(ours, gone))
            except VolumeError as error:
                failed.update((volume.name, str(error)) for volume in (*ours, *gone))
        return failed

    def look(self, volume: StoredVolume, mounted: bool) -> tuple[str, str | None]:
        """Look how the volume is."""
        trouble = self.home.trouble_of(volume)
        found, users = self.of(volume).look(volume, mounted)
        return trouble or found, users

    def place(self, volume: StoredVolume) -> str:
        """Return which file system the volume's directory lies in."""
        placed = IPlaced(self.of(volume), None)
        found: str = placed.place(volume) if placed else ""
        return found

    def file_system(self, path: str) -> str:
        """Return the file system of a path, for people."""
        return places.file_system(path or str(self.home.path))

    def recover(self, known: Mapping[str, StoredVolume], fresh: Set[str]) -> list[str]:
        """Clear what was half made; list what is no volume's."""
        strays: list[str] = []
        for backend in self._kinds.values():
            strays += backend.recover(known, fresh)
        self.home.begin(known, fresh)
        return strays

    def trouble(self) -> str:
        """Return why nothing may be done in the root."""
        return self.home.trouble()

    def copier(self, volume: StoredVolume) -> ICopier:
        """Return what copies the data of a volume.

        :raises VolumeError: nothing does; the text says why.
        """
        return self._copyable(volume).copier(volume)

    def users(self, volume: StoredVolume) -> str:
        """Return who has the volume."""
        return self._copyable(volume).users(volume)

    def open(self, volume: StoredVolume) -> None:
        """Make the volume ready to be copied."""
        self._copyable(volume).open(volume)

    def close(self, volume: StoredVolume) -> StoredVolume:
        """See that nothing is at work in its data."""
        closed: StoredVolume = self._copyable(volume).close(volume)
        return closed

    def taken_over(self, backend: str, options: Mapping[str, str]) -> Mapping[str, str]:
        """Return what options another volume with this data has."""
        return taken_over(backend, options)

    def clone_options(
        self, name: str, backend: str, options: Mapping[str, str], given: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Return all options of a clone."""
        return clone_options(name, backend, options, given)

    def leftovers(self) -> Sequence[Path]:
        """Return the hidden entries beside the data of volumes of all kinds."""
        copyable = (ICopyable(backend, None) for backend in self._kinds.values())
        return [path for one in copyable if one for path in one.leftovers()]

    def _copyable(self, volume: StoredVolume) -> ICopyable:
        copyable = ICopyable(self.of(volume), None)
        if copyable is None:
            why = _NOT_COPIED.get(volume.backend, "copy its data in a container")
            raise VolumeError(
                f"volume {quoted(volume.name)}: backend {volume.backend} has no snapshots, clones "
                f"and archives: {why}"
            )
        return copyable

    def measure(self, what: StoredVolume | str, pulse: Callable[[], None]) -> Measure:
        """Return what a volume takes, or what is in the trash at a path.

        :raises MeasureError: that is not known; the text says why.
        """
        if isinstance(what, str):
            return measure(what, pulse)
        measurable = IMeasurable(self._kinds[what.backend], None)
        found: Measure = (
            measure(what.mountpoint, pulse)
            if measurable is None
            else measurable.measure(what, pulse)
        )
        return found

    def resize(self, volume: StoredVolume, size: int) -> None:
        """Give a volume another size.

        :raises VolumeError: its kind has none, or it cannot have that one.
        """
        resizable = IResizable(self.of(volume), None)
        if resizable is None or "size" not in volume.options:
            raise VolumeError(
                f"volume {quoted(volume.name)}: was made without a size (backend "
                f"{volume.backend}), so there is none to change"
            )
        self.home.check(volume)
        resizable.resize(volume, size)
