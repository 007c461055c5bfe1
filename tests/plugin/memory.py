"""A plugin, an engine and a driver in one process, with no socket, no disk and no waiting.

The client feeds raw bytes to a real :class:`PluginSite` and reads its raw
answers strictly: an answer without a Content-Length, or in chunks, is an error
here, whatever a test was about.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from attrs import define, field, frozen
from hypothesis import HealthCheck, settings
from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from exampledriver.plugin import (
    Capabilities,
    IVolumeDriver,
    Plugin,
    PluginError,
    PluginSite,
    Volume,
)
from exampledriver.plugin.site import PluginChannel

#: For hypothesis: a slow machine, or a first run without its caches, is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

#: The content type of every answer.
CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json"

_AGENT = b"User-Agent: Go-http-client/1.1"
_ACCEPT = b"Accept: application/vnd.docker.plugins.v1.2+json"
#: Header lines as Docker Engine 26 sends them: no Content-Type.
DOCKER = (b"Host: plugin.moby.localhost", _AGENT, _ACCEPT)
#: As Docker Engine 20.10 does: the Host is empty.
OLD_DOCKER = (b"Host: ", _AGENT, _ACCEPT)
#: As Podman does.
PODMAN = (b"Host: plugin", _AGENT, b"Content-Type: application/vnd.docker.plugins.v1.1+json")

#: A good message for every call that names a volume.
NAMED: Mapping[str, Mapping[str, object]] = {
    "VolumeDriver.Create": {"Name": "db", "Opts": {}},
    "VolumeDriver.Remove": {"Name": "db"},
    "VolumeDriver.Mount": {"Name": "db", "ID": "c1"},
    "VolumeDriver.Unmount": {"Name": "db", "ID": "c1"},
    "VolumeDriver.Path": {"Name": "db"},
    "VolumeDriver.Get": {"Name": "db"},
}
#: The calls that change something.
CHANGES = ("Create", "Remove", "Mount", "Unmount")
#: The calls whose body does not matter.
NAMELESS = ("Plugin.Activate", "VolumeDriver.List", "VolumeDriver.Capabilities")


def raw(
    method: bytes,
    target: bytes,
    body: bytes = b"",
    head: Iterable[bytes] = DOCKER,
    version: bytes = b"HTTP/1.1",
) -> bytes:
    """Return the bytes of a request."""
    lines = [b"%s %s %s" % (method, target, version), *head, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def post(call: str, body: object = b"", head: Iterable[bytes] = DOCKER) -> bytes:
    """Return the bytes of a call; a body that is not bytes is sent as JSON and a newline."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() + b"\n"
    return raw(b"POST", b"/" + call.encode(), data, head)


