"""The rules of IPAM drivers."""

from __future__ import annotations

import ipaddress
from functools import partial

from ..http import request
from ..judging import Blocked, Severity, expect
from ..judging import rule as any_rule
from ..reply import Reply
from ..subjects import IpamSubject

_rule = partial(any_rule, protocol="IpamDriver")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_SOURCE = "moby, libnetwork; observed: Docker 20.10"


def _network(value: object) -> bool:
    """Return whether a value is a network in CIDR notation, as Go reads one."""
    try:
        ipaddress.ip_network(str(value), strict=False)
    except ValueError:
        return False
    return "/" in str(value)


@_rule(
    "I-ACTIVATE",
    _ERROR,
    "Activate's Implements has IpamDriver",
    "The engine does not offer the plugin for addresses.",
    _SOURCE,
)
async def _activate(subject: IpamSubject) -> None:
    found = await subject.implements()
    expect("IpamDriver" in found, f"Implements is {found}")


@_rule(
    "I-CAPABILITIES",
    _WARNING,
    "GetCapabilities answers RequiresMACAddress and RequiresRequestReplay, true, false or absent",
    "The engine takes the driver for one that needs neither.",
    _SOURCE,
)
async def _capabilities(subject: IpamSubject) -> None:
    reply = await subject.call("IpamDriver.GetCapabilities")
    keys = ("RequiresMACAddress", "RequiresRequestReplay")
    good = all(isinstance(reply.fields.get(key, False), bool) for key in keys)
    expect(reply.ok and good, str(reply))


@_rule(
    "I-SPACES",
    _ERROR,
    "GetDefaultAddressSpaces answers two names",
    "The engine does not take the driver, and no network with it can be created.",
    _SOURCE,
)
async def _spaces(subject: IpamSubject) -> None:
    reply = await subject.call("IpamDriver.GetDefaultAddressSpaces")
    keys = ("LocalDefaultAddressSpace", "GlobalDefaultAddressSpace")
    good = all(isinstance(reply.fields.get(key), str) and reply.fields[key] for key in keys)
    expect(reply.ok and good, str(reply))


@_rule(
    "I-POOL",
    _ERROR,
    "RequestPool gives the pool that was asked for, with a PoolID and in CIDR notation",
    "docker network create --subnet fails, or makes another network.",
    _SOURCE,
)
async def _pool(subject: IpamSubject) -> None:
    asked = f"{subject.subnet()}.0/24"
    reply = await subject.request_pool(asked)
    expect(reply.ok, str(reply))
    pool_id = reply.fields.get("PoolID")
    expect(isinstance(pool_id, str) and pool_id, f"there is no PoolID: {reply}")
    expect(reply.fields.get("Pool") == asked, f"asked for {asked}: {reply}")


@_rule(
    "I-POOL-ANY",
    _WARNING,
    "RequestPool without a pool gives one of the driver's choice, in CIDR notation",
    "docker network create needs --subnet.",
    _SOURCE,
)
async def _pool_any(subject: IpamSubject) -> None:
    reply = await subject.request_pool("")
    expect(reply.ok and reply.fields.get("PoolID"), str(reply))
    expect(_network(reply.fields.get("Pool")), f"no network in CIDR notation: {reply}")


@_rule(
    "I-POOL-OVERLAP",
    _WARNING,
    "A pool that overlaps another one of its address space is refused",
    "Two networks of one engine have the same addresses.",
    "Docker's libnetwork documentation",
)
async def _pool_overlap(subject: IpamSubject) -> None:
    _, net = await subject.pool()
    reply = await subject.request_pool(f"{net}.0/25")
    expect(not reply.ok, str(reply))


@_rule(
    "I-POOL-RELEASE",
    _ERROR,
    "A pool that was released can be requested again",
    "docker compose down and up fails.",
    _SOURCE,
)
async def _pool_release(subject: IpamSubject) -> None:
    pool, net = await subject.pool()
    released = await subject.ask("ReleasePool", PoolID=pool)
    expect(released.ok, str(released))
    again = await subject.request_pool(f"{net}.0/24")
    expect(again.ok, str(again))


@_rule(
    "I-ADDRESS",
    _ERROR,
    "RequestAddress gives an address of the pool, with the pool's mask",
    "The engine cannot read it, or the container is in no network.",
    _SOURCE,
)
async def _address(subject: IpamSubject) -> None:
    pool, net = await subject.pool()
    reply = await subject.address(pool)
    expect(reply.ok, str(reply))
    found = str(reply.fields.get("Address"))
    expect(found.startswith(f"{net}.") and found.endswith("/24"), f"of {net}.0/24: {reply}")


