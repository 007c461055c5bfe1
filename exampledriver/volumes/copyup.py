"""Copy-up: an engine fills an empty volume from the image, and changes the owner of its directory.

Each time that a container is created with an empty volume, Docker copies what the image has at
that place, between a Mount and an Unmount of its own, and gives the volume's directory the owner
and permissions of the image's. Where the volume's options ask for others, they are set again at
that Unmount. A change that a container makes is different, and stays: the kernel is asked a few
times between the Mount and the Unmount whether a container has the volume.
"""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ..backends import owned
from ..backends.interfaces import IBackend
from .health import Threads
from .model import StoredVolume

_log = Logger()

#: Seconds after a Mount at which the kernel is asked whether a container has the volume; from then
#: on each time that twice as many have passed. A container that ends between two looks is taken for
#: a copy-up.
LOOKS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


@define(eq=False)
class Filling:
    """An empty volume that is mounted: an engine may be filling it."""

    timers: list[IDelayedCall] = field(factory=list)


@define(eq=False)
class CopyUps:
    """The volumes that engines may be filling. The caller holds a volume's lock.

    :ivar filling: by name.
    """

    _backend: IBackend
    _threads: Threads
    _clock: IReactorTime
    filling: dict[str, Filling] = field(factory=dict, init=False)

    async def mounted(self, volume: StoredVolume) -> None:
        """Note that a volume that was in no use is mounted."""
        self.forget(volume.name)
        if not owned.is_asked(volume.options):
            return
        if not await self._threads(_is_pristine, volume):
            return
        filling = self.filling[volume.name] = Filling()
        for seconds in LOOKS:
            later = self._clock.callLater(seconds, self._look, volume, filling, seconds)
            filling.timers.append(later)

    def _look(self, volume: StoredVolume, filling: Filling, seconds: float) -> None:
        def looked(held: object) -> None:
            if held and self.filling.get(volume.name) is filling:
                self.forget(volume.name)

        if seconds >= LOOKS[-1]:
            # It has waited so long for its start, or has a count that was left behind.
            again = self._clock.callLater(seconds, self._look, volume, filling, 2 * seconds)
            filling.timers[:] = [again]
        asked: Deferred[object] = self._threads(self._is_held, volume)
        asked.addCallbacks(looked, lambda failure: None)  # Status tells what is wrong with it

    def _is_held(self, volume: StoredVolume) -> bool:
        return bool(self._backend.look(volume, True)[1])

    def forget(self, name: str) -> None:
        """Leave a volume as it is: a container has it, or it is gone."""
        filling = self.filling.pop(name, None)
        for timer in filling.timers if filling else ():
            if timer.active():
                timer.cancel()

    async def unmounted(self, volume: StoredVolume) -> bool:
        """Set owner and permissions again of a volume in :attr:`filling` that is no longer in use.

        :return: whether they were changed.
        """
        self.forget(volume.name)
        changed: bool = await self._threads(self._own, volume)
        return changed

    def _own(self, volume: StoredVolume) -> bool:
        path = Path(volume.mountpoint)
        try:
            found = owned.difference(path, volume.options)
            if not found or self._is_held(volume):
                return False
            owned.change(path, volume.options)
        except OSError as error:
            _log.warn(
                'volume "{name}": owner and permissions of {path} could not be set again: {error}',
                name=volume.name,
                path=str(path),
                error=error,
            )
            return False
        _log.info(
            'volume "{name}": an engine has filled it and changed its owner ({found}); owner and '
            "permissions are set again as the options say",
            name=volume.name,
            found=found,
        )
        return True


def _is_pristine(volume: StoredVolume) -> bool:
    """Tell whether a volume is empty, and its directory as its options ask."""
    path = Path(volume.mountpoint)
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None and not owned.difference(path, volume.options)
    except OSError:
        return False  # Status tells what is wrong with it
