"""Plugins of the other protocols under judgement."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

from ..secret import LARGEST
from .connection import NO_ANSWER
from .judging import Blocked
from .reply import Reply
from .subject import Subject, long_id, options_for


@define(eq=False)
class AuthzSubject(Subject):
    """An authorization plugin. Nothing is known of what it allows."""

    async def ask(self, message: object, response: bool = False) -> Reply:
        """Ask for a decision on a request, or on the answer to one."""
        return await self.call(f"AuthZPlugin.AuthZ{'Res' if response else 'Req'}", message)


class _Named(Subject):
    """What both drivers of networks need: subnets that nobody has."""

    #: The first two numbers of the addresses that are used.
    net: str = "10.213"
    _count: int = 0

    def subnet(self) -> str:
        """Return three numbers of an IPv4 network of 256 addresses, another one each time."""
        self._count += 1
        return f"{self.net}.{self._count}"

    async def must_answer(self, call: str, message: Mapping[str, object]) -> Reply:
        """Make a call that another rule is about.

        :raises Blocked: it fails.
        """
        try:
            reply = await self.call(call, message)
        except NO_ANSWER as error:
            raise Blocked(f"{call}: {error}") from None
        if not reply.ok:
            raise Blocked(str(reply))
        return reply


@define(eq=False)
class NetworkSubject(_Named):
    """A network driver.

    :ivar prefix: makes the IDs of networks and endpoints different from those of other subjects.
    :ivar options: of ``docker network create -o``; ``{name}`` in a value stands for the network's
        ID.
    """

    prefix: str = "0"
    options: Mapping[str, str] = field(factory=dict)
    _undo: list[tuple[str, Mapping[str, str]]] = field(factory=list, init=False)

    def new_id(self) -> str:
        """Return an ID of a network or an endpoint, another one each time."""
        self._count += 1
        return long_id(self.prefix, self._count)

    async def ask(self, call: str, **fields: object) -> Reply:
        """Make a call of the protocol; what it makes is deleted at the end."""
        keys: tuple[str, ...] = ("NetworkID", "EndpointID")
        ids = {key: str(fields[key]) for key in keys if key in fields}
        undo = {"CreateNetwork": "DeleteNetwork", "CreateEndpoint": "DeleteEndpoint"}
        undo["Join"] = "Leave"
        if call in undo:
            self._undo.append((undo[call], ids))
        return await self.call(f"NetworkDriver.{call}", fields)

    async def must(self, call: str, **fields: object) -> Reply:
        """Make a call that another rule is about.

        :raises Blocked: it fails.
        """
        try:
            reply = await self.ask(call, **fields)
        except NO_ANSWER as error:
            raise Blocked(f"NetworkDriver.{call}: {error}") from None
        if not reply.ok:
            raise Blocked(str(reply))
        return reply

    def network(self, network: str) -> dict[str, object]:
        """Return the message that creates a network, as it was recorded."""
        net = self.subnet()
        data = {"AddressSpace": "LocalDefault", "Gateway": f"{net}.1/24", "Pool": f"{net}.0/24"}
        options: dict[str, object] = {"com.docker.network.enable_ipv6": False}
        options["com.docker.network.generic"] = options_for(self.options, network)
        return {"NetworkID": network, "Options": options, "IPv4Data": [data], "IPv6Data": []}

    def endpoint(self, network: str, endpoint: str) -> dict[str, object]:
        """Return the message that creates an endpoint, as it was recorded."""
        address = f"{self.net}.{self._count}.2/24"
        interface = {"Address": address, "AddressIPv6": "", "MacAddress": ""}
        options = self.ports()
        ids = {"NetworkID": network, "EndpointID": endpoint}
        return {**ids, "Interface": interface, "Options": options}

    @staticmethod
    def ports() -> dict[str, object]:
        """Return the options of a container without ports."""
        names = ("com.docker.network.endpoint.exposedports", "com.docker.network.portmap")
        return {name: [] for name in names}

    async def attached(self) -> tuple[dict[str, str], Reply]:
        """Make a network and an endpoint, and join; return both IDs and Join's answer.

        :raises Blocked: one of them fails.
        """
        ids = await self.made()
        sandbox = "/var/run/docker/netns/0123456789ab"
        return ids, await self.must("Join", **ids, SandboxKey=sandbox, Options=self.ports())

    async def made(self) -> dict[str, str]:
        """Make a network and an endpoint; return both IDs.

        :raises Blocked: one of them fails.
        """
        network, endpoint = self.new_id(), self.new_id()
        await self.must("CreateNetwork", **self.network(network))
        await self.must("CreateEndpoint", **self.endpoint(network, endpoint))
        return {"NetworkID": network, "EndpointID": endpoint}

    async def cleanup(self) -> list[str]:
        """Leave and delete what was made; what is left, nobody can ask for."""
        undo, self._undo = self._undo, []
        for call, ids in reversed(undo):
            with contextlib.suppress(*NO_ANSWER):
                await self.call(f"NetworkDriver.{call}", ids)
        return []


@define(eq=False)
class IpamSubject(_Named):
    """An IPAM driver."""

    _pools: list[str] = field(factory=list, init=False)
    _addresses: list[tuple[str, str]] = field(factory=list, init=False)

    async def ask(self, call: str, **fields: Any) -> Reply:
        """Make a call of the protocol; what it gives is released at the end."""
        reply = await self.call(f"IpamDriver.{call}", fields)
        if call == "RequestPool" and reply.ok:
            self._pools.append(str(reply.fields.get("PoolID")))
        if call == "RequestAddress" and reply.ok:
            address = str(reply.fields.get("Address")).partition("/")[0]
            self._addresses.append((str(fields.get("PoolID")), address))
        return reply

    async def space(self) -> str:
        """Return the address space for networks of one engine.

        :raises Blocked: there is none.
        """
        reply = await self.must_answer("IpamDriver.GetDefaultAddressSpaces", {})
        found = reply.fields.get("LocalDefaultAddressSpace")
        if not isinstance(found, str) or not found:
            raise Blocked(str(reply))
        return found

    async def request_pool(self, pool: str) -> Reply:
        """Ask for a pool, as Docker does for ``--subnet``; for any if it is empty."""
        fields = {"AddressSpace": await self.space(), "Pool": pool, "SubPool": ""}
        return await self.ask("RequestPool", **fields, Options={}, V6=False)

    async def pool(self) -> tuple[str, str]:
        """Get a pool; return its ID and the first three numbers of its addresses.

        :raises Blocked: there is none.
        """
        net = self.subnet()
        try:
            reply = await self.request_pool(f"{net}.0/24")
        except NO_ANSWER as error:
            raise Blocked(f"IpamDriver.RequestPool: {error}") from None
        found = reply.fields.get("PoolID")
        if not reply.ok or not isinstance(found, str) or not found:
            raise Blocked(str(reply))
        return found, net

    async def address(self, pool: str, asked: str = "", **options: str) -> Reply:
        """Ask for an address of a pool; for any if none is asked for."""
        return await self.ask("RequestAddress", PoolID=pool, Address=asked, Options=options)

    async def given(self, pool: str, asked: str = "") -> str:
        """Get an address, without its mask.

        :raises Blocked: there is none.
        """
        try:
            reply = await self.address(pool, asked)
        except NO_ANSWER as error:
            raise Blocked(f"IpamDriver.RequestAddress: {error}") from None
        found = reply.fields.get("Address")
        if not reply.ok or not isinstance(found, str) or not found:
            raise Blocked(str(reply))
        return found.partition("/")[0]

    async def cleanup(self) -> list[str]:
        """Release what was given; what is left, nobody can ask for."""
        addresses, self._addresses = self._addresses, []
        pools, self._pools = self._pools, []
        for pool, address in addresses:
            with contextlib.suppress(*NO_ANSWER):
                await self.call("IpamDriver.ReleaseAddress", {"PoolID": pool, "Address": address})
        for pool in pools:
            with contextlib.suppress(*NO_ANSWER):
                await self.call("IpamDriver.ReleasePool", {"PoolID": pool})
        return []


@frozen
class HiddenReply(Reply):
    """An answer that may have a secret in it: a report shows its Err, never its Value."""

    @property
    def complaint(self) -> str:
        """What is wrong with the Value; nothing if a swarm takes it."""
        value = self.fields.get("Value")
        if not isinstance(value, str):
            return f"Value is no string but of the type {type(value).__name__}"
        try:
            size = len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            return "Value is not in base64"
        return "" if 0 < size <= LARGEST else f"Value has {size} bytes"

    def __str__(self) -> str:
        """Return the status, and the error or the answer's size."""
        size = len(self.response.body)
        found = f"Err {self.err!r}" if self.err else f"{size} bytes, which are not shown"
        return f"{self.call} was answered with {self.response.status} and {found}"


