"""One reader for a port and its connections. Real sockets, and a reactor that only takes note."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from attrs import define, field
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IReactorFDSet,
    IReadDescriptor,
    IReadWriteDescriptor,
)
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from exampledriver.daemon import poller as module
from exampledriver.daemon.poller import Poller, poller
from exampledriver.daemon.ports import SocketPort
from tests.process import remove_directory, short_directory

#: More than any socket takes at once.
MUCH = b"0123456789abcdef" * 100_000


@define(eq=False)
class Reactor:
    """What a poller needs of a reactor."""

    readers: list[object] = field(factory=list)
    threadCallQueue: list[object] = field(factory=list)
    clock: Clock = field(factory=Clock)

    def addReader(self, reader: object) -> None:
        """Take note of a reader."""
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        """Forget a reader."""
        self.readers.remove(reader)

    def callLater(self, *args: Any) -> object:
        """Call later."""
        return self.clock.callLater(*args)


@implementer(IReadWriteDescriptor)
@define(eq=False)
class End:
    """One end of a socket, which takes note of what happens to it."""

    socket: socket.socket
    does: Callable[[], object] = lambda: None
    seen: list[object] = field(factory=list)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.socket.fileno()

    def logPrefix(self) -> str:
        """Return a name."""
        return "end"

    def doRead(self) -> Any:
        """Read."""
        self.seen.append(self.socket.recv(100))
        return self.does()

    def doWrite(self) -> Any:
        """Take note that it can write."""
        self.seen.append("write")
        return self.does()

    def connectionLost(self, reason: Failure) -> None:
        """Take note of the end."""
        self.seen.append(type(reason.value))


@implementer(IHalfCloseableDescriptor)
class HalfEnd(End):
    """An end that goes on writing when the other one has done so."""

    def readConnectionLost(self, reason: Failure) -> None:
        """Take note of the end of what is read."""
        self.seen.append("half")

    def writeConnectionLost(self, reason: Failure) -> None:
        """Do nothing."""


class PollerCase(SynchronousTestCase):
    """A poller and its reactor."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.poller = Poller(self.reactor)
        self.patch(module, "AWAKE", 0.0)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Return two ends, which the test closes."""
        ends = socket.socketpair()
        for end in ends:
            self.addCleanup(end.close)
        return ends

    def end(
        self, does: Callable[[], object] = lambda: None, kind: type[End] = End
    ) -> tuple[End, socket.socket]:
        """Return an end that is read, and its other end."""
        ours, theirs = self.pair()
        end = kind(ours, does)
        self.poller.addReader(end)
        return end, theirs


class PollerTests(PollerCase):
    """What is waited for, and what is called."""

    def test_interfaces(self) -> None:
        """To connections it is a reactor, to the reactor a reader; without epoll there is none."""
        verifyObject(IReactorFDSet, self.poller)
        verifyObject(IReadDescriptor, self.poller)
        self.assertIsInstance(poller(self.reactor), Poller)
        self.patch(module, "select", object())
        self.assertIs(poller(self.reactor), self.reactor)

    def test_one_reader(self) -> None:
        """The reactor has one reader while there is anything to wait for, and then none."""
        (one, _), (two, _) = self.end(), self.end()
        self.poller.addReader(one)
        self.poller.addWriter(one)
        self.assertEqual(self.reactor.readers, [self.poller])
        self.assertEqual((self.poller.getReaders(), self.poller.getWriters()), ([one, two], [one]))
        self.poller.removeReader(one)
        self.poller.removeReader(two)
        self.assertEqual(self.reactor.readers, [self.poller])
        self.poller.removeWriter(one)
        self.poller.removeWriter(one)
        self.assertEqual(self.reactor.readers, [])

    def test_called(self) -> None:
        """Each is called for what it waits for, and for nothing else."""
        one, theirs = self.end()
        self.poller.doRead()
        self.assertEqual(one.seen, [])
        theirs.send(b"x")
        self.poller.addWriter(one)
        self.poller.doRead()
        self.assertEqual(one.seen, [b"x", "write"])
        self.poller.removeReader(one)
        theirs.send(b"y")
        self.poller.doRead()
        self.assertEqual(one.seen, [b"x", "write", "write"])

    def test_error(self) -> None:
        """An error closes the connection that it comes from, and no other, and is logged."""
        one, first = self.end(lambda: 1 / 0)
        two, second = self.end()
        first.send(b"x")
        second.send(b"y")
        self.poller.doRead()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((one.seen, two.seen), ([b"x", ZeroDivisionError], [b"y"]))
        self.assertEqual(self.poller.getReaders(), [two])

    def test_other_end_gone(self) -> None:
        """The end of a connection is read; one that can write on is told that only that ended."""
        for kind, seen in ((End, [b"", ConnectionDone]), (HalfEnd, [b"", "half"])):
            end, theirs = self.end(lambda: CONNECTION_DONE, kind)
            theirs.close()
            self.poller.doRead()
            self.assertEqual(end.seen, seen)
        self.assertEqual(self.reactor.readers, [])

    def test_removed_meanwhile(self) -> None:
        """One that another has removed in the same round is not called."""
        ends: list[End] = []

        def remove_all() -> None:
            self.poller.removeAll()

        for _ in range(2):
            end, theirs = self.end(remove_all)
            ends.append(end)
            theirs.send(b"x")
        self.poller.doRead()
        self.assertEqual(sum(len(end.seen) for end in ends), 1)

    def test_reactor_ends(self) -> None:
        """When the reactor ends, every connection does."""
        one, _ = self.end()
        self.poller.addWriter(one)
        self.poller.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(one.seen, [ConnectionLost])


class AwakeTests(PollerCase):
    """Waiting for a client that asks again at once."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(module, "AWAKE", 60.0)
        self.patch(module, "SOON", 60.0)
        self.patch(module, "TURN", 60.0)
        self.left = 100
        ours, self.theirs = self.pair()
        self.asking = End(ours, self.again)
        self.poller.addReader(self.asking)

    def again(self) -> None:
        """Send the next request, or let a thread want something."""
        self.left -= 1
        if self.left:
            self.theirs.send(b"x")
        else:
            self.reactor.threadCallQueue.append(None)

    def ask(self, last: float) -> int:
        """Send a request, after one at `last`; return how many were read in one turn."""
        self.poller._last = last
        before = len(self.asking.seen)
        self.theirs.send(b"x")
        self.poller.doRead()
        return len(self.asking.seen) - before

    def test_again(self) -> None:
        """Requests that come at once are answered in one turn, until a thread wants something."""
        self.assertEqual(self.ask(perf_counter()), 100)

    def test_alone(self) -> None:
        """A request that comes alone is not waited for another."""
        self.assertEqual(self.ask(perf_counter() - 61), 1)

    def test_turn(self) -> None:
        """However many requests come, the reactor has its turn."""
        self.patch(module, "TURN", 0.0)
        self.assertEqual(self.ask(perf_counter()), 1)

    def test_nothing_comes(self) -> None:
        """If no request comes, the wait is short."""
        self.patch(module, "AWAKE", 0.01)
        self.left = -1
        self.asking.does = lambda: None
        self.assertEqual(self.ask(perf_counter()), 1)


