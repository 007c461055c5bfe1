"""What a kind of storage offers to the volume service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path

from zope.interface import Interface

from ..volumes.model import StoredVolume, Wanted
from .copying.copiers import ICopier
from .measuring import Measure

#: The kinds whose size a program in a container can get around if it sets out to, and how, for
#: ``Status``.
SIZE_LIMITS: Mapping[str, str] = {
    "btrfs": (
        "soft: programs that make subvolumes in the volume can write more; backend=image has a "
        "hard limit"
    ),
    "directory": (
        "soft: the owner of a file can take it out of the quota, but not in a user namespace; "
        "backend=image has a hard limit"
    ),
}


class IBackend(Interface):
    """A kind of storage.

    All methods block and run in threads. Those that change something are called
    for one volume one at a time; :meth:`look` may be called at any time. They
    raise :class:`~exampledriver.volumes.errors.VolumeError` (or a
    :class:`~exampledriver.plugin.errors.BadRequest`) with a text for the user.
    """

    def parse(name: str, given: Mapping[str, str]) -> Wanted:
        """Return the backend and the canonical options of a Create. Does not touch the disk.

        :raises InvalidOptionError: one is not known, missing, or malformed; the text names it.
        """

    def judge(backend: str, options: Mapping[str, str]) -> None:
        """Judge what the journal says of a volume. Does not touch the disk.

        :raises ValueError: this version knows no such backend, or option.
        """

    def resolve(name: str, wanted: Wanted) -> Wanted:
        """Return what is wanted as it will be stored: paths without symbolic links, and allowed.

        Asked of what :meth:`parse` has left unresolved.
        """

    def mountpoint(name: str, wanted: Wanted) -> str:
        """Return where a volume of this (resolved) kind lives. Does not touch the disk."""

    def create(volume: StoredVolume) -> bool:
        """Make the volume's place; return whether it is new.

        What is there already is adopted with its content. Interrupted anywhere,
        it can be called again. It is durable, unless the volume :meth:`settles` and is new.
        """

    def undo_create(volume: StoredVolume) -> None:
        """Take back a :meth:`create` that made something new, if it is still empty."""

    def mount(volume: StoredVolume) -> str:
        """Make the volume usable; return an absolute path of an existing directory."""

    def unmount(volume: StoredVolume) -> None:
        """Take note that nobody is counted as using the volume any more."""

    def mounted() -> Set[str]:
        """Return the names of the volumes that are mounted, and can be unmounted."""

    def check_unused(volume: StoredVolume) -> None:
        """Refuse if the kernel says that somebody uses the volume.

        :raises BusyError: the text says who.
        """

    def keeps_data(volume: StoredVolume) -> bool:
        """Tell whether :meth:`remove` has something to do. Does not touch the disk."""

    def remove(volume: StoredVolume, now: bool = False) -> None:
        """Put the volume's data aside, in one step; data that is gone is no error.

        :param now: not into the trash, but where it is deleted for good: that needs no space.

        It is durable, unless the volume :meth:`settles`.
        """

    def trashes(volume: StoredVolume) -> bool:
        """Tell whether :meth:`remove` puts data into the trash. Does not touch the disk."""

    def data_path(volume: StoredVolume) -> str:
        """Return where what :meth:`remove` puts aside is. Does not touch the disk."""

    def settles(volume: StoredVolume) -> bool:
        """Tell whether :meth:`settle` makes a creation of this volume durable, and a removal.

        Does not touch the disk.
        """

    def settle(made: Sequence[StoredVolume], removed: Sequence[StoredVolume]) -> Mapping[str, str]:
        """Make durable that volumes were made and removed; do it again where a crash undid it.

        :param made: new volumes that :meth:`settles` is true of.
        :param removed: volumes that keep data, of any kind.
        :return: the names of those for which it could not be done, and why.
        :raises VolumeError: it could be done for none.
        """

    def look(volume: StoredVolume, mounted: bool) -> tuple[str, str | None]:
        """Look how the volume is: return its trouble, and who holds it; both may be empty.

        Who holds it is asked only of a volume that is counted as `mounted`, and otherwise
        ``None``: the answer is in every process's mounts.
        """

    def recover(known: Mapping[str, StoredVolume], fresh: Set[str]) -> list[str]:
        """Clear what a crash left half made, before the first call.

        :param fresh: those of `known` whose creation may not have become durable.
        :return: what lies where volumes live and belongs to none of the names `known`.
        """


class IConfigured(Interface):
    """What a backend offers whose :meth:`IBackend.parse` gives defaults of the configuration."""

    def parse_whole(name: str, given: Mapping[str, str]) -> Wanted:
        """Read the options as :meth:`IBackend.parse` does, without defaults.

        Copies, and what comes from the trash or an archive, are what they are copies of.
        """


class IRooted(Interface):
    """What a backend offers that sees whether its root is the one with its volumes."""

    def trouble() -> str:
        """Return why nothing may be made, sought or removed there, and what to do. Blocks.

        Empty if all is well.
        """

    def file_system(path: str) -> str:
        """Return the file system of a path, for people. It is not touched: it may not answer.

        :param path: absolute; empty for the root.
        """


class IPlaced(Interface):
    """What a backend offers whose volumes are directories in file systems that others mount."""

    def place(volume: StoredVolume) -> str:
        """Return which file system the volume's directory lies in; see :class:`.StoredVolume`.

        Empty for a volume of a kind that the driver itself mounts. Blocks.

        :raises VolumeError: its directory cannot be reached.
        """


class ICopyable(Interface):
    """A kind of storage whose volumes can be copied: snapshots, clones, archives."""

    def copier(volume: StoredVolume) -> ICopier:
        """Return what copies the data of a volume. Does not touch the disk.

        :raises VolumeError: nothing does; the text says why.
        """

    def users(volume: StoredVolume) -> str:
        """Return who has the volume, as the kernel says; empty if nobody does. Blocks.

        :raises VolumeError: its data is not there.
        """

    def open(volume: StoredVolume) -> None:
        """Make the volume ready to be copied, while others may use it. Blocks.

        An :meth:`IBackend.unmount` takes that back.

        :raises VolumeError: it could not be done.
        """

    def close(volume: StoredVolume) -> StoredVolume:
        """See that nothing is at work in the data of a volume that nobody uses. Blocks.

        :return: how the volume is, for the trash: its options are those of its data.
        :raises VolumeError: something is; the text says what.
        """

    def taken_over(backend: str, options: Mapping[str, str]) -> Mapping[str, str]:
        """Return what options, ``backend`` too, another volume with this data has. At once."""

    def clone_options(
        name: str, backend: str, options: Mapping[str, str], given: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Return all options of a clone. At once.

        :param options: the source's, of the kind `backend`.
        :param given: those of the clone's Create, not judged yet.
        :raises InvalidOptionError: one cannot be.
        """

    def leftovers() -> Sequence[Path]:
        """Return the hidden entries that :meth:`IBackend.recover` saw beside its volumes' data.

        At once. What a crash left half made, and notes of it, are among them.
        """


class IMeasurable(Interface):
    """A kind of storage that says how much a volume takes, where that is not a directory's."""

    def measure(volume: StoredVolume, pulse: Callable[[], None]) -> Measure:
        """Return what the volume takes, mounted or not. Blocks, for long.

        :param pulse: called while it goes on.
        :raises MeasureError: that is not known; the text says why.
        """


class IResizable(Interface):
    """A kind of storage whose volumes have a size that can be changed."""

    def resize(volume: StoredVolume, size: int) -> None:
        """Give a volume another size, in bytes, mounted or not; interrupted, it can be done again.

        :raises VolumeError: it cannot have that size; the text says why.
        """
