"""The background task that empties the trash."""

from __future__ import annotations

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
_HOUR = 3600.0


@define(eq=False, slots=False)
class TrashPurger(Service):
    """Deletes for good what has been in the trash for longer than `retention`.

    It looks at the start, every hour (every `retention`, if that is shorter), and, with
    a retention of zero, after each removal.
    """

    _trash: Trash
    retention: timedelta | None
    _threads: Threads
    _clock: IReactorTime
    _loop: LoopingCall | None = field(default=None, init=False)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        if self.retention is None:
            return
        self._loop = LoopingCall(self._purge)
        self._loop.clock = self._clock
        seconds = self.retention.total_seconds()
        self._loop.start(min(_HOUR, max(1.0, seconds)) if seconds else _HOUR)

    def stopService(self) -> None:
        """Begin no new look; one that is under way goes on until the process ends."""
        super().stopService()
        if self._loop is not None and self._loop.running:
            self._loop.stop()

    def removed(self) -> None:
        """Take note that something came into the trash."""
        if self.running and self.retention == timedelta():
            self._purge()

    def _purge(self) -> Deferred[None]:
        assert self.retention is not None
        return self._threads(self._trash.purge, self.retention).addCallbacks(
            self._purged, lambda failure: _log.failure("the trash could not be purged", failure)
        )

    @staticmethod
    def _purged(count: int) -> None:
        if count:
            _log.info("purged {count} removed volumes from the trash", count=count)
