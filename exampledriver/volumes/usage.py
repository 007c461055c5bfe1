"""What volumes take on the disk: measured in the background, and kept with its age.

One directory at a time is measured. One that does not answer for :data:`STALL` is left to
its thread, and the next one has its turn; a few such threads may hang, and then nothing is
measured until one of them comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from functools import partial
from typing import Any, TypeAlias

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ..backends.measuring import Measure, MeasureError
from .health import Threads

#: After how many seconds a measure is made again when somebody asks for it in passing.
STALE = 3600.0
#: Seconds without a sign after which a measurement is left to hang.
STALL = 60.0
#: How many may hang; the threads must be more.
MOST_HANGING = 3

#: What a measure is kept under: any key, which no other thing ever has.
Key: TypeAlias = Hashable
#: What is measured: whatever the measure takes, a volume or a path.
Measured: TypeAlias = object


@frozen
class Known:
    """The last measure of something.

    :ivar at: when it was made, in the clock's seconds.
    :ivar measure: what was found, or ``None``.
    :ivar trouble: why nothing was found, or an empty text.
    """

    at: float
    measure: Measure | None
    trouble: str


@define(eq=False)
class Usages:
    """The measures, and the queue of what is to be measured.

    :ivar measure: measures in a thread; see :mod:`exampledriver.backends.measuring`.
    """

    measure: Callable[[Any, Callable[[], None]], Measure]
    _threads: Threads
    _clock: IReactorTime
    _known: dict[Key, Known] = field(factory=dict, init=False)
    #: What waits for its turn, in order.
    _queue: dict[Key, Measured] = field(factory=dict, init=False)
    _current: Key | None = field(default=None, init=False)
    _hanging: set[Key] = field(factory=set, init=False)
    _last_sign: float = field(default=0.0, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _waiting: list[tuple[set[Key], Deferred[None]]] = field(factory=list, init=False)

    def of(self, key: Key) -> Mapping[str, object]:
        """Return what is known: ``State``, ``Bytes``, ``Files``, ``Size``, ``Age`` in seconds."""
        known = self._known.get(key)
        shown: dict[str, object] = {}
        if known is not None:
            shown["Age"] = round(self._clock.seconds() - known.at, 1)
            if known.measure is None:
                shown["Trouble"] = known.trouble
            else:
                shown.update(Bytes=known.measure.bytes, Files=known.measure.files)
                if known.measure.size is not None:
                    shown["Size"] = known.measure.size
        if key in self._hanging:
            shown["State"] = "hanging"
            shown["Trouble"] = f"its file system has not answered for {STALL:.0f} s"
        elif key == self._current or key in self._queue:
            shown["State"] = "being measured"
        else:
            shown["State"] = "measured" if known is not None else "not measured"
        return shown

    def ask(self, key: Key, what: Measured, older_than: float = STALE) -> bool:
        """Let `what` be measured if its measure is older than so many seconds.

        :return: whether it is being measured, or will be.
        """
        known = self._known.get(key)
        if key == self._current or key in self._hanging or key in self._queue:
            return key not in self._hanging
        if known is not None and self._clock.seconds() - known.at <= older_than:
            return False
        self._queue[key] = what
        self._next()
        return key == self._current or key in self._queue

    async def wait(self, keys: Collection[Key], limit: float | None) -> None:
        """Wait until all of them have been measured, or for `limit` seconds."""
        left = {key for key in keys if key == self._current or key in self._queue}
        if not left:
            return
        waiter: Deferred[None] = Deferred(lambda gone: None)
        waiting = (left, waiter)
        self._waiting.append(waiting)
        timer = None if limit is None else self._clock.callLater(limit, self._enough, waiting)
        try:
            await waiter
        finally:
            if timer is not None and timer.active():
                timer.cancel()
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def _enough(self, waiting: tuple[set[Key], Deferred[None]]) -> None:
        self._waiting.remove(waiting)
        waiting[1].callback(None)

    def measures(self) -> list[tuple[Key, Measure]]:
        """Return the last measures; may be called in any thread."""
        known = list(self._known.items())
        return [(key, one.measure) for key, one in known if one.measure is not None]

    def keep(self, keys: Collection[Key]) -> None:
        """Forget the measures of all others."""
        if len(self._known) > 2 * len(keys) + 100:
            kept = set(keys)
            self._known = {key: known for key, known in self._known.items() if key in kept}

    def _next(self) -> None:
        if self._current is not None or not self._queue or len(self._hanging) >= MOST_HANGING:
            return
        key = next(iter(self._queue))
        what = self._queue.pop(key)
        self._current = key
        self._sign(key)
        self._watch(key)
        pulse = partial(self._sign, key)
        self._threads(self.measure, what, pulse).addBoth(partial(self._measured, key))

    def _sign(self, key: Key) -> None:
        """Take note, in the measuring thread, that it goes on."""
        if key == self._current:
            self._last_sign = self._clock.seconds()

    def _watch(self, key: Key) -> None:
        self._timer = self._clock.callLater(STALL, self._look, key)

    def _look(self, key: Key) -> None:
        if self._clock.seconds() - self._last_sign < STALL:
            self._watch(key)
            return
        self._hanging.add(key)
        self._current = None
        self._done(key)

    def _measured(self, key: Key, result: Measure | Failure) -> None:
        if key in self._hanging:
            self._hanging.discard(key)
        else:
            self._current = None
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
        measure, trouble = None, ""
        if not isinstance(result, Failure):
            measure = result
        elif result.check(MeasureError):
            trouble = str(result.value)
        else:
            trouble = f"could not be measured: {result.value}"
        self._known[key] = Known(self._clock.seconds(), measure, trouble)
        self._done(key)

    def _done(self, key: Key) -> None:
        for waiting in list(self._waiting):
            waiting[0].discard(key)
            if not waiting[0] and waiting in self._waiting:
                self._enough(waiting)
        self._next()

    def stop(self) -> None:
        """Begin no further measurement."""
        self._queue.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
