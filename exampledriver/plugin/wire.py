"""Plugin calls as Klein routes: decode, call, encode; errors mapped in one place.

A call that changes something outlives its client. Klein cancels a handler's
Deferred when the connection goes, and Podman's limit of 5 s does that in the
middle of a slow Create: the driver's work is therefore detached from the
request and runs to its end. A call that only reads is cancelled with its client.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, cast
from urllib.parse import unquote_to_bytes

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.iweb import IRequest

from .awaiting import bridged
from .errors import PluginError, explained, refusal
from .message import CONTENT_TYPE, Message, encode
from .redaction import masked
from .sending import SOME, Sending, parts

if TYPE_CHECKING:
    from klein import Klein

    from .streaming import Produce, Streams

_log = Logger()
T = TypeVar("T")

#: How much of a refusal's text is logged, in characters.
_WHY = 1000
#: A change whose driver lets all other calls wait for so many milliseconds is warned of.
BLOCKED = 1000

#: What a driver's method may return: the value, a Deferred of it, or a coroutine.
Answer: TypeAlias = T | Awaitable[T]

#: A long body, in pieces that are sent one after the other, and never joined.
Pieces: TypeAlias = list[bytes]
#: An answer's JSON object, or what it is as JSON.
Fields: TypeAlias = Mapping[str, object] | bytes | Pieces

#: A whole answer: its status and its body.
Answered: TypeAlias = tuple[int, bytes | Pieces]
#: Answers a request: at once, or later. A call that changes something is not stopped by a
#: cancellation.
Ask: TypeAlias = Callable[[], Answered | Deferred[Answered]]
#: Reads a request's body and returns what answers it, and whether that can be asked again when
#: the same request comes again.
Read: TypeAlias = Callable[[bytes], tuple[Ask, bool]]


class _Seconds(Protocol):
    def seconds(self) -> float: ...


def refused(text: str) -> Fields:
    """Return the JSON object that tells an engine of an error."""
    return {"Err": text}


@frozen
class Call(Generic[T]):
    """A call of a protocol.

    :ivar name: such as ``VolumeDriver.Get``.
    :ivar ask: puts a message to the driver.
    :ivar tell: makes the answer's JSON object of what the driver answered to a message.
    :ivar changes: given for a call that changes something, the field that says of what: the
        call outlives its client and is logged.
    :ivar body: the call has a message; without, any body is ignored.
    :ivar refuse: makes the answer's JSON object of an error's text.
    :ivar nameless: what changes may be missing or empty.
    :ivar hidden: a field that no log shows.
    :ivar stops: what changes is undone by its driver when its client goes, if it can be.
    """

    name: str
    ask: Callable[[Message], Answer[T]]
    tell: Callable[[T, Message], Fields]
    changes: str = ""
    body: bool = True
    refuse: Callable[[str], Fields] = refused
    nameless: bool = False
    hidden: str = ""
    stops: bool = False

    def message(self, body: bytes) -> Message:
        """Return the message in a request's body.

        :raises BadRequest: there is none.
        """
        return Message.decode(self.name, body) if self.body else Message(self.name, {})

    async def settled(self, answer: Answer[T], message: Message) -> Fields:
        """Wait for a driver's answer, whichever of its three shapes it has."""
        value = cast(T, await bridged(answer)) if isinstance(answer, Awaitable) else answer
        return self.tell(value, message)

    def about(self, message: Message) -> str:
        """Return what a message changes.

        :raises BadRequest: it does not say.
        """
        if self.nameless:
            return str(message.fields.get(self.changes) or "")
        return message.text(self.changes)


