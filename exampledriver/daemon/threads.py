"""Threads for blocking work that never keep the process from ending."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool


class _DaemonThread(Thread):
    """A thread that Python does not wait for at exit: what it does may hang for ever."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments, daemon=True)


class _Pool(ThreadPool):
    threadFactory = _DaemonThread  # type: ignore[assignment]


@define(eq=False)
class DaemonThreads:
    """A bounded pool: call it with a function and its arguments.

    :ivar name: the threads' names begin with it.
    :ivar size: how many run at once; further calls wait.
    """

    _reactor: IReactorFromThreads
    name: str
    size: int
    _pool: _Pool | None = field(default=None, init=False)

    def __call__(self, function: Callable[..., Any], *args: object) -> Deferred[Any]:
        """Run ``function(*args)`` in a thread; the first call starts the pool."""
        if self._pool is None:
            self._pool = _Pool(minthreads=0, maxthreads=self.size, name=self.name)
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, function, *args)

    def stop(self) -> None:
        """Let the threads go, without waiting for a call that hangs."""
        pool, self._pool = self._pool, None
        if pool is not None:
            _DaemonThread(target=pool.stop, name=f"{self.name}-stop").start()
