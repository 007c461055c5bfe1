"""Docker and Podman as clients of a plugin, as they were measured.

They send what the engines send, in their order, and conclude what the engines conclude:
a driver's tests can say "after this, Docker still knows the volume".
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from attrs import define, field

from .connection import NO_ANSWER, Client, Gone, Silent, Target, Unreachable
from .http import DOCKER, OLD_DOCKER, PODMAN, NotHTTP, Response, request
from .reply import Reply, time_complaint

#: The one ID with which Podman mounts every volume.
PODMAN_ID = "2f73349cfc4630255319c6c8dfc1b46a8996ace9d14d8e07563b165915918ec2"

#: Seconds that Docker waits before each new try of a call whose connection was cut.
RETRIES = (1, 2, 4, 8)


class EngineError(Exception):
    """What the engine tells its user.

    :ivar status: of the plugin's answer; 0 if there was none.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class EngineCrash(Exception):
    """The engine's process would have died of this answer."""


def _volume(call: str, value: object) -> Mapping[str, Any]:
    """Return a volume as Go reads it.

    :raises EngineError: it cannot be read.
    """
    if not isinstance(value, dict):
        raise EngineError(f"{call}: Volume is {value!r}")
    if "CreatedAt" in value and (complaint := time_complaint(value["CreatedAt"])):
        raise EngineError(f"{call}: {complaint}")
    if not isinstance(value.get("Status") or {}, dict):
        raise EngineError(f"{call}: Status is {value['Status']!r}")
    if not all(isinstance(value.get(key) or "", str) for key in ("Name", "Mountpoint")):
        raise EngineError(f"{call}: a Name or Mountpoint is no string")
    return value


def _volumes(reply: Reply) -> list[Mapping[str, Any]]:
    """Return what List lists; a null in it ends an engine."""
    volumes = reply.fields.get("Volumes") or []
    if not isinstance(volumes, list):
        raise EngineError(f"List: Volumes is {volumes!r}")
    if None in volumes:
        raise EngineCrash("List: a null in Volumes is dereferenced")
    return [_volume("List", volume) for volume in volumes]


