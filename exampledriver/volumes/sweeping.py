"""A look at every volume after the start, so that who asks once gets an answer.

It runs in the background, many volumes in one call of a thread, and pauses nine times as long as
each call took: it takes a tenth of one processor, or of a slow disk, at most. What it finds good
takes no memory for each volume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .health import Found, HealthChecks, Threads
from .model import DIRECTORY, StoredVolume
from .waiting import Waits

_log = Logger()

#: How many volumes are looked at in one call.
_CHUNK = 25
#: How many times as long as a call took the pause after it is, and how short it is at least.
_REST, _LEAST = 9.0, 0.01
#: How many seconds one volume elsewhere may take before the next one is looked at.
_PATIENCE = 1.0
#: After so many volumes in trouble no further one is looked at: what they have in common is known.
_MOST_TROUBLED = 1000


@define(eq=False)
class Sweep:
    """One pass over the volumes that are there when it begins.

    :ivar names: returns their names.
    :ivar some: returns the volumes of names, as far as they are there.
    """

    _names: Callable[[], list[str]]
    _some: Callable[[Sequence[str]], list[StoredVolume]]
    _health: HealthChecks
    _threads: Threads
    _clock: IReactorTime
    _waits: Waits = field(init=False)
    _troubled: int = field(default=0, init=False)
    #: How many were kept, those included that have another owner than was asked for.
    _kept: int = field(default=0, init=False)
    _ended: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with nothing seen."""
        self._waits = Waits(self._clock)

    def start(self) -> None:
        """Begin."""
        Deferred.fromCoroutine(self._run()).addErrback(self._died)

    def stop(self) -> None:
        """Look at no further volume."""
        self._ended = True

    @staticmethod
    def _died(failure: Failure) -> None:
        _log.failure(
            "the check of all volumes failed; each is checked when an engine asks for it", failure
        )

    async def _run(self) -> None:
        names: list[str] = await self._threads(sorted, self._names())
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            took = await self._look(chunk)
            if self._ended:
                return
            if self._troubled > _MOST_TROUBLED:
                _log.warn(
                    "{count} volumes are unhealthy; the others are checked when an engine asks for "
                    "them",
                    count=self._troubled,
                )
                return
            await self._waits.after(max(_LEAST, _REST * took))

    async def _look(self, names: Sequence[str]) -> float:
        """Look at some volumes; return for how many seconds that took a processor or the disk."""
        ours: list[StoredVolume] = []
        others: list[StoredVolume] = []
        for volume in self._some(names):
            in_root = volume.backend == DIRECTORY and "mountpoint" not in volume.options
            (ours if in_root else others).append(volume)
        began = self._clock.seconds()
        remarkable: dict[str, Found] = await self._threads(self._found, ours)
        took = self._clock.seconds() - began
        # Their file systems may hang, each for itself.
        for volume in others:
            await self._waits.within(_PATIENCE, [self._health.look(volume)])
            look = self._health.last(volume.name)
            self._troubled += look is None or bool(look.trouble)
        self._troubled += sum(bool(found[0]) for found in remarkable.values())
        self._kept += len(remarkable)
        if self._kept > _MOST_TROUBLED:
            # A second request reports these.
            remarkable = {name: found for name, found in remarkable.items() if found[0]}
        self._health.seen(names[-1], remarkable)
        return took

    def _found(self, volumes: Sequence[StoredVolume]) -> dict[str, Found]:
        found = ((volume.name, self._health.found(volume, False)) for volume in volumes)
        return {name: each for name, each in found if any(each)}
