"""The service that starts and stops everything in its order.

Twisted's ``MultiService`` stops its children all at once: the journal could close
before the last request has been answered. Here each step waits for the one
before it, and all of them together have a limit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from .listening import ListenError

_log = Logger()

#: How long a stop may take, in seconds.
STOP_LIMIT = 8.0
#: How much of it is kept for what comes after the last answer.
CLOSE_RESERVE = 1.0


class CannotStart(SystemExit, Exception):
    """The end of a process that cannot start, with one line that says why.

    Raised in the foreground, it is printed and the exit status is 1. As an ``Exception`` it
    is also what twistd, after its fork, tells the process that waits for the start.
    """


class Opened(Protocol):
    """Something that is listened on."""

    def close(self) -> Deferred[Any]:
        """Accept no more; who has connected is not turned away."""


class Endpoint(Protocol):
    """Something to listen on."""

    def listen(self, reactor: Any, factory: Factory[Any]) -> Opened:
        """Listen.

        :raises ListenError: it cannot be done.
        """


class Drainable(Protocol):
    """A server whose connections can be closed without cutting an answer."""

    def drain(self) -> Deferred[None]:
        """Close connections as they become idle; fire when none is left."""

    def abort(self) -> int:
        """Close all connections at once; return how many there were."""


class Observer(Protocol):
    """Who is told how the service is doing, such as the service manager."""

    def ready(self) -> None:
        """Take note that requests are answered."""

    def stopping(self) -> None:
        """Take note that the stop has begun."""


#: A step of starting or stopping: what the log calls it, and the function.
Step = tuple[str, Callable[[], "Awaitable[object] | object"]]


@define(eq=False, slots=False)
class DaemonService(Service):
    """Listens when everything is ready, and stops in order.

    :ivar endpoints: where to listen; each socket is there only while requests are answered.
    :ivar server: the server factory that can be drained.
    :ivar before: what is started before the first request.
    :ivar finish: what is waited for after the last answer, in this order.
    :ivar close: what is closed then, in this order, whether all has finished or not.
    :ivar observers: who is told.
    :ivar attach: called with the application, or what else becomes the parent, at once.
    :ivar called: what an error of the start begins with.
    :ivar complete: false when a stop had to cut or leave something.
    """

    _reactor: IReactorTime
    endpoints: Sequence[Endpoint]
    factory: Factory[Any]
    server: Drainable
    before: Sequence[Callable[[], object]]
    finish: Sequence[Step]
    close: Sequence[Step]
    observers: Sequence[Observer] = ()
    attach: Callable[[object], object] = lambda application: None
    called: str = "exampledriver"
    complete: bool = field(default=True, init=False)
    _open: list[Opened] = field(factory=list, init=False)
    _began: float = field(default=0.0, init=False)
    _limit: float = field(default=STOP_LIMIT, init=False)
    #: What a hurried stop does not wait for any longer.
    _waiting: Deferred[Any] | None = field(default=None, init=False)
    #: Ends the present step.
    _timer: IDelayedCall | None = field(default=None, init=False)

    def setServiceParent(self, parent: object) -> None:
        """Become a part of an application."""
        self.attach(parent)
        super().setServiceParent(parent)

    def startService(self) -> None:
        """Start what is needed, then listen.

        :raises CannotStart: an endpoint cannot be listened on; none is.
        """
        super().startService()
        for start in self.before:
            start()
        try:
            for endpoint in self.endpoints:
                self._open.append(endpoint.listen(self._reactor, self.factory))
                _log.info("listening on {endpoint}", endpoint=str(endpoint))
        except ListenError as error:
            for opened in self._open:
                opened.close()
            raise CannotStart(f"{self.called}: {error}") from None
        for observer in self.observers:
            observer.ready()

    def stopService(self) -> Deferred[None]:
        """Stop accepting, finish what has begun, close."""
        super().stopService()
        for observer in self.observers:
            observer.stopping()
        self._began = self._reactor.seconds()
        return Deferred.fromCoroutine(self._stop())

    def hurry(self) -> None:
        """Cut what a stop is waiting for, and close."""
        _log.warn("told again to stop: cutting what has not ended")
        self._limit = min(self._limit, self._reactor.seconds() - self._began + CLOSE_RESERVE)
        if self._waiting is not None:
            self._waiting.cancel()
        elif self._timer is not None and self._timer.active():
            self._timer.reset(self._left())

    def _left(self, reserve: float = 0.0) -> float:
        return max(0.0, self._began + self._limit - reserve - self._reactor.seconds())

    async def _within(self, what: str, work: Deferred[Any], reserve: float = 0.0) -> bool:
        """Wait for a step of the stop, for what is left of the limit less `reserve`."""
        self._timer = timer = self._reactor.callLater(self._left(reserve), work.cancel)
        try:
            await work
        except CancelledError:
            waited = self._reactor.seconds() - self._began
            _log.error("{what} did not end within {waited:.1f} s", what=what, waited=waited)
        except Exception:
            _log.failure("{what} failed", what=what)
        else:
            return True
        finally:
            if timer.active():
                timer.cancel()
        self.complete = False
        return False

    async def _finished(self, what: str, work: Deferred[Any]) -> bool:
        """Wait for a step that may be cut."""
        self._waiting = work
        try:
            return await self._within(what, work, CLOSE_RESERVE)
        finally:
            self._waiting = None

    async def _stop(self) -> None:
        closing = [opened.close() for opened in self._open]
        await self._within("closing the sockets", gatherResults(closing))
        if not await self._finished("answering the last requests", self.server.drain()):
            cut = self.server.abort()
            _log.error("{cut} connections were cut without an answer", cut=cut)
        for what, step in self.finish:
            await self._finished(what, maybeDeferred(step))
        for what, step in self.close:
            await self._within(what, maybeDeferred(step))
        _log.info("stopped in {took:.2f} s", took=self._reactor.seconds() - self._began)
