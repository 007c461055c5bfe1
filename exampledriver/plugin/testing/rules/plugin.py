"""The rules for every plugin: activation, and HTTP as engines speak it."""

from __future__ import annotations

import os
import stat
from functools import partial

from ..http import DOCKER, OLD_DOCKER, request
from ..judging import NotApplicable, Severity, Violation, expect
from ..judging import rule as any_rule
from ..subject import Subject

_rule = partial(any_rule, protocol="")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

#: Seconds in which Activate has to be there.
AT_ONCE = 1.0

_ACTIVATE = "Plugin.Activate"


@_rule(
    "P-ACTIVATE",
    _ERROR,
    "Activate answers 200 and {Implements: [protocol, …]}",
    "The engine does not take the plugin for one, and every command that names it fails.",
    "Docker's plugin API; observed: Docker, Podman",
)
async def _activate(subject: Subject) -> None:
    reply = await subject.call(_ACTIVATE)
    found = reply.fields.get("Implements")
    good = isinstance(found, list) and found and all(isinstance(name, str) for name in found)
    expect(reply.ok and good, str(reply))


@_rule(
    "P-ACTIVATE-QUICK",
    _ERROR,
    "Activate is answered within 1 s",
    "dockerd waits for Activate without any limit: it hangs, and may not start.",
    "observed: Docker",
)
async def _activate_quick(subject: Subject) -> None:
    reply = await subject.call(_ACTIVATE)
    expect(reply.took <= AT_ONCE, f"the answer took {reply.took:.1f} s")


@_rule(
    "P-ACTIVATE-AGAIN",
    _ERROR,
    "Activate can be called again, and says the same",
    "Podman activates once a command: the second command fails.",
    "observed: Podman",
)
async def _activate_again(subject: Subject) -> None:
    first = await subject.call(_ACTIVATE)
    for _ in range(2):
        again = await subject.call(_ACTIVATE)
        expect(
            (again.response.status, again.fields) == (first.response.status, first.fields),
            f"first: {first}; then: {again}",
        )


@_rule(
    "P-HOST-EMPTY",
    _ERROR,
    "A request with an empty Host header is answered like any other",
    "Docker Engine 20.10 and earlier send an empty Host: the plugin does not work there.",
    "observed: Docker 20.10",
)
async def _host_empty(subject: Subject) -> None:
    usual = await subject.call(_ACTIVATE)
    reply = await subject.call(_ACTIVATE, head=OLD_DOCKER)
    expect(reply.response.status == usual.response.status, str(reply))


@_rule(
    "P-HOST-ANY",
    _ERROR,
    "The name in the Host header does not matter",
    "Each engine sends another: plugin, plugin.moby.localhost, the path of the socket.",
    "observed: Docker, Podman",
)
async def _host_any(subject: Subject) -> None:
    statuses = {}
    for host in (b"plugin.moby.localhost", b"plugin", b"%2Frun%2Fdocker%2Fplugins%2Fx.sock"):
        reply = await subject.call(_ACTIVATE, head=(b"Host: " + host, *DOCKER[1:]))
        statuses[host.decode()] = reply.response.status
    expect(len(set(statuses.values())) == 1, f"the status for each Host: {statuses}")


@_rule(
    "P-FRAMING",
    _ERROR,
    "An answer tells where it ends: Content-Length, chunks, or a close that it announces",
    "The engine waits for more, or takes the next answer's bytes for this one's.",
    "RFC 9112",
)
async def _framing(subject: Subject) -> None:
    async with subject.client() as client:
        response = await client.ask(request(_ACTIVATE))
        if response.framing == "close" or response.closes:
            return
        try:
            # Bytes beyond the end would come now.
            data = await client.connection.receive(0.05)
        except Exception:
            return
        expect(not data, f"after the answer's end came {data[:80]!r}")


