"""A plugin behind a real socket, with no event loop: what the command uses.

Its methods are coroutines that never wait for anything but the kernel;
:func:`run` carries them out.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from attrs import define, field

from .address import Address
from .connection import Silent, Unreachable

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Carry out a coroutine over a :class:`SocketTarget`, and return its result.

    :raises RuntimeError: it waits for something else.
    """
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("over plain sockets nothing can be awaited but a target's own methods")


@define(eq=False)
class SocketConnection:
    """A connected socket; see :class:`exampledriver.plugin.testing.connection.Connection`."""

    _socket: socket.socket
    _limit: float

    async def send(self, data: bytes) -> None:
        """Send bytes. A plugin that has closed, or takes no more, loses the rest."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(self._limit)
            self._socket.sendall(data)

    async def receive(self, within: float) -> bytes:
        """Return what came; a reset is a close."""
        self._socket.settimeout(max(within, 0.001))
        try:
            return self._socket.recv(1 << 16)
        except (TimeoutError, ssl.SSLWantReadError, BlockingIOError):
            raise Silent from None
        except OSError:
            return b""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@define(eq=False)
class SocketTarget:
    """A plugin at an address; see :class:`exampledriver.plugin.testing.connection.Target`.

    :ivar limit: seconds for opening a connection, and for sending.
    """

    address: Address
    limit: float = 10.0
    name: str = field(init=False)
    path: str | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Take the names from the address."""
        self.name = self.address.text
        self.path = self.address.path

    async def connect(self) -> SocketConnection:
        """Open one more connection."""
        try:
            return SocketConnection(self._open(), self.limit)
        except OSError as error:
            raise Unreachable(f"{self.name}: {error.strerror or error}") from None

    def _open(self) -> socket.socket:
        if self.path is not None:
            opened = socket.socket(socket.AF_UNIX)
            try:
                opened.settimeout(self.limit)
                opened.connect(self.path)
            except OSError:
                opened.close()
                raise
            return opened
        where = (self.address.host, self.address.port)
        opened = socket.create_connection(where, timeout=self.limit)
        if self.address.tls is None:
            return opened
        try:
            return self.address.tls.wrap_socket(opened, server_hostname=self.address.host)
        except OSError:
            opened.close()
            raise

    def seconds(self) -> float:
        """Return the monotonic clock's time."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)