@define(eq=False)
class FakeDocker:
    """Docker Engine with one volume plugin.

    :ivar old: as Engine 20.10: with an empty Host.
    :ivar known: the volumes that it knows, with their labels; :meth:`inspect` and others drop one
        as soon as Get fails for it.
    :ivar local: the volumes of the ``local`` driver that it made, some of them in place of
        one that the plugin has.
    :ivar hang: seconds after which a wait without a limit, Activate's, is given up as endless.
    """

    target: Target
    old: bool = False
    hang: float = 600.0
    known: dict[str, Mapping[str, str]] = field(factory=dict, init=False)
    local: set[str] = field(factory=set, init=False)
    capabilities: Mapping[str, Any] | None = field(default=None, init=False)
    _active: bool = field(default=False, init=False)
    _idle: list[Client] = field(factory=list, init=False)

    async def call(
        self,
        call: str,
        message: object = b"",
        limit: float = 60.0,
        passed_over: Sequence[str] = (),
    ) -> Reply:
        """Make one call, and again without its body if its connection is cut before an answer.

        :param passed_over: ``Err``, for a protocol in which it says nothing with status 200.
        :raises EngineError: there is no answer, or it is a failure.
        """
        data = request(call, message, OLD_DOCKER if self.old else DOCKER)
        again = request(call, b"", OLD_DOCKER if self.old else DOCKER)
        for pause in (0, *RETRIES):
            if pause:
                await self.target.sleep(pause)
            try:
                reply = Reply(call, await self._ask(data, limit))
            except (Gone, Unreachable) as error:
                problem: Exception = error
                data = again
                continue
            except (Silent, NotHTTP) as error:
                raise EngineError(f"{call}: {error}") from None
            return self._judged(reply, passed_over)
        raise EngineError(f"{call}: {problem}")

    @staticmethod
    def _judged(reply: Reply, passed_over: Sequence[str]) -> Reply:
        if reply.response.status != 200:
            text = reply.err or reply.response.body.decode("utf-8", "replace").strip()
            raise EngineError(f"{reply.call}: {text}", reply.response.status)
        try:
            answer = reply.response.answer
        except (ValueError, RecursionError) as error:
            raise EngineError(f"{reply.call}: {error}") from None
        if not isinstance(answer, dict):
            raise EngineError(f"{reply.call}: no object: {answer!r}")
        if answer.get("Err") not in (None, "") and "Err" not in passed_over:
            raise EngineError(f"{reply.call}: {answer['Err']}")
        return reply

    async def _ask(self, data: bytes, limit: float) -> Response:
        """Send a request on an idle connection, or on a new one; keep at most two."""
        if self._idle:
            client = self._idle.pop()
        else:
            client = Client(await self.target.connect(), self.target, limit)
        try:
            response = await client.ask(data, within=limit)
        except NO_ANSWER:
            client.close()
            raise
        if response.closes or len(self._idle) >= 2:
            client.close()
        else:
            self._idle.append(client)
        return response

    def close(self) -> None:
        """End the engine: its connections go, without an Unmount."""
        while self._idle:
            self._idle.pop().close()
        self._active = False

    async def activate(self) -> None:
        """Activate the plugin, once in the engine's life, and ask for its capabilities.

        :raises EngineError: it is no volume driver, or hangs.
        """
        if self._active:
            return
        reply = await self.call("Plugin.Activate", limit=self.hang)
        if "VolumeDriver" not in (reply.fields.get("Implements") or ()):
            raise EngineError("plugin does not implement VolumeDriver")
        self._active = True
        with contextlib.suppress(EngineError):
            found = (await self.call("VolumeDriver.Capabilities", {})).fields.get("Capabilities")
            self.capabilities = found if isinstance(found, dict) else None

    async def _get(self, name: str) -> Mapping[str, Any]:
        """Ask for a volume; whatever goes wrong, it does not exist, and is forgotten."""
        await self.activate()
        try:
            reply = await self.call("VolumeDriver.Get", {"Name": name})
            return _volume("Get", reply.fields.get("Volume"))
        except EngineError:
            self.known.pop(name, None)
            raise

    async def create(
        self,
        name: str,
        opts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """``docker volume create -d PLUGIN -o …``; of one that Get finds, options are dropped."""
        try:
            await self._get(name)
        except EngineError:
            await self.call("VolumeDriver.Create", {"Name": name, "Opts": opts}, limit=120)
        self.known.setdefault(name, dict(labels or {}))

    async def list(self) -> Sequence[str]:
        """``docker volume ls``: return the names."""
        await self.activate()
        reply = await self.call("VolumeDriver.List", {})
        return [str(volume.get("Name")) for volume in _volumes(reply)]

    async def inspect(self, name: str) -> Mapping[str, Any]:
        """``docker volume inspect``: return what Get says, with the labels."""
        return {**await self._get(name), "Labels": self.known.get(name, {})}

    async def remove(self, name: str) -> None:
        """``docker volume rm``."""
        await self._get(name)
        await self._get(name)
        await self.call("VolumeDriver.Remove", {"Name": name})
        self.known.pop(name, None)

    async def run(self, name: str, container: str, driver: bool = True) -> str:
        """``docker run -v NAME:/x``: return the directory that the container gets.

        :param driver: with ``--volume-driver``; without, an unknown volume is made with ``local``.
        :raises EngineError: the container does not start.
        """
        try:
            await self._get(name)
        except EngineError:
            if not driver:
                self.local.add(name)
                return f"/var/lib/docker/volumes/{name}/_data"
            await self.call("VolumeDriver.Create", {"Name": name, "Opts": None}, limit=120)
        self.known.setdefault(name, {})
        return await self.start(name, container)

    async def start(self, name: str, container: str) -> str:
        """``docker start``, and ``docker cp`` with a running one: Get, Mount with its ID."""
        await self._get(name)
        message = {"Name": name, "ID": container}
        reply = await self.call("VolumeDriver.Mount", message, limit=120)
        path = reply.fields.get("Mountpoint") or ""
        if not isinstance(path, str):
            raise EngineError(f"Mount: Mountpoint is {path!r}")
        return path or "/var/run/docker"  # what an empty one came to

    async def stop(self, name: str, container: str) -> None:
        """``docker stop``: Get, Unmount. That it fails is only logged."""
        with contextlib.suppress(EngineError):
            await self._get(name)
        with contextlib.suppress(EngineError):
            await self.call("VolumeDriver.Unmount", {"Name": name, "ID": container})


@define(eq=False)
class FakePodman:
    """Podman with one volume plugin: a process for each command, 5 s for each call.

    :ivar known: the volumes of its own database, and how often each is mounted.
    """

    target: Target
    limit: float = 5.0
    known: dict[str, int] = field(factory=dict, init=False)
    _paths: dict[str, str] = field(factory=dict, init=False)

    @contextlib.asynccontextmanager
    async def _command(self) -> AsyncIterator[Client]:
        """Connect and activate, as each command does; go away at its end."""
        try:
            client = Client(await self.target.connect(), self.target, self.limit)
        except Unreachable as error:
            raise EngineError(str(error)) from None
        try:
            reply = await self._call(client, "Plugin.Activate", b"")
            if "VolumeDriver" not in (reply.fields.get("Implements") or ()):
                raise EngineError("plugin does not implement VolumeDriver")
            yield client
        finally:
            client.close()

    async def _call(self, client: Client, call: str, message: object) -> Reply:
        """Make a call; of Create, Mount, Unmount and Remove an Err on 200 is not seen."""
        try:
            reply = Reply(call, await client.ask(request(call, message, PODMAN)))
        except NO_ANSWER as error:
            raise EngineError(f"{call}: {error}") from None
        if reply.response.status != 200:
            raise EngineError(f"{call}: {reply.err or reply.response.status}")
        return reply

    async def _get(self, client: Client, name: str) -> Mapping[str, Any]:
        reply = await self._call(client, "VolumeDriver.Get", {"Name": name})
        if reply.err:
            raise EngineError(f"Get: {reply.err}")
        return _volume("Get", reply.fields.get("Volume"))

    async def create(self, name: str, opts: Mapping[str, str] | None = None) -> None:
        """``podman volume create --driver PLUGIN -o …``; ``Opts`` is left out when empty."""
        message = {"Name": name, **({"Opts": dict(opts)} if opts else {})}
        async with self._command() as client:
            try:
                await self._get(client, name)
            except EngineError:
                await self._call(client, "VolumeDriver.Create", message)
        self.known.setdefault(name, 0)

    async def reload(self) -> None:
        """``podman volume reload``: List, without a body; take what is there for its own."""
        async with self._command() as client:
            reply = await self._call(client, "VolumeDriver.List", b"")
            self.known = {
                str(volume["Name"]): self.known.get(str(volume["Name"]), 0)
                for volume in _volumes(reply)
            }

    async def inspect(self, name: str) -> Mapping[str, Any]:
        """``podman volume inspect``."""
        async with self._command() as client:
            return await self._get(client, name)

    async def mount(self, name: str) -> str:
        """``podman run -v NAME:/x``: Mount for the first container only, with the one ID."""
        if not self.known.get(name):
            async with self._command() as client:
                message = {"Name": name, "ID": PODMAN_ID}
                reply = await self._call(client, "VolumeDriver.Mount", message)
                path = reply.fields.get("Mountpoint")
            if not isinstance(path, str):
                raise EngineError(f"Mount: Mountpoint is {path!r}")
            self._paths[name] = path
        self.known[name] = self.known.get(name, 0) + 1
        return self._paths[name]

    def reboot(self) -> None:
        """Forget all counts: what was mounted is mounted again, without an Unmount."""
        self.known = dict.fromkeys(self.known, 0)

    async def unmount(self, name: str) -> None:
        """The end of a container: Unmount after the last one."""
        self.known[name] = max(self.known.get(name, 0) - 1, 0)
        if not self.known[name]:
            async with self._command() as client:
                await self._call(client, "VolumeDriver.Unmount", {"Name": name, "ID": PODMAN_ID})

    async def remove(self, name: str) -> None:
        """``podman volume rm``: of one that Get does not find, only its own entry goes.

        :raises EngineError: also in that case, as Podman says it.
        """
        async with self._command() as client:
            try:
                await self._get(client, name)
            except EngineError:
                self.known.pop(name, None)
                raise
            await self._call(client, "VolumeDriver.Remove", {"Name": name})
        self.known.pop(name, None)