@define(eq=False)
class Wire:
    """The Klein application that engines talk to, and its bookkeeping.

    :ivar clock: gives seconds, for the durations in the log.
    :ivar pending: how many changes have begun and not ended, their clients there or not.
    :ivar streams: the answers in pieces that are under way, if any call has such.
    """

    clock: _Seconds
    calls: dict[str, Call[Any]] = field(factory=dict, init=False)
    pending: int = field(default=0, init=False)
    streams: Streams | None = field(default=None, init=False)
    _idle: list[Deferred[None]] = field(factory=list, init=False)
    _warned: set[object] = field(factory=set, init=False)
    _ids: itertools.count[int] = field(factory=lambda: itertools.count(1), init=False)
    _handlers: dict[str, Callable[[IRequest], Any]] = field(factory=dict, init=False)
    _app: Klein | None = field(default=None, init=False)

    @property
    def app(self) -> Klein:
        """The Klein application. Klein installs a reactor when it is imported, so not before."""
        if self._app is None:
            from klein import Klein

            self._app = Klein()
            # So that every answer is JSON, those to unknown paths and wrong methods too.
            self._app.handle_errors(Exception)(self.refuse)
            for name, handle in list(self._handlers.items()):
                self._serve(name, handle)
        return self._app

    def _serve(self, name: str, handle: Callable[[IRequest], Any]) -> None:
        self._handlers[name] = handle
        if self._app is not None:
            self._app.route("/" + name, methods=["POST"], endpoint=name)(handle)

    def route(self, call: Call[Any]) -> None:
        """Serve ``POST /NAME`` of a call."""

        def handle(request: IRequest) -> bytes | Deferred[bytes]:
            answered = self.begin(call, _content(request))
            if isinstance(answered, Deferred):
                return answered.addCallback(lambda found: reply(request, *found))
            return reply(request, *answered)

        self._serve(call.name, handle)
        self.calls[call.name] = call

    def stream(self, name: str, pieces: Produce) -> None:
        """Serve ``POST /NAME``, a call that is answered in pieces.

        :param pieces: awaited before the answer begins: what it raises is answered with a status.
        """
        if self.streams is None:
            from .streaming import Streams

            self.streams = Streams()
        start = self.streams.start

        def handle(request: IRequest) -> Deferred[None]:
            work = Deferred.fromCoroutine(pieces(_content(request)))
            return work.addCallback(lambda found: start(request, found))

        self._serve(name, handle)

    def table(self) -> Mapping[bytes, Read]:
        """Return what Klein's map says of the paths of calls, to be looked up."""
        return {
            rule.rule.encode("ascii"): partial(self.read, self.calls[rule.endpoint])
            for rule in self.app.url_map.iter_rules()
            if rule.endpoint in self.calls
        }

    def begin(self, call: Call[Any], body: bytes) -> Answered | Deferred[Answered]:
        """Begin a call with a request's body."""
        return self.read(call, body)[0]()

    def read(self, call: Call[Any], body: bytes) -> tuple[Ask, bool]:
        """Read a call's body; see :data:`Read`."""
        try:
            message = call.message(body)
        except Exception:
            return partial(self._failed, call, Failure()), False
        return partial(self._ask, call, message), not call.changes

    def _ask(self, call: Call[Any], message: Message) -> Answered | Deferred[Answered]:
        try:
            if call.changes:
                return self._change(call, message)
            answer = call.ask(message)
            if not hasattr(answer, "__await__"):
                return 200, _body(call.tell(answer, message))
            work = Deferred.fromCoroutine(call.settled(answer, message))
        except BaseException:  # SystemExit too: it would cut the connection
            return self._failed(call, Failure())
        return self._later(call, work)

    def _later(self, call: Call[Any], work: Deferred[Fields]) -> Deferred[Answered]:
        """Return the whole answer that ``work`` will give; it is cancelled when its client goes."""
        gone = False

        def leave(_: Deferred[Answered]) -> None:
            nonlocal gone
            gone = True
            work.cancel()

        client: Deferred[Answered] = Deferred(leave)

        def failed(failure: Failure) -> Answered | None:
            if gone and failure.check(PluginError, CancelledError):
                return None  # nobody waits for it
            return self._failed(call, failure)

        def deliver(answered: Answered | None) -> None:
            if answered is not None and not gone:
                client.callback(answered)

        work.addCallback(lambda fields: (200, _body(fields))).addErrback(failed).addCallback(
            deliver
        )
        return client

    def _failed(self, call: Call[Any], failure: Failure, request: str = "") -> Answered:
        found = refusal(failure, request or self._next_id(), f"POST /{call.name}")
        return found.status, _body(call.refuse(found.text))

    def _change(self, call: Call[Any], message: Message) -> Deferred[Answered]:
        """Begin a change, which goes on when its client goes, and count it until its end."""
        began = self.clock.seconds()
        request = self._next_id()
        about = {
            "call": call.name,
            "name": masked(call.about(message)),
            "fields": message.loggable(call.changes, call.hidden),
            "request": request,
        }

        def leave(_: Deferred[Answered]) -> None:
            _log.warn(
                "{call} {name!r}{fields}: the client has gone, request {request}; the change "
                "{ends}",
                ends="is undone unless it has finished" if call.stops else "goes on",
                **about,
            )

        client: Deferred[Answered] = Deferred(leave)

        answer: Answer[Any] = None

        async def work() -> None:
            nonlocal answer
            why = None
            try:
                answer = call.ask(message)
                answered = 200, _body(await call.settled(answer, message))
            except Exception as error:
                why = str(explained(error))
                answered = self._failed(call, Failure(), request)
            self._ended(client, answered, about, began, why, answer)

        def failed(failure: Failure) -> None:
            if isinstance(failure.value, Exception):
                _log.failure("answering {call}", failure, call=call.name)
            else:
                # SystemExit and its like. Not caught above: what closes a coroutine is one too.
                answered = self._failed(call, failure, request)
                self._ended(client, answered, about, began, repr(failure.value), answer)

        self.pending += 1
        Deferred.fromCoroutine(work()).addErrback(failed)
        return client

    def _blocked(self, about: Mapping[str, object], took: float) -> None:
        """Say, once of each call, that its driver let all others wait."""
        if about["call"] not in self._warned:
            self._warned.add(about["call"])
            _log.warn(
                "{call} {name!r}: nothing else was answered for {duration_ms:.0f} ms: let the "
                "driver's method return a Deferred, such as deferToThread's, or be a coroutine "
                "that awaits one; this is said once",
                duration_ms=took,
                **about,
            )

    def _ended(
        self,
        client: Deferred[Answered],
        answered: Answered,
        about: Mapping[str, object],
        began: float,
        why: str | None,
        answer: object,
    ) -> None:
        """Answer a change, log how it ended, and count it no more.

        :param why: it was refused.
        :param answer: what the driver's method has returned.
        """
        if not client.called:  # else it has gone
            client.callback(answered)
        # After the answer: its client does not wait for the log.
        took = (self.clock.seconds() - began) * 1000
        if took > BLOCKED and not isinstance(answer, Awaitable):
            self._blocked(about, took)
        if why is None:
            _log.info(
                "{call} {name!r}{fields}: done in {duration_ms:.1f} ms, request {request}",
                duration_ms=took,
                **about,
            )
        else:
            _log.warn(
                "{call} {name!r}{fields}: refused after {duration_ms:.1f} ms, "
                "request {request}: {why}",
                duration_ms=took,
                why=masked(why, _WHY, sentence=True),
                **about,
            )
        self.pending -= 1
        if not self.pending:
            waiting, self._idle = self._idle, []
            for waiter in waiting:
                waiter.callback(None)

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred that fires when no change is under way."""
        waiter: Deferred[None] = Deferred()
        if self.pending:
            self._idle.append(waiter)
        else:
            waiter.callback(None)
        return waiter

    def _next_id(self) -> str:
        """Return a request id: what the log and an "internal error" have in common."""
        return f"{next(self._ids):x}"

    def refuse(self, request: IRequest, failure: Failure) -> bytes:
        """Answer a request that reaches no call with what ``failure`` means to an engine."""
        target = unquote_to_bytes(request.uri.split(b"?")[0]).decode("utf-8", "replace")
        asked = f"{request.method.decode()} {target[:200]}"
        found = refusal(failure, self._next_id(), asked)
        body = encode(refused(found.text))
        _begin(request, found.status, len(body))
        return body


def reply(request: IRequest, status: int, body: bytes | Pieces) -> bytes | Deferred[bytes]:
    """Set status and headers of an answer and return its body.

    A long one is written as its client reads it; then the end of it is returned.
    """
    size = len(body) if isinstance(body, bytes) else sum(map(len, body))
    _begin(request, status, size)
    if isinstance(body, bytes) and size < SOME:
        return body
    client = cast(Request, request)
    return Sending(client, lambda some: client.write(b"".join(some)), parts(body)).start()


def _begin(request: IRequest, status: int, size: int) -> None:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", CONTENT_TYPE)
    request.setHeader(b"Content-Length", b"%d" % size)
    if status == 405:
        request.setHeader(b"Allow", b"POST")


def _body(fields: Fields) -> bytes | Pieces:
    return fields if isinstance(fields, (bytes, list)) else encode(fields)


def _content(request: IRequest) -> bytes:
    content = cast(Request, request).content
    return content.read() if content is not None else b""
