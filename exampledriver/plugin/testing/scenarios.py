"""What Docker does with plugins of networks and of authorization, as it was measured.

Both make their calls as :class:`exampledriver.plugin.testing.clients.FakeDocker` does, and
raise :class:`exampledriver.plugin.testing.clients.EngineError` where Docker tells its user of a
failure.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

from .clients import EngineError, FakeDocker
from .reply import Reply

#: The largest body of a request that a plugin is told of, in bytes.
MAX_BODY = 4 << 20

_GATEWAY = {"RequestAddressType": "com.docker.network.gateway"}


async def _activate(docker: FakeDocker, protocol: str) -> list[str]:
    reply = await docker.call("Plugin.Activate", limit=docker.hang)
    found = list(reply.fields.get("Implements") or ())
    if protocol not in found:
        raise EngineError(f"plugin does not implement {protocol}")
    return found


@frozen
class FakeEndpoint:
    """A container's endpoint.

    :ivar address: what the engine's IPAM gave, without its mask; empty, if the plugin chose.
    :ivar joined: what Join answered.
    """

    id: str
    address: str
    joined: Mapping[str, Any]


@define(eq=False)
class FakeNetwork:
    """A network of Docker's whose driver is a plugin, and whose IPAM driver is the same one.

    Without an IpamDriver in the plugin, addresses are from `subnet`, as of Docker's own.

    :ivar id: of 64 hexadecimal digits.
    :ivar options: of ``docker network create -o``.
    :ivar subnet: what is asked of the IPAM driver, in CIDR notation.
    :ivar endpoints: those of containers that are attached, by their IDs.
    """

    docker: FakeDocker
    id: str
    options: Mapping[str, str] = field(factory=dict)
    ipam_options: Mapping[str, str] = field(factory=dict)
    subnet: str = "10.123.0.0/24"
    endpoints: dict[str, FakeEndpoint] = field(factory=dict, init=False)
    _pool: str = field(default="", init=False)
    _gateway: str = field(default="", init=False)
    _given: int = field(default=1, init=False)

    async def _net(self, call: str, **fields: object) -> Reply:
        return await self.docker.call(f"NetworkDriver.{call}", fields)

    async def _ipam(self, call: str, message: object = b"") -> Mapping[str, Any]:
        """Make a call of the IPAM driver: with a 200 its errors are under ``Error``."""
        reply = await self.docker.call(f"IpamDriver.{call}", message)
        if error := reply.fields.get("Error"):
            raise EngineError(f"IpamDriver.{call}: {error}")
        return reply.fields

    async def create(self) -> None:
        """``docker network create``: activate, take a pool and a gateway, create."""
        implements = await _activate(self.docker, "NetworkDriver")
        await self.docker.call("NetworkDriver.GetCapabilities")
        space = "LocalDefault"
        if "IpamDriver" in implements:
            await self._ipam("GetCapabilities")
            spaces = await self._ipam("GetDefaultAddressSpaces")
            space = spaces["LocalDefaultAddressSpace"]
            asked = {"AddressSpace": space, "Pool": self.subnet, "SubPool": ""}
            options = dict(self.ipam_options)
            found = await self._ipam("RequestPool", {**asked, "Options": options, "V6": False})
            self._pool, self.subnet = found["PoolID"], found["Pool"]
            self._gateway = await self._address(_GATEWAY)
        else:
            self._gateway = self._next()
        data = {"AddressSpace": space, "Gateway": self._gateway, "Pool": self.subnet}
        about = {
            "com.docker.network.enable_ipv6": False,
            "com.docker.network.generic": dict(self.options),
        }
        await self._net(
            "CreateNetwork", NetworkID=self.id, Options=about, IPv4Data=[data], IPv6Data=[]
        )

    def _next(self) -> str:
        base, _, bits = self.subnet.partition("/")
        self._given += 1
        return f"{base.rpartition('.')[0]}.{self._given - 1}/{bits}"

    async def _address(self, options: object = None) -> str:
        if not self._pool:
            return self._next()
        asked = {"PoolID": self._pool, "Address": "", "Options": options}
        return str((await self._ipam("RequestAddress", asked))["Address"])

    async def attach(self, endpoint: str, sandbox: str) -> FakeEndpoint:
        """``docker run --network``: an address, CreateEndpoint, Join, and what is published.

        :param endpoint: its ID.
        :param sandbox: the path of the container's network namespace.
        """
        address = await self._address()
        ids = {"NetworkID": self.id, "EndpointID": endpoint}
        names = ("com.docker.network.endpoint.exposedports", "com.docker.network.portmap")
        options: dict[str, object] = {name: [] for name in names}
        given = {"Address": address, "AddressIPv6": "", "MacAddress": ""}
        made = await self._net("CreateEndpoint", **ids, Interface=given, Options=options)
        chosen = made.fields.get("Interface") or {}
        if changed := [name for name in given if given[name] and chosen.get(name)]:
            raise EngineError(
                f"NetworkDriver.CreateEndpoint: it changes what was given: {', '.join(changed)}"
            )
        joined = await self._net("Join", **ids, SandboxKey=sandbox, Options=options)
        await self._optional("ProgramExternalConnectivity", **ids, Options=options)
        for _ in range(2):
            await self._net("EndpointOperInfo", **ids)
        found = FakeEndpoint(endpoint, address.partition("/")[0], joined.fields)
        self.endpoints[endpoint] = found
        return found

    async def _optional(self, call: str, **fields: object) -> None:
        try:
            await self._net(call, **fields)
        except EngineError as error:
            if error.status != 404:
                raise

    async def detach(self, endpoint: str) -> None:
        """The container's end: what is published, Leave, DeleteEndpoint, and the address."""
        found = self.endpoints.pop(endpoint)
        ids = {"NetworkID": self.id, "EndpointID": endpoint}
        await self._optional("RevokeExternalConnectivity", **ids)
        await self._net("Leave", **ids)
        await self._net("DeleteEndpoint", **ids)
        await self._release(found.address)

    async def _release(self, address: str) -> None:
        if self._pool:
            await self._ipam("ReleaseAddress", {"PoolID": self._pool, "Address": address})

    async def remove(self) -> None:
        """``docker network rm``: the gateway and the pool go before the network."""
        if self.endpoints:
            raise EngineError(f"network {self.id} has active endpoints")
        await self._release(self._gateway.partition("/")[0])
        if self._pool:
            await self._ipam("ReleasePool", {"PoolID": self._pool})
        await self._net("DeleteNetwork", NetworkID=self.id)


