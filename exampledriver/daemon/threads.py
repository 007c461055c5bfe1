"""Threads for blocking work that never keep the process from ending."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeAlias

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

_Task: TypeAlias = tuple[Callable[..., Any], tuple[object, ...], Deferred[Any]]


@define(eq=False)
class DaemonThreads:
    """A bounded pool: call it with a function and its arguments.

    Simpler than Twisted's, which carries contexts along and takes twice as long for a
    short call, and of threads that Python does not wait for at exit: what they do may
    hang for ever.

    :ivar name: the threads' names begin with it.
    :ivar size: how many run at once; further calls wait.
    """

    _reactor: IReactorFromThreads
    name: str
    size: int
    _tasks: SimpleQueue[_Task | None] = field(factory=SimpleQueue, init=False)
    _threads: int = field(default=0, init=False)
    _unfinished: int = field(default=0, init=False)

    def __call__(self, function: Callable[..., Any], *args: object) -> Deferred[Any]:
        """Run ``function(*args)`` in a thread, which is made if all there are have work."""
        done: Deferred[Any] = Deferred()
        self._unfinished += 1
        if self._threads < min(self._unfinished, self.size):
            self._threads += 1
            Thread(target=self._work, name=f"{self.name}-{self._threads}", daemon=True).start()
        self._tasks.put((function, args, done))
        return done

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            function, args, done = task
            try:
                result = function(*args)
            except Exception:
                result = Failure()
            self._reactor.callFromThread(self._finished, done, result)

    def _finished(self, done: Deferred[Any], result: object) -> None:
        self._unfinished -= 1
        if not done.called:
            done.callback(result)

    def stop(self) -> None:
        """Let the threads go, without waiting for a call that hangs."""
        for _ in range(self._threads):
            self._tasks.put(None)
