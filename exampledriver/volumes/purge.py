"""The background task that empties the trash."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..backends.trash import Trash
from .health import Threads

_log = Logger()
_HOUR, _MINUTE = 3600.0, 60.0


@define(eq=False, slots=False)
class TrashPurger(Service):
    """Deletes for good what has been in the trash for longer than `retention`.

    It looks at the start, every hour (every `retention`, if that is shorter), and, with
    a retention of zero, after each removal. Every minute it counts the time that has passed,
    keeps a slot in reserve, and deletes the oldest while the file system is too full.

    :ivar below: less than this part of the file system free is too full; 0 for never.
    :ivar may_reserve: tells, in a thread, whether something may be made in the root.
    """

    _trash: Trash
    retention: timedelta | None
    _threads: Threads
    _clock: IReactorTime
    below: float = 0.0
    may_reserve: Callable[[], bool] = lambda: False
    _loops: list[LoopingCall] = field(factory=list, init=False)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._begin(self._look, _MINUTE)
        if self.retention is not None:
            seconds = self.retention.total_seconds()
            self._begin(self._purge, min(_HOUR, max(1.0, seconds)) if seconds else _HOUR)

    def _begin(self, work: Callable[[], Deferred[None]], seconds: float) -> None:
        loop = LoopingCall(work)
        loop.clock = self._clock
        self._loops.append(loop)
        loop.start(seconds)

    def stopService(self) -> None:
        """Begin no new look; one that is under way goes on until the process ends."""
        super().stopService()
        for loop in self._loops:
            if loop.running:
                loop.stop()
        self._loops.clear()

    def removed(self) -> None:
        """Take note that something came into the trash."""
        if self.running and self.retention == timedelta():
            self._purge()

    def _look(self) -> Deferred[None]:
        def look() -> None:
            self._trash.finish()
            if self.below:
                self._trash.relieve(self.below)
            self._trash.count()
            if self.may_reserve():
                self._trash.reserve()

        return self._threads(look).addErrback(
            lambda failure: _log.failure("the trash could not be read", failure)
        )

    def _purge(self) -> Deferred[None]:
        assert self.retention is not None
        return self._threads(self._trash.purge, self.retention).addCallbacks(
            self._purged, lambda failure: _log.failure("the trash could not be purged", failure)
        )

    @staticmethod
    def _purged(count: int) -> None:
        if count:
            _log.info("purged {count} removed volumes from the trash", count=count)
