"""Listening on a UNIX socket that is there already.

Twisted's own UNIX port opens the socket's file to everybody, takes it away at the end
without looking whose it is, and shuts down a socket that the service manager goes on
listening on. This one only accepts.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any

from twisted.internet import unix
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from .accepting import RestingPort
from .poller import poller

#: Each round accepts more than the one before: this is far more than any queue holds.
_ROUNDS = 100

#: How many bytes one connection may write in one turn of the reactor, about; and how many
#: pieces are offered to the socket at once.
_TURN = 1 << 20
_SOME = 16


class DirectServer(unix.Server):
    """An accepted connection on which an answer leaves in the turn in which it is made.

    Twisted's own waits for the reactor's next turn to write, joins what is long again and
    again, and reads with recvmsg(2) for the sake of file descriptors, which nobody sends here.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        #: What is sent when all that Twisted has taken is: as it came, and never joined.
        self._pieces: deque[bytes | memoryview] = deque()

    def doRead(self) -> Any:
        """Read what has come."""
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        return self.protocol.dataReceived(data) if data else CONNECTION_DONE

    def write(self, data: bytes) -> None:
        """Write, at once what the socket takes at once, and the rest when it takes more."""
        if self._pieces:
            self.writeSequence([data])
            return
        if self.connected and not (
            self.disconnecting or self._tempDataBuffer or self.dataBuffer or self._writeDisconnected
        ):
            try:
                sent = self.socket.send(data)
            except OSError:
                # Full, or broken: the reactor finds out which.
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        super().write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write pieces of something long."""
        if not self.connected or self._writeDisconnected:
            return
        if self.dataBuffer or self._tempDataBuffer:
            self._pieces += [memoryview(self.dataBuffer)[self.offset :], *self._tempDataBuffer]
            self.dataBuffer, self.offset, self._tempDataBuffer, self._tempDataLen = b"", 0, [], 0
        self._pieces += iovec
        if self.producer is not None and self.streamingProducer and not self.producerPaused:
            self.producerPaused = True
            self.producer.pauseProducing()  # type: ignore[attr-defined]
        self.startWriting()

    def doWrite(self) -> Any:
        """Write what the socket takes, and no more than may be written in one turn."""
        left = _TURN
        pieces = self._pieces
        while pieces:
            some = list(islice(pieces, _SOME))
            try:
                sent = self.socket.sendmsg(some)
            except (BlockingIOError, InterruptedError):
                return None
            except OSError:
                return CONNECTION_LOST
            left -= sent
            while pieces and sent >= len(pieces[0]):
                sent -= len(pieces.popleft())
            if sent:
                pieces[0] = memoryview(pieces[0])[sent:]
            if pieces and left <= 0:
                return None
        return super().doWrite()

    def connectionLost(self, reason: Failure) -> None:
        """Forget what was not sent."""
        self._pieces.clear()
        super().connectionLost(reason)


class SocketPort(RestingPort, unix.Port):
    """Accepts the connections of a listening UNIX socket, and leaves its file alone."""

    transport = DirectServer
    # The description is shared with whoever else has the socket open.
    _shouldShutdown = False

    def __init__(self, listening: socket.socket, factory: Factory[Any], reactor: Any) -> None:
        super().__init__(b"", factory, reactor=poller(reactor))
        self._listening = listening

    def startListening(self) -> None:
        """Begin to accept."""
        self._listening.setblocking(False)
        if self.factory is not None:
            self.factory.doStart()
        self.connected = True
        self.socket = self._listening
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        self.numberAccepts = 100
        self.startReading()

    def _logConnectionLostMsg(self) -> None:
        """Leave it to the service to say that it stops."""


def accept_waiting(port: object) -> None:
    """Accept every connection that waits in a port's queue.

    Twisted accepts a part of them in each turn of the reactor; the rest would be cut when
    the port closes.
    """
    if not IReadDescriptor.providedBy(port):
        return
    poll = select.poll()
    poll.register(port.fileno(), select.POLLIN)
    for _ in range(_ROUNDS):
        if not poll.poll(0):
            break
        port.doRead()
