"""What is done with a volume that is there: mounted, unmounted, resized, copied."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from attrs import define, evolve
from twisted.logger import Logger

from ..backends.interfaces import IResizable
from ..journal.interfaces import CatalogError
from . import values
from .copyup import CopyUps
from .deadlines import BEFORE, JOURNAL, Job, LateError
from .errors import VolumeError, quoted
from .holds import Hold
from .model import StoredVolume, check_labels, check_name
from .state import State

_log = Logger()


@define(eq=False)
class Use:
    """Mounts volumes and counts that, and keeps changes apart that do not go together."""

    _state: State
    _copyups: CopyUps

    async def mount(self, name: str, mount_id: str, job: Job) -> str:
        """Make a volume usable, and count it.

        :raises NoSuchVolumeError: there is none.
        :raises VolumeError: its directory is not there, or the count not written.
        """
        job.waits = BEFORE
        async with self._state.locks.held(name):
            job.waits = ""
            job.check()
            volume = self._state.known(name)
            self._state.holds.mounted(name)
            await self._state.settler.settled(name)
            job.path = volume.mountpoint
            job.check()
            try:
                path: str = await self._state.threads(self._state.backend.mount, volume)
            except VolumeError:
                self._state.health.doubt(volume, bool(self._state.ledger.of(name)))
                raise
            try:
                if not volume.place:
                    await self._note_first_place(volume, job)
                if volume.options and self._state.is_idle(name):
                    await self._copyups.mounted(volume)
                await self._state.ledger.add(name, mount_id)
                if job.late:
                    await self._state.ledger.remove(name, mount_id)
                    job.check()
            except (CatalogError, LateError) as error:
                if self._state.is_idle(name):
                    self._copyups.forget(name)
                    await self._state.threads(self._state.backend.unmount, volume)
                if isinstance(error, LateError):
                    raise
                raise VolumeError(f"volume {quoted(name)}: {error}") from error
            self._state.listing.changed(name)
            self._state.health.good(name)
        return path

    async def _note_first_place(self, volume: StoredVolume, job: Job) -> None:
        """Note the place of a volume of an older journal: a full disk must not bar its Mount."""
        try:
            await self._note_place(volume, job, job.check)
        except LateError:
            raise
        except VolumeError as error:
            _log.warn("{error}; the next Mount notes where its directory is", error=error)

    async def _note_place(
        self, volume: StoredVolume, job: Job, proceed: Callable[[], None]
    ) -> StoredVolume:
        """Note which file system the directory of a volume lies in; its lock is held.

        :param proceed: called before the journal is written; raises LateError if it is not to be.
        :raises VolumeError: it cannot be reached.
        """
        place = await self._state.threads(self._state.place, volume)
        proceed()
        if place == volume.place:
            return volume
        changed = evolve(volume, place=place)
        job.waits = JOURNAL
        try:
            await self._state.catalog.put(volume.name, changed.to_json())
        except CatalogError as error:
            raise VolumeError(f"volume {quoted(volume.name)}: {error}") from error
        finally:
            job.waits = ""
        self._state.publish(changed)
        return changed

    async def accept(self, name: str, job: Job) -> StoredVolume:
        """Note that a volume's directory is meant to be in the file system that it is in now.

        :raises NoSuchVolumeError: there is no such volume.
        :raises VolumeError: its directory cannot be reached, or the journal not written.
        """
        job.waits = BEFORE
        async with self._state.locks.held(name):
            job.waits = ""
            volume = self._state.known(name)
            job.path = volume.mountpoint
            await self._state.settler.settled(name)
            changed = await self._note_place(volume, job, job.commit)
            self._state.health.good(name)
        return changed

    async def label(self, name: str, given: Mapping[str, str]) -> None:
        """Keep the labels that an engine has for a volume.

        :raises NoSuchVolumeError: there is no such volume.
        :raises InvalidOptionError: the labels cannot be kept.
        :raises VolumeError: the journal could not be written.
        """
        labels = check_labels(name, given)
        async with self._state.locks.held(name):
            volume = self._state.known(name)
            if volume.labels == labels:
                return
            await self._state.settler.settled(name)
            changed = evolve(volume, labels=labels)
            try:
                await self._state.catalog.put(name, changed.to_json())
            except CatalogError as error:
                raise VolumeError(f"volume {quoted(name)}: {error}") from error
            self._state.publish(changed)

    async def unmount(self, name: str, mount_id: str, job: Job) -> None:
        """Count one mount less; one that is not known is a success.

        :raises InvalidNameError: the name cannot be one.
        :raises VolumeError: the count could not be written.
        """
        check_name(name)
        job.waits = BEFORE
        async with self._state.locks.held(name):
            job.waits = ""
            try:
                known = await self._state.ledger.remove(name, mount_id)
            except CatalogError as error:
                raise VolumeError(f"volume {quoted(name)}: {error}") from error
            volume = self._state.volumes.get(name)
            self._state.listing.changed(name)
            if name in self._copyups.filling:
                look = self._state.health.last(name)
                if look is not None and look.holders:
                    self._copyups.forget(name)  # a container has had it
            self._state.health.released(name)
            # What is being copied is unmounted when that has ended.
            job.path = volume.mountpoint if volume is not None else ""
            if known and volume is not None and self._state.is_idle(name):
                if name in self._copyups.filling and await self._copyups.unmounted(volume):
                    self._state.health.good(name)
                await self._state.threads(self._state.backend.unmount, volume)

    async def resize(self, name: str, size: str) -> None:
        """Give a volume another size, mounted or not.

        :raises NoSuchVolumeError: there is none.
        :raises InvalidOptionError: that is no size.
        :raises VolumeError: it cannot have that size, or the journal not be written.
        """
        text = values.read(name, "size", size, values.size)
        async with self._state.locks.held(name):
            volume = self._state.known(name)
            await self._state.settler.settled(name)
            self._state.holds.refuse(name, "resized")
            resizable = IResizable(self._state.backend, None)
            if resizable is None:
                raise VolumeError(f"volume {quoted(name)}: its kind has no size to change")
            await self._state.threads(resizable.resize, volume, values.size_bytes(text))
            changed = evolve(volume, options=dict(sorted({**volume.options, "size": text}.items())))
            try:
                await self._state.catalog.put(name, changed.to_json())
            except CatalogError as error:
                raise VolumeError(
                    f"volume {quoted(name)}: it has the new size, and {error}; do it again then"
                ) from error
            self._state.publish(changed)

    @asynccontextmanager
    async def holding(self, name: str, done: str) -> AsyncIterator[StoredVolume]:
        """Keep a volume, which is durable, from all changes while the context lasts, mounts too.

        Whoever creates a volume holds its lock too. Nobody waits for another in a circle: who
        waits here has seen that the volume exists, and what is being created does not.

        :param done: what is to be done, such as ``removed``.
        :raises NoSuchVolumeError: there is none.
        :raises BusyError: it is being copied.
        """
        self._state.known(name)
        async with self._state.locks.held(name):
            volume = self._state.known(name)
            self._state.holds.refuse(name, done)
            await self._state.settler.settled(name)
            try:
                yield volume
            finally:
                if not self._state.ledger.of(name):
                    await self._state.threads(self._state.backend.unmount, volume)

    @asynccontextmanager
    async def copying(
        self, name: str, begin: Callable[[StoredVolume], Awaitable[bool]]
    ) -> AsyncIterator[Hold]:
        """Keep a volume from what a copy does not bear while the context lasts; mounts go on.

        :param begin: called while nothing else changes the volume; returns whether it is in use.
        :raises NoSuchVolumeError: there is none.
        """
        self._state.known(name)
        async with self._state.locks.held(name):
            volume = self._state.known(name)
            await self._state.settler.settled(name)
            hold = self._state.holds.take(volume)
            try:
                hold.used = await begin(volume)
            except BaseException:
                self._state.holds.let_go(hold)
                if self._state.is_idle(name):
                    await self._state.threads(self._state.backend.unmount, volume)
                raise
        try:
            yield hold
        finally:
            self._state.holds.let_go(hold)
            # What was mounted for the copy alone, or was to be unmounted meanwhile.
            await self.release(name)

    async def release(self, name: str) -> None:
        """Unmount a volume that nobody is counted as using."""
        async with self._state.locks.held(name):
            volume = self._state.volumes.get(name)
            if volume is not None and self._state.is_idle(name):
                await self._state.threads(self._state.backend.unmount, volume)