class Notes(Protocol):
    """A protocol that keeps what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: list[type] = []

    def dataReceived(self, data: bytes) -> None:
        """Keep data."""
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Keep the reason."""
        self.lost.append(type(reason.value))


class ConnectionTests(PollerCase):
    """Connections whose waiting a poller does."""

    def setUp(self) -> None:
        super().setUp()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"{self.directory()}/x")
        listening.listen()
        self.port = SocketPort(listening, Factory.forProtocol(Notes), self.reactor)
        self.port.startListening()
        self.poller = cast(Poller, self.port.reactor)
        self.client = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.client.close)
        self.client.connect(listening.getsockname())
        self.client.setblocking(False)
        self.poller.doRead()
        self.server: Any
        (self.server,) = set(self.poller.getReaders()) - {self.port}
        self.notes = self.server.protocol

    def directory(self) -> Path:
        """Return a directory for a socket."""
        directory = short_directory()
        self.addCleanup(remove_directory, directory)
        return directory

    def received(self) -> bytes:
        """Return what the client gets, while the poller is called."""
        found = b""
        for _ in range(10_000):
            self.poller.doRead()
            try:
                data = self.client.recv(1 << 16)
            except BlockingIOError:
                if not self.poller.getWriters():
                    return found
                continue
            if not data:
                return found
            found += data
        raise AssertionError("there is no end")

    def test_client_that_does_not_read(self) -> None:
        """What the client does not take waits, and comes whole and in order when it does."""
        self.server.write(MUCH)
        self.server.write(b"!")
        for _ in range(5):
            self.poller.doRead()
        self.assertEqual(self.poller.getWriters(), [self.server])
        self.assertEqual(self.received(), MUCH + b"!")
        self.assertEqual(self.poller.getWriters(), [])

    def test_closed_when_written(self) -> None:
        """A connection that is to be closed is so when all has been written."""
        self.server.write(MUCH)
        self.server.loseConnection()
        self.assertEqual(self.received(), MUCH)
        self.assertEqual(self.notes.lost, [ConnectionDone])
        self.assertEqual(self.poller.getReaders(), [self.port])

    def test_client_has_written_all(self) -> None:
        """A client that closes its side for writing has been heard before it is gone."""
        self.client.send(b"last")
        self.client.shutdown(socket.SHUT_WR)
        self.poller.doRead()
        self.poller.doRead()
        self.assertEqual((self.notes.data, self.notes.lost), (b"last", [ConnectionDone]))

    def test_client_gone_while_it_is_written_to(self) -> None:
        """A client that goes with an answer unread, and reading paused, is noticed."""
        self.server.write(MUCH)
        self.server.pauseProducing()
        self.client.close()
        self.poller.doRead()
        self.assertEqual(self.notes.lost, [ConnectionLost])
        self.assertEqual(self.poller.getReaders(), [self.port])

    def test_abort(self) -> None:
        """An aborted connection is lost in the reactor's next turn, what is unwritten with it."""
        self.server.write(MUCH)
        self.server.abortConnection()
        self.assertEqual(self.poller.getReaders(), [self.port])
        self.reactor.clock.advance(0)
        self.assertEqual(len(self.notes.lost), 1)
        self.assertLess(len(self.received()), len(MUCH))
