"""Hostile HTTP: heads and bodies, whole and spoiled, cut anywhere, to clients that read at times.

The same bytes go to a server that knows requests and to one that leaves each of them to Twisted
and Klein. Both must answer byte for byte alike, in whole answers, and keep little meanwhile.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise, repeat
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from exampledriver.plugin import Plugin, PluginError, PluginSite, Volume
from tests.plugin.memory import DOCKER, OLD_DOCKER, PODMAN, Client, FakeDriver, Unread

from .runner import Check

#: The largest body that the servers read.
MAX_BODY = 2000
#: Unread bytes with which a connection is full.
FULL = 3000
#: What a server may keep of what a client has sent, besides the last two pieces: a line that is
#: not whole, or what it reads ahead. What comes behind a request counts from the next piece on.
MOST_KEPT = 2 * (1 << 14)
#: No answer is longer.
LONGEST = 5000
#: Volumes of a `List` that is longer than a connection holds.
MANY = [Volume(f"volume-{n:04}") for n in range(40)]

_CALLS = (
    *(f"VolumeDriver.{call}" for call in ("Get", "Path", "Mount", "Unmount", "Create", "Remove")),
    "VolumeDriver.List", "VolumeDriver.Capabilities", "Plugin.Activate", "VolumeDriver.get", "X",
)  # fmt: skip
_NAMES = ("db", "db", "db", "no", "later", "", "../x", "\u00e4", "x" * 300, "\ud800", "a\nb")
_HEADS = (DOCKER, DOCKER, OLD_DOCKER, PODMAN, ())
_HEADERS = (
    b"Connection: close", b"Connection: keep-alive", b"Connection: x, Close", b"Expect: x",
    b"Expect: 100-continue", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked", b"Content-Length: 0", b"Content-Length: 7",
    b"Content-Length: +3", b"Content-Length: 1e3", b"Content-Length: " + b"9" * 5000,
    b"Content-Length: 99999999999999999999", b"Content-Length:", b"Upgrade: websocket", b"Host: ",
    b"Content-Type: application/x-www-form-urlencoded", b"Content-Type: multipart/form-data",
    b"Cookie: a=b; c", b"Cookie: \xff\x00=", b"X: " + b"y" * 2000, b"X: " + b"y" * 17000,
    b" folded",
    b"\tfolded: 1", b"no colon", b": empty", b"A\x00B: c", b"A: b\rc", b"Accept-Encoding: gzip",
    b"Authorization: Basic !!", b"Authorization: Basic", b"Range: bytes=0-1",
    b"If-Modified-Since: x",
    b"X-Forwarded-For: x", b"\xff: \xff", b"A : b", b"a: b\nc: d",
)  # fmt: skip
_METHODS = (b"GET", b"HEAD", b"PUT", b"OPTIONS", b"post", b"", b"P\x00ST", b"CONNECT", b"PRI")
_TARGETS = (
    b"*", b"/", b"//VolumeDriver.Get", b"/VolumeDriver.Get?a=b", b"/VolumeDriver.Get#x", b"/%ff",
    b"/%56olumeDriver.Get", b"http://x/VolumeDriver.Get", b"VolumeDriver.Get",
    b"/../VolumeDriver.Get",
    b"/VolumeDriver.Get/", b"/" + b"x" * 3000, b"/VolumeDriver.Get;x", b"\xff", b"/%00", b"/a%0ab",
)  # fmt: skip
_VERSIONS = (
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.1 ",
    b"http/1.1",
    b"",
    b"HTTP/1.2",
    b"X",
)
_ENDS = (b"\n", b"\r", b"\n\r", b"", b" \r\n")
_BODIES = (
    b"", b"{", b"null", b"[1]", b'"x"', b" ", b"\xef\xbb\xbf{}", b"\xff", b'{"Name":"db"}x',
    b'{"Name":null}', b'{"Name":["db"]}', b'{"Name":"db","Name":"no"}', b"[" * 3000, b"{}" * 900,
    b'{"Name":1e999}', b"-", b'{"Name":"db","ID":"c1","Opts":{"a":1}}', b"x" * 4000,
)  # fmt: skip
_BITS = (
    b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b" ", b":", b"0\r\n\r\n", b"POST ", b"HTTP/1.1",
    b"Content-Length: 5\r\n", b"\xff", b"1", b"/", b"%", b'{"Name":"db"}', b"\t", b"ffffffff\r\n",
)  # fmt: skip


class _Socket(Unread):
    """A socket that is soon full."""

    full = FULL


class _Peer(Client):
    """A client that sends while the server reads."""

    def __attrs_post_init__(self) -> None:
        self.channel = self.site.buildProtocol(self.address)
        self.channel.callLater = self.clock.callLater  # type: ignore[assignment]
        self.transport = _Socket(self.address, self.address)
        self.channel.makeConnection(self.transport)

    def kept(self) -> int:
        """Return how many bytes of requests the server keeps."""
        return len(self.channel._buffer) + sum(map(len, self.channel._dataBuffer))


class _Server:
    """One plugin and its driver."""

    def __init__(self, known: bool) -> None:
        self.driver = FakeDriver({}, {"get": self.get, "list": lambda: self.volumes})
        plugin = Plugin("x", [self.driver], Clock())
        plugin.wire._ids = repeat(4096)  # type: ignore[assignment] # they are in answers
        table = plugin.wire.table() if known else {}
        self.site = PluginSite(plugin.resource(), plugin.wire.refuse, Clock(), table)
        self.site.max_body = MAX_BODY
        self.later: list[Deferred[Volume]] = []
        self.volumes: list[Volume] = []

    def get(self, name: str) -> object:
        """Answer at once, or later."""
        if name == "later":
            self.later.append(Deferred())
            return self.later[-1]
        if name not in self.driver.volumes:
            raise PluginError(f"no {name}")
        return self.driver.volumes[name]

    def answer_later(self) -> bool:
        """Answer what waits; return whether anything does."""
        later, self.later = self.later, []
        for each in later:
            each.callback(Volume("later"))
        return bool(later)

    def answered(self, random: Random, pieces: list[bytes], many: bool) -> tuple[bytes, bool]:
        """Return what the server answers to these pieces, and whether the connection is left."""
        self.driver.volumes, self.driver.calls = {"db": Volume("db")}, []
        self.volumes = MANY if many else []
        peer = _Peer(self.site)
        socket: Any = peer.transport
        for before, piece in pairwise([b"", *pieces]):
            while socket.producerState == "paused" and self._go_on(peer):
                pass
            if not peer.connected:
                break
            assert socket.producerState == "producing", "it reads no more"
            peer.feed(piece)
            assert peer.kept() <= MOST_KEPT + len(before) + len(piece), peer.kept()
            assert socket.waiting <= FULL + LONGEST, socket.waiting
            if random.random() < 0.3:
                self._go_on(peer)
        while self._go_on(peer):
            pass
        found = peer.received()
        still = peer.connected
        if still:
            peer.disconnect()
        assert not self.site.channels
        return found, still

    def _go_on(self, peer: _Peer) -> bool:
        """Let the client read and the driver answer; return whether either did anything."""
        socket: Any = peer.transport
        done = socket.read() or self.answer_later()
        peer.settle()
        return bool(done)


def _request(random: Random) -> bytes:
    """Return a request as engines send it, or one that is odd at one or two places."""
    odd = random.choice((0, 0, 1, 1, 2))
    name = random.choice(_NAMES)
    message: dict[str, object] = {"Name": name, "ID": "c1", "Opts": {}}
    body = json.dumps(message).encode() if random.random() < 0.9 else random.choice(_BODIES)
    method, version = b"POST", b"HTTP/1.1"
    target = b"/" + random.choice(_CALLS).encode()
    headers = list(random.choice(_HEADS))
    size = b"Content-Length: %d" % len(body)
    end = b"\r\n"
    for _ in range(odd):
        match random.randrange(9):
            case 0:
                method = random.choice(_METHODS)
            case 1:
                target = random.choice(_TARGETS)
            case 2:
                version = random.choice(_VERSIONS)
            case 3:
                end = random.choice(_ENDS)
            case 4:
                size = b"Transfer-Encoding: chunked"
                body = _chunked(random, body)
            case 5:
                size = b"Content-Length: %d" % random.choice((0, 1, len(body) + 1, len(body) * 2))
            case 6:
                headers *= random.choice((2, 200))
            case _:
                headers.insert(random.randint(0, len(headers)), random.choice(_HEADERS))
    lines = [b"%s %s %s" % (method, target, version), *headers, size]
    return end.join(lines) + end * 2 + body


def _chunked(random: Random, body: bytes) -> bytes:
    at = random.randint(0, len(body))
    chunks = [b"%x%s\r\n%s\r\n" % (len(part), random.choice((b"", b";x=y")), part)
              for part in (body[:at], body[at:]) if part]  # fmt: skip
    trailer = random.choice((b"\r\n", b"\r\n", b"A: b\r\n\r\n", b"x" * 70_000, b""))
    return b"".join(chunks) + random.choice((b"0\r\n", b"0\r\n", b"-1\r\n", b"g\r\n")) + trailer


def _spoil(random: Random, data: bytes) -> bytes:
    for _ in range(random.randint(1, 3)):
        at, end = sorted(random.choices(range(len(data) + 1), k=2))
        match random.randrange(4):
            case 0:
                data = data[:at] + random.choice(_BITS) + data[at:]
            case 1:
                data = data[:at] + data[min(end, at + 20) :]
            case 2:
                data = data[:at] + random.randbytes(1) + data[at + 1 :]
            case _:
                data = data[:end] + data[at:]
    return data


def _pieces(random: Random) -> list[bytes]:
    """Return requests, cut between them, anywhere, or nowhere."""
    requests = [_request(random) for _ in range(random.choice((1, 1, 2, 3)))]
    if random.random() < 0.3:
        requests[random.randrange(len(requests))] = _spoil(random, requests[-1])
    if random.random() < 0.2:
        requests *= random.choice((2, 2, 2, 2, 3, 3, 5, 10))
    if random.random() < 0.5:
        return requests
    stream = b"".join(requests)
    cuts = [random.randint(0, len(stream)) for _ in range(random.choice((0, 1, 3, 8)))]
    edges = [0, *sorted(cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges) if a < b]


def _check_whole(answers: bytes, no_body: bool) -> None:
    """Check that these are whole HTTP answers with JSON in them, and no bug's.

    :param no_body: some of them may answer a HEAD.
    """
    assert b"internal error" not in answers, answers
    while answers:
        head, found, rest = answers.partition(b"\r\n\r\n")
        assert found, answers
        status = re.match(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*", head)
        assert status, head
        if status[1] == b"100":
            answers = rest
            continue
        (length,) = re.findall(rb"\r\nContent-Length: (\d+)", head)
        body = rest[: int(length)]
        if no_body and not rest.startswith(b"{"):
            answers = rest
            continue
        assert len(body) == int(length), (head, rest)
        assert isinstance(json.loads(body), dict), body
        answers = rest[int(length) :]


def start(directory: Path) -> Check:
    """Return the check; nothing is written."""
    known, plain = _Server(True), _Server(False)

    def check(random: Random) -> None:
        pieces, many, seed = _pieces(random), random.random() < 0.5, random.random()
        expected, left = plain.answered(Random(seed), pieces, many)
        found, still = known.answered(Random(seed + 1), pieces, many)
        without = [re.sub(rb"\r\nDate: [^\r]*", b"", each) for each in (expected, found)]
        assert without[0] == without[1], [repr(each)[:3000] for each in (pieces, *without)]
        assert left == still, (repr(pieces)[:3000], expected, left, still)
        _check_whole(found, b"HEAD" in b"".join(pieces))

    return check
