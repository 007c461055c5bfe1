"""A small plugin that is right, on nothing but Twisted's HTTP server; the wrong ones change it.

It shares no code with :mod:`exampledriver.plugin`: the kit's rules are not made to measure.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

Fields = dict[str, Any]


class Refused(Exception):
    """A call that is refused, with a status."""

    def __init__(self, text: str, status: int = 500) -> None:
        super().__init__(text)
        self.status = status


class PlainRequest(Request):
    """A request that Twisted reads, with hooks for the wrong plugins."""

    site: PlainSite

    def connectionLost(self, reason: Any) -> None:
        """Tell the plugin that a request has lost its client before its answer."""
        site: Any = getattr(self.channel, "site", None)
        site.plugin.lost(self)
        super().connectionLost(reason)


class PlainSite(Site):
    """Twisted's server, with hooks for the wrong plugins."""

    noisy = False

    def __init__(self, plugin: Right) -> None:
        super().__init__(
            plugin, requestFactory=PlainRequest, timeout=plugin.timeout, reactor=plugin.clock
        )
        self.plugin = plugin

    def startFactory(self) -> None:
        """Start without an access log."""

    def stopFactory(self) -> None:
        """Stop without an access log."""

    def log(self, request: Any) -> None:
        """Write no access log."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a channel whose bytes pass the plugin first."""
        protocol: Any = super().buildProtocol(addr)
        inner = protocol.dataReceived

        def received(data: bytes) -> None:
            found = self.plugin.received(protocol, data)
            if found:
                inner(found)

        lost = protocol.connectionLost

        def connection_lost(reason: Any) -> None:
            self.plugin.closed(protocol)
            lost(reason)

        protocol.dataReceived = received
        protocol.connectionLost = connection_lost
        return protocol