@_rule(
    "P-ANSWER-TYPE",
    _NOTE,
    "An answer's Content-Type is JSON",
    "No engine looks today; other clients and proxies do.",
    "Docker's plugin API",
)
async def _answer_type(subject: Subject) -> None:
    reply = await subject.call(_ACTIVATE)
    (kind, *_) = reply.response.headers.get("content-type", ("",))
    expect("json" in kind.lower(), f"Content-Type is {kind!r}")


@_rule(
    "P-KEEP-ALIVE",
    _ERROR,
    "A connection that an answer does not announce to close serves the next request",
    "Docker sends the next call there; cut, it is sent again without its body, and a Get that "
    "fails so makes Docker forget the volume.",
    "observed: Docker",
)
async def _keep_alive(subject: Subject) -> None:
    async with subject.client() as client:
        first = await client.ask(request(_ACTIVATE))
        if first.closes:
            return
        second = await client.ask(request(_ACTIVATE))
        expect(second.status == first.status, f"{first.status}, then {second.status}")


@_rule(
    "P-REUSE",
    _NOTE,
    "A connection is kept open after an answer",
    "Every call costs one more connection.",
    "observed: Docker keeps two",
)
async def _reuse(subject: Subject) -> None:
    async with subject.client() as client:
        first = await client.ask(request(_ACTIVATE))
        expect(not first.closes, "the answer announces that the connection is closed")


@_rule(
    "P-IDLE",
    _WARNING,
    "An idle connection is left open",
    "A close that races a request makes Docker send it again without its body: a Create fails, "
    "a Get makes Docker forget the volume's labels. Current Docker keeps idle ones for 30 s.",
    "observed: Docker; moby, pkg/plugins",
)
async def _idle(subject: Subject) -> None:
    async with subject.client() as client:
        first = await client.ask(request(_ACTIVATE))
        if first.closes:
            raise NotApplicable("the plugin closes every connection after its answer")
        closed = await client.closes(subject.idle)
        expect(not closed, f"it was closed within {subject.idle:g} s")


@_rule(
    "P-IDLE-OTHERS",
    _ERROR,
    "While connections are idle, another one is served",
    "Docker keeps two idle connections and opens a third when it needs one: the plugin hangs.",
    "observed: Docker",
)
async def _idle_others(subject: Subject) -> None:
    async with subject.client() as one, subject.client() as two:
        await one.ask(request(_ACTIVATE))
        await two.ask(request(_ACTIVATE))
        reply = await subject.call(_ACTIVATE)
        expect(reply.response.status == 200, str(reply))


@_rule(
    "P-SILENT-OTHERS",
    _ERROR,
    "While a client has sent half a request, another one is served",
    "One stuck client takes the plugin away from all.",
    "robustness",
)
async def _silent_others(subject: Subject) -> None:
    data = request("VolumeDriver.Get", {"Name": "x" * 40})
    async with subject.client() as one, subject.client() as two:
        await one.send(data[:-20])
        await two.send(data[:30])
        reply = await subject.call(_ACTIVATE)
        expect(reply.response.status == 200, str(reply))


@_rule(
    "P-PIECES",
    _ERROR,
    "A request that comes in pieces is read like one that comes whole",
    "A socket gives what it has: now and then a call fails, for no reason that anybody sees.",
    "RFC 9112; observed: head and body in two segments",
)
async def _pieces(subject: Subject) -> None:
    data = request(_ACTIVATE)
    async with subject.client() as client:
        for piece in (data[:1], data[1:20], data[20:-3], data[-3:]):
            await client.send(piece)
            await subject.target.sleep(0.02)
        response = await client.response()
        expect(response.status == 200, f"the status is {response.status}")


@_rule(
    "P-PIPELINE",
    _NOTE,
    "Two requests that come at once get two answers, in order",
    "HTTP/1.1 promises it; no engine does it today.",
    "RFC 9112",
)
async def _pipeline(subject: Subject) -> None:
    alone = await subject.call("Kit.NoSuchCall")
    async with subject.client() as client:
        await client.send(request(_ACTIVATE) + request("Kit.NoSuchCall"))
        first = await client.response()
        if first.closes:
            raise NotApplicable("the plugin closes every connection after its answer")
        second = await client.response()
        found, expected = (first.status, second.status), (200, alone.response.status)
        expect(found == expected, f"the statuses are {found}, each alone {expected}")