@frozen
class Response:
    """One answer of the plugin. Header names are in lower case."""

    status: int
    headers: Mapping[str, Sequence[str]]
    body: bytes

    @property
    def answer(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @classmethod
    def parse(cls, data: bytes, head_only: bool = False) -> tuple[Response, bytes]:
        """Return the first answer in `data`, and what comes after it.

        :param head_only: it answers a HEAD, so that no body follows.
        :raises AssertionError: it is incomplete, chunked, or its end is not told.
        """
        head, separator, rest = data.partition(b"\r\n\r\n")
        assert separator, f"an incomplete head: {data!r}"
        first, *lines = head.decode("ascii").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, value = line.split(": ", 1)
            headers.setdefault(name.lower(), []).append(value)
        assert "transfer-encoding" not in headers, headers
        (length,) = headers["content-length"]
        size = 0 if head_only else int(length)
        assert len(rest) >= size, f"{len(rest)} bytes of a body of {size}"
        return cls(int(status), headers, rest[:size]), rest[size:]


class Transport(StringTransport):
    """What a socket does: the protocol learns of a close later, not within ``loseConnection``."""

    def __init__(self, host: IAddress, peer: IAddress) -> None:
        super().__init__(host, peer, lenient=True)

    def unregisterProducer(self) -> None:
        """Forget the producer; as with a socket, there need not be one."""
        self.producer = None
        self.streaming = None


class Unread(Transport):
    """A socket whose client reads only when the test says so."""

    #: Unread bytes with which the connection is full.
    full = 1 << 16
    waiting = 0

    def write(self, data: bytes) -> None:
        super().write(data)
        self.waiting += len(data)
        if self.waiting > self.full and self.producer is not None:
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def read(self) -> bool:
        """Read everything; return whether there was anything."""
        waiting, self.waiting = self.waiting, 0
        if waiting and self.producer is not None:
            self.producer.resumeProducing()
        return waiting > 0


@define(eq=False)
class Client:
    """One connection of an engine.

    :ivar clock: where the connection's timers would be, if it had any.
    :ivar connected: neither side has closed.
    """

    site: PluginSite
    clock: Clock = field(factory=Clock)
    address: IAddress = field(factory=lambda: UNIXAddress("/run/docker/plugins/x.sock"))
    connected: bool = field(default=True, init=False)
    channel: PluginChannel = field(init=False)
    transport: Transport = field(init=False)
    _read: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Connect."""
        self.channel = self.site.buildProtocol(self.address)
        self.channel.callLater = self.clock.callLater  # type: ignore[assignment]
        self.transport = Transport(self.address, self.address)
        self.channel.makeConnection(self.transport)

    def feed(self, *pieces: bytes) -> None:
        """Send bytes, each piece as one read of the server's."""
        for piece in pieces:
            if self.connected:
                self.channel.dataReceived(piece)
                self.settle()

    def settle(self) -> None:
        """Carry out a close that the server asked for, as the reactor would."""
        if self.connected and self.transport.disconnecting:
            self._lose(ConnectionDone())

    def disconnect(self) -> None:
        """Go away."""
        self._lose(ConnectionLost())

    def _lose(self, why: Exception) -> None:
        self.connected = False
        self.channel.connectionLost(Failure(why))

    def received(self) -> bytes:
        """Return the bytes that came since the last time."""
        data = bytes(self.transport.value()[self._read :])
        self._read += len(data)
        return data

    def responses(self) -> list[Response]:
        """Return the answers that came since the last time.

        :raises AssertionError: there is something that is no whole answer.
        """
        self.settle()
        found, data = [], self.received()
        while data:
            response, data = Response.parse(data)
            found.append(response)
        return found

    def ask(self, *pieces: bytes) -> Response:
        """Send one request and return its answer, which must come at once."""
        self.feed(*pieces)
        (response,) = self.responses()
        return response


@implementer(IVolumeDriver)
@define(eq=False)
class FakeDriver:
    """A driver that keeps volumes in a dict, or says what it has been told to say.

    :ivar answers: by the method's name, what it returns (a value, a Deferred, a
        coroutine), raises (an exception), or is computed by (a function of the
        method's arguments) instead of the usual.
    :ivar calls: each call, as the method's name and its arguments.
    """

    volumes: dict[str, Volume] = field(factory=dict)
    answers: dict[str, object] = field(factory=dict)
    calls: list[tuple[object, ...]] = field(factory=list)

    def _answer(self, method: str, usual: object, *args: object) -> Any:
        self.calls.append((method, *args))
        answer = self.answers.get(method, usual)
        if isinstance(answer, BaseException):
            raise answer
        return answer(*args) if callable(answer) else answer

    def _known(self, name: str) -> Volume:
        if name not in self.volumes:
            raise PluginError(f"volume {name!r} does not exist")
        return self.volumes[name]

    def _mountpoint(self, name: str) -> str:
        return f"/srv/{self._known(name).name}"

    def create(self, name: str, options: Mapping[str, str]) -> Any:
        def make(name: str, _: object) -> None:
            self.volumes[name] = Volume(name)

        return self._answer("create", make, name, dict(options))

    def remove(self, name: str) -> Any:
        def forget(name: str) -> None:
            del self.volumes[self._known(name).name]

        return self._answer("remove", forget, name)

    def mount(self, name: str, mount_id: str) -> Any:
        return self._answer("mount", lambda name, _: self._mountpoint(name), name, mount_id)

    def unmount(self, name: str, mount_id: str) -> Any:
        return self._answer("unmount", None, name, mount_id)

    def path(self, name: str) -> Any:
        return self._answer("path", self._mountpoint, name)

    def get(self, name: str) -> Any:
        return self._answer("get", self._known, name)

    def capabilities(self) -> Any:
        return self._answer("capabilities", Capabilities)

    def list(self) -> Any:
        return self._answer("list", lambda: self.volumes.values())


class PluginCase(SynchronousTestCase):
    """A plugin with a fake driver that has one volume, ``db``, and one client."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.driver = FakeDriver({"db": Volume("db")})
        self.plugin = Plugin("x", [self.driver], self.clock)
        self.site = self.plugin.site()
        self.client = self.connect()

    def connect(self) -> Client:
        """Return one more connection."""
        return Client(self.site, self.clock)

    def call(self, call: str, body: object = b"", head: Iterable[bytes] = DOCKER) -> Response:
        """Return the answer to a call, made on the one client."""
        return self.client.ask(post(call, body, head))

    def assertAnswered(self, response: Response) -> dict[str, Any]:
        """Check that a call succeeded as engines need it; return the answer."""
        self.assertEqual((response.status, response.body), (200, response.body))
        self.assertEqual(response.headers["content-type"], [CONTENT_TYPE])
        answer = response.answer
        self.assertIsInstance(answer, dict)
        self.assertEqual(answer.get("Err", ""), "")
        return cast("dict[str, Any]", answer)

    def assertRefused(self, response: Response, status: int) -> str:
        """Check that a call was refused as engines need it; return the text."""
        self.assertEqual((response.status, response.body), (status, response.body))
        self.assertEqual(response.headers["content-type"], [CONTENT_TYPE])
        answer = response.answer
        self.assertEqual(list(answer), ["Err"])
        self.assertIsInstance(answer["Err"], str)
        self.assertNotEqual(answer["Err"], "")
        return cast(str, answer["Err"])
