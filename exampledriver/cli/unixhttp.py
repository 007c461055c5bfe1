"""HTTP over a UNIX socket, for asking somebody who may be dead, deaf or mad.

A peer that is silent for :data:`SILENCE` or has not finished after :data:`LIMIT` is
abandoned, unless a call gives other limits. Nothing here connects to anything but a UNIX socket.
"""

from __future__ import annotations

import os
import socket
import struct
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Timer

from attrs import frozen

#: Seconds of silence, and seconds for the whole answer.
SILENCE = 2.0
LIMIT = 10.0
#: How large an answer may be, in bytes: a list of a million volumes.
LARGEST = 1 << 29

_PEER = struct.Struct("3i")


class DeadError(Exception):
    """Nobody listens behind the socket file."""


class SilentError(Exception):
    """Somebody holds the socket and does not answer in time.

    :ivar pid: who, or 0.
    """

    def __init__(self, text: str, pid: int) -> None:
        super().__init__(text)
        self.pid = pid


class NoHTTPError(Exception):
    """What was answered is no HTTP."""


@frozen
class Answer:
    """An answer.

    :ivar pid: the process that listens, or 0 if it cannot be seen from here.
    """

    status: int
    body: bytes
    pid: int


class Connection(HTTPConnection):
    """HTTP over a UNIX socket.

    :ivar pid: the process that listens, once connected; 0 if it cannot be seen from here.
    """

    def __init__(self, path: Path, silence: float = SILENCE) -> None:
        super().__init__("localhost", timeout=silence)
        self._path = path
        self.pid = 0

    def connect(self) -> None:
        """Connect, and find out who listens."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))
        peer = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        self.pid = _PEER.unpack(peer)[0]


def peer(path: Path) -> int:
    """Return the process that listens at a socket, or 0 if there is none to be seen."""
    connection = Connection(path)
    try:
        connection.connect()
    except OSError:
        pass
    finally:
        connection.close()
    return connection.pid


def ask(
    path: Path,
    method: str,
    target: str,
    body: bytes = b"",
    silence: float = SILENCE,
    limit: float = LIMIT,
    content_type: str = "",
) -> Answer:
    """Make one request and return its answer.

    :param silence: seconds that the other side may be silent.
    :param limit: seconds for the whole answer.
    :raises DeadError, SilentError, NoHTTPError: there is no answer.
    :raises OSError: the socket cannot be reached at all.
    """
    connection = Connection(path, silence)
    headers = {"Content-Type": content_type} if content_type else {}
    try:
        connection.connect()
        end = Timer(limit, connection.sock.shutdown, [socket.SHUT_RDWR])
        end.daemon = True
        end.start()
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            read = answer.read(LARGEST)
        finally:
            end.cancel()
    except ConnectionRefusedError:
        raise DeadError("nobody listens there") from None
    except BlockingIOError:
        raise SilentError("its queue of connections is full", connection.pid) from None
    except TimeoutError:
        raise SilentError(f"no answer within {silence:.0f} s", connection.pid) from None
    except (HTTPException, ConnectionError) as error:
        raise NoHTTPError(f"{type(error).__name__}: {error}") from None
    finally:
        connection.close()
    return Answer(answer.status, read, connection.pid)
