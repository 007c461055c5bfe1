"""The ``NetworkDriver`` protocol: networks, and how containers are attached to them.

For each container the engine calls CreateEndpoint, Join and ProgramExternalConnectivity, and at
its end RevokeExternalConnectivity, Leave and DeleteEndpoint. The driver makes an interface, such
as one end of a veth pair, in the host's network namespace; after Join the engine moves it into
the container's, renames it and gives it the address.

What only some drivers have is an interface of its own: :class:`IExternalConnectivity`,
:class:`INodeDiscovery`, :class:`INetworkAllocator` and :class:`IGatewayAllocation`. A driver
declares those that it implements: ``@implementer(INetworkDriver, IExternalConnectivity)``.
"""

from __future__ import annotations

from functools import partial

from zope.interface import Interface

from .convert import call, write
from .network_messages import (
    CONNECTED,
    ENABLE_IPV6,
    EXPOSED_PORTS,
    GENERIC,
    GLOBAL,
    LOCAL,
    NEXT_HOP,
    NODE_DISCOVERY,
    PORT_MAP,
    AllocateNetwork,
    Allocation,
    CreatedEndpoint,
    CreateEndpoint,
    CreateNetwork,
    DeleteEndpoint,
    DeleteNetwork,
    Discovery,
    Endpoint,
    EndpointDetails,
    EndpointInfo,
    EndpointInterface,
    FreeNetwork,
    GatewayAllocation,
    GwAllocCheck,
    InterfaceName,
    IPAMData,
    Join,
    Joined,
    Leave,
    NetworkCapabilities,
    ProgramExternalConnectivity,
    RevokeExternalConnectivity,
    StaticRoute,
)
from .protocol import Protocol, bind
from .wire import Answer, Fields, Wire

__all__ = [
    "CONNECTED",
    "ENABLE_IPV6",
    "EXPOSED_PORTS",
    "GENERIC",
    "GLOBAL",
    "IMPLEMENTS",
    "LOCAL",
    "NEXT_HOP",
    "NODE_DISCOVERY",
    "PORT_MAP",
    "AllocateNetwork",
    "Allocation",
    "CreateEndpoint",
    "CreateNetwork",
    "CreatedEndpoint",
    "DeleteEndpoint",
    "DeleteNetwork",
    "Discovery",
    "Endpoint",
    "EndpointDetails",
    "EndpointInfo",
    "EndpointInterface",
    "FreeNetwork",
    "GatewayAllocation",
    "GwAllocCheck",
    "IExternalConnectivity",
    "IGatewayAllocation",
    "INetworkAllocator",
    "INetworkDriver",
    "INodeDiscovery",
    "IPAMData",
    "InterfaceName",
    "Join",
    "Joined",
    "Leave",
    "NetworkCapabilities",
    "ProgramExternalConnectivity",
    "RevokeExternalConnectivity",
    "StaticRoute",
]

#: The name of this protocol in the answer to ``Plugin.Activate``.
IMPLEMENTS = "NetworkDriver"


class INetworkDriver(Interface):
    """What the author of a network driver writes.

    A method returns its value, a Deferred of it, or a coroutine, and refuses by raising
    :class:`exampledriver.plugin.errors.PluginError`. Those that change something outlive
    their client. After a restart, of either side, the engine may delete what the driver does
    not know: that is no error.
    """

    def capabilities() -> Answer[NetworkCapabilities]:
        """Return what the driver is, at once: it is asked when the engine finds it."""

    def create_network(request: CreateNetwork) -> Answer[None]:
        """Make a network."""

    def delete_network(request: DeleteNetwork) -> Answer[None]:
        """Delete a network."""

    def create_endpoint(request: CreateEndpoint) -> Answer[CreatedEndpoint]:
        """Make an endpoint; return what addresses the driver has chosen itself."""

    def delete_endpoint(request: DeleteEndpoint) -> Answer[None]:
        """Delete an endpoint."""

    def endpoint_info(request: EndpointInfo) -> Answer[EndpointDetails]:
        """Return what is to be shown of an endpoint."""

    def join(request: Join) -> Answer[Joined]:
        """Attach a container: its interface is in the host's network namespace now."""

    def leave(request: Leave) -> Answer[None]:
        """Detach a container: its interface is in the host's network namespace again."""


class IExternalConnectivity(Interface):
    """An optional part: ports that are published. Without it the engine is told of none."""

    def program_external_connectivity(request: ProgramExternalConnectivity) -> Answer[None]:
        """Let a container be reached from outside."""

    def revoke_external_connectivity(request: RevokeExternalConnectivity) -> Answer[None]:
        """Let a container be reached no longer."""


