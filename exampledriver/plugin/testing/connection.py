"""What a rule needs of the way to a plugin, whether that is memory, a socket or the reactor.

Rules are coroutines over these interfaces, so that one function judges a driver in
memory, a plugin behind Twisted's endpoints, and a process in any language.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define, field

from .http import NotHTTP, Reader, Response


class Unreachable(Exception):
    """No connection could be made; the text says to what, and why."""


class Silent(Exception):
    """Nothing came in time; the text says for how long."""


class Gone(Exception):
    """The plugin has closed the connection before an answer."""


class Connection(Protocol):
    """One connection to a plugin."""

    async def send(self, data: bytes) -> None:
        """Send bytes, as one piece. What a plugin that has closed does not take is lost."""

    async def receive(self, within: float) -> bytes:
        """Return what came, or nothing once the plugin has closed.

        :param within: seconds to wait for the first byte.
        :raises Silent: nothing came.
        """

    def close(self) -> None:
        """Go away, without a word to the plugin."""


class Target(Protocol):
    """A plugin that can be reached.

    :ivar name: what people call it: the path of a socket, a URL.
    :ivar path: the path of its socket, if it has one.
    """

    name: str
    path: str | None

    async def connect(self) -> Connection:
        """Open one more connection.

        :raises Unreachable: it could not be opened.
        """

    def seconds(self) -> float:
        """Return a clock's time, in seconds; it does not jump."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""


@define(eq=False)
class Client:
    """One connection, read as answers.

    :ivar limit: seconds that an answer may take, for a call that says nothing else.
    """

    connection: Connection
    target: Target
    limit: float
    _reader: Reader = field(factory=Reader, init=False)
    closed: bool = field(default=False, init=False)

    async def send(self, *pieces: bytes) -> None:
        """Send bytes, each piece by itself."""
        for piece in pieces:
            await self.connection.send(piece)

    async def response(self, within: float | None = None, head_only: bool = False) -> Response:
        """Return the next answer.

        :param within: seconds for all of it.
        :raises Silent: it is not there in time.
        :raises Gone: the plugin closed before its first byte.
        :raises NotHTTP: it is malformed, or cut.
        """
        limit = self.limit if within is None else within
        end = self.target.seconds() + limit
        while True:
            found = self._reader.next(self.closed, head_only)
            if found is not None:
                return found
            if self.closed:
                raise Gone("the connection was closed without an answer")
            left = end - self.target.seconds()
            try:
                if left <= 0:
                    raise Silent
                data = await self.connection.receive(left)
            except Silent:
                begun = f", only {self._reader.waiting[:80]!r}" if self._reader.waiting else ""
                raise Silent(f"no answer within {limit:g} s{begun}") from None
            if data:
                self._reader.feed(data)
            else:
                self.closed = True

    @property
    def waiting(self) -> bytes:
        """What came and belongs to no whole answer yet."""
        return self._reader.waiting

    async def ask(self, *pieces: bytes, within: float | None = None) -> Response:
        """Send a request, in pieces, and return its answer."""
        await self.send(*pieces)
        return await self.response(within)

    async def closes(self, within: float) -> bool:
        """Tell whether the plugin closes the connection in this time, in seconds."""
        end = self.target.seconds() + within
        while not self.closed:
            left = end - self.target.seconds()
            if left <= 0:
                return False
            try:
                data = await self.connection.receive(left)
            except Silent:
                return False
            self._reader.feed(data)
            self.closed = not data
        return True

    def close(self) -> None:
        """Go away."""
        self.connection.close()


#: What can happen in place of an answer.
NO_ANSWER = (Silent, Gone, NotHTTP, Unreachable)