@_rule(
    "I-ADDRESS-GATEWAY",
    _ERROR,
    "RequestAddress with the type of a gateway gives an address",
    "docker network create fails: the gateway is the first address that the engine asks for.",
    _SOURCE,
)
async def _gateway(subject: IpamSubject) -> None:
    pool, _ = await subject.pool()
    options = {"RequestAddressType": "com.docker.network.gateway"}
    reply = await subject.address(pool, **options)
    expect(reply.ok and _network(reply.fields.get("Address")), str(reply))


@_rule(
    "I-ADDRESS-ASKED",
    _ERROR,
    "RequestAddress gives the address that was asked for",
    "docker run --ip fails, or the container has another address.",
    _SOURCE,
)
async def _asked(subject: IpamSubject) -> None:
    pool, net = await subject.pool()
    reply = await subject.address(pool, f"{net}.77")
    expect(reply.ok, str(reply))
    found = str(reply.fields.get("Address"))
    expect(found.partition("/")[0] == f"{net}.77", f"asked for {net}.77: {reply}")


@_rule(
    "I-ADDRESS-TAKEN",
    _ERROR,
    "An address that is taken is refused",
    "Two containers have one address.",
    _SOURCE,
)
async def _taken(subject: IpamSubject) -> None:
    pool, _ = await subject.pool()
    taken = await subject.given(pool)
    reply = await subject.address(pool, taken)
    expect(not reply.ok, str(reply))


@_rule(
    "I-ADDRESS-UNIQUE",
    _ERROR,
    "Addresses that are given one after the other differ",
    "Two containers have one address.",
    _SOURCE,
)
async def _unique(subject: IpamSubject) -> None:
    pool, _ = await subject.pool()
    found = [await subject.given(pool) for _ in range(8)]
    expect(len(set(found)) == len(found), f"the addresses are {found}")


@_rule(
    "I-ADDRESS-PARALLEL",
    _ERROR,
    "Addresses that are asked for at the same time differ",
    "Of containers that start together two have one address.",
    "observed: Docker",
)
async def _parallel(subject: IpamSubject) -> None:
    pool, _ = await subject.pool()
    in_turn = [await subject.given(pool) for _ in range(8)]
    if len(set(in_turn)) < len(in_turn):
        raise Blocked("one after the other they do not differ")
    message = {"PoolID": pool, "Address": "", "Options": {}}
    data = request("IpamDriver.RequestAddress", message, subject.head)
    replies = [
        Reply("IpamDriver.RequestAddress", response)
        for response in await subject.at_once([data] * 8)
    ]
    for reply in replies:
        expect(reply.ok, str(reply))
    found = [str(reply.fields.get("Address")) for reply in replies]
    expect(len(set(found)) == len(found), f"the addresses are {found}")


@_rule(
    "I-ADDRESS-RELEASE",
    _ERROR,
    "An address that was released can be had again",
    "The network runs out of addresses.",
    _SOURCE,
)
async def _release(subject: IpamSubject) -> None:
    pool, _ = await subject.pool()
    address = await subject.given(pool)
    again = await subject.given(pool)
    if address == again:
        raise Blocked("one address is given to two")
    released = await subject.ask("ReleaseAddress", PoolID=pool, Address=address)
    expect(released.ok, str(released))
    reply = await subject.address(pool, address)
    expect(reply.ok, str(reply))


@_rule(
    "I-ADDRESS-UNKNOWN",
    _ERROR,
    "RequestAddress in a pool that does not exist is refused",
    "After the driver has lost its state two containers get one address.",
    "practice",
)
async def _unknown_pool(subject: IpamSubject) -> None:
    reply = await subject.address("kit-no-such-pool")
    expect(not reply.ok, str(reply))


@_rule(
    "I-ERR-KEY",
    _ERROR,
    "A refusal has its text in Error with status 200, in Err with any other",
    "The engine takes a refusal for a success, or the user reads no reason.",
    _SOURCE,
)
async def _err_key(subject: IpamSubject) -> None:
    reply = await subject.address("kit-no-such-pool")
    given = reply.fields.get("Address")
    if reply.response.status == 200 and given:
        raise Blocked(f"it is not refused: {reply}")
    key = "Error" if reply.response.status == 200 else "Err"
    text = reply.fields.get(key)
    expect(isinstance(text, str) and text.strip(), f"there is no {key}: {reply}")


@_rule(
    "I-RETRY-EMPTY",
    _ERROR,
    "A call that names a pool is refused without a body",
    "Docker repeats a call whose connection was cut with an empty body: an address is taken for "
    "nobody.",
    "observed: Docker",
)
async def _retry_empty(subject: IpamSubject) -> None:
    for call in ("RequestPool", "RequestAddress"):
        reply = await subject.call(f"IpamDriver.{call}", b"")
        expect(not reply.ok, f"without a body, {reply}")
