"""Small right plugins of the other kinds, and wrong ones made of them."""

from __future__ import annotations

import ipaddress
import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.web.server import Request

from exampledriver.plugin.engineapi import JsonObject, fits, read_object, split_target
from exampledriver.plugin.errors import BadRequest

from .registry import breaks
from .right import Fields, Refused, Right


class Kind(Right):
    """A plugin of another kind: each call is a method, ``CreateNetwork`` as ``create_network``.

    :cvar prefix: of the calls' paths.
    :cvar bodiless: calls whose body does not matter.
    """

    prefix = ""
    bodiless: tuple[str, ...] = ()
    largest = 16 << 20

    def answer(self, request: Request, path: str) -> Fields | None:
        assert request.content is not None
        body = request.content.read()
        if path == "/Plugin.Activate":
            return self.activate(request)
        if not path.startswith(self.prefix):
            raise Refused(f"{path}: there is no such call", 404)
        call = path.removeprefix(self.prefix)
        name = re.sub("(?<!^)(?=[A-Z])", "_", call).lower()
        method: Callable[..., Fields | None] | None = getattr(self, name, None)
        if method is None:
            raise Refused(f"{path}: there is no such call", 404)
        if call in self.bodiless:
            return method(request, {})
        return method(request, self.message(body))

    def message(self, body: bytes) -> Fields:
        """Return the message in a body."""
        try:
            found = json.loads(body.decode("utf-8"))
        except ValueError:
            raise Refused("the body is no JSON", 400) from None
        if not isinstance(found, dict):
            raise Refused("the body is no object", 400)
        return found


class RightAuthz(Kind):
    """An authorization plugin that allows all but volumes, and what makes a process privileged."""

    prefix = "/AuthZPlugin."
    implements = ("authz",)
    #: Routes, and the places in a body at which one asks for privileges.
    places: Mapping[str, Sequence[tuple[str, ...]]] = {
        "/containers/create": (("HostConfig", "Privileged"), ("Privileged",)),
        "/containers/{name}/exec": (("Privileged",),),
    }
    #: The first version of the API in which a start has no HostConfig.
    first: tuple[int, ...] = (1, 24)

    def auth_z_req(self, request: Request, message: Fields) -> Fields | None:
        return self.decide(message)

    def auth_z_res(self, request: Request, message: Fields) -> Fields | None:
        return self.decide(message)

    def decide(self, message: Fields) -> Fields:
        """Return a decision."""
        method, uri = message.get("RequestMethod"), message.get("RequestUri")
        if not isinstance(method, str) or not isinstance(uri, str):
            return {"Allow": False, "Msg": "what is that?", "Err": "no URI"}
        try:
            body = message.get("RequestBody")
            why = self.forbidden(uri, None if body is None else b64decode(body, validate=True))
        except ValueError:
            return {"Allow": False, "Msg": "what is that?", "Err": "no base64"}
        except BadRequest as error:
            return {"Allow": False, "Msg": str(error), "Err": ""}
        return {"Allow": not why, "Msg": why, "Err": ""}

    def forbidden(self, uri: str, body: bytes | None) -> str:
        """Return why a request is denied; nothing if it is not."""
        path, version = self.target(uri)
        for route, places in self.places.items():
            if fits(route, path):
                privileged = any(any(self.values(body, place)) for place in places)
                return "no privileges" if privileged else ""
        if fits("/containers/{name}/start", path) and version < self.first:
            return "no old versions"
        return "no volumes" if path == "/volumes/create" else ""

    def target(self, uri: str) -> tuple[str, tuple[int, ...]]:
        """Return path and version."""
        return split_target(uri)

    def values(self, body: bytes | None, place: tuple[str, ...]) -> Sequence[object]:
        """Return the values at a place in a body."""
        return read_object(body).values(*place)


@breaks("A-ACTIVATE")
class AuthzByCalls(RightAuthz):
    """It has the name of its calls."""

    implements = ("AuthZPlugin",)


