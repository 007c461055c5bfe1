"""A long answer, written as fast as its client reads it.

The pieces of a ``List`` are shared by all its answers. Only a few of them at a time are given to a
connection, which joins, encrypts or keeps what the client has not read yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

#: How much is given to a connection at a time, in bytes; a piece of a ``List`` is never divided.
SOME = 1 << 18


def parts(body: bytes | list[bytes]) -> Iterator[bytes]:
    """Return a body's pieces; one that is not in pieces is cut as it is read."""
    if isinstance(body, list):
        return iter(body)
    return (body[at : at + SOME] for at in range(0, len(body), SOME))


class Consumer(Protocol):
    """What tells its producer when to pause: a request, or a connection between two of them."""

    def registerProducer(self, producer: Any, streaming: bool) -> object:
        """Pause and resume ``producer``."""

    def unregisterProducer(self) -> object:
        """Forget the producer."""


@implementer(IPushProducer)
@define(eq=False)
class Sending:
    """One long answer.

    :ivar write: writes some pieces.
    """

    _consumer: Consumer
    _write: Callable[[list[bytes]], object]
    _pieces: Iterator[bytes]
    _paused: bool = field(default=False, init=False)
    _done: Deferred[bytes] = field(init=False)

    def start(self) -> Deferred[bytes]:
        """Begin to write.

        :return: fires with nothing more to write, when all has been written. Cancel it when the
            client has gone.
        """
        self._done = Deferred(lambda _: self.stopProducing())
        self._consumer.registerProducer(self, True)
        self.resumeProducing()
        return self._done

    def resumeProducing(self) -> None:
        """Write until the connection is full."""
        self._paused = False
        while not self._paused:
            some: list[bytes] = []
            size = 0
            for piece in self._pieces:
                some.append(piece)
                size += len(piece)
                if size >= SOME:
                    break
            else:
                self.stopProducing()
            if some:
                self._write(some)
            if size < SOME:
                self._consumer.unregisterProducer()
                self._done.callback(b"")

    def pauseProducing(self) -> None:
        """Wait: the connection is full."""
        self._paused = True

    def stopProducing(self) -> None:
        """Write no more, and keep nothing."""
        self._paused = True
        self._pieces = iter(())
