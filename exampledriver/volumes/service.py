"""The volume service: what happens to a volume, in which order, and what of it is durable.

The order is the promise. A crash between any two steps leaves something that the
next start, or the same call again, completes:

- *Create*: validate, lock, make the directory, journal, publish, answer. A
  directory without a journal entry is adopted by the same call again.
- *Remove*: lock, ask the kernel who uses it, journal that it is *being removed*,
  move the data to the trash, publish, answer; the entry leaves the journal
  afterwards. The move, one durable rename, is the moment of truth: a start that
  finds a volume being removed asks whether its data is still at its place. If so
  the removal was never answered, and the volume is there as before; if not it is
  gone. A move that fails therefore takes nothing from anybody.
- *Mount*: lock, make it usable, count it in the ledger, answer.

Reads answer from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from ..backends.interfaces import IBackend
from ..journal.interfaces import CatalogError, ICatalog
from ..plugin.volume import Capabilities, IVolumeDriver, Volume
from ..plugin.wire import Answer
from .errors import ConflictError, NoSuchVolumeError, VolumeError, quoted
from .health import HealthChecks, Threads
from .ledger import MountLedger
from .listing import Listing, status_of
from .locks import Locks
from .model import Options, StoredVolume, check_name

_log = Logger()

#: In the journal's value of a volume whose removal has begun.
_REMOVING = "removing"


@implementer(IVolumeDriver)
@define(eq=False)
class VolumeService:
    """The volumes of one machine.

    :ivar now: the time of day, with a time zone.
    :ivar removed: called after a volume's data went to the trash.
    """

    _catalog: ICatalog
    _ledger: MountLedger
    _backend: IBackend
    _health: HealthChecks
    _threads: Threads
    now: Callable[[], datetime]
    removed: Callable[[], None] = lambda: None
    _volumes: dict[str, StoredVolume] = field(factory=dict, init=False)
    #: Removed, but the journal still says "being removed": it is cleared before
    #: a directory of that name is made, which a start would take for the old one.
    _uncleared: set[str] = field(factory=set, init=False)
    #: Being removed when the daemon died, and still there.
    _interrupted: list[StoredVolume] = field(factory=list, init=False)
    _locks: Locks = field(factory=Locks, init=False)
    _listing: Listing = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with nothing listed."""
        self._listing = Listing(self._ledger, self._threads)

    def load(self) -> None:
        """Read the journal and settle what a crash interrupted. Blocks.

        :raises ValueError: an entry of the journal is no volume.
        """
        for name, value in self._catalog.entries():
            volume = StoredVolume.from_json(name, value)
            # The root may have moved since it was written down.
            place = self._backend.mountpoint(name, volume.options)
            if place != volume.mountpoint:
                volume = evolve(volume, mountpoint=place)
            if not value.get(_REMOVING):
                self._volumes[name] = volume
            elif self._backend.is_removed(volume):
                self._uncleared.add(name)
            else:
                self._interrupted.append(volume)
                self._volumes[name] = volume
        strays = self._backend.recover(self._volumes.keys())
        if strays:
            _log.warn(
                "{count} entries of the root belong to no volume: {names}; a volume created "
                "with such a name adopts the directory",
                count=len(strays),
                names=", ".join(strays[:20]) + (" …" if len(strays) > 20 else ""),
            )

    def start(self) -> None:
        """Journal what :meth:`load` settled, and drop counts of volumes that are gone."""
        for name in list(self._uncleared):
            self._in_background(self._clear(name))
        for volume in self._interrupted:
            self._in_background(self._put_back(volume))
        for name in self._ledger.volumes():
            if name not in self._volumes:
                self._in_background(self._forget_gone(name))

    async def _forget_gone(self, name: str) -> None:
        async with self._locks.held(name):
            if name not in self._volumes:
                await self._forget_mounts(name)

    async def _clear(self, name: str) -> None:
        """Take a removed volume's last entry out of the journal."""
        await self._catalog.delete(name)
        self._uncleared.discard(name)

    async def _put_back(self, volume: StoredVolume) -> None:
        """Let the journal say again that a volume is not being removed."""
        await self._catalog.put(volume.name, volume.to_json())

    @staticmethod
    def _in_background(work: Coroutine[Deferred[Any], Any, None]) -> None:
        Deferred.fromCoroutine(work).addErrback(
            lambda failure: _log.warn("{why}; the next start does it again", why=failure.value)
        )

    def _known(self, name: str) -> StoredVolume:
        """Return the volume `name`.

        :raises InvalidNameError: that is no name.
        :raises NoSuchVolumeError: there is none.
        """
        volume = self._volumes.get(name)
        if volume is None:
            check_name(name)
            raise NoSuchVolumeError(
                f'volume {quoted(name)}: no such volume; "docker volume create" makes one'
            )
        return volume

    async def create(self, name: str, options: Mapping[str, str]) -> None:
        """Make a volume; one that exists with the same options is a success.

        :raises InvalidNameError: the name cannot be one.
        :raises InvalidOptionError: an option cannot be used.
        :raises ConflictError: it exists with other options.
        :raises VolumeError: its directory could not be made, or the journal not written.
        """
        check_name(name)
        parsed = Options.parse(name, options)
        async with self._locks.held(name):
            wanted = parsed
            if parsed.mountpoint is not None:
                wanted = await self._threads(self._backend.resolve, name, parsed)
            existing = self._volumes.get(name)
            if existing is None:
                await self._create(name, wanted)
                return
            difference = existing.options.difference(wanted)
            if difference:
                raise ConflictError(
                    f"volume {quoted(name)}: exists with other options: {difference}; use it as "
                    "it is, or remove it first"
                )

    async def _create(self, name: str, options: Options) -> None:
        mountpoint = self._backend.mountpoint(name, options)
        volume = StoredVolume(name, mountpoint, self.now().replace(microsecond=0), options)
        try:
            if name in self._uncleared:
                await self._clear(name)
        except CatalogError as error:
            raise VolumeError(f"volume {quoted(name)}: {error}") from error
        new = await self._threads(self._backend.create, volume)
        try:
            await self._catalog.put(name, volume.to_json())
        except CatalogError as error:
            if new:
                await self._undo(volume)
            raise VolumeError(f"volume {quoted(name)}: {error}") from error
        self._volumes[name] = volume
        self._listing.changed(name)
        self._health.good(name)

    async def _undo(self, volume: StoredVolume) -> None:
        try:
            await self._threads(self._backend.undo_create, volume)
        except VolumeError as error:
            _log.warn("{error}; it is adopted when the volume is created again", error=error)

    async def remove(self, name: str) -> None:
        """Remove a volume; one that does not exist is a success.

        :raises InvalidNameError: the name cannot be one.
        :raises BusyError: the kernel says that somebody uses it.
        :raises VolumeError: its data could not be moved, or the journal not written;
            the volume is as it was.
        """
        check_name(name)
        async with self._locks.held(name):
            volume = self._volumes.get(name)
            if volume is None:
                return
            await self._threads(self._backend.check_unused, volume)
            try:
                if self._backend.keeps_data(volume):
                    await self._remove_data(volume)
                else:
                    await self._catalog.delete(name)
            except CatalogError as error:
                raise VolumeError(f"volume {quoted(name)}: {error}") from error
            del self._volumes[name]
            self._listing.changed(name)
            self._health.forget(name)
            await self._forget_mounts(name)
        self.removed()

    async def _forget_mounts(self, name: str) -> None:
        """Drop the counts of a volume that is gone; its lock is held."""
        try:
            await self._ledger.forget(name)
        except CatalogError as error:
            _log.warn("volume {name}: mount counts remain: {error}", name=name, error=error)

    async def _remove_data(self, volume: StoredVolume) -> None:
        await self._catalog.put(volume.name, {**volume.to_json(), _REMOVING: True})
        try:
            await self._threads(self._backend.remove, volume)
        except VolumeError:
            self._in_background(self._put_back(volume))
            raise
        self._uncleared.add(volume.name)
        self._in_background(self._clear(volume.name))

    async def mount(self, name: str, mount_id: str) -> str:
        """Make a volume usable, and count it.

        :raises NoSuchVolumeError: there is none.
        :raises VolumeError: its directory is not there, or the count not written.
        """
        async with self._locks.held(name):
            volume = self._known(name)
            path: str = await self._threads(self._backend.mount, volume)
            try:
                await self._ledger.add(name, mount_id)
            except CatalogError as error:
                if not self._ledger.of(name):
                    await self._threads(self._backend.unmount, volume)
                raise VolumeError(f"volume {quoted(name)}: {error}") from error
            self._listing.changed(name)
            self._health.good(name)
        return path

    async def unmount(self, name: str, mount_id: str) -> None:
        """Count one mount less; one that is not known is a success.

        :raises InvalidNameError: the name cannot be one.
        :raises VolumeError: the count could not be written.
        """
        check_name(name)
        async with self._locks.held(name):
            try:
                known = await self._ledger.remove(name, mount_id)
            except CatalogError as error:
                raise VolumeError(f"volume {quoted(name)}: {error}") from error
            volume = self._volumes.get(name)
            self._listing.changed(name)
            self._health.released(name)
            if known and volume is not None and not self._ledger.of(name):
                await self._threads(self._backend.unmount, volume)

    @property
    def count(self) -> int:
        """How many volumes there are."""
        return len(self._volumes)

    def path(self, name: str) -> str:
        """Return the volume's directory.

        :raises NoSuchVolumeError: there is none.
        """
        return self._known(name).mountpoint

    def get(self, name: str) -> Volume:
        """Return the volume from memory: it fails for no other reason than the first.

        :raises NoSuchVolumeError: there is none.
        """
        volume = self._known(name)
        counts = self._ledger.of(name)
        status = status_of(volume, counts)
        status.update(self._health.status(volume, counts))
        return Volume(name, volume.mountpoint, volume.created, status)

    def capabilities(self) -> Capabilities:
        """Return the scope: the volumes of this machine."""
        return Capabilities("local")

    # Last, because its name hides the builtin from the annotations below it.
    def list(self) -> Answer[Iterable[bytes]]:
        """Return all volumes, by name, from what was made of each for the List before."""
        return self._listing.of(self._volumes)