@breaks("A-REQUEST")
class AllowText(RightAuthz):
    """What it refuses it refuses with a word."""

    def auth_z_req(self, request: Request, message: Fields) -> Fields | None:
        found = self.decide(message)
        return found if found["Allow"] else {**found, "Allow": "no"}


@breaks("A-RESPONSE")
class NoResponse(RightAuthz):
    """It does not look at answers."""

    def auth_z_res(self, request: Request, message: Fields) -> Fields | None:
        return {}


@breaks("A-ABSENT")
class NeedsHeaders(RightAuthz):
    """It looks headers up."""

    def decide(self, message: Fields) -> Fields:
        if message.get("RequestUri") == "/v1.41/build" and "RequestHeaders" not in message:
            raise Refused("KeyError: 'RequestHeaders'")
        return super().decide(message)


@breaks("A-UNKNOWN-FIELDS")
class StrictAuthz(RightAuthz):
    """It refuses what it does not know."""

    def decide(self, message: Fields) -> Fields:
        if "KitUnknown" in message:
            raise Refused("unexpected keyword argument", 400)
        return super().decide(message)


@breaks("A-RETRY-EMPTY")
class NoBodyAllowed(RightAuthz):
    """Without a message there is nothing to forbid."""

    def message(self, body: bytes) -> Fields:
        return super().message(body or b'{"RequestMethod":"GET","RequestUri":"/"}')


@breaks("A-MALFORMED")
class UnreadAllowed(RightAuthz):
    """What it cannot read it lets pass."""

    def message(self, body: bytes) -> Fields:
        try:
            return super().message(body)
        except Refused:
            if body in (b"", b"null"):
                raise
            return {"RequestMethod": "GET", "RequestUri": "/"}


@breaks("A-NULL")
class NullAllowed(RightAuthz):
    """It reads null as Go does."""

    def message(self, body: bytes) -> Fields:
        if body == b"null":
            body = b'{"RequestMethod":"","RequestUri":"/"}'
        return super().message(body)


@breaks("A-CASE")
class ExactNames(RightAuthz):
    """It looks at names as they are documented, in each object of the name."""

    def values(self, body: bytes | None, place: tuple[str, ...]) -> Sequence[object]:
        found: list[object] = [read_object(body)]
        for name in place:
            objects = [item for item in found if isinstance(item, JsonObject)]
            found = [held for item in objects for key, held in item.items if key == name]
        return found


@breaks("A-DUPLICATE")
class LastName(RightAuthz):
    """Of a name that comes twice it sees the last one."""

    def values(self, body: bytes | None, place: tuple[str, ...]) -> Sequence[object]:
        found: object = read_object(body)
        for name in place:
            values = found.values(name) if isinstance(found, JsonObject) else []
            found = values[-1] if values else None
        return [found]


@breaks("A-BESIDE")
class Inside(RightAuthz):
    """It looks into HostConfig."""

    places: Mapping[str, Sequence[tuple[str, ...]]] = {
        **RightAuthz.places,
        "/containers/create": (("HostConfig", "Privileged"),),
    }


@breaks("A-HIDDEN")
class ShownOnly(RightAuthz):
    """Without a body there is nothing to forbid."""

    def values(self, body: bytes | None, place: tuple[str, ...]) -> Sequence[object]:
        return super().values(b"{}" if body is None else body, place)


@breaks("A-ESCAPE")
class AsWritten(RightAuthz):
    """It does not decode paths."""

    def target(self, uri: str) -> tuple[str, tuple[int, ...]]:
        return super().target(uri.replace("%", "%25"))


@breaks("A-EXEC")
class ContainersOnly(RightAuthz):
    """It does not think of exec."""

    places: Mapping[str, Sequence[tuple[str, ...]]] = {
        "/containers/create": RightAuthz.places["/containers/create"]
    }