@define(eq=False)
class SecretSubject(Subject):
    """A secret provider.

    :ivar secret: the name of a secret that it has; empty if none is known.
    """

    secret: str = ""
    _count: int = field(default=0, init=False)

    def unknown(self) -> str:
        """Return a name that no secret has."""
        self._count += 1
        return f"kit-no-such-secret-{self._count}"

    @staticmethod
    def message(name: str) -> dict[str, object]:
        """Return a request as a swarm makes it for a task."""
        port = {"Name": "", "Protocol": 0, "TargetPort": 80, "PublishedPort": 0, "PublishMode": 0}
        return {
            "SecretName": name,
            "SecretLabels": {"kit": "yes"},
            "ServiceHostname": "web",
            "ServiceID": "kitservice00000000000000",
            "ServiceName": "kit-web",
            "ServiceLabels": {"kit": "yes"},
            "TaskID": "kittask000000000000000000",
            "TaskName": "kit-web.1.kittask000000000000000000",
            "TaskImage": "busybox:latest",
            "NodeID": "kitnode000000000000000000",
            "ServiceEndpointSpec": {"Mode": 0, "Ports": [port]},
        }

    async def ask(self, message: object) -> HiddenReply:
        """Send a message, or any body."""
        reply = await self.call("SecretProvider.GetSecret", message)
        return HiddenReply(reply.call, reply.response, reply.took)

    async def get(self, name: str, **more: object) -> HiddenReply:
        """Ask for a secret, as a swarm does."""
        return await self.ask({**self.message(name), **more})

    async def must(self, name: str) -> HiddenReply:
        """Get a secret.

        :raises Blocked: it is refused.
        """
        try:
            reply = await self.get(name)
        except NO_ANSWER as error:
            raise Blocked(f"SecretProvider.GetSecret: {error}") from None
        if not reply.ok:
            raise Blocked(str(reply))
        return reply


@define(eq=False)
class MetricsSubject(Subject):
    """A metrics collector; what is started is stopped at the end."""

    _started: bool = field(default=False, init=False)

    async def ask(self, call: str, body: bytes = b"") -> Reply:
        """Make a call, as the engine does without a body."""
        self._started = call == "StartMetrics" or self._started
        return await self.call(f"MetricsCollector.{call}", body)

    async def must(self, call: str) -> Reply:
        """Make a call that another rule is about.

        :raises Blocked: it fails.
        """
        try:
            reply = await self.ask(call)
        except NO_ANSWER as error:
            raise Blocked(f"MetricsCollector.{call}: {error}") from None
        if not reply.ok:
            raise Blocked(str(reply))
        return reply

    async def cleanup(self) -> list[str]:
        """Stop, if it was started."""
        started, self._started = self._started, False
        if started:
            with contextlib.suppress(*NO_ANSWER):
                await self.call("MetricsCollector.StopMetrics")
        return []
