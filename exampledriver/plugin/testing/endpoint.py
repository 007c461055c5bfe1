"""A plugin behind one of Twisted's client endpoints: real sockets under trial."""

from __future__ import annotations

from typing import cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from .connection import Silent, Unreachable


class _Collector(Protocol):
    """Keeps what comes, and wakes who waits for it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.open = True
        self.waiter: Deferred[None] | None = None

    def wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self.wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.open = False
        self.wake()


@define(eq=False)
class EndpointConnection:
    """One connection; see :class:`exampledriver.plugin.testing.connection.Connection`."""

    clock: IReactorTime
    _collector: _Collector

    async def send(self, data: bytes) -> None:
        """Send bytes, and let the plugin's side of this process read them."""
        if self._collector.open and self._collector.transport is not None:
            self._collector.transport.write(data)
        await deferLater(self.clock, 0)

    async def receive(self, within: float) -> bytes:
        """Return what came."""
        collector = self._collector
        if not collector.data and collector.open:
            waiter: Deferred[None] = Deferred()
            collector.waiter = waiter
            timer = self.clock.callLater(within, collector.wake)
            await waiter
            if timer.active():
                timer.cancel()
            if not collector.data and collector.open:
                raise Silent
        data = bytes(collector.data)
        collector.data.clear()
        return data

    def close(self) -> None:
        """Go away at once."""
        if self._collector.transport is not None:
            cast(ITCPTransport, self._collector.transport).abortConnection()


@define(eq=False)
class EndpointTarget:
    """A plugin behind an endpoint; see :class:`exampledriver.plugin.testing.connection.Target`."""

    clock: IReactorTime
    endpoint: IStreamClientEndpoint
    name: str = "a plugin behind an endpoint"
    path: str | None = None
    _opened: list[EndpointConnection] = field(factory=list, init=False)

    async def connect(self) -> EndpointConnection:
        """Open one more connection."""
        factory = Factory.forProtocol(_Collector)
        factory.noisy = False
        try:
            collector = await self.endpoint.connect(factory)
        except Exception as error:
            raise Unreachable(f"{self.name}: {error}") from None
        connection = EndpointConnection(self.clock, cast(_Collector, collector))
        self._opened.append(connection)
        return connection

    def close(self) -> None:
        """Close every connection that was left open."""
        for connection in self._opened:
            connection.close()

    def seconds(self) -> float:
        """Return the clock's time."""
        return self.clock.seconds()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await deferLater(self.clock, seconds)
