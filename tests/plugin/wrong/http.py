"""Plugins that are wrong about HTTP and activation."""

from __future__ import annotations

import re
from typing import Any

from twisted.web.server import NOT_DONE_YET, Request

from .registry import breaks
from .right import Fields, PlainRequest, Refused, Right

ACTIVATE = b"/Plugin.Activate"


def activates(request: Request) -> bool:
    """Tell whether a request is Activate's."""
    return bool(request.path == ACTIVATE)


@breaks("P-ACTIVATE")
class OneName(Right):
    """Implements is a string."""

    implements = "VolumeDriver"


@breaks("P-ACTIVATE-QUICK")
class SlowActivate(Right):
    """It looks around first."""

    def activate(self, request: Request) -> Fields | None:
        self.later(request, 1.5, lambda: {"Implements": self.implements})
        return None


@breaks("P-ACTIVATE-AGAIN")
class ActivateOnce(Right):
    """Only the first Activate is told the truth."""

    activated = False

    def activate(self, request: Request) -> Fields | None:
        first, self.activated = not self.activated, True
        return {"Implements": self.implements, "First": first}


@breaks("P-HOST-EMPTY")
class NeedsHost(Right):
    """It insists on a Host."""

    def answer(self, request: Request, path: str) -> Fields | None:
        if not request.getHeader(b"host"):
            raise Refused("which host?", 400)
        return super().answer(request, path)


@breaks("P-HOST-ANY")
class VirtualHosts(Right):
    """It knows its own host names."""

    def answer(self, request: Request, path: str) -> Fields | None:
        if b"%" in (request.getHeader(b"host") or b""):
            raise Refused("there is no such host", 404)
        return super().answer(request, path)


@breaks("P-FRAMING")
class Chatty(Right):
    """It sends a little more than it said."""

    def activate(self, request: Request) -> Fields | None:
        channel: Any = request.channel
        self.clock.callLater(0.01, channel.transport.write, b"\r\n\r\n")
        return super().activate(request)


@breaks("P-ANSWER-TYPE")
class PlainText(Right):
    """Its answers are text/html, as a framework's default has it."""

    def say(self, request: Request, path: str, status: int, fields: Fields) -> bytes:
        body = super().say(request, path, status, fields)
        request.setHeader(b"Content-Type", b"text/html")
        return body


@breaks("P-KEEP-ALIVE")
class OnePerConnection(Right):
    """It takes one request on each connection, and does not say so."""

    def activate(self, request: Request) -> Fields | None:
        channel: Any = request.channel
        if getattr(channel, "used", False):
            raise Refused("one request is enough", 400)
        channel.used = True
        return super().activate(request)


@breaks("P-REUSE")
class Closing(Right):
    """It closes after each answer."""

    def answer(self, request: Request, path: str) -> Fields | None:
        request.setHeader(b"Connection", b"close")
        request.channel.persistent = False
        return super().answer(request, path)


@breaks("P-IDLE")
class Impatient(Right):
    """It closes idle connections, as servers do by default."""

    timeout = 1.0


@breaks("P-IDLE-OTHERS")
class TwoThreads(Right):
    """It has two threads, and each idle connection holds one."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.held: list[Any] = []

    def received(self, protocol: Any, data: bytes) -> bytes:
        if data.startswith(b"POST " + ACTIVATE) and protocol not in self.held:
            if len(self.held) == 2:
                return b""
            self.held.append(protocol)
        return data

    def closed(self, protocol: Any) -> None:
        if protocol in self.held:
            self.held.remove(protocol)


@breaks("P-SILENT-OTHERS")
class OneAtATime(Right):
    """It reads a request to its end before it looks at another one."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.half: Any = None

    def received(self, protocol: Any, data: bytes) -> bytes:
        if self.half not in (None, protocol) and data.startswith(b"POST " + ACTIVATE):
            return b""
        if data.startswith(b"POST /Volume"):
            self.half = protocol
        return data

    def render(self, request: Request) -> int | bytes:
        self.half = None
        return super().render(request)


@breaks("P-PIECES")
class OneRead(Right):
    """It reads once from the socket and takes that for the request."""

    def received(self, protocol: Any, data: bytes) -> bytes:
        whole = b"\r\n\r\n" in data or data.startswith(b"{")
        half = b"POST /Plugin.Activate".startswith(data[:20]) and not whole
        return b"" if half else data


@breaks("P-PIPELINE")
class Forgetful(Right):
    """Of what came at once it reads the first request."""

    def received(self, protocol: Any, data: bytes) -> bytes:
        at = data.find(b"POST /Kit.NoSuchCall", 1)
        return data[:at] if at > 0 else data


@breaks("P-UNKNOWN-CALL")
class CatchAll(Right):
    """It says yes to everything."""

    def answer(self, request: Request, path: str) -> Fields | None:
        return {"Err": ""} if path.startswith("/Kit") else super().answer(request, path)


@breaks("P-UNKNOWN-JSON")
class HtmlNotFound(Right):
    """It says 404 with a page."""

    def say(self, request: Request, path: str, status: int, fields: Fields) -> bytes:
        body = super().say(request, path, status, fields)
        if status == 404:
            body = b"<h1>Not Found</h1>"
            request.setHeader(b"Content-Length", b"%d" % len(body))
        return body


@breaks("P-METHOD")
class AnyMethod(Right):
    """It does not look at the method."""

    def render(self, request: Request) -> int | bytes:
        request.method = b"POST"
        return super().render(request)


@breaks("P-HEAD-BAD")
class Waiting(Right):
    """What it does not understand it waits for the rest of."""

    def received(self, protocol: Any, data: bytes) -> bytes:
        return b"" if data.startswith(b"\x16") else data


@breaks("P-DROPPED")
class Fragile(Right):
    """A client that goes away takes it down."""

    hurt = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.half: list[Any] = []

    def received(self, protocol: Any, data: bytes) -> bytes:
        if b"\r\n\r\n" not in data and data.startswith(b"POST /VolumeDriver.Get"):
            self.half.append(protocol)
        return data

    def closed(self, protocol: Any) -> None:
        self.hurt = self.hurt or protocol in self.half

    def activate(self, request: Request) -> Fields | None:
        if self.hurt:
            raise Refused("broken pipe")
        return super().activate(request)


@breaks("P-LARGE-SURVIVED")
class Overwhelmed(Right):
    """A large body is never answered."""

    def render(self, request: Request) -> int | bytes:
        assert request.content is not None
        large = len(request.content.read()) > 1 << 20
        request.content.seek(0)
        return NOT_DONE_YET if large else super().render(request)


@breaks("P-SOCKET-MODE")
class Open(Right):
    """Its socket is for all."""

    socket_mode = 0o666


@breaks("V-DROPPED-BODY")
class Hasty(Right):
    """What has come of a request when its client goes is done."""

    def lost(self, request: PlainRequest) -> None:
        if request.content is not None and not request.path:
            request.content.seek(0)
            if found := re.search(rb'"Name": ?"([^"]+)"', request.content.read()):
                self.create(request, {"Name": found[1].decode("ascii")})