@define(eq=False)
class FakeApi:
    """Docker's API behind an authorization plugin.

    :ivar carried_out: method and URI of each request that was carried out.
    """

    docker: FakeDocker
    carried_out: list[tuple[str, str]] = field(factory=list, init=False)
    _active: bool = field(default=False, init=False)

    async def request(
        self,
        method: str,
        uri: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        status: int = 200,
        answer: bytes = b"",
        hijacked: bool = False,
    ) -> None:
        """Make a request of the API, which is asked about before and after it is carried out.

        The plugin is told of a body if it is JSON and not too large, and of no header
        ``Authorization``.

        :param headers: of the request; with a body, JSON unless they say otherwise.
        :param status: of the engine's own answer.
        :param answer: the body of it.
        :param hijacked: the connection is taken over, as for attach and exec, or streamed: of such
            an answer neither status nor body is told.
        :raises EngineError: it is denied, before or after it was carried out.
        """
        if not self._active:
            await _activate(self.docker, "authz")
            self._active = True
        sent = dict(headers or {})
        if body:
            sent = {"Content-Length": str(len(body)), "Content-Type": "application/json", **sent}
        told: dict[str, object] = {"RequestMethod": method, "RequestUri": uri}
        kind = sent.get("Content-Type", "").partition(";")[0].strip()
        if body and kind == "application/json" and len(body) <= MAX_BODY:
            told["RequestBody"] = base64.b64encode(body).decode("ascii")
        sent.pop("Authorization", None)
        if sent:
            told["RequestHeaders"] = dict(sorted(sent.items()))
        await self._ask("Req", told)
        self.carried_out.append((method, uri))
        if not hijacked:
            told["ResponseStatusCode"] = status
            if answer:
                told["ResponseBody"] = base64.b64encode(answer).decode("ascii")
        told["ResponseHeaders"] = {"Api-Version": "1.41", "Ostype": "linux"}
        await self._ask("Res", told)

    async def _ask(self, phase: str, told: Mapping[str, object]) -> None:
        reply = await self.docker.call(f"AuthZPlugin.AuthZ{phase}", told, passed_over=("Err",))
        if reply.fields.get("Allow") is not True:
            raise EngineError(f"authorization denied by plugin: {reply.fields.get('Msg') or ''}")
