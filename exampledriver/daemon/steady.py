"""A clock for the reactor that cannot be set.

Twisted's reactors go by the wall clock: set back by a day, it lets every timer wait for a day,
and set ahead, it lets all of them come at once.
"""

from __future__ import annotations

from time import monotonic
from typing import Any


def use_steady_clock(reactor: Any) -> None:
    """Let a reactor's timers go by CLOCK_MONOTONIC; clock_gettime(2). Call it before it runs.

    What was scheduled already comes when it would have come.
    """
    left = [(call, call.getTime() - reactor.seconds()) for call in reactor.getDelayedCalls()]
    reactor.seconds = monotonic
    for call, seconds in left:
        call.seconds = monotonic
        call.reset(seconds)
