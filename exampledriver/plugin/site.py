"""HTTP as engines speak it, on Twisted's own server: JSON on every path, bounded, drainable.

What is different from a plain ``twisted.web.server.Site``, and why:

- No idle timeout: a close that races a request makes Docker send it again
  *without its body*. Engines keep at most two idle connections.
- No access log: reads must not cost a line.
- A request without a Host header is answered; on a UNIX socket, Twisted's own
  ``getRequestHostname`` fails for it.
- Bodies are bounded, by :data:`MAX_BODY` for most protocols; what comes beyond is read, not kept,
  and answered with 413.
- A client that does not read its answers gets no further one: the next request of its connection
  begins when the socket has taken the answer before it, and until then nothing more is read.
- What Twisted itself refuses (a malformed head) is answered in JSON too.
- :meth:`PluginSite.drain` closes connections without cutting an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from time import time
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IReactorTime,
    IReadDescriptor,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, HTTPChannel, datetimeToString
from twisted.web.http import Request as BaseRequest
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import Request, Site, version

from .errors import BadRequest, TooLarge
from .known import Head, Known, divided
from .message import CONTENT_TYPE, encode
from .sending import SOME, Sending, parts
from .wire import Answered, Pieces, Read

#: The largest body that is read, in bytes, unless a protocol needs more.
MAX_BODY = 1 << 20


def _line(status: int) -> bytes:
    return b"HTTP/1.1 %d %s" % (status, RESPONSES.get(status, b"Unknown Status"))


_LINES = {status: _line(status) for status in (200, 400, 500)}

#: Answers a request with a failure; :meth:`exampledriver.plugin.wire.Wire.refuse`.
Refuse = Callable[[IRequest, Failure], bytes]


class PluginRequest(Request):
    """One request of an engine, that Twisted has read."""

    channel: PluginChannel
    defaultContentType = CONTENT_TYPE
    _received = 0

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory, where it is bounded, never in a temporary file."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Keep what is within the bound, count the rest."""
        self._received += len(data)
        if self._received <= self.channel.site.max_body:
            super().handleContentChunk(data)

    def getRequestHostname(self) -> bytes:
        """Return one name for all: a plugin has no virtual hosts."""
        return b"plugin"

    @property
    def plain(self) -> bool:
        """Whether the head asks for nothing but a call: the next one like it can be looked up."""
        return (
            self.method == b"POST"
            and self.clientproto == b"HTTP/1.1"
            and self.uri == self.path
            and bool(self.channel.persistent)
            and not self.requestHeaders.hasHeader(b"Expect")
            and not self.requestHeaders.hasHeader(b"Transfer-Encoding")
        )

    def process(self) -> None:
        """Refuse what Klein would answer with a text, or not at all; route the rest."""
        self.channel.learn(self, self._received)
        try:
            limit = self.channel.site.max_body
            if self._received > limit:
                raise TooLarge(
                    f"the request has {self._received} bytes; a plugin call has at most {limit}"
                )
            try:
                unquote_to_bytes(self.path).decode("utf-8")
            except UnicodeDecodeError:
                raise BadRequest("the request's path is not UTF-8") from None
            if not self.path.startswith(b"/"):
                raise BadRequest("the request's path does not start with /")
        except (BadRequest, TooLarge):
            self.processingFailed(Failure())
        else:
            super().process()

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer with JSON, never with a traceback."""
        self.write(self.channel.site.refuse(self, reason))
        self.finish()
        return reason


class PluginChannel(HTTPChannel):
    """One connection of an engine."""

    site: PluginSite
    transport: ITCPTransport
    requestFactory = PluginRequest
    #: The head that is being read, if all of its request came at once, and the body's size.
    _head: Head | None = None
    #: The answer to a known request that is waited for, or being written.
    _later: Deferred[Any] | None = None
    #: The last request has been answered, and the next one waits until the client reads.
    _held = False

    # Twisted's, by the name that it has in a subclass: 1 before the first line of a request.
    _HTTPChannel__first_line: int

    def dataReceived(self, data: bytes) -> None:
        """Answer a request that is known at once; let Twisted read every other one.

        Only a request that comes whole, alone, and between two others is looked up.
        """
        if self._between_requests:
            ask = self.site.known.find(data)
            if ask is not None:
                answered = ask()
                if isinstance(answered, Deferred):
                    self._wait(answered, self._answer)
                elif (rest := self.site.send(self, *answered)) is not None:
                    self._wait(rest, self._answered)
                return
            self._head = divided(data)
        super().dataReceived(data)
        self._head = None

    def _wait(self, work: Deferred[Any], then: Callable[[Any], None]) -> None:
        """Go on later; what comes meanwhile is kept, as Twisted does it while it has a request."""
        self._handlingRequest = True
        self.setRawMode()
        self._later = work
        work.addCallbacks(then, lambda gone: gone.trap(CancelledError))

    def _answer(self, answered: Answered) -> None:
        last = not self.persistent or self.site.draining
        if last:
            self.persistent = False
        rest = self.site.send(self, *answered, last=last)
        if rest is None:
            self._answered(None)
        else:
            self._wait(rest, self._answered)

    def _answered(self, _: object) -> None:
        self._later = None
        if self.persistent:
            self._next()
        else:
            self.loseConnection()

    def _next(self) -> None:
        """Read the next request, once the client reads its answers."""
        self._held = self._waitingForTransport
        if self._held:
            return
        self._networkProducer.resumeProducing()
        self._handlingRequest = False
        kept, self._dataBuffer = b"".join(self._dataBuffer), []
        self.setLineMode(kept)

    def requestDone(self, request: BaseRequest) -> None:
        """Go on with the next request, or close."""
        self.requests.remove(request)
        self._answered(None)

    def pauseProducing(self) -> None:
        """Read no more, and begin no request: the client does not read what it is sent."""
        if self._between_requests:
            self._handlingRequest = self._held = True
            self.setRawMode()
        super().pauseProducing()
        self._networkProducer.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        super().resumeProducing()
        if self._waitingForTransport:
            return  # for what the resumed answer has written
        if self._held:
            self._next()
        elif sum(map(len, self._dataBuffer)) <= self._optimisticEagerReadSize:
            self._networkProducer.resumeProducing()

    @property
    def _between_requests(self) -> bool:
        return (
            bool(self.line_mode)
            and self._HTTPChannel__first_line == 1
            and not self._buffer
            and not self._waitingForTransport
            and bool(self.persistent)
            and not self.site.draining
        )

    def learn(self, request: PluginRequest, size: int) -> None:
        """Take note of a head that Twisted has read, if it was whole and asks for a call."""
        head, self._head = self._head, None
        if head is not None and head[1] == size <= self.site.max_body and request.plain:
            self.site.known.learn(head, request.path)

    def connectionMade(self) -> None:
        """Be known to the site until the connection is lost."""
        self.site.channels.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Be forgotten by the site."""
        super().connectionLost(reason)
        later, self._later = self._later, None
        if later is not None:
            later.cancel()
        self.site.forget(self)

    @property
    def busy(self) -> bool:
        """Whether a request has been read, wholly or in part, and not been answered."""
        return (
            bool(self.requests)
            or bool(self._buffer)
            or bool(self._dataBuffer)
            or self._later is not None
        )

    def checkPersistence(self, request: BaseRequest, version: bytes) -> bool:
        """Let a draining site answer this request as the connection's last."""
        if self.site.draining:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def finish(self) -> None:
        """Let the request at hand be the last one, if there is one, or close.

        A request may have come that the reactor has not read yet: it is read now. Cut off,
        it would be sent again without its body, and a Get that fails makes Docker
        forget the volume's labels.
        """
        if not self.busy and IReadDescriptor.providedBy(self.transport):
            self.transport.doRead()
        if self._later is not None:
            self.persistent = False
        elif self.requests:
            self.persistent = False
            self.requests[0].responseHeaders.setRawHeaders(b"Connection", [b"close"])
        elif not self.busy:
            self.loseConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Answer a line that is too long for a head; Twisted would close without a word."""
        self._respondToBadRequestAndDisconnect()

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        try:
            return bool(super()._maybeChooseTransferDecoder(header, data))
        except ValueError:  # a Content-Length with more digits than int() reads
            return bool(self._failChooseTransferDecoder())

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Twisted's one hook for a head that it cannot read. It answers with a
        # bare status line; engines are promised JSON.
        body = encode({"Err": "the request is not HTTP/1.1 as a plugin reads it"})
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: %s\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (CONTENT_TYPE, len(body), body)
        )
        self.loseConnection()


class PluginSite(Site):
    """The HTTP server of a plugin.

    :ivar channels: the open connections.
    :ivar linger: for how many seconds a drain leaves idle connections open: a request that
        is on its way is answered, as its connection's last, and its client dials anew.
        Closed at once, the connection would race the request.
    :ivar max_body: the largest body that is read, in bytes.
    """

    linger: float = 0.0
    max_body: int = MAX_BODY

    #: Twisted says of every factory that it starts; the service says where it listens.
    noisy = False
    protocol = PluginChannel  # type: ignore[assignment]
    requestFactory = PluginRequest

    def __init__(
        self,
        resource: IResource,
        refuse: Refuse,
        reactor: IReactorTime,
        table: Mapping[bytes, Read] = MappingProxyType({}),
    ) -> None:
        super().__init__(resource, parsePOSTFormSubmission=False, reactor=reactor)
        self.refuse = refuse
        self.known = Known(table)
        self._second = -1
        self._fixed = self._success = b""
        self.draining = False
        self.channels: set[PluginChannel] = set()
        self._drained: list[Deferred[None]] = []
        self._lingering: IDelayedCall | None = None

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> PluginChannel:
        """Make a connection's channel."""
        channel = PluginChannel()
        channel.timeOut = None
        channel.site = self
        return channel

    def send(
        self, channel: PluginChannel, status: int, body: bytes | Pieces, last: bool = False
    ) -> Deferred[bytes] | None:
        """Write a whole answer, with the headers of Twisted's own.

        :param last: it is the connection's last.
        :return: if the answer is long, fires when all of it has been written.
        """
        second = int(time())
        if second != self._second:
            self._second = second
            self._fixed = b"\r\nServer: %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: " % (
                version,
                datetimeToString(),
                CONTENT_TYPE,
            )
            self._success = _LINES[200] + self._fixed
        begin = self._success
        if status != 200 or last:
            close = b"\r\nConnection: close" if last else b""
            begin = (_LINES.get(status) or _line(status)) + close + self._fixed
        transport = channel.transport
        if isinstance(body, bytes):
            size = len(body)
            if size < SOME:
                transport.write(b"%s%d\r\n\r\n%s" % (begin, size, body))
                return None
        else:
            size = sum(map(len, body))
        head = b"%s%d\r\n\r\n" % (begin, size)
        if size < SOME:
            transport.writeSequence([head, *body])
            return None
        transport.write(head)
        return Sending(channel, transport.writeSequence, parts(body)).start()

    def startFactory(self) -> None:
        """Start without the access log and its clock."""

    def stopFactory(self) -> None:
        """Stop without the access log and its clock."""

    def log(self, request: BaseRequest) -> None:
        """Write no access log."""

    def forget(self, channel: PluginChannel) -> None:
        """Take note that a connection is gone."""
        self.channels.discard(channel)
        if not self.channels:
            if self._lingering is not None and self._lingering.active():
                self._lingering.cancel()
            waiting, self._drained = self._drained, []
            for waiter in waiting:
                waiter.callback(None)

    def drain(self) -> Deferred[None]:
        """Close idle connections now and each busy one after its answer.

        :return: fires when no connection is left. Put your own limit to the wait,
            and then call :meth:`abort`.
        """
        self.draining = True
        waiter: Deferred[None] = Deferred()
        if self.linger and self.channels:
            self._lingering = self.reactor.callLater(self.linger, self._finish)
        else:
            self._finish()
        if self.channels:
            self._drained.append(waiter)
        else:
            waiter.callback(None)
        return waiter

    def _finish(self) -> None:
        for channel in list(self.channels):
            channel.finish()

    def abort(self) -> int:
        """Close every connection at once; return how many there were."""
        left = list(self.channels)
        for channel in left:
            channel.transport.abortConnection()
        return len(left)
