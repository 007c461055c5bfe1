"""Remove: from the journal's word on a volume is removed, and its data goes to the trash."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..journal.interfaces import CatalogError
from .copyup import CopyUps
from .deadlines import BEFORE, JOURNAL, Job
from .errors import VolumeError, quoted
from .model import StoredVolume, check_name
from .packed import GENERATION, REMOVING
from .state import State

_log = Logger()


@define(eq=False)
class Removal:
    """Removes volumes.

    :ivar removed: called after a volume's data went to the trash.
    """

    _state: State
    _copyups: CopyUps
    removed: Callable[[], None]

    async def remove(self, name: str, job: Job, now: bool = False) -> None:
        """Remove a volume; one that does not exist is a success.

        :param now: without the trash. A crash before the data has been moved still leaves it
            to the next start, which moves it to the trash.
        :raises InvalidNameError: the name cannot be one.
        :raises BusyError: the kernel says that somebody uses it, or it is being copied.
        :raises VolumeError: its data could not be moved, or the journal not written;
            the volume is as it was.
        """
        check_name(name)
        job.waits = BEFORE
        async with self._state.locks.held(name):
            job.waits = ""
            job.check()
            volume = self._state.volumes.get(name)
            if volume is None:
                return
            job.path = volume.mountpoint
            self._state.holds.refuse(name, "removed")
            await self._state.settler.free(name, "it is being made durable")
            try:
                if self._state.backend.keeps_data(volume):
                    await self._remove_data(volume, job, now)
                else:
                    await self._state.threads(self._state.backend.check_unused, volume)
                    job.commit()
                    job.waits = JOURNAL
                    await self._state.catalog.delete(name)
            except CatalogError as error:
                raise VolumeError(f"volume {quoted(name)}: {error}") from error
            del self._state.volumes[name]
            self._state.listing.changed(name)
            self._state.health.forget(name)
            self._copyups.forget(name)
            await self.forget_mounts(name)
        self.removed()

    async def forget_mounts(self, name: str) -> None:
        """Drop the counts of a volume that is gone; its lock is held."""
        try:
            await self._state.ledger.forget(name)
        except CatalogError as error:
            _log.warn("volume {name}: mount counts remain: {error}", name=name, error=error)

    async def _remove_data(self, volume: StoredVolume, job: Job, now: bool) -> None:
        def check_and_post(volume: StoredVolume) -> tuple[Deferred[None]]:
            self._state.backend.check_unused(volume)
            # From the journal's word on it is removed, when its data can be moved.
            job.commit()
            job.waits = JOURNAL
            # In a tuple: the result of a Deferred is no Deferred.
            return (self._state.catalog.post(volume.name, {**volume.to_json(), REMOVING: True}),)

        fresh = self._state.settler.take(volume)
        try:
            (written,) = await self._state.threads(check_and_post, volume)
            await self._state.posted(written)
            job.waits = ""
            try:
                how = (now,) if now else ()
                await self._state.threads(self._state.backend.remove, volume, *how)
            except VolumeError as error:
                await self._take_back(volume, fresh, error)
                raise
        except BaseException:
            self._state.settler.kept(volume, fresh)
            raise
        self._state.settler.removed(volume)

    async def _take_back(self, volume: StoredVolume, fresh: bool, why: VolumeError) -> None:
        """Let the journal say again that a volume is not removed."""
        more = {GENERATION: self._state.settler.generation} if fresh else {}
        try:
            await self._state.catalog.put(volume.name, {**volume.to_json(), **more})
        except CatalogError as error:
            raise VolumeError(
                f"{why}; and {error}: until that can be done, the next start removes the volume, "
                "its data into the trash"
            ) from error

    async def forget_gone(self, name: str) -> None:
        """Drop the counts of a volume that is not there."""
        async with self._state.locks.held(name):
            if name not in self._state.volumes:
                await self.forget_mounts(name)
