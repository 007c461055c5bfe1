"""A plugin in this process: its server is fed bytes, with no socket.

With a ``twisted.internet.task.Clock`` no time passes either: waiting moves the
clock to the next call that is due, so that a plugin that is silent is found at once.
With the reactor as the clock, a driver may use threads and Deferreds as it likes.
"""

from __future__ import annotations

from attrs import define, field
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from .connection import Silent, Unreachable


class Transport(StringTransport):
    """What a socket does: the protocol learns of a close later, not within ``loseConnection``."""

    connection: MemoryConnection

    def __init__(self, address: IAddress) -> None:
        super().__init__(address, address, lenient=True)

    def write(self, data: bytes) -> None:
        """Give bytes to the other side."""
        super().write(data)
        self.connection.arrived()

    def loseConnection(self) -> None:
        """Close, in a moment."""
        super().loseConnection()
        self.connection.arrived()

    def abortConnection(self) -> None:
        """Close, in a moment."""
        super().abortConnection()
        self.connection.arrived()

    def unregisterProducer(self) -> None:
        """Forget the producer; as with a socket, there need not be one."""
        self.producer = None
        self.streaming = None


async def pass_time(clock: IReactorTime, seconds: float) -> None:
    """Let time pass: a Clock is moved through all that is due, for the reactor it is waited."""
    if not isinstance(clock, Clock):
        await deferLater(clock, seconds)
        return
    end = clock.seconds() + seconds
    while clock.seconds() < end:
        _step(clock, end)


def _step(clock: Clock, end: float) -> None:
    """Move a Clock to the next call that is due, or to the end."""
    due = [call.getTime() for call in clock.getDelayedCalls()]
    clock.advance(max(min([end, *due]) - clock.seconds(), 1e-6))


@define(eq=False)
class MemoryConnection:
    """One connection; see :class:`exampledriver.plugin.testing.connection.Connection`."""

    clock: IReactorTime
    protocol: IProtocol
    transport: Transport
    _open: bool = field(default=True, init=False)
    _waiter: Deferred[None] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Connect."""
        self.transport.connection = self
        self.protocol.makeConnection(self.transport)

    def arrived(self) -> None:
        """Take note that bytes came, or a close."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    def _settle(self) -> None:
        if self._open and self.transport.disconnecting:
            self._lose(ConnectionDone())

    def _lose(self, why: Exception) -> None:
        self._open = False
        self.protocol.connectionLost(Failure(why))

    async def send(self, data: bytes) -> None:
        """Feed bytes to the plugin, unless it has closed."""
        self._settle()
        if self._open:
            self.protocol.dataReceived(data)
            self._settle()

    def _take(self) -> bytes | None:
        """Return what came; nothing at the end; ``None`` if more may come."""
        data = bytes(self.transport.value())
        self.transport.clear()
        self._settle()
        return data if data or not self._open else None

    async def receive(self, within: float) -> bytes:
        """Return what came, after no more than so many seconds of the clock."""
        end = self.clock.seconds() + within
        while (data := self._take()) is None:
            left = end - self.clock.seconds()
            if left <= 0:
                raise Silent
            if isinstance(self.clock, Clock):
                _step(self.clock, end)
            else:
                await self._arrival(left)
        return data

    async def _arrival(self, within: float) -> None:
        self._waiter = Deferred()
        timer = self.clock.callLater(within, self.arrived)
        await self._waiter
        if timer.active():
            timer.cancel()
        # Out of the plugin's own stack: it is in the middle of writing its answer.
        await deferLater(self.clock, 0)

    def close(self) -> None:
        """Go away."""
        if self._open:
            self._lose(ConnectionLost())


@define(eq=False)
class MemoryTarget:
    """A plugin in this process; see :class:`exampledriver.plugin.testing.connection.Target`.

    :ivar factory: such as :meth:`exampledriver.plugin.Plugin.site`, or any
        ``twisted.web.server.Site``.
    :ivar clock: a Clock or the reactor; the plugin's own.
    """

    factory: IProtocolFactory
    clock: IReactorTime
    name: str = "a plugin in memory"
    path: str | None = field(default=None, init=False)

    async def connect(self) -> MemoryConnection:
        """Open one more connection."""
        address = UNIXAddress("/run/docker/plugins/memory.sock")
        protocol = self.factory.buildProtocol(address)
        if protocol is None:
            raise Unreachable(f"{self.name}: it takes no connection")
        if hasattr(protocol, "callLater"):
            # Twisted's HTTP channel has its timers there.
            protocol.callLater = self.clock.callLater
        return MemoryConnection(self.clock, protocol, Transport(address))

    def seconds(self) -> float:
        """Return the clock's time."""
        return self.clock.seconds()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await pass_time(self.clock, seconds)
