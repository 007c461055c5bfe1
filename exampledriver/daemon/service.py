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
from twisted.internet import defer
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IReactorTime
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
    """

    _reactor: IReactorTime
    endpoints: Sequence[Endpoint]
    factory: Factory[Any]
    server: Drainable
    before: Sequence[Callable[[], object]]
    finish: Sequence[Step]
    close: Sequence[Step]
    _open: list[Opened] = field(factory=list, init=False)

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
            raise CannotStart(f"exampledriver: {error}") from None

    def stopService(self) -> Deferred[None]:
        """Stop accepting, finish what has begun, close."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        began = self._reactor.seconds()

        async def within(what: str, work: Deferred[Any], limit: float) -> bool:
            left = max(0.0, began + limit - self._reactor.seconds())
            try:
                await work.addTimeout(left, self._reactor)
            except defer.TimeoutError:
                _log.error("{what} did not end within {limit:.0f} s", what=what, limit=limit)
                return False
            except Exception:
                _log.failure("{what} failed", what=what)
                return False
            return True

        closing = [opened.close() for opened in self._open]
        await within("closing the sockets", gatherResults(closing), STOP_LIMIT)
        last = STOP_LIMIT - CLOSE_RESERVE
        if not await within("answering the last requests", self.server.drain(), last):
            cut = self.server.abort()
            _log.error("{cut} connections were cut without an answer", cut=cut)
        for what, step in self.finish:
            await within(what, maybeDeferred(step), last)
        for what, step in self.close:
            await within(what, maybeDeferred(step), STOP_LIMIT)
        _log.info("stopped in {took:.2f} s", took=self._reactor.seconds() - began)
