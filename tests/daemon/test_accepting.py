"""Ports that can accept nothing for a while. Real sockets, and a reactor that only takes note."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.daemon import accepting
from exampledriver.daemon.accepting import LOG_INTERVAL, REST, RestingPort
from exampledriver.daemon.poller import poller
from exampledriver.daemon.ports import SocketPort, accept_waiting
from tests.process import remove_directory, short_directory

from .test_poller import Reactor


class Socket(socket.socket):
    """A listening socket that fails with an error while it has one."""

    error = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return super().accept()


class RestCase(SynchronousTestCase):
    """A port, and what it logs."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.patch(accepting, "monotonic", lambda: self.now)
        self.patch(accepting, "_warning", accepting._Warning())
        self.reactor = Reactor()
        self.made: list[Protocol] = []
        self.factory: Factory[Protocol] = Factory.forProtocol(Protocol)
        build = self.factory.buildProtocol
        self.factory.buildProtocol = lambda addr: self.note(build(addr))  # type: ignore
        self.factory.noisy = False
        self.listening, self.port = self.listen()
        self.addCleanup(self.listening.close)

    def note(self, protocol: Any) -> Any:
        """Remember a connection."""
        self.made.append(protocol)
        return protocol

    def listen(self) -> tuple[Socket, Any]:
        """Listen on a UNIX socket, as for engines and the administrator."""
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        listening = Socket(socket.AF_UNIX)
        listening.bind(os.fspath(self.base / "s"))
        listening.listen()
        port = SocketPort(listening, self.factory, self.reactor)
        port.startListening()
        return listening, port

    def dial(self) -> None:
        """Connect one more client."""
        client = socket.socket(self.listening.family)
        self.addCleanup(client.close)
        client.connect(self.listening.getsockname())


def texts(events: Sequence[LogEvent]) -> list[str]:
    """Return what was logged."""
    return [formatEvent(event) for event in events if event["log_namespace"] != "log_legacy"]


class RestTests(RestCase):
    """A UNIX socket."""

    def test_rest(self) -> None:
        """After each error that lasts, the port rests for a second, and then accepts who waits."""
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            self.listening.error = number
            self.dial()
            made = len(self.made)
            self.port.doRead()
            self.assertEqual(self.port.reactor.getReaders(), [])
            self.assertEqual(len(self.made), made)
            self.reactor.clock.advance(REST * 0.9)
            self.assertEqual(self.port.reactor.getReaders(), [])
            self.reactor.clock.advance(REST * 0.2)
            self.assertEqual(self.port.reactor.getReaders(), [self.port])
            self.listening.error = 0
            self.port.doRead()
            self.assertEqual(len(self.made), made + 1)
            for protocol in self.made:
                protocol.transport.stopReading()  # type: ignore[union-attr]

    def test_logged(self) -> None:
        """It is logged with what to do, at most once a minute, whichever ports rest."""
        self.listening.error = errno.EMFILE
        other, port = self.listen()
        self.addCleanup(other.close)
        other.error = errno.ENFILE
        with capturedLogs() as events:
            for _ in range(int(LOG_INTERVAL)):
                self.port.doRead()
                port.doRead()
                self.now += 0.99
                self.reactor.clock.advance(1)
            self.now += 1
            port.doRead()
        first, second = texts(events)
        self.assertIn("Too many open files: raise LimitNOFILE", first)
        self.assertIn("fs.file-max", second)

    def test_close(self) -> None:
        """A port that is closed while it rests begins no more, and leaves no timer."""
        self.listening.error = errno.EMFILE
        accept_waiting(self.port)
        self.dial()
        accept_waiting(self.port)
        self.port.loseConnection()
        self.reactor.clock.advance(0)
        self.assertEqual(self.reactor.clock.getDelayedCalls(), [])
        self.assertEqual(self.reactor.readers, [])

    def test_other_errors(self) -> None:
        """One connection that fails keeps no others waiting."""
        self.listening.error = errno.ECONNABORTED
        with capturedLogs() as events:
            self.port.doRead()
        self.assertEqual(self.port.reactor.getReaders(), [self.port])
        self.assertEqual(self.reactor.clock.getDelayedCalls(), [])
        self.assertNotIn("new connections wait", "".join(texts(events)))


class TcpRestTests(RestTests):
    """A TCP port, as ``tcp:`` and ``ssl:`` have it."""

    def listen(self) -> tuple[Socket, Any]:
        port: Any = RestingPort(0, self.factory, 5, "127.0.0.1", poller(self.reactor))
        self.patch(port, "createInternetSocket", lambda: Socket(socket.AF_INET))
        port.startListening()
        return port.socket._socket, port
