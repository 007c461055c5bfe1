"""Create: what is asked for is judged, made, and journalled, in this order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..backends.interfaces import IConfigured
from ..journal.interfaces import CatalogError
from ..plugin.errors import PluginError
from .deadlines import BEFORE, COPY, JOURNAL, Job, LateError
from .errors import ConflictError, VolumeError, quoted
from .model import FROM, NO_LABELS, OWN, StoredVolume, Wanted, check_name
from .origins import ICloner, Origin
from .packed import GENERATION
from .state import State

_log = Logger()


@define(eq=False)
class Creation:
    """Makes volumes.

    :ivar now: the time of day, with a time zone.
    :ivar cloner: copies other volumes for the option ``from``.
    """

    _state: State
    now: Callable[[], datetime]
    cloner: ICloner | None = field(default=None, init=False)

    async def check(self, name: str, options: Mapping[str, str]) -> bool:
        """Judge a Create without making anything; return whether the volume is there already.

        :raises InvalidNameError, InvalidOptionError, ConflictError: as :meth:`create` does.
        """
        check_name(name)
        if FROM not in options:
            self._state.backend.parse(name, options)
        async with self._state.locks.held(name):
            wanted = await self._wanted(name, options)
            existing = self._state.volumes.get(name)
            if existing is not None:
                self._check_same(existing, wanted)
            return existing is not None

    async def _wanted(self, name: str, options: Mapping[str, str]) -> Wanted:
        """Read the options of a Create; those of a copy are its source's, if not given."""
        source = options.get(FROM)
        if source is not None and self.cloner is not None:
            existing = self._state.volumes.get(name)
            if existing is None:
                options = await self.cloner.options(name, options)
            elif existing.options.get(FROM) == source:
                options = {**existing.options, "backend": existing.backend, **options}
            return await self._resolved(name, self._parse_whole(name, options))
        return await self._resolved(name, self._state.backend.parse(name, options))

    def _parse_whole(self, name: str, options: Mapping[str, str]) -> Wanted:
        """Read the options of a volume whose data is there: nothing of it is the default's."""
        configured = IConfigured(self._state.backend, None)
        if configured is None:
            wanted: Wanted = self._state.backend.parse(name, options)
        else:
            wanted = configured.parse_whole(name, options)
        return wanted

    async def _resolved(self, name: str, wanted: Wanted) -> Wanted:
        if wanted.unresolved:
            wanted = await self._state.threads(self._state.backend.resolve, name, wanted)
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
        self, name: str, options: Mapping[str, str], origin: Origin | None, job: Job
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
        parse = self._state.backend.parse if origin is None else self._parse_whole
        parsed = None if copied else parse(name, options)
        job.waits = BEFORE
        async with self._state.locks.held(name):
            job.waits, job.path = "", options.get("mountpoint", "")
            job.check()
            if parsed is None:
                wanted = await self._wanted(name, options)
            else:
                wanted = await self._resolved(name, parsed)
            existing = self._state.volumes.get(name)
            if origin is not None and origin.backend != wanted.backend:
                raise VolumeError(
                    f"volume {quoted(name)}: a {origin.backend} cannot become a volume of backend "
                    f"{wanted.backend}: create that, and copy the data in a container"
                )
            if existing is None:
                if copied and self.cloner is not None:
                    # However long it takes: who asks again finds the volume.
                    job.commit()
                    job.waits = COPY
                    async with self.cloner.cloning(name, wanted, job.stop) as origin:
                        await self._create(name, wanted, origin, job)
                else:
                    await self._create(name, wanted, origin, job)
                return
            if origin is not None:
                raise ConflictError(f"volume {quoted(name)}: exists already; give another name")
            self._check_same(existing, wanted)

    async def _create(self, name: str, wanted: Wanted, origin: Origin | None, job: Job) -> None:
        place = self._state.backend.mountpoint(name, wanted)
        created = self.now() if origin is None or origin.created is None else origin.created
        created = created.replace(microsecond=0)
        labels = NO_LABELS if origin is None else origin.labels
        volume = StoredVolume(name, place, created, wanted.options, wanted.backend, labels=labels)
        await self._state.settler.free(name, "the one of that name that was removed is in the way")
        if not self._state.backend.settles(volume):
            _, volume = await self._make(volume, {}, origin, job)
        else:
            generation = self._state.settler.begin()
            made = None
            try:
                new, volume = await self._make(volume, {GENERATION: generation}, origin, job)
                if new:
                    made = volume
            finally:
                self._state.settler.end(generation, made)
        self._state.publish(volume)
        self._state.health.good(name)

    async def _make(
        self,
        volume: StoredVolume,
        more: Mapping[str, object],
        origin: Origin | None,
        job: Job,
    ) -> tuple[bool, StoredVolume]:
        """Make a volume's directory and journal it; return whether that is new, and the volume.

        :param more: what the journal says besides if it is new; given for a directory of the root.
        """

        def make_and_post(volume: StoredVolume) -> tuple[bool, StoredVolume, Deferred[None]]:
            if origin is not None:
                trouble = self._state.root_trouble()
                if trouble:
                    raise VolumeError(f"volume {quoted(volume.name)}: {trouble}")
                origin.bring(volume)
            # The reactor has nothing to decide in between.
            try:
                new = self._state.backend.create(volume)
            except PluginError:
                if origin is not None:
                    origin.undo(volume)
                raise
            volume = self._placed(volume, OWN if new and more else "")
            try:
                job.commit()
            except LateError:
                if new:
                    self._state.backend.undo_create(volume)
                raise
            job.waits = JOURNAL
            return (
                new,
                volume,
                self._state.catalog.post(
                    volume.name, {**volume.to_json(), **(more if new else {})}
                ),
            )

        new, volume, written = await self._state.threads(make_and_post, volume)
        try:
            await self._state.posted(written)
        except CatalogError as error:
            if new or origin is not None:
                await self._undo(volume, origin)
            raise VolumeError(f"volume {quoted(volume.name)}: {error}") from error
        return bool(new), volume

    def _placed(self, volume: StoredVolume, place: str) -> StoredVolume:
        """Return a volume with the file system noted that its directory lies in."""
        if not place:
            try:
                place = self._state.place(volume)
            except VolumeError as error:
                _log.warn("{error}; the first Mount notes where it is", error=error)
        # Not evolve(), which calls ten times as many functions: each Create comes by here.
        name, where, created = volume.name, volume.mountpoint, volume.created
        return StoredVolume(
            name, where, created, volume.options, volume.backend, place, volume.labels
        )

    async def _undo(self, volume: StoredVolume, origin: Origin | None) -> None:
        try:
            await self._state.threads(
                origin.undo if origin else self._state.backend.undo_create, volume
            )
        except VolumeError as error:
            _log.warn("{error}; it is adopted when the volume is created again", error=error)