@breaks("A-START")
class NewVersionsOnly(RightAuthz):
    """It does not think of old versions."""

    first = (0,)


@breaks("A-ERR-ALLOW")
class ErrAndAllow(RightAuthz):
    """Err is enough, it thinks."""

    def decide(self, message: Fields) -> Fields:
        found = super().decide(message)
        return {**found, "Allow": True} if found["Err"] else found


@breaks("A-LARGE")
class SmallBodies(RightAuthz):
    """It reads one megabyte."""

    def message(self, body: bytes) -> Fields:
        if len(body) > 1 << 20:
            raise Refused("the body is too large", 413)
        return super().message(body)


@breaks("A-PARALLEL")
class BusyAuthz(RightAuthz):
    """It decides one at a time."""

    deciding = 0

    def auth_z_req(self, request: Request, message: Fields) -> Fields | None:
        self.deciding += 1
        busy = self.deciding > 1

        def end() -> Fields:
            self.deciding -= 1
            return {"Allow": False, "Msg": "busy"} if busy else self.decide(message)

        self.later(request, 0.05, end)
        return None


@breaks("A-QUICK")
class SlowAuthz(RightAuthz):
    """It asks somebody else."""

    def auth_z_res(self, request: Request, message: Fields) -> Fields | None:
        self.later(request, 1.5, lambda: self.decide(message))
        return None


