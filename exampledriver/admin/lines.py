"""An answer in lines: how far a long work is, and at the end what came of it.

Each line is a JSON object. ``{"Progress": {…}}`` comes any number of times, the answer
itself once, as the last line. A work that reports nothing is answered as any other call.
"""

from __future__ import annotations

from typing import cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.iweb import IRequest
from zope.interface import implementer

from ..plugin.message import encode
from ..plugin.wire import Pieces, reply
from .interfaces import Fields

CONTENT_TYPE = b"application/x-ndjson"


def content(request: IRequest) -> bytes:
    """Return a request's body."""
    body = cast(Request, request).content
    return body.read() if body is not None else b""


@implementer(IPushProducer)
@define(eq=False)
class Lines:
    """The lines of one answer. A client that has gone, or does not read, gets no progress."""

    _request: IRequest
    _begun: bool = field(default=False, init=False)
    _gone: bool = field(default=False, init=False)
    _full: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Take note of when the client goes."""
        cast(Request, self._request).notifyFinish().addErrback(self._left)

    def _left(self, reason: Failure) -> None:
        self._gone = True

    def report(self, progress: Fields) -> bool:
        """Write a line that tells how far the work is; return False if the client has gone.

        :param progress: without fields no line is written.
        """
        if self._gone or self._full or not progress:
            return not self._gone
        if not self._begun:
            self._begun = True
            cast(Request, self._request).registerProducer(self, True)
            self._request.setResponseCode(200)
            self._request.setHeader(b"Content-Type", CONTENT_TYPE)
        self._request.write(encode({"Progress": progress}) + b"\n")
        return True

    def end(self, status: int, body: bytes | Pieces) -> bytes | Deferred[bytes]:
        """Return what is left to be written of the answer.

        Once lines were written its status is 200; the last line has ``Err`` for an error.
        """
        if not self._begun:
            return reply(self._request, status, body)
        if not self._gone:
            cast(Request, self._request).unregisterProducer()
        return (body if isinstance(body, bytes) else b"".join(body)) + b"\n"

    def pauseProducing(self) -> None:
        """Write no progress: what was written before has not been read."""
        self._full = True

    def resumeProducing(self) -> None:
        """Go on."""
        self._full = False

    def stopProducing(self) -> None:
        """Write nothing more: the client has gone."""
        self._gone = True
