"""The background task that makes snapshots by schedules.

What was done is read from the snapshots themselves, which are durable: a run that was missed
while the daemon was down is made up for once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from ..admin.interfaces import Fields
from ..plugin.errors import PluginError
from .copies import Copies
from .schedule import Schedule
from .service import VolumeService

_log = Logger()

#: Seconds between two looks.
LOOK = 30.0
#: So many volumes are looked at in one turn of the reactor.
_SLICE = 1000
#: How long after a failure it is tried again, at most.
_AGAIN = timedelta(hours=1)


@define(eq=False, slots=False)
class Scheduler(Service):
    """Makes snapshots that are due, one after the other, and deletes those that are too many.

    Two by one schedule are as far apart by the reactor's clock, which cannot be set, as by the wall
    clock.
    """

    _service: VolumeService
    _copies: Copies
    _schedules: Sequence[Schedule]
    _clock: IReactorTime
    _loop: LoopingCall | None = field(default=None, init=False)
    #: When what is next due, as far as that is known.
    _due: dict[tuple[str, str], datetime] = field(factory=dict, init=False)
    #: When each was made last, by the clock that cannot be set, in seconds.
    _last: dict[tuple[str, str], float] = field(factory=dict, init=False)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        if self._schedules:
            self._loop = LoopingCall(self._begin)
            self._loop.clock = self._clock
            self._loop.start(LOOK)

    def stopService(self) -> None:
        """Begin nothing new."""
        super().stopService()
        if self._loop is not None and self._loop.running:
            self._loop.stop()

    def _begin(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._look()).addErrback(
            lambda failure: _log.failure("looking what is due by schedules", failure)
        )

    async def _look(self) -> None:
        volumes = self._service.volumes
        for schedule in self._schedules:
            for number, name in enumerate(list(volumes), 1):
                if number % _SLICE == 0:
                    await deferLater(self._clock, 0)
                if not self.running:
                    return
                if not schedule.covers(name) or self._waits(schedule, name):
                    continue
                volume = volumes.get(name)
                if volume is not None and self._copies.can_copy(volume):
                    await self._look_at(schedule, name, volume.created)
        self._due = {key: due for key, due in self._due.items() if key[1] in volumes}
        self._last = {key: last for key, last in self._last.items() if key[1] in volumes}

    def _waits(self, schedule: Schedule, name: str) -> bool:
        """Tell whether a volume is not due yet, or has a copy that others need not wait for."""
        key, now = (schedule.name, name), self._service.now()
        # However often the wall clock jumps ahead: each snapshot that is made deletes another.
        early = schedule.every.total_seconds() - LOOK
        if key in self._last and self._clock.seconds() - self._last[key] < early:
            return True
        due = self._due.get(key)
        known = due is not None and now < due and schedule.is_past(due - schedule.every, now)
        return known or self._copies.is_busy(name)

    async def _look_at(self, schedule: Schedule, name: str, created: datetime) -> None:
        key, now = (schedule.name, name), self._service.now()
        try:
            # Another volume of that name may have come meanwhile: what is due is read anew.
            moments = [created, *(moment for moment, _ in await self._made(schedule, name))]
            last = max(
                (moment for moment in moments if schedule.is_past(moment, now)),
                default=now - schedule.every,
            )
            try:
                if now >= last + schedule.every:
                    moment = now.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
                    await self._copies.snapshot(name, schedule.label(moment), _untold)
                    last = now
                    self._last[key] = self._clock.seconds()
            finally:
                # Those that are too many go all the same: they may be why the disk is full.
                mine = await self._made(schedule, name)
                mine.sort(key=lambda one: (schedule.is_past(one[0], now), one))
                for _, label in mine[: max(0, len(mine) - schedule.keep)]:
                    await self._copies.delete_snapshot(name, label, _untold)
            self._due[key] = last + schedule.every
        except PluginError as error:
            self._due[key] = now + min(schedule.every, _AGAIN)
            _log.warn(
                "schedule {schedule}: {error}; it is tried again at {due}",
                schedule=schedule.name,
                error=error,
                due=self._due[key].isoformat(timespec="seconds"),
            )

    async def _made(self, schedule: Schedule, name: str) -> list[tuple[datetime, str]]:
        """Return a schedule's own snapshots of a volume: when they were made, and their labels."""
        labels = [str(one["Label"]) for one in await self._copies.snapshots(name)]
        moments = ((schedule.moment(label), label) for label in labels)
        return [(moment, label) for moment, label in moments if moment is not None]


def _untold(progress: Fields) -> None:
    """Tell nobody."""