@_rule(
    "P-UNKNOWN-CALL",
    _ERROR,
    "A call that the plugin does not have is refused",
    "Engines ask for optional calls and take 404 for no: a 200 promises what nobody does.",
    "observed: Docker",
)
async def _unknown_call(subject: Subject) -> None:
    reply = await subject.call("Kit.NoSuchCall", {})
    expect(reply.response.status != 200, str(reply))


@_rule(
    "P-UNKNOWN-JSON",
    _NOTE,
    "A call that the plugin does not have is refused with {Err: text}",
    "The user reads a page of HTML in place of a reason.",
    "moby, pkg/plugins",
)
async def _unknown_json(subject: Subject) -> None:
    reply = await subject.call("Kit.NoSuchCall", {})
    if reply.response.status == 200:
        raise NotApplicable("it is not refused")
    expect(reply.err, str(reply))


@_rule(
    "P-METHOD",
    _NOTE,
    "Only POST calls",
    "Whoever looks with a browser or a monitor calls something.",
    "Docker's plugin API",
)
async def _method(subject: Subject) -> None:
    reply = await subject.send(_ACTIVATE, request(_ACTIVATE, method="GET"))
    expect(reply.response.status >= 400, f"GET: {reply}")


@_rule(
    "P-HEAD-BAD",
    _WARNING,
    "What is no HTTP is answered or cut, and the plugin goes on",
    "A stranger at the socket takes the plugin away.",
    "robustness",
)
async def _head_bad(subject: Subject) -> None:
    async with subject.client() as client:
        await client.send(b"\x16\x03\x01 what is this\r\n\r\n\r\n\r\n")
        end = subject.target.seconds() + subject.limit
        while subject.target.seconds() < end and not client.closed:
            data = await client.connection.receive(subject.limit)
            client.closed = not data
            if b"\n" in data:
                break
    reply = await subject.call(_ACTIVATE)
    expect(reply.response.status == 200, f"afterwards, {reply}")


@_rule(
    "P-DROPPED",
    _ERROR,
    "Clients that go away in the middle of a request do no harm",
    "Podman goes away after 5 s, a killed engine at once: the plugin must be there for the next.",
    "observed: Docker, Podman",
)
async def _dropped(subject: Subject) -> None:
    data = request("VolumeDriver.Get", {"Name": "kit"})
    for cut in (0, 1, 30, len(data) - 5, len(data)):
        async with subject.client() as client:
            await client.send(data[:cut])
    reply = await subject.call(_ACTIVATE)
    expect(reply.response.status == 200, f"afterwards, {reply}")


@_rule(
    "P-LARGE-SURVIVED",
    _ERROR,
    "A body of many megabytes is answered or cut, and the plugin goes on",
    "One request takes the plugin away.",
    "robustness",
)
async def _large_survived(subject: Subject) -> None:
    async with subject.client() as client:
        await client.send(request("Kit.NoSuchCall", b'{"Name":"' + b"x" * subject.large + b'"}'))
        answered = False
        try:
            answered = bool(await client.connection.receive(subject.limit)) or True
        finally:
            expect(answered, f"neither an answer nor a close within {subject.limit:g} s")
    reply = await subject.call(_ACTIVATE)
    expect(reply.response.status == 200, f"afterwards, {reply}")


@_rule(
    "P-SOCKET-MODE",
    _WARNING,
    "The socket is for its owner and group only",
    "Whoever can write to the socket of a volume plugin is as good as root.",
    "security",
)
async def _socket_mode(subject: Subject) -> None:
    path = subject.target.path
    if path is None:
        raise NotApplicable("it is not reached by a socket's path")
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError as error:
        raise Violation(f"{path}: {error.strerror}") from None
    # To connect needs the right to write.
    expect(not mode & 0o002, f"{path} has mode {mode:04o}")