class RightNetwork(Kind):
    """A network driver without any network."""

    prefix = "/NetworkDriver."
    bodiless = ("GetCapabilities",)
    implements = ("NetworkDriver",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.networks: set[str] = set()
        self.endpoints: set[str] = set()

    def get_capabilities(self, request: Request, message: Fields) -> Fields:
        return {"Scope": "local", "ConnectivityScope": "local"}

    def create_network(self, request: Request, message: Fields) -> Fields:
        self.networks.add(message["NetworkID"])
        return {}

    def delete_network(self, request: Request, message: Fields) -> Fields:
        self.networks.discard(message["NetworkID"])
        return {}

    def create_endpoint(self, request: Request, message: Fields) -> Fields:
        if message["NetworkID"] not in self.networks:
            raise Refused("there is no such network")
        self.endpoints.add(message["EndpointID"])
        return {"Interface": {"MacAddress": "02:42:00:00:00:01"}}

    def delete_endpoint(self, request: Request, message: Fields) -> Fields:
        self.endpoints.discard(message["EndpointID"])
        return {}

    def endpoint_oper_info(self, request: Request, message: Fields) -> Fields:
        return {"Value": {}}

    def join(self, request: Request, message: Fields) -> Fields:
        if message["EndpointID"] not in self.endpoints:
            raise Refused("there is no such endpoint")
        return {
            "InterfaceName": {"SrcName": "veth0", "DstPrefix": "eth"},
            "Gateway": "10.213.1.1",
            "StaticRoutes": [{"Destination": "10.9.0.0/16", "RouteType": 1, "NextHop": ""}],
        }

    def leave(self, request: Request, message: Fields) -> Fields:
        return {}

    def discover_new(self, request: Request, message: Fields) -> Fields:
        return {}

    discover_delete = discover_new


@breaks("N-ACTIVATE")
class NetworkOther(RightNetwork):
    """It has another name for it."""

    implements = ("Network",)


@breaks("N-CAPABILITIES")
class NetworkScope(RightNetwork):
    """It says its scope in capitals."""

    def get_capabilities(self, request: Request, message: Fields) -> Fields:
        return {"Scope": "Local"}


@breaks("N-NETWORK")
class NoDelete(RightNetwork):
    """A network that has no endpoint cannot be deleted."""

    used = False

    def create_endpoint(self, request: Request, message: Fields) -> Fields:
        self.used = True
        return super().create_endpoint(request, message)

    def delete_network(self, request: Request, message: Fields) -> Fields:
        if message["NetworkID"] in self.networks and not self.used:
            raise Refused("it was never used")
        return super().delete_network(request, message)


@breaks("N-NETWORK-AGAIN")
class NetworkOnce(RightNetwork):
    """It keeps the addresses of networks that were deleted."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.had: set[str] = set()

    def create_network(self, request: Request, message: Fields) -> Fields:
        if message["NetworkID"] in self.had:
            raise Refused("those addresses are used")
        self.had.add(message["NetworkID"])
        return super().create_network(request, message)


@breaks("N-ENDPOINT")
class EndpointStays(RightNetwork):
    """An endpoint that nobody joined cannot be deleted."""

    joined = False

    def join(self, request: Request, message: Fields) -> Fields:
        self.joined = True
        return super().join(request, message)

    def delete_endpoint(self, request: Request, message: Fields) -> Fields:
        if message["EndpointID"] in self.endpoints and not self.joined:
            raise Refused("nobody has joined")
        return super().delete_endpoint(request, message)


@breaks("N-ENDPOINT-INTERFACE")
class Echo(RightNetwork):
    """It says the address back."""

    def create_endpoint(self, request: Request, message: Fields) -> Fields:
        super().create_endpoint(request, message)
        return {"Interface": message["Interface"]}


@breaks("N-ENDPOINT-UNKNOWN")
class AnyNetwork(RightNetwork):
    """It does not look whether there is such a network."""

    def create_endpoint(self, request: Request, message: Fields) -> Fields:
        self.networks.add(message["NetworkID"])
        return super().create_endpoint(request, message)


@breaks("N-INFO")
class InfoText(RightNetwork):
    """Its information is a text."""

    def endpoint_oper_info(self, request: Request, message: Fields) -> Fields:
        return {"Value": "up"}


@breaks("N-JOIN")
class NoPrefix(RightNetwork):
    """It has no prefix for the container's interface."""

    def join(self, request: Request, message: Fields) -> Fields:
        return {**super().join(request, message), "InterfaceName": {"SrcName": "veth0"}}


@breaks("N-JOIN-GATEWAY")
class GatewayMask(RightNetwork):
    """Its gateway has a mask."""

    def join(self, request: Request, message: Fields) -> Fields:
        return {**super().join(request, message), "Gateway": "10.213.1.1/24"}


@breaks("N-JOIN-ROUTES")
class RouteTypes(RightNetwork):
    """Its routes have types of its own."""

    def join(self, request: Request, message: Fields) -> Fields:
        route = {"Destination": "10.9.0.0/16", "RouteType": "connected"}
        return {**super().join(request, message), "StaticRoutes": [route]}


@breaks("N-JOIN-UNKNOWN")
class JoinAll(RightNetwork):
    """Once somebody has joined, everybody may."""

    joined = False

    def join(self, request: Request, message: Fields) -> Fields:
        if self.joined:
            self.endpoints.add(message["EndpointID"])
        found = super().join(request, message)
        self.joined = True
        return found


@breaks("N-LEAVE")
class NoLeave(RightNetwork):
    """Who has joined cannot leave."""

    def leave(self, request: Request, message: Fields) -> Fields:
        if message["EndpointID"] in self.endpoints:
            raise Refused("not implemented")
        return {}


@breaks("N-EXTERNAL")
class NoExternal(RightNetwork):
    """It says that it has no such call, in its own way."""

    def program_external_connectivity(self, request: Request, message: Fields) -> Fields:
        raise Refused("not implemented", 501)


@breaks("N-DELETE-UNKNOWN")
class DeleteOnce(RightNetwork):
    """It deletes only what it knows."""

    def delete_endpoint(self, request: Request, message: Fields) -> Fields:
        if message["EndpointID"] not in self.endpoints:
            raise Refused("there is no such endpoint")
        return super().delete_endpoint(request, message)


@breaks("N-DISCOVER")
class NoDiscovery(RightNetwork):
    """It has no discovery."""

    def discover_new(self, request: Request, message: Fields) -> Fields:
        raise Refused("not implemented", 501)


@breaks("N-RETRY-EMPTY")
class NetworkForNobody(RightNetwork):
    """It takes no body for an empty message."""

    def message(self, body: bytes) -> Fields:
        return super().message(body or b'{"NetworkID":"0"}')


@breaks("N-ERR-TEXT")
class ErrorKey(RightNetwork):
    """Its errors are under another key."""

    def say(self, request: Request, path: str, status: int, fields: Fields) -> bytes:
        if path.startswith(self.prefix) and "Err" in fields:
            fields = {"message": fields["Err"]}
        return super().say(request, path, status, fields)


class RightIpam(Kind):
    """An IPAM driver."""

    prefix = "/IpamDriver."
    bodiless = ("GetCapabilities", "GetDefaultAddressSpaces")
    implements = ("IpamDriver",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pools: dict[str, set[str]] = {}

    def say(self, request: Request, path: str, status: int, fields: Fields) -> bytes:
        if "Err" in fields:
            fields = {**fields, "Error": fields["Err"]}
        return super().say(request, path, status, fields)

    def get_capabilities(self, request: Request, message: Fields) -> Fields:
        return {"RequiresMACAddress": False, "RequiresRequestReplay": False}

    def get_default_address_spaces(self, request: Request, message: Fields) -> Fields:
        return {"LocalDefaultAddressSpace": "l", "GlobalDefaultAddressSpace": "g"}

    def overlaps(self, pool: str) -> bool:
        """Return whether a pool overlaps another one."""
        asked = ipaddress.ip_network(pool)
        return any(asked.overlaps(ipaddress.ip_network(known)) for known in self.pools)

    def request_pool(self, request: Request, message: Fields) -> Fields:
        pool = message["Pool"] or "10.200.0.0/24"
        if self.overlaps(pool):
            raise Refused("it overlaps another one")
        self.pools[pool] = set()
        return {"PoolID": pool, "Pool": pool, "Data": {}}

    def release_pool(self, request: Request, message: Fields) -> Fields:
        self.pools.pop(message["PoolID"], None)
        return {}

    def free(self, pool: str) -> str:
        """Return an address that is free."""
        hosts = map(str, ipaddress.ip_network(pool).hosts())
        return next(host for host in hosts if host not in self.pools[pool])

    def request_address(self, request: Request, message: Fields) -> Fields | None:
        pool = message["PoolID"]
        if pool not in self.pools:
            raise Refused("there is no such pool")
        address = message["Address"] or self.free(pool)
        if address in self.pools[pool]:
            raise Refused("it is taken")
        self.pools[pool].add(address)
        return {"Address": f"{address}/24", "Data": {}}

    def release_address(self, request: Request, message: Fields) -> Fields:
        self.pools.get(message["PoolID"], set()).discard(message["Address"])
        return {}


@breaks("I-ACTIVATE")
class IpamOther(RightIpam):
    """It has another name for it."""

    implements = ("Ipam",)


@breaks("I-CAPABILITIES")
class CapabilityText(RightIpam):
    """Its capabilities are words."""

    def get_capabilities(self, request: Request, message: Fields) -> Fields:
        return {"RequiresMACAddress": "no"}


@breaks("I-SPACES")
class OneSpace(RightIpam):
    """It has no space for a swarm."""

    def get_default_address_spaces(self, request: Request, message: Fields) -> Fields:
        return {"LocalDefaultAddressSpace": "l"}


@breaks("I-POOL")
class OwnPool(RightIpam):
    """It writes pools in its own way."""

    def request_pool(self, request: Request, message: Fields) -> Fields:
        found = super().request_pool(request, message)
        return {**found, "Pool": found["Pool"].replace("/24", "/255.255.255.0")}


@breaks("I-POOL-ANY")
class NeedsPool(RightIpam):
    """It does not choose pools."""

    def request_pool(self, request: Request, message: Fields) -> Fields:
        if not message["Pool"]:
            raise Refused("a subnet is needed")
        return super().request_pool(request, message)


@breaks("I-POOL-OVERLAP")
class Overlaps(RightIpam):
    """It looks at names of pools only."""

    def overlaps(self, pool: str) -> bool:
        return pool in self.pools


@breaks("I-POOL-RELEASE")
class KeepsPools(RightIpam):
    """A released pool stays."""

    def release_pool(self, request: Request, message: Fields) -> Fields:
        return {}


@breaks("I-ADDRESS")
class NoMask(RightIpam):
    """Its usual addresses have no mask."""

    def request_address(self, request: Request, message: Fields) -> Fields | None:
        found = super().request_address(request, message)
        if found and not message["Options"]:
            found["Address"] = found["Address"].partition("/")[0]
        return found


@breaks("I-ADDRESS-GATEWAY")
class NoGateway(RightIpam):
    """It gives no gateways."""

    def request_address(self, request: Request, message: Fields) -> Fields | None:
        if message["Options"]:
            raise Refused("unknown options")
        return super().request_address(request, message)


@breaks("I-ADDRESS-ASKED")
class OwnChoice(RightIpam):
    """It gives an address of its own choice if the one that is asked for is free."""

    def request_address(self, request: Request, message: Fields) -> Fields | None:
        if message["Address"].endswith(".77"):
            message["Address"] = ""
        return super().request_address(request, message)


@breaks("I-ADDRESS-TAKEN")
class GivesTaken(RightIpam):
    """What is asked for is given."""

    def request_address(self, request: Request, message: Fields) -> Fields | None:
        if message["Address"]:
            self.pools[message["PoolID"]].discard(message["Address"])
        return super().request_address(request, message)


@breaks("I-ADDRESS-UNIQUE")
class Forgets(RightIpam):
    """It gives four addresses in turn."""

    def free(self, pool: str) -> str:
        taken = self.pools[pool]
        if len(taken) == 4:
            self.pools[pool] = set()
        return super().free(pool)


@breaks("I-ADDRESS-PARALLEL")
class RaceForAddress(RightIpam):
    """It looks for a free address, and takes it a little later."""

    def request_address(self, request: Request, message: Fields) -> Fields | None:
        pool = message["PoolID"]
        if pool not in self.pools:
            raise Refused("there is no such pool")
        address = message["Address"] or self.free(pool)
        if address in self.pools[pool]:
            raise Refused("it is taken")

        def end() -> Fields:
            self.pools[pool].add(address)
            return {"Address": f"{address}/24"}

        self.later(request, 0.05, end)
        return None


@breaks("I-ADDRESS-RELEASE")
class KeepsAddresses(RightIpam):
    """A released address stays."""

    def release_address(self, request: Request, message: Fields) -> Fields:
        return {}


@breaks("I-ADDRESS-UNKNOWN")
class AnyPool(RightIpam):
    """It gives addresses of pools that it does not know."""

    def request_address(self, request: Request, message: Fields) -> Fields | None:
        if message["PoolID"] not in self.pools:
            return {"Address": "10.200.0.9/24"}
        return super().request_address(request, message)


@breaks("I-ERR-KEY")
class ErrOn200(RightIpam):
    """Its errors are Err on 200, as for volumes."""

    def say(self, request: Request, path: str, status: int, fields: Fields) -> bytes:
        if path.startswith(self.prefix) and "Err" in fields:
            return Right.say(self, request, path, 200, fields)
        return super().say(request, path, status, fields)


@breaks("I-RETRY-EMPTY")
class AddressForNobody(RightIpam):
    """It takes no body for an empty message."""

    def message(self, body: bytes) -> Fields:
        return super().message(body or b'{"Pool":"10.201.0.0/24"}')
