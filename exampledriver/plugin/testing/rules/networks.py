"""The rules of network drivers."""

from __future__ import annotations

import ipaddress
from functools import partial

from ..judging import Blocked, Severity, expect
from ..judging import rule as any_rule
from ..subjects import NetworkSubject

_rule = partial(any_rule, protocol="NetworkDriver")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_SOURCE = "moby, libnetwork; observed: Docker 20.10"


@_rule(
    "N-ACTIVATE",
    _ERROR,
    "Activate's Implements has NetworkDriver",
    "The engine does not offer the plugin for networks.",
    _SOURCE,
)
async def _activate(subject: NetworkSubject) -> None:
    found = await subject.implements()
    expect("NetworkDriver" in found, f"Implements is {found}")


@_rule(
    "N-CAPABILITIES",
    _ERROR,
    "GetCapabilities says a Scope, local or global, and such a ConnectivityScope or none",
    "The engine does not take the driver, and no network of it can be created.",
    _SOURCE,
)
async def _capabilities(subject: NetworkSubject) -> None:
    reply = await subject.call("NetworkDriver.GetCapabilities")
    scope, connectivity = (reply.fields.get(key) for key in ("Scope", "ConnectivityScope"))
    good = scope in ("local", "global") and connectivity in ("local", "global", "", None)
    expect(reply.ok and good, str(reply))


@_rule(
    "N-NETWORK",
    _ERROR,
    "CreateNetwork and then DeleteNetwork succeed",
    "docker network create fails, or what it made cannot be removed.",
    _SOURCE,
)
async def _network(subject: NetworkSubject) -> None:
    network = subject.new_id()
    made = await subject.ask("CreateNetwork", **subject.network(network))
    expect(made.ok, str(made))
    deleted = await subject.ask("DeleteNetwork", NetworkID=network)
    expect(deleted.ok, str(deleted))


@_rule(
    "N-NETWORK-AGAIN",
    _WARNING,
    "A network that was deleted can be created again, with its addresses",
    "docker compose down and up fails.",
    "practice",
)
async def _network_again(subject: NetworkSubject) -> None:
    message = subject.network(subject.new_id())
    await subject.must("CreateNetwork", **message)
    await subject.must("DeleteNetwork", NetworkID=message["NetworkID"])
    again = await subject.ask("CreateNetwork", **message)
    expect(again.ok, str(again))


@_rule(
    "N-ENDPOINT",
    _ERROR,
    "CreateEndpoint and then DeleteEndpoint succeed",
    "The container does not start, or the network cannot be removed afterwards.",
    _SOURCE,
)
async def _endpoint(subject: NetworkSubject) -> None:
    network, endpoint = subject.new_id(), subject.new_id()
    await subject.must("CreateNetwork", **subject.network(network))
    made = await subject.ask("CreateEndpoint", **subject.endpoint(network, endpoint))
    expect(made.ok, str(made))
    deleted = await subject.ask("DeleteEndpoint", NetworkID=network, EndpointID=endpoint)
    expect(deleted.ok, str(deleted))


@_rule(
    "N-ENDPOINT-INTERFACE",
    _ERROR,
    "CreateEndpoint's Interface has only what the engine did not supply",
    "The engine takes an address in it for an attempt to change its own: the container does not "
    "start.",
    _SOURCE,
)
async def _endpoint_interface(subject: NetworkSubject) -> None:
    network, endpoint = subject.new_id(), subject.new_id()
    await subject.must("CreateNetwork", **subject.network(network))
    reply = await subject.must("CreateEndpoint", **subject.endpoint(network, endpoint))
    interface = reply.fields.get("Interface")
    expect(interface is None or isinstance(interface, dict), str(reply))
    expect(not (interface or {}).get("Address"), f"Address was supplied: {reply}")


@_rule(
    "N-ENDPOINT-UNKNOWN",
    _ERROR,
    "CreateEndpoint in a network that does not exist is refused",
    "After the driver has lost its state containers start without a network.",
    "practice",
)
async def _endpoint_unknown(subject: NetworkSubject) -> None:
    await subject.made()
    message = subject.endpoint(subject.new_id(), subject.new_id())
    reply = await subject.ask("CreateEndpoint", **message)
    expect(not reply.ok, str(reply))


@_rule(
    "N-INFO",
    _WARNING,
    "EndpointOperInfo answers Value, an object",
    "docker network inspect fails.",
    _SOURCE,
)
async def _info(subject: NetworkSubject) -> None:
    reply = await subject.ask("EndpointOperInfo", **await subject.made())
    value = reply.fields.get("Value")
    expect(reply.ok and (value is None or isinstance(value, dict)), str(reply))


@_rule(
    "N-JOIN",
    _ERROR,
    "Join answers InterfaceName with a SrcName and a DstPrefix",
    "The engine finds no interface to move: the container does not start.",
    _SOURCE,
)
async def _join(subject: NetworkSubject) -> None:
    ids = await subject.made()
    reply = await subject.ask(
        "Join", **ids, SandboxKey="/var/run/docker/netns/0123456789ab", Options=subject.ports()
    )
    expect(reply.ok, str(reply))
    name = reply.fields.get("InterfaceName")
    good = isinstance(name, dict) and all(
        isinstance(name.get(key), str) and name[key] for key in ("SrcName", "DstPrefix")
    )
    # None at all is for drivers without an interface.
    expect(good or not name, str(reply))
    source = str((name or {}).get("SrcName", ""))
    expect(len(source) <= 15, f"SrcName is too long for Linux: {reply}")


