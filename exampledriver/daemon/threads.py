"""Threads for blocking work that never keep the process from ending."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Protocol, TypeAlias

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()

_Task: TypeAlias = tuple[Callable[..., Any], tuple[object, ...], Deferred[Any]]

#: After how many seconds without an end of any call another thread comes to help.
STUCK = 0.01

#: After how many seconds without work a thread that came to help goes.
IDLE = 5.0

#: After how many calls without a pause their results are handed over, or how many seconds.
BURST = 64
LONG = 0.01


class _Reactor(Protocol):
    """What is needed of the reactor."""

    callFromThread: Callable[..., object]

    def callLater(self, delay: float, call: Callable[[], object], /) -> IDelayedCall:
        """Call later."""


@define(eq=False)
class DaemonThreads:
    """A bounded pool: call it with a function and its arguments.

    One thread does the work, and hands over many results at once: when no call waits any more,
    or after :data:`BURST` of them, or :data:`LONG`. Calls are short as a rule: threads that run
    at the same time would wait for each other, for Python's lock and for the kernel's locks of a
    directory. When a call takes long, other threads come, and nobody waits for its end but who
    asked for it.

    Simpler than Twisted's, which carries contexts along and takes twice as long for a
    short call, and of threads that Python does not wait for at exit: what they do may
    hang for ever.

    :ivar name: the threads' names begin with it.
    :ivar size: how many run at once; further calls wait.
    :ivar flush: called in a thread before it hands results over: does at once what many calls
        have put off. It does not raise.
    """

    _reactor: _Reactor
    name: str
    size: int
    flush: Callable[[], None] | None = None
    _tasks: SimpleQueue[_Task | None] = field(factory=SimpleQueue, init=False)
    #: Calls that are handed over together, when the reactor has done what it is at.
    _held: list[_Task] = field(factory=list, init=False)
    _results: deque[tuple[Deferred[Any], object]] = field(factory=deque, init=False)
    _told: bool = field(default=False, init=False)
    _threads: int = field(default=0, init=False)
    _made: int = field(default=0, init=False)
    _unfinished: int = field(default=0, init=False)
    #: The last results were many: so are the next calls, most likely.
    _many: bool = field(default=False, init=False)
    #: How many calls have ended (it may miss one: threads count at once), and how many had at
    #: the last look.
    _ended: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False)
    _look: IDelayedCall | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)
    #: The last thread could not be started.
    _short: bool = field(default=False, init=False)

    def __call__(self, function: Callable[..., Any], *args: object) -> Deferred[Any]:
        """Run ``function(*args)`` in a thread."""
        done: Deferred[Any] = Deferred()
        self._unfinished += 1
        if self._unfinished == 1 and not self._many:
            self._tasks.put((function, args, done))
        else:
            # The threads are at work: they would only wait for Python's lock, one by one.
            self._held.append((function, args, done))
            if len(self._held) == 1:
                self._reactor.callFromThread(self._put_held)
            if self._look is None:
                self._look_later()
        if not self._threads:
            self._add(None)
        return done

    def _put_held(self) -> None:
        held, self._held = self._held, []
        for task in held:
            self._tasks.put(task)

    def _add(self, idle: float | None) -> None:
        name = f"{self.name}-{self._made + 1}"
        try:
            Thread(target=self._work, args=(idle,), name=name, daemon=True).start()
        except RuntimeError as error:
            # Not counted; tried again at the next look.
            if not self._short:
                self._short = True
                _log.warn(
                    "{name}: {why}: raise TasksMax or ulimit -u, or the machine needs more memory; "
                    "calls wait until there is a thread",
                    name=self.name,
                    why=error,
                )
            if self._look is None:
                self._look_later()
            return
        self._short = False
        self._threads += 1
        self._made += 1

    def _look_later(self) -> None:
        self._seen = self._ended
        self._look = self._reactor.callLater(STUCK, self._look_after)

    def _look_after(self) -> None:
        """Send another thread if calls wait and none has ended since the last look."""
        self._look = None
        if self._stopped or self._unfinished < (2 if self._threads else 1):
            return
        if self._ended == self._seen:
            if self._threads < min(self._unfinished, self.size):
                self._add(IDLE if self._threads else None)
            # What ended before the call that takes long.
            self._finished()
        if self._look is None and not self._stopped:
            self._look_later()

    def _work(self, idle: float | None) -> None:
        burst, until = 0, 0.0
        while True:
            if burst and (burst == BURST or self._tasks.empty() or monotonic() > until):
                burst = 0
                self._hand_over()
            try:
                task = self._tasks.get(timeout=idle)
            except Empty:
                task = None
            if task is None:
                if burst:
                    self._hand_over()
                self._reactor.callFromThread(self._gone)
                return
            if not burst:
                until = monotonic() + LONG
            function, args, done = task
            try:
                result = function(*args)
            except Exception:
                result = Failure()
            self._results.append((done, result))
            self._ended += 1
            burst += 1

    def _hand_over(self) -> None:
        if self.flush is not None:
            self.flush()
        if not self._told:
            self._told = True
            self._reactor.callFromThread(self._finished)

    def _gone(self) -> None:
        self._threads -= 1
        if not (self._threads or self._stopped) and self._unfinished:
            self._add(None)

    def _finished(self) -> None:
        # First: what comes after this line is told of anew.
        self._told = False
        self._many = len(self._results) > 1
        while self._results:
            done, result = self._results.popleft()
            self._unfinished -= 1
            if not done.called:
                done.callback(result)

    def stop(self) -> None:
        """Let the threads go, without waiting for a call that hangs."""
        self._stopped = True
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for _ in range(self._threads):
            self._tasks.put(None)
