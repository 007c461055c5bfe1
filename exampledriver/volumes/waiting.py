"""Waiting for what takes long, within limits, and with signs of life."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from threading import Event
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..admin.interfaces import Fields, Report

T = TypeVar("T")

#: Seconds between two looks whether the client is still there, and between two reports to it.
LOOK, BEAT = 1.0, 5.0


@frozen
class Waits:
    """Waits by a clock."""

    _clock: IReactorTime

    async def telling(
        self,
        report: Report,
        about: Fields,
        work: Coroutine[Deferred[Any], Any, T],
        stop: Event | None = None,
    ) -> T:
        """Wait for a work, and say again and again that it goes on: the client waits as long.

        :param stop: set, within a second, when the client has gone.
        """
        began = self._clock.seconds()
        timer: IDelayedCall
        due = began

        def tell() -> None:
            nonlocal timer, due
            now = self._clock.seconds()
            fields: Fields = {}
            if now >= due:
                fields, due = {**about, "Seconds": round(now - began)}, now + BEAT
            if report(fields) is False and stop is not None:
                stop.set()
            timer = self._clock.callLater(LOOK, tell)

        tell()
        try:
            return await Deferred.fromCoroutine(work)
        finally:
            timer.cancel()

    def after(self, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires after so many seconds."""
        waiter: Deferred[None] = Deferred()
        self._clock.callLater(seconds, waiter.callback, None)
        return waiter

    async def within(self, seconds: float, waiters: Sequence[Deferred[Any]]) -> None:
        """Wait until all have fired, or for so many seconds; cancel those that have not then."""
        done: Deferred[Any] = DeferredList(list(waiters))
        if done.called:
            return
        first: Deferred[None] = Deferred()

        def enough(result: object) -> None:
            if not first.called:
                first.callback(None)

        done.addCallback(enough)
        timer = self._clock.callLater(seconds, enough, None)
        try:
            await first
        finally:
            if timer.active():
                timer.cancel()
            # What does not end for long is waited for again and again.
            for waiter in waiters:
                waiter.cancel()
