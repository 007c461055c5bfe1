"""The volume service: what happens to a volume, in which order, and what of it is durable.

The order is the promise. A crash between any two steps leaves something that the
next start, or the same call again, completes:

- *Create*: validate, lock, make the directory, journal, publish, answer. A
  directory without a journal entry is adopted by the same call again.
- *Remove*: lock, ask the kernel who uses it, journal that it is *being removed*,
  move the data to the trash, publish, answer. From the journal's word on it is
  removed: a start that finds it does the rest. A move that fails is taken back in
  the journal before it is answered.
- Neither waits until the disk has the directory, or the move: the journal has
  promised it, and :mod:`~exampledriver.volumes.settling` keeps the promise.
- *Mount*: lock, see that it is durable, make it usable, count it in the ledger, answer.

Reads answer from memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ..backends.interfaces import IBackend, IResizable
from ..journal.interfaces import CatalogError, ICatalog
from ..plugin.errors import PluginError
from ..plugin.volume import Capabilities, IVolumeDriver, Volume
from ..plugin.wire import Answer
from . import values
from .answers import Answers
from .errors import ConflictError, NoSuchVolumeError, VolumeError, quoted
from .health import HealthChecks, Threads
from .holds import Hold, Holds
from .ledger import MountLedger
from .listing import Listing
from .locks import Locks
from .model import FROM, SETTLED, StoredVolume, Wanted, check_name, is_name
from .origins import ICloner, Origin
from .packed import GENERATION, REMOVING, Packed, Packer, Volumes
from .settling import Settler

_log = Logger()


@implementer(IVolumeDriver)
@define(eq=False)
class VolumeService:
    """The volumes of one machine.

    :ivar now: the time of day, with a time zone.
    :ivar removed: called after a volume's data went to the trash.
    :ivar passes: threads for making changes durable, which takes longer than a change.
    :ivar cloner: copies other volumes for the option ``from``.
    """

    _catalog: ICatalog
    _ledger: MountLedger
    _backend: IBackend
    _health: HealthChecks
    _threads: Threads
    _clock: IReactorTime
    now: Callable[[], datetime]
    removed: Callable[[], None] = lambda: None
    passes: Threads | None = None
    cloner: ICloner | None = field(default=None, init=False)
    _volumes: Volumes = field(init=False)
    _locks: Locks = field(factory=Locks, init=False)
    _holds: Holds = field(factory=Holds, init=False)
    _listing: Listing = field(init=False)
    _answers: Answers = field(init=False)
    _settler: Settler = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with nothing listed, and nothing to settle."""
        self._volumes = Volumes(Packer(self._backend.mountpoint, self._backend.judge))
        self._listing = Listing(self._volumes, self._ledger, self._threads)
        self._answers = Answers(self._health)
        passes = self.passes or self._threads
        self._settler = Settler(self._backend, self._catalog, passes, self._clock)

    def load(self) -> None:
        """Read the journal and settle what a crash interrupted. Blocks.

        :raises ValueError: an entry of the journal is no volume.
        """
        settled = 0
        dated: list[str] = []
        removed: list[StoredVolume] = []
        loaded: dict[str, Packed] = {}
        packer = self._volumes.packer
        read = packer.read
        for name, value in self._catalog.entries():
            if name == SETTLED and isinstance(value, Mapping):
                generation = value.get(GENERATION)
                if isinstance(generation, int):
                    settled = generation
                    continue
            # Of a hundred thousand all but a few are packed: they are not asked much.
            packed = value if isinstance(value, Packed) and is_name(name) else read(name, value)
            if packed.shared.removing:
                removed.append(packer.volume(name, packed))
                continue
            loaded[name] = packed
            if packed.generation:
                dated.append(name)
        self._volumes.load(loaded)
        made = self._volumes.since(settled, dated)
        self._settler.restore(settled, made, removed)
        strays = self._backend.recover(self._volumes.keys(), self._settler.fresh)
        if strays:
            _log.warn(
                "{count} entries of the root belong to no volume: {names}; a volume created "
                "with such a name adopts the directory",
                count=len(strays),
                names=", ".join(strays[:20]) + (" …" if len(strays) > 20 else ""),
            )

    def start(self) -> None:
        """Settle what a crash interrupted, and drop counts of volumes that are gone.

        What is mounted and not counted was left by a crash, and is unmounted.
        """
        self._settler.start()
        for name in self._backend.mounted():
            if not self._ledger.of(name):
                self._in_background(self._release(name))
        for name in self._ledger.volumes():
            if name not in self._volumes:
                self._in_background(self._forget_gone(name))

    async def settle(self) -> None:
        """Let the disk have what was promised, as far as that can be done now."""
        await self._settler.all_settled()

    async def _forget_gone(self, name: str) -> None:
        async with self._locks.held(name):
            if name not in self._volumes:
                await self._forget_mounts(name)

    async def _release(self, name: str) -> None:
        """Unmount a volume that nobody is counted as using."""
        async with self._locks.held(name):
            volume = self._volumes.get(name)
            if volume is not None and not self._ledger.of(name) and not self._holds.is_held(name):
                await self._threads(self._backend.unmount, volume)

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
        volume: StoredVolume | None = self._volumes.get(name)
        if volume is None:
            check_name(name)
            raise NoSuchVolumeError(
                f'volume {quoted(name)}: no such volume; "docker volume create" makes one'
            )
        return volume

    async def check(self, name: str, options: Mapping[str, str]) -> bool:
        """Judge a Create without making anything; return whether the volume is there already.

        :raises InvalidNameError, InvalidOptionError, ConflictError: as :meth:`create` does.
        """
        check_name(name)
        if FROM not in options:
            self._backend.parse(name, options)
        async with self._locks.held(name):
            wanted = await self._wanted(name, options)
            existing = self._volumes.get(name)
            if existing is not None:
                self._check_same(existing, wanted)
            return existing is not None

    async def _wanted(self, name: str, options: Mapping[str, str]) -> Wanted:
        """Read the options of a Create; those of a copy are its source's, if not given."""
        source = options.get(FROM)
        if source is not None and self.cloner is not None:
            existing = self._volumes.get(name)
            if existing is None:
                options = await self.cloner.options(name, options)
            elif existing.options.get(FROM) == source:
                options = {**existing.options, "backend": existing.backend, **options}
        return await self._resolved(name, self._backend.parse(name, options))

    async def _resolved(self, name: str, wanted: Wanted) -> Wanted:
        if wanted.unresolved:
            wanted = await self._threads(self._backend.resolve, name, wanted)
        return wanted

    @staticmethod
    def _check_same(existing: StoredVolume, wanted: Wanted) -> None:
        difference = existing.difference(wanted)
        if difference:
            raise ConflictError(
                f"volume {quoted(existing.name)}: exists with other options: {difference}; use it "
                "as it is, or remove it first"
            )

    async def create(
        self, name: str, options: Mapping[str, str], origin: Origin | None = None
    ) -> None:
        """Make a volume; one that exists with the same options is a success.

        :param origin: where its data comes from; a volume that exists is a conflict then.
        :raises InvalidNameError: the name cannot be one.
        :raises InvalidOptionError: an option cannot be used.
        :raises ConflictError: it exists with other options.
        :raises VolumeError: its directory could not be made, or the journal not written.
        """
        check_name(name)
        copied = FROM in options and origin is None
        parsed = None if copied else self._backend.parse(name, options)
        async with self._locks.held(name):
            if parsed is None:
                wanted = await self._wanted(name, options)
            else:
                wanted = await self._resolved(name, parsed)
            existing = self._volumes.get(name)
            if origin is not None and origin.backend != wanted.backend:
                raise VolumeError(
                    f"volume {quoted(name)}: a {origin.backend} cannot become a volume of backend "
                    f"{wanted.backend}: create that, and copy the data in a container"
                )
            if existing is None:
                if copied and self.cloner is not None:
                    async with self.cloner.cloning(name, wanted) as origin:
                        await self._create(name, wanted, origin)
                else:
                    await self._create(name, wanted, origin)
                return
            if origin is not None:
                raise ConflictError(f"volume {quoted(name)}: exists already; give another name")
            self._check_same(existing, wanted)

    async def _create(self, name: str, wanted: Wanted, origin: Origin | None) -> None:
        place = self._backend.mountpoint(name, wanted)
        created = self.now() if origin is None or origin.created is None else origin.created
        created = created.replace(microsecond=0)
        volume = StoredVolume(name, place, created, wanted.options, wanted.backend)
        await self._settler.free(name, "the one of that name that was removed is in the way")
        if not self._backend.settles(volume):
            await self._make(volume, {}, origin)
        else:
            generation = self._settler.begin()
            made = None
            try:
                if await self._make(volume, {GENERATION: generation}, origin):
                    made = volume
            finally:
                self._settler.end(generation, made)
        self._volumes[name] = volume
        self._listing.changed(name)
        self._health.good(name)

    async def _make(
        self, volume: StoredVolume, more: Mapping[str, object], origin: Origin | None
    ) -> bool:
        """Make a volume's place and journal it; return whether the place is new."""

        def make_and_post(volume: StoredVolume) -> tuple[bool, Deferred[None]]:
            if origin is not None:
                origin.bring(volume)
            # The reactor has nothing to decide in between.
            try:
                new = self._backend.create(volume)
            except PluginError:
                if origin is not None:
                    origin.undo(volume)
                raise
            return new, self._catalog.post(
                volume.name, {**volume.to_json(), **(more if new else {})}
            )

        new, written = await self._threads(make_and_post, volume)
        try:
            await self._posted(written)
        except CatalogError as error:
            if new or origin is not None:
                await self._undo(volume, origin)
            raise VolumeError(f"volume {quoted(volume.name)}: {error}") from error
        return bool(new)

    async def _posted(self, written: Deferred[None]) -> None:
        """Wait for a change that a thread has posted, and most likely written."""
        if not written.called:
            self._catalog.begin()
        await written

    async def _undo(self, volume: StoredVolume, origin: Origin | None) -> None:
        try:
            await self._threads(origin.undo if origin else self._backend.undo_create, volume)
        except VolumeError as error:
            _log.warn("{error}; it is adopted when the volume is created again", error=error)

    async def remove(self, name: str) -> None:
        """Remove a volume; one that does not exist is a success.

        :raises InvalidNameError: the name cannot be one.
        :raises BusyError: the kernel says that somebody uses it, or it is being copied.
        :raises VolumeError: its data could not be moved, or the journal not written;
            the volume is as it was.
        """
        check_name(name)
        async with self._locks.held(name):
            volume = self._volumes.get(name)
            if volume is None:
                return
            self._holds.refuse(name, "removed")
            await self._settler.free(name, "it is being made durable")
            try:
                if self._backend.keeps_data(volume):
                    await self._remove_data(volume)
                else:
                    await self._threads(self._backend.check_unused, volume)
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
        def check_and_post(volume: StoredVolume) -> tuple[Deferred[None]]:
            self._backend.check_unused(volume)
            # In a tuple: the result of a Deferred is no Deferred.
            return (self._catalog.post(volume.name, {**volume.to_json(), REMOVING: True}),)

        fresh = self._settler.take(volume)
        try:
            (written,) = await self._threads(check_and_post, volume)
            await self._posted(written)
            try:
                await self._threads(self._backend.remove, volume)
            except VolumeError as error:
                await self._take_back(volume, fresh, error)
                raise
        except BaseException:
            self._settler.kept(volume, fresh)
            raise
        self._settler.removed(volume)

    async def _take_back(self, volume: StoredVolume, fresh: bool, why: VolumeError) -> None:
        """Let the journal say again that a volume is not removed."""
        more = {GENERATION: self._settler.generation} if fresh else {}
        try:
            await self._catalog.put(volume.name, {**volume.to_json(), **more})
        except CatalogError as error:
            raise VolumeError(
                f"{why}; and {error}: until that can be done, the next start removes the volume, "
                "its data into the trash"
            ) from error

    async def mount(self, name: str, mount_id: str) -> str:
        """Make a volume usable, and count it.

        :raises NoSuchVolumeError: there is none.
        :raises VolumeError: its directory is not there, or the count not written.
        """
        async with self._locks.held(name):
            volume = self._known(name)
            self._holds.mounted(name)
            await self._settler.settled(name)
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
            # What is being copied is unmounted when that has ended.
            idle = not self._ledger.of(name) and not self._holds.is_held(name)
            if known and volume is not None and idle:
                await self._threads(self._backend.unmount, volume)

    async def resize(self, name: str, size: str) -> None:
        """Give a volume another size, mounted or not.

        :raises NoSuchVolumeError: there is none.
        :raises InvalidOptionError: that is no size.
        :raises VolumeError: it cannot have that size, or the journal not be written.
        """
        text = values.read(name, "size", size, values.size)
        async with self._locks.held(name):
            volume = self._known(name)
            await self._settler.settled(name)
            self._holds.refuse(name, "resized")
            resizable = IResizable(self._backend, None)
            if resizable is None:
                raise VolumeError(f"volume {quoted(name)}: its kind has no size to change")
            await self._threads(resizable.resize, volume, values.size_bytes(text))
            changed = evolve(volume, options=dict(sorted({**volume.options, "size": text}.items())))
            try:
                await self._catalog.put(name, changed.to_json())
            except CatalogError as error:
                raise VolumeError(
                    f"volume {quoted(name)}: it has the new size, and {error}; do it again then"
                ) from error
            self._volumes[name] = changed
            self._listing.changed(name)

    @asynccontextmanager
    async def holding(self, name: str, done: str) -> AsyncIterator[StoredVolume]:
        """Keep a volume, which is durable, from all changes while the context lasts, mounts too.

        Whoever creates a volume holds its lock too. Nobody waits for another in a circle: who
        waits here has seen that the volume exists, and what is being created does not.

        :param done: what is to be done, such as ``removed``.
        :raises NoSuchVolumeError: there is none.
        :raises BusyError: it is being copied.
        """
        self._known(name)
        async with self._locks.held(name):
            volume = self._known(name)
            self._holds.refuse(name, done)
            await self._settler.settled(name)
            try:
                yield volume
            finally:
                if not self._ledger.of(name):
                    await self._threads(self._backend.unmount, volume)

    @asynccontextmanager
    async def copying(
        self, name: str, begin: Callable[[StoredVolume], Awaitable[bool]]
    ) -> AsyncIterator[Hold]:
        """Keep a volume from what a copy does not bear while the context lasts; mounts go on.

        :param begin: called while nothing else changes the volume; returns whether it is in use.
        :raises NoSuchVolumeError: there is none.
        """
        self._known(name)
        async with self._locks.held(name):
            volume = self._known(name)
            await self._settler.settled(name)
            hold = self._holds.take(volume)
            try:
                hold.used = await begin(volume)
            except BaseException:
                self._holds.let_go(hold)
                if not self._ledger.of(name) and not self._holds.is_held(name):
                    await self._threads(self._backend.unmount, volume)
                raise
        try:
            yield hold
        finally:
            self._holds.let_go(hold)
            # What was mounted for the copy alone, or was to be unmounted meanwhile.
            await self._release(name)

    @property
    def volumes(self) -> Mapping[str, StoredVolume]:
        """The volumes by name, as they are; it changes with them."""
        return self._volumes

    def about(self, name: str) -> StoredVolume:
        """Return what is kept of the volume `name`.

        :raises NoSuchVolumeError: there is none.
        """
        return self._known(name)

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
        return self._answers.of(self._known(name), self._ledger.of(name))

    def capabilities(self) -> Capabilities:
        """Return the scope: the volumes of this machine."""
        return Capabilities("local")

    # Last, because its name hides the builtin from the annotations below it.
    def list(self) -> Answer[Iterable[bytes]]:
        """Return all volumes, by name, from what was made for the List before."""
        return self._listing.all()