class INodeDiscovery(Interface):
    """An optional part: to be told of nodes. Without it they are passed over."""

    def discover_new(request: Discovery) -> Answer[None]:
        """Take note of a node."""

    def discover_delete(request: Discovery) -> Answer[None]:
        """Take note that a node has gone."""


class INetworkAllocator(Interface):
    """An optional part, for drivers with ``global`` scope: networks of a whole swarm."""

    def allocate_network(request: AllocateNetwork) -> Answer[Allocation]:
        """Allocate a network, at a manager, before nodes create it."""

    def free_network(request: FreeNetwork) -> Answer[None]:
        """Free a network."""


class IGatewayAllocation(Interface):
    """An optional part: a driver that needs no gateway. Its capabilities say so by themselves."""

    def gw_alloc_check(request: GwAllocCheck) -> Answer[GatewayAllocation]:
        """Return which gateways need not be reserved for a network."""


def _capable(checks: bool, found: NetworkCapabilities) -> Fields:
    shown: dict[str, object] = write(found)
    if not found.connectivity_scope:
        shown["ConnectivityScope"] = found.scope
    return {**shown, "GwAllocChecker": checks}


def _passed_over(request: Discovery) -> None:
    """Take no note of a node."""


def add_routes(wire: Wire, driver: INetworkDriver) -> None:
    """Serve ``driver`` under ``/NetworkDriver.*``."""
    d, p, n, e = driver, "NetworkDriver.", "NetworkID", "EndpointID"
    capable = partial(_capable, IGatewayAllocation.providedBy(driver))
    added = [
        call(p + "GetCapabilities", d.capabilities, None, NetworkCapabilities, told=capable),
        call(p + "CreateNetwork", d.create_network, CreateNetwork, changes=n),
        call(p + "DeleteNetwork", d.delete_network, DeleteNetwork, changes=n),
        call(p + "CreateEndpoint", d.create_endpoint, CreateEndpoint, CreatedEndpoint, changes=e),
        call(p + "DeleteEndpoint", d.delete_endpoint, DeleteEndpoint, changes=e),
        call(p + "EndpointOperInfo", d.endpoint_info, EndpointInfo, EndpointDetails),
        call(p + "Join", d.join, Join, Joined, changes=e),
        call(p + "Leave", d.leave, Leave, changes=e),
    ]
    if not INodeDiscovery.providedBy(driver):
        added += [
            call(p + "DiscoverNew", _passed_over, Discovery),
            call(p + "DiscoverDelete", _passed_over, Discovery),
        ]
    for route in added:
        wire.route(route)


def _add_connectivity(wire: Wire, driver: IExternalConnectivity) -> None:
    d, p, e = driver, "NetworkDriver.", "EndpointID"
    program, revoke = ProgramExternalConnectivity, RevokeExternalConnectivity
    for route in (
        call(p + program.__name__, d.program_external_connectivity, program, changes=e),
        call(p + revoke.__name__, d.revoke_external_connectivity, revoke, changes=e),
    ):
        wire.route(route)


def _add_discovery(wire: Wire, driver: INodeDiscovery) -> None:
    d, p, kind = driver, "NetworkDriver.", "DiscoveryType"
    for route in (
        call(p + "DiscoverNew", d.discover_new, Discovery, changes=kind, nameless=True),
        call(p + "DiscoverDelete", d.discover_delete, Discovery, changes=kind, nameless=True),
    ):
        wire.route(route)


def _add_allocator(wire: Wire, driver: INetworkAllocator) -> None:
    d, p, n = driver, "NetworkDriver.", "NetworkID"
    for route in (
        call(p + "AllocateNetwork", d.allocate_network, AllocateNetwork, Allocation, changes=n),
        call(p + "FreeNetwork", d.free_network, FreeNetwork, changes=n),
    ):
        wire.route(route)


def _add_gateways(wire: Wire, driver: IGatewayAllocation) -> None:
    check = driver.gw_alloc_check
    wire.route(call("NetworkDriver.GwAllocCheck", check, GwAllocCheck, GatewayAllocation))


bind(INetworkDriver, Protocol(IMPLEMENTS, add_routes))
bind(IExternalConnectivity, Protocol("", _add_connectivity, part_of=IMPLEMENTS))
bind(INodeDiscovery, Protocol("", _add_discovery, part_of=IMPLEMENTS))
bind(INetworkAllocator, Protocol("", _add_allocator, part_of=IMPLEMENTS))
bind(IGatewayAllocation, Protocol("", _add_gateways, part_of=IMPLEMENTS))
