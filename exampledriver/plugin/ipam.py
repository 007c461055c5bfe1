"""The ``IpamDriver`` protocol: which addresses networks and containers get.

The engine asks for a pool when a network is created, then for a gateway in it, then for an
address of each container. All are strings in CIDR notation, such as ``10.1.0.0/16``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, cast

from attrs import field, frozen
from zope.interface import Interface

from .convert import call, write
from .errors import wrong_part
from .protocol import Protocol, bind
from .wire import Answer, Fields, Wire

#: The name of this protocol in the answer to ``Plugin.Activate``.
IMPLEMENTS = "IpamDriver"

#: In the options of :class:`RequestAddress`, what the address is for.
ADDRESS_TYPE = "RequestAddressType"
#: Its value for a network's gateway.
GATEWAY = "com.docker.network.gateway"

#: What is said of an address that no engine can read.
_NO_MASK = "without a mask; one is expected, as in 10.1.0.5/16"


@frozen
class IpamCapabilities:
    """What a driver needs of the engine.

    :ivar requires_mac_address: the options of :class:`RequestAddress` carry the container's
        MAC address.
    :ivar requires_request_replay: at its start, the engine asks again for the pools and
        addresses that it has, for a driver that keeps nothing.
    """

    requires_mac_address: Annotated[bool, "RequiresMACAddress"] = False
    requires_request_replay: Annotated[bool, "RequiresRequestReplay"] = False


@frozen
class AddressSpaces:
    """The names of the address spaces that are used when none is asked for.

    :ivar local: for networks of one engine.
    :ivar shared: for networks of a swarm; ``GlobalDefaultAddressSpace``.
    """

    local: Annotated[str, "LocalDefaultAddressSpace"]
    shared: Annotated[str, "GlobalDefaultAddressSpace"]


@frozen
class RequestPool:
    """A pool is asked for.

    :ivar address_space: in which it must not overlap another one.
    :ivar pool: the pool, or empty for any.
    :ivar sub_pool: the part of it that addresses are taken from, or empty for all
        (``--ip-range``).
    :ivar options: of ``docker network create --ipam-opt``.
    :ivar v6: it is of IPv6.
    """

    address_space: Annotated[str, "AddressSpace"] = ""
    pool: Annotated[str, "Pool"] = ""
    sub_pool: Annotated[str, "SubPool"] = ""
    options: Annotated[Mapping[str, str], "Options"] = field(factory=dict)
    v6: Annotated[bool, "V6"] = False


@frozen
class Pool:
    """A pool that was given.

    :ivar pool_id: its name for later calls, of the driver's own making.
    :ivar pool: its network in CIDR notation.
    :ivar data: for the network driver; ``com.docker.network.gateway`` is the gateway, if the
        driver has chosen it.
    """

    pool_id: Annotated[str, "PoolID"]
    pool: Annotated[str, "Pool"]
    data: Annotated[Mapping[str, str], "Data"] = field(factory=dict)


@frozen
class ReleasePool:
    """A pool is given back.

    :ivar pool_id: its name.
    """

    pool_id: Annotated[str, "PoolID"]


@frozen
class RequestAddress:
    """An address is asked for.

    :ivar pool_id: the pool's name.
    :ivar address: the address, without a mask, or empty for any.
    :ivar options: ``RequestAddressType`` is ``com.docker.network.gateway`` for a gateway;
        a MAC address is under ``com.docker.network.endpoint.macaddress``.
    """

    pool_id: Annotated[str, "PoolID"]
    address: Annotated[str, "Address"] = ""
    options: Annotated[Mapping[str, str], "Options"] = field(factory=dict)


@frozen
class Address:
    """An address that was given.

    :ivar address: with the pool's mask, such as ``10.1.0.5/16``.
    :ivar data: passed over by engines.
    """

    address: Annotated[str, "Address"]
    data: Annotated[Mapping[str, str], "Data"] = field(factory=dict)


@frozen
class ReleaseAddress:
    """An address is given back.

    :ivar pool_id: the pool's name.
    :ivar address: the address, without a mask.
    """

    pool_id: Annotated[str, "PoolID"]
    address: Annotated[str, "Address"] = ""


class IIpamDriver(Interface):
    """What the author of an IPAM driver writes.

    A method returns its value, a Deferred of it, or a coroutine, and refuses by raising
    :class:`exampledriver.plugin.errors.PluginError`. Those that change something outlive
    their client.
    """

    def capabilities() -> Answer[IpamCapabilities]:
        """Return what the driver needs, at once: it is asked when the engine finds it."""

    def default_address_spaces() -> Answer[AddressSpaces]:
        """Return the names of the default address spaces, at once."""

    def request_pool(request: RequestPool) -> Answer[Pool]:
        """Give a pool."""

    def release_pool(request: ReleasePool) -> Answer[None]:
        """Take a pool back. One that is not known is no error: engines forget."""

    def request_address(request: RequestAddress) -> Answer[Address]:
        """Give an address of a pool."""

    def release_address(request: ReleaseAddress) -> Answer[None]:
        """Take an address back."""


def _refuse(text: str) -> Fields:
    # The engine reads Error with a 200, and Err with any other status.
    return {"Err": text, "Error": text}


def add_routes(wire: Wire, driver: IIpamDriver) -> None:
    """Serve ``driver`` under ``/IpamDriver.*``."""
    d, p = driver, "IpamDriver."

    def pool(found: Pool) -> Fields:
        if "/" not in found.pool:
            raise wrong_part(d.request_pool, found, f"pool is {found.pool!r}, {_NO_MASK}")
        return cast(Fields, write(found))

    def address(found: Address) -> Fields:
        # An engine takes an empty one for none.
        if found.address and "/" not in found.address:
            raise wrong_part(d.request_address, found, f"address is {found.address!r}, {_NO_MASK}")
        return cast(Fields, write(found))

    for added in (
        call(p + "GetCapabilities", d.capabilities, None, IpamCapabilities, refuse=_refuse),
        call(
            p + "GetDefaultAddressSpaces",
            d.default_address_spaces,
            None,
            AddressSpaces,
            refuse=_refuse,
        ),
        call(
            p + "RequestPool",
            d.request_pool,
            RequestPool,
            Pool,
            changes="AddressSpace",
            refuse=_refuse,
            nameless=True,
            told=pool,
        ),
        call(p + "ReleasePool", d.release_pool, ReleasePool, changes="PoolID", refuse=_refuse),
        call(
            p + "RequestAddress",
            d.request_address,
            RequestAddress,
            Address,
            changes="PoolID",
            refuse=_refuse,
            told=address,
        ),
        call(
            p + "ReleaseAddress",
            d.release_address,
            ReleaseAddress,
            changes="PoolID",
            refuse=_refuse,
        ),
    ):
        wire.route(added)


bind(IIpamDriver, Protocol(IMPLEMENTS, add_routes))
