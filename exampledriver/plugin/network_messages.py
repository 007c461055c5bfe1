"""Messages of the ``NetworkDriver`` protocol; import from :mod:`exampledriver.plugin.network`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

from attrs import field, frozen

#: The scopes: a network is of one engine, or of a whole swarm.
LOCAL: Final = "local"
GLOBAL: Final = "global"
#: The key of the options of ``docker network create -o``, an object, in a network's options.
GENERIC = "com.docker.network.generic"
#: The key of ``docker network create --ipv6``, a boolean.
ENABLE_IPV6 = "com.docker.network.enable_ipv6"
#: The key of the ports that are published, in the options of Join and later calls.
PORT_MAP = "com.docker.network.portmap"
#: The key of the ports that are exposed.
EXPOSED_PORTS = "com.docker.network.endpoint.exposedports"
#: A discovery of a node; the engine tells of no other kind.
NODE_DISCOVERY = 1
#: Types of a route: by its next hop, or at the interface itself.
NEXT_HOP, CONNECTED = 0, 1


@frozen
class NetworkCapabilities:
    """What a driver is.

    :ivar scope: where a network is known, ``local`` or ``global``.
    :ivar connectivity_scope: how far its containers reach each other; empty for the same.
    """

    scope: Annotated[Literal["local", "global"], "Scope"] = LOCAL
    connectivity_scope: Annotated[Literal["", "local", "global"], "ConnectivityScope"] = ""


@frozen
class IPAMData:
    """A pool of addresses of a network.

    :ivar address_space: of the IPAM driver.
    :ivar pool: in CIDR notation.
    :ivar gateway: in CIDR notation; empty if there is none.
    :ivar aux_addresses: names of ``--aux-address``, and their addresses in CIDR notation.
    """

    address_space: Annotated[str, "AddressSpace"] = ""
    pool: Annotated[str, "Pool"] = ""
    gateway: Annotated[str, "Gateway"] = ""
    aux_addresses: Annotated[Mapping[str, str], "AuxAddresses"] = field(factory=dict)


@frozen
class GwAllocCheck:
    """A network is about to be created.

    :ivar options: as :class:`CreateNetwork` will have them.
    """

    options: Annotated[Mapping[str, object], "Options"] = field(factory=dict)


@frozen
class GatewayAllocation:
    """Which gateways the engine need not reserve.

    :ivar skip_ipv4: none of IPv4.
    :ivar skip_ipv6: none of IPv6.
    """

    skip_ipv4: Annotated[bool, "SkipIPv4"] = False
    skip_ipv6: Annotated[bool, "SkipIPv6"] = False


@frozen
class AllocateNetwork:
    """A network of a swarm is allocated, at a manager.

    :ivar network_id: names the network.
    :ivar options: of ``docker network create -o``.
    :ivar ipv4_data: its pools of IPv4.
    :ivar ipv6_data: its pools of IPv6.
    """

    network_id: Annotated[str, "NetworkID"]
    options: Annotated[Mapping[str, str], "Options"] = field(factory=dict)
    ipv4_data: Annotated[Sequence[IPAMData], "IPv4Data"] = ()
    ipv6_data: Annotated[Sequence[IPAMData], "IPv6Data"] = ()


@frozen
class Allocation:
    """What a manager's driver has to say to the drivers of the nodes.

    :ivar options: they find them among the options of :class:`CreateNetwork`.
    """

    options: Annotated[Mapping[str, str], "Options"] = field(factory=dict)


@frozen
class FreeNetwork:
    """A network of a swarm is freed.

    :ivar network_id: names the network.
    """

    network_id: Annotated[str, "NetworkID"]


@frozen
class CreateNetwork:
    """A network is created.

    :ivar network_id: names the network in all later calls.
    :ivar options: those of ``-o`` are an object under :data:`GENERIC`.
    :ivar ipv4_data: its pools of IPv4.
    :ivar ipv6_data: its pools of IPv6.
    """

    network_id: Annotated[str, "NetworkID"]
    options: Annotated[Mapping[str, object], "Options"] = field(factory=dict)
    ipv4_data: Annotated[Sequence[IPAMData], "IPv4Data"] = ()
    ipv6_data: Annotated[Sequence[IPAMData], "IPv6Data"] = ()


@frozen
class DeleteNetwork:
    """A network is deleted.

    :ivar network_id: names the network.
    """

    network_id: Annotated[str, "NetworkID"]


@frozen
class EndpointInterface:
    """The addresses of a container's interface.

    :ivar address: of IPv4, in CIDR notation, or empty.
    :ivar address_ipv6: of IPv6, in CIDR notation, or empty.
    :ivar mac_address: or empty.
    """

    address: Annotated[str, "Address"] = ""
    address_ipv6: Annotated[str, "AddressIPv6"] = ""
    mac_address: Annotated[str, "MacAddress"] = ""


@frozen
class CreateEndpoint:
    """A container is about to be attached.

    :ivar network_id: names the network.
    :ivar endpoint_id: names the endpoint in all later calls.
    :ivar interface: the addresses that the engine has given it.
    :ivar options: of the endpoint.
    """

    network_id: Annotated[str, "NetworkID"]
    endpoint_id: Annotated[str, "EndpointID"]
    interface: Annotated[EndpointInterface, "Interface"] = EndpointInterface()
    options: Annotated[Mapping[str, object], "Options"] = field(factory=dict)


@frozen
class CreatedEndpoint:
    """An endpoint that was made.

    :ivar interface: what the driver has chosen, and nothing that the engine had given: it
        takes that for a change and fails.
    """

    interface: Annotated[EndpointInterface, "Interface"] = EndpointInterface()


@frozen
class Endpoint:
    """An endpoint, for the calls that say no more: the base of their messages.

    :ivar network_id: names the network.
    :ivar endpoint_id: names the endpoint.
    """

    network_id: Annotated[str, "NetworkID"]
    endpoint_id: Annotated[str, "EndpointID"]


@frozen
class DeleteEndpoint(Endpoint):
    """An endpoint is deleted."""


@frozen
class EndpointInfo(Endpoint):
    """An endpoint is inspected."""


@frozen
class EndpointDetails:
    """What ``docker inspect`` may show of an endpoint.

    :ivar value: JSON values by name; ``com.docker.network.portmap`` is the published ports.
    """

    value: Annotated[Mapping[str, object], "Value"] = field(factory=dict)


@frozen
class Join(Endpoint):
    """A container joins by its endpoint.

    :ivar sandbox_key: the path of its network namespace.
    :ivar options: of the container, such as :data:`PORT_MAP`.
    """

    sandbox_key: Annotated[str, "SandboxKey"] = ""
    options: Annotated[Mapping[str, object], "Options"] = field(factory=dict)


@frozen
class InterfaceName:
    """The interface that the engine moves into the container.

    :ivar source: its name in the host's network namespace.
    :ivar prefix: its name in the container, to which the engine adds a number.
    """

    source: Annotated[str, "SrcName"]
    prefix: Annotated[str, "DstPrefix"] = "eth"


@frozen
class StaticRoute:
    """A route in the container.

    :ivar destination: in CIDR notation.
    :ivar route_type: :data:`NEXT_HOP` or :data:`CONNECTED`.
    :ivar next_hop: an address, for :data:`NEXT_HOP`.
    """

    destination: Annotated[str, "Destination"]
    route_type: Annotated[int, "RouteType"] = NEXT_HOP
    next_hop: Annotated[str, "NextHop"] = ""


@frozen
class Joined:
    """How a container is attached.

    :ivar interface_name: what to move into it; ``None`` for nothing.
    :ivar gateway: its gateway of IPv4, without a mask, or empty.
    :ivar gateway_ipv6: its gateway of IPv6, without a mask, or empty.
    :ivar static_routes: more of its routes.
    :ivar disable_gateway_service: it gets no gateway of the engine's own, where this driver has
        given none.
    """

    interface_name: Annotated[InterfaceName | None, "InterfaceName"] = None
    gateway: Annotated[str, "Gateway"] = ""
    gateway_ipv6: Annotated[str, "GatewayIPv6"] = ""
    static_routes: Annotated[Sequence[StaticRoute], "StaticRoutes"] = ()
    disable_gateway_service: Annotated[bool, "DisableGatewayService"] = False


@frozen
class Leave(Endpoint):
    """A container leaves."""


@frozen
class ProgramExternalConnectivity(Endpoint):
    """A container is to be reached from outside by its endpoint.

    :ivar options: those of :class:`Join`, with :data:`PORT_MAP`.
    """

    options: Annotated[Mapping[str, object], "Options"] = field(factory=dict)


@frozen
class RevokeExternalConnectivity(Endpoint):
    """A container is not to be reached from outside any longer."""


@frozen
class Discovery:
    """A node of the swarm came or went.

    :ivar discovery_type: :data:`NODE_DISCOVERY`.
    :ivar data: about it, such as ``Address``, ``BindAddress`` and ``Self``; JSON values.
    """

    discovery_type: Annotated[int, "DiscoveryType"] = 0
    data: Annotated[object, "DiscoveryData"] = None
