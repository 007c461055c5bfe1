"""An answer that comes in pieces, for as long as its client reads.

A client that reads slowly is waited for; one that goes ends the work that makes the pieces;
so does the stop of the plugin, which would wait for ever for a stream that follows something.
"""

from __future__ import annotations

from asyncio.events import _get_running_loop
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from zope.interface import implementer

from .awaiting import bridged
from .errors import explained
from .message import CONTENT_TYPE

_log = Logger()

#: Begins an answer in pieces: the request's body in, the pieces out.
Produce = Callable[[bytes], Coroutine[Any, Any, AsyncGenerator[bytes, None]]]


@implementer(IPushProducer)
@define(eq=False)
class Stream:
    """One answer in pieces.

    :ivar request: what it answers.
    """

    request: Any
    _paused: Deferred[None] | None = field(default=None, init=False)
    _work: Deferred[None] | None = field(default=None, init=False)

    def start(self, pieces: AsyncGenerator[bytes, None]) -> Deferred[None]:
        """Begin to write; the Deferred fires at the end, whichever it is.

        It fails if the first piece does before anything is waited for: nothing has been sent.
        """
        self.request.setHeader(b"Content-Type", CONTENT_TYPE)
        self.request.registerProducer(self, True)
        self._work = Deferred.fromCoroutine(self._run(pieces))
        loop = _get_running_loop()
        if loop is None:
            return self._begun(self._work)
        # A task takes its first step in the loop's next turn, and tells of its end in the one
        # after that.
        stepped: Deferred[None] = Deferred(lambda _: self.end())

        def step() -> None:
            if not stepped.called:  # else its client has gone
                stepped.callback(None)

        loop.call_soon(loop.call_soon, step)
        work = self._work
        return stepped.addBoth(lambda _: self._begun(work))

    def _begun(self, work: Deferred[None]) -> Deferred[None]:
        """Tell of the first failure with a status, or send the head."""
        if not self.request.startedWriting:
            if isinstance(getattr(work, "result", None), Failure):
                return work.addBoth(self._finish)
            # So that the client learns at once that there will be an answer.
            self.request.write(b"")
        return work.addErrback(self._failed).addCallback(self._finish)

    async def _run(self, pieces: AsyncGenerator[bytes, None]) -> None:
        try:
            await bridged(self._write(pieces))
        except RuntimeError as error:
            raise explained(error) from error

    async def _write(self, pieces: AsyncGenerator[bytes, None]) -> None:
        async with aclosing(pieces):
            async for piece in pieces:
                self.request.write(piece)
                if self._paused is not None:
                    await self._paused

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        _log.failure("a stream ended early", failure)
        if self.request.channel is not None:
            # The status has been sent. Without its last chunk the answer is cut, which a client
            # can tell from an end.
            self.request.chunked = 0
            self.request.channel.persistent = False

    def _finish(self, result: Failure | None) -> Failure | None:
        self._work = None
        if self.request.channel is not None:  # else its client has gone
            self.request.unregisterProducer()
        return result

    def end(self) -> None:
        """End the work; what was written is sent."""
        if self._work is not None:
            self._work.cancel()

    def pauseProducing(self) -> None:
        """Wait: the client reads more slowly than it is written."""
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        """Go on."""
        paused, self._paused = self._paused, None
        if paused is not None and not paused.called:
            paused.callback(None)

    def stopProducing(self) -> None:
        """End: the client has gone."""
        self.end()


@define(eq=False)
class Streams:
    """The answers in pieces that are under way."""

    _open: set[Stream] = field(factory=set, init=False)
    _ended: bool = field(default=False, init=False)

    def start(self, request: IRequest, pieces: AsyncGenerator[bytes, None]) -> Deferred[None]:
        """Answer a request in pieces; the Deferred fires at the end, as of :meth:`Stream.start`."""
        stream = Stream(request)
        self._open.add(stream)

        def ended(result: Failure | None) -> Failure | None:
            self._open.discard(stream)
            return result

        done = stream.start(pieces).addBoth(ended)
        if self._ended:
            stream.end()
        return done

    def end(self) -> None:
        """End them all, and those that begin later: the plugin stops."""
        self._ended = True
        for stream in list(self._open):
            stream.end()
