"""Long answers on a real UNIX socket: in pieces, in order, and whole."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from exampledriver.daemon.ports import DirectServer, SocketPort

reactor: Any = _reactor

#: More than a socket takes at once, and of many sizes.
PIECES = [bytes([n % 251]) * (n * 3700 % 70_000) for n in range(200)]


class PiecesTests(TestCase):
    """What a connection sends."""

    def setUp(self) -> None:
        self.connected: Deferred[Protocol] = Deferred()
        self.path = self.mktemp()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.path)
        listening.listen()
        self.port = SocketPort(listening, Factory.forProtocol(Protocol), reactor)
        self.port.startListening()
        self.addCleanup(self.port.stopListening)
        self.client = socket.socket(socket.AF_UNIX)
        self.client.settimeout(30)
        self.client.connect(self.path)
        self.addCleanup(self.client.close)

    async def transport(self) -> DirectServer:
        """Return the accepted connection."""
        while True:
            for reader in self.port.reactor.getReaders():
                if isinstance(reader, DirectServer) and reader.server is self.port:
                    return reader
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await turn

    def read(self) -> bytes:
        """Read until the end."""
        data = []
        while more := self.client.recv(100_000):
            data.append(more)
        return b"".join(data)

    async def test_order(self) -> None:
        """What was written before, in pieces, and after arrives in this order, and then the end."""
        transport = await self.transport()
        before = b"before" * 100_000
        transport.write(before)
        transport.writeSequence(PIECES)
        transport.write(b"after")
        transport.writeSequence([b"1", b"", b"2"])
        transport.loseConnection()
        found = await deferToThread(self.read)
        self.assertEqual(found, before + b"".join(PIECES) + b"after12")

    async def test_never_joined(self) -> None:
        """Pieces are not copied: while the client does not read, they wait as they came."""
        transport = await self.transport()
        transport.writeSequence(PIECES)
        transport.doWrite()
        waiting = list(transport._pieces)
        self.assertGreater(len(waiting), 100)
        for kept, piece in zip(waiting[1:], PIECES[1 - len(waiting) :], strict=True):
            self.assertIs(kept, piece)
        self.assertEqual(transport.dataBuffer, b"")
        transport.loseConnection()
        self.assertEqual(await deferToThread(self.read), b"".join(PIECES))

    async def test_client_gone(self) -> None:
        """A client that goes in the middle ends the connection, and frees what was not sent."""
        transport = await self.transport()
        lost: Deferred[None] = Deferred()
        transport.protocol.connectionLost = lambda reason: lost.callback(None)  # type: ignore
        transport.writeSequence(PIECES)
        transport.doWrite()
        self.client.recv(1000)
        self.client.close()
        await lost
        self.assertEqual(len(transport._pieces), 0)