class Right(Resource):
    """A volume driver over directories.

    :ivar created: each volume's time of creation and options.
    :ivar mounts: how often each volume is mounted, by ID.
    :cvar timeout: seconds after which an idle connection is closed.
    :cvar socket_mode: the permissions of its socket.
    """

    isLeaf = True
    timeout: float | None = None
    socket_mode = 0o600
    implements: object = ("VolumeDriver",)
    known = ("Name", "Opts", "ID")
    largest = 1 << 20

    def __init__(self, root: Path, clock: IReactorTime) -> None:
        super().__init__()
        self.root = root
        self.clock = clock
        self.created: dict[str, Fields] = {}
        self.mounts: dict[str, Counter[str]] = {}
        root.mkdir(parents=True, exist_ok=True)

    def site(self) -> PlainSite:
        """Return its server."""
        return PlainSite(self)

    # HTTP

    def received(self, protocol: Any, data: bytes) -> bytes:
        """Return the bytes that the server shall read."""
        return data

    def closed(self, protocol: Any) -> None:
        """Take note that a connection has gone."""

    def lost(self, request: PlainRequest) -> None:
        """Take note of a client that has gone before its answer."""

    def render(self, request: Request) -> int | bytes:
        """Answer a request."""
        path = request.path.decode("ascii", "replace")
        request.notifyFinish().addErrback(lambda failure: None)
        try:
            if request.method != b"POST":
                raise Refused(f"{path}: POST is needed", 405)
            fields: Fields | None = self.answer(request, path)
        except Refused as error:
            return self.say(request, path, error.status, {"Err": str(error)})
        except (OSError, ValueError) as error:
            return self.say(request, path, 500, {"Err": str(error)})
        if fields is None:
            return NOT_DONE_YET
        return self.say(request, path, 200, fields)

    def say(self, request: Request, path: str, status: int, fields: Fields) -> bytes:
        """Return an answer's body, and set its head."""
        body = json.dumps(fields).encode("ascii")
        request.setResponseCode(status)
        request.setHeader(b"Content-Type", b"application/vnd.docker.plugins.v1.2+json")
        request.setHeader(b"Content-Length", b"%d" % len(body))
        return body

    def later(self, request: Request, seconds: float, work: Callable[[], Fields]) -> None:
        """Answer after some time, if the client is still there."""

        def end() -> None:
            try:
                status, fields = 200, work()
            except Refused as error:
                status, fields = error.status, {"Err": str(error)}
            if not request.finished and request.channel is not None:
                request.write(self.say(request, "", status, fields))
                request.finish()

        self.clock.callLater(seconds, end)

    def answer(self, request: Request, path: str) -> Fields | None:
        """Return an answer, or ``None`` if it comes later."""
        assert request.content is not None
        body = request.content.read()
        if len(body) > self.largest:
            raise Refused("the body is too large", 413)
        if path == "/Plugin.Activate":
            return self.activate(request)
        call = {
            "/VolumeDriver.Capabilities": self.capabilities,
            "/VolumeDriver.List": self.list,
        }.get(path)
        if call is not None:
            return call(request, body)
        match = re.fullmatch(r"/VolumeDriver\.(Create|Remove|Mount|Unmount|Path|Get)", path)
        if match is None:
            raise Refused(f"{path}: there is no such call", 404)
        message = self.read(request, body)
        if not isinstance(message, Mapping):
            return {"Err": ""}
        done: Fields | None = getattr(self, match[1].lower())(request, message)
        return done

    def read(self, request: Request, body: bytes) -> Mapping[str, Any] | None:
        """Return the message in a body; ``None`` for one that is answered with nothing."""
        if not body:
            raise Refused("there is no body", 400)
        try:
            message = json.loads(body.decode("utf-8"))
        except ValueError as error:
            raise Refused(f"the body is no JSON: {error}", 400) from None
        if not isinstance(message, dict):
            raise Refused("the body is no object", 400)
        name = message.get("Name")
        if not isinstance(name, str) or not name:
            raise Refused("Name is missing", 400)
        return message

    # Calls

    def activate(self, request: Request) -> Fields | None:
        return {"Implements": self.implements}

    def capabilities(self, request: Request, body: bytes) -> Fields:
        return {"Capabilities": {"Scope": "local"}}

    def list(self, request: Request, body: bytes) -> Fields:
        return {"Volumes": [self.listed(name) for name in self.created], "Err": ""}

    def check_name(self, name: str) -> None:
        if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}", name):
            raise Refused("the name is not valid", 400)

    def place(self, name: str) -> Path:
        """Return a volume's directory."""
        return self.root / name

    def there(self, name: str) -> None:
        if name not in self.created:
            raise Refused("there is no such volume")

    def options(self, message: Mapping[str, Any]) -> Fields:
        opts = message.get("Opts")
        if opts is None:
            return {}
        if not isinstance(opts, dict):
            raise Refused("Opts is no object", 400)
        return opts

    def create(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        name, options = message["Name"], self.options(message)
        self.check_name(name)
        self.make(name, options)
        return {"Err": ""}

    def make(self, name: str, options: Fields) -> None:
        if name in self.created:
            self.again(name, options)
            return
        self.place(name).mkdir(parents=True, exist_ok=True)
        self.created[name] = {"at": "2026-11-24T12:00:00Z", "options": options}
        self.mounts[name] = Counter()

    def again(self, name: str, options: Fields) -> None:
        """Judge a Create of a volume that exists."""
        if options != self.created[name]["options"]:
            raise Refused("it exists with other options")

    def remove(self, request: Request, message: Mapping[str, Any]) -> Fields:
        name = message["Name"]
        self.there(name)
        self.forget(name)
        return {"Err": ""}

    def forget(self, name: str) -> None:
        del self.created[name], self.mounts[name]
        shutil.rmtree(self.place(name), ignore_errors=True)

    def mount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        name = message["Name"]
        self.there(name)
        self.mounts[name][str(message.get("ID"))] += 1
        return {"Mountpoint": str(self.place(name)), "Err": ""}

    def unmount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        name, mount_id = message["Name"], str(message.get("ID"))
        self.there(name)
        if self.mounts[name][mount_id]:
            self.mounts[name][mount_id] -= 1
        return {"Err": ""}

    def path(self, request: Request, message: Mapping[str, Any]) -> Fields:
        self.there(message["Name"])
        return {"Mountpoint": str(self.place(message["Name"])), "Err": ""}

    def shown(self, name: str) -> Fields:
        """Return a volume as it is shown."""
        return {
            "Name": name,
            "Mountpoint": str(self.place(name)),
            "CreatedAt": self.created[name]["at"],
            "Status": {},
        }

    def listed(self, name: str) -> Fields | None:
        """Return a volume as List shows it."""
        return Right.shown(self, name)

    def get(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        self.there(message["Name"])
        return {"Volume": self.shown(message["Name"]), "Err": ""}