@_rule(
    "N-JOIN-GATEWAY",
    _ERROR,
    "Join's gateways are addresses without a mask, empty or absent",
    "The engine cannot read the answer: the container does not start.",
    _SOURCE,
)
async def _join_gateway(subject: NetworkSubject) -> None:
    _, reply = await subject.attached()
    for key, version in (("Gateway", 4), ("GatewayIPv6", 6)):
        gateway = reply.fields.get(key)
        if gateway in (None, ""):
            continue
        try:
            good = ipaddress.ip_address(str(gateway)).version == version
        except ValueError:
            good = False
        expect(good, f"{key} is {gateway!r}")


@_rule(
    "N-JOIN-ROUTES",
    _WARNING,
    "Join's StaticRoutes are absent, or objects with a Destination in CIDR and a RouteType 0 or 1",
    "The engine cannot read the answer: the container does not start.",
    "moby, libnetwork",
)
async def _join_routes(subject: NetworkSubject) -> None:
    _, reply = await subject.attached()
    routes = reply.fields.get("StaticRoutes") or []
    expect(isinstance(routes, list), str(reply))
    for route in routes:
        try:
            ipaddress.ip_network(str(route["Destination"]))
            good = route.get("RouteType", 0) in (0, 1)
        except (ValueError, KeyError, TypeError, AttributeError):
            good = False
        expect(good, f"a route is {route!r}")


@_rule(
    "N-JOIN-UNKNOWN",
    _ERROR,
    "Join of an endpoint that does not exist is refused",
    "A container starts with somebody else's interface, or none.",
    "practice",
)
async def _join_unknown(subject: NetworkSubject) -> None:
    ids, _ = await subject.attached()
    ids["EndpointID"] = subject.new_id()
    reply = await subject.ask("Join", **ids, SandboxKey="/x", Options={})
    expect(not reply.ok, str(reply))


@_rule(
    "N-LEAVE",
    _ERROR,
    "Leave and DeleteEndpoint succeed after a Join",
    "The container's end leaves its interface behind.",
    _SOURCE,
)
async def _leave(subject: NetworkSubject) -> None:
    ids, _ = await subject.attached()
    for call in ("Leave", "DeleteEndpoint"):
        reply = await subject.ask(call, **ids)
        expect(reply.ok, str(reply))


@_rule(
    "N-EXTERNAL",
    _ERROR,
    "ProgramExternalConnectivity and Revoke succeed, or are answered with 404",
    "The container does not start; 404 alone says that the driver has no such call.",
    _SOURCE,
)
async def _external(subject: NetworkSubject) -> None:
    ids, _ = await subject.attached()
    program = await subject.ask("ProgramExternalConnectivity", **ids, Options=subject.ports())
    expect(program.ok or program.response.status == 404, str(program))
    revoke = await subject.ask("RevokeExternalConnectivity", **ids)
    expect(revoke.ok or revoke.response.status == 404, str(revoke))


@_rule(
    "N-DELETE-UNKNOWN",
    _WARNING,
    "DeleteEndpoint, Leave and DeleteNetwork of what does not exist succeed",
    "After a crash of either side the engine deletes what the driver does not know: the network "
    "cannot be removed.",
    "practice",
)
async def _delete_unknown(subject: NetworkSubject) -> None:
    ids = {"NetworkID": subject.new_id(), "EndpointID": subject.new_id()}
    replies = [await subject.ask(call, **ids) for call in ("Leave", "DeleteEndpoint")]
    replies.append(await subject.ask("DeleteNetwork", NetworkID=ids["NetworkID"]))
    for reply in replies:
        expect(reply.ok, str(reply))


@_rule(
    "N-DISCOVER",
    _NOTE,
    "DiscoverNew and DiscoverDelete of a node succeed, or are answered with 404",
    "The engine's log has an error at each start.",
    _SOURCE,
)
async def _discover(subject: NetworkSubject) -> None:
    data = {"Address": "10.213.0.1", "BindAddress": "10.213.0.1", "Self": True}
    for call in ("DiscoverNew", "DiscoverDelete"):
        reply = await subject.ask(call, DiscoveryType=1, DiscoveryData=data)
        expect(reply.ok or reply.response.status == 404, str(reply))


@_rule(
    "N-RETRY-EMPTY",
    _ERROR,
    "A call that names a network is refused without a body",
    "Docker repeats a call whose connection was cut with an empty body: a network is created for "
    "nothing.",
    "observed: Docker",
)
async def _retry_empty(subject: NetworkSubject) -> None:
    for call in ("CreateNetwork", "CreateEndpoint", "Join"):
        reply = await subject.call(f"NetworkDriver.{call}", b"")
        expect(not reply.ok, f"without a body, {reply}")


@_rule(
    "N-ERR-TEXT",
    _ERROR,
    "A refusal is JSON, an object with a text in Err",
    "The user reads no reason.",
    "moby, libnetwork",
)
async def _err_text(subject: NetworkSubject) -> None:
    ids = {"NetworkID": subject.new_id(), "EndpointID": subject.new_id()}
    reply = await subject.ask("Join", **ids, SandboxKey="/x", Options={})
    if reply.ok:
        raise Blocked(f"it is not refused: {reply}")
    err = reply.fields.get("Err")
    expect(isinstance(err, str) and err.strip(), str(reply))
