"""The network driver: a bridge for each network, a veth pair for each container.

The kernel keeps the links, and their names follow from the IDs that the engine gives; only the
networks are kept in a file, since after a reboot the engine expects them to be there still.
"""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, ip_interface
from typing import Any, TypeVar

from twisted.internet.defer import DeferredLock
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from zope.interface import implementer

from exampledriver.plugin import PluginError
from exampledriver.plugin.network import (
    GENERIC,
    PORT_MAP,
    CreatedEndpoint,
    CreateEndpoint,
    CreateNetwork,
    DeleteEndpoint,
    DeleteNetwork,
    EndpointDetails,
    EndpointInfo,
    EndpointInterface,
    INetworkDriver,
    InterfaceName,
    Join,
    Joined,
    Leave,
    NetworkCapabilities,
)

from . import links
from .links import Vxlan
from .state import State

#: The option of ``docker network create --internal``, a boolean.
INTERNAL = "com.docker.network.internal"

T = TypeVar("T")
_log = Logger()


def bridge_name(network_id: str) -> str:
    """Return the name of a network's bridge: 14 of the 15 characters that there may be."""
    return f"xb{network_id[:12]}"


def pair_names(endpoint_id: str) -> tuple[str, str]:
    """Return the names of an endpoint's links: the one at the bridge, the container's."""
    return f"xo{endpoint_id[:12]}", f"xi{endpoint_id[:12]}"


def read_vxlan(options: Mapping[str, object]) -> Vxlan | None:
    """Read the options of ``docker network create -o``.

    :raises PluginError: one is not known, missing, or wrong.
    """
    known = ("vxlan", "local", "peers", "port")
    for name in sorted(options):
        if name not in known:
            raise PluginError(f"option {name!r} is not known; known: {', '.join(known)}")
    if not options:
        return None
    try:
        number, port = int(str(options["vxlan"])), int(str(options.get("port", "4789")))
        local = str(IPv4Address(str(options["local"])))
        peers = tuple(str(IPv4Address(peer)) for peer in str(options["peers"]).split(","))
    except KeyError as error:
        raise PluginError(
            f"option {error} is missing: a VXLAN needs -o vxlan=NUMBER -o local=ADDRESS "
            "-o peers=ADDRESS,…"
        ) from None
    except ValueError as error:
        raise PluginError(f"options of the VXLAN: {error}") from None
    if not 0 < number < 1 << 24 or not 0 < port < 1 << 16:
        raise PluginError(f"VXLAN {number} at port {port}: 1 to 16777215, 1 to 65535 are possible")
    return Vxlan(number, local, peers, port)


@implementer(INetworkDriver)
class Lan:
    def __init__(self, state: State) -> None:
        self.state = state
        self.lock = DeferredLock()

    def restore(self) -> None:
        """Make the bridges that are gone, as after a reboot. Called before the plugin serves."""
        for network_id in self.state.objects:
            self._restore(network_id)

    def capabilities(self) -> NetworkCapabilities:
        return NetworkCapabilities()

    async def create_network(self, request: CreateNetwork) -> None:
        generic = request.options.get(GENERIC)
        options = dict(generic) if isinstance(generic, Mapping) else {}
        read_vxlan(options)
        pools = [*request.ipv4_data, *request.ipv6_data]
        gateways = [data.gateway for data in pools if data.gateway]
        kept = {
            "gateways": gateways,
            "options": options,
            "internal": bool(request.options.get(INTERNAL)),
        }
        await self._alone(self._create, request.network_id, kept)

    async def delete_network(self, request: DeleteNetwork) -> None:
        await self._alone(self._delete, request.network_id)

    async def create_endpoint(self, request: CreateEndpoint) -> CreatedEndpoint:
        self._kept(request.network_id)
        given = request.interface
        mac = given.mac_address or _mac(given, request.endpoint_id)
        await self._alone(self._attach, request.network_id, request.endpoint_id, mac)
        return CreatedEndpoint(EndpointInterface(mac_address="" if given.mac_address else mac))

    async def delete_endpoint(self, request: DeleteEndpoint) -> None:
        await self._alone(links.remove_pair, pair_names(request.endpoint_id)[0])

    def endpoint_info(self, request: EndpointInfo) -> EndpointDetails:
        return EndpointDetails({"interface": pair_names(request.endpoint_id)[0]})

    async def join(self, request: Join) -> Joined:
        if request.options.get(PORT_MAP):
            raise PluginError("ports cannot be published: this driver has no NAT; leave out -p")
        kept = self._kept(request.network_id)
        outside, inside = pair_names(request.endpoint_id)
        if not await self._alone(links.attached, outside, bridge_name(request.network_id)):
            name = f"endpoint {request.endpoint_id[:12]}"
            raise PluginError(f"{name}: not known; disconnect the container and connect it again")
        gateways = [] if kept["internal"] else [str(ip_interface(g).ip) for g in kept["gateways"]]
        return Joined(
            InterfaceName(inside),
            gateway=next((g for g in gateways if ":" not in g), ""),
            gateway_ipv6=next((g for g in gateways if ":" in g), ""),
            disable_gateway_service=True,
        )

    def leave(self, request: Leave) -> None: ...

    async def _alone(self, function: Callable[..., T], *arguments: object) -> T:
        """Run a function in a thread, since the kernel may take its time, one at a time."""
        await self.lock.acquire()
        try:
            return await deferToThread(function, *arguments)
        finally:
            self.lock.release()

    def _create(self, network_id: str, kept: dict[str, Any]) -> None:
        self.state.put(network_id, kept)
        try:
            self._make(network_id)
        except BaseException:
            self._delete(network_id)
            raise

    def _make(self, network_id: str) -> None:
        kept = self.state.objects[network_id]
        vxlan = read_vxlan(kept["options"])
        links.make_bridge(bridge_name(network_id), kept["gateways"], vxlan)

    def _restore(self, network_id: str) -> None:
        try:
            self._make(network_id)
        except PluginError as error:
            # The network's next container tries again; the others are none the worse.
            _log.error("network {network}: {error}", network=network_id, error=error)

    def _attach(self, network_id: str, endpoint_id: str, mac: str) -> None:
        self._make(network_id)
        links.make_pair(*pair_names(endpoint_id), bridge_name(network_id), mac)

    def _delete(self, network_id: str) -> None:
        links.remove_bridge(bridge_name(network_id))
        self.state.drop(network_id)

    def _kept(self, network_id: str) -> dict[str, Any]:
        if network_id not in self.state.objects:
            raise PluginError(f"network {network_id[:12]}: not known; create it again")
        return self.state.objects[network_id]


def _mac(given: EndpointInterface, endpoint_id: str) -> str:
    """Return a MAC address that follows from the IPv4 address, so that no cache is ever wrong."""
    if given.address:
        octets = ip_interface(given.address).ip.packed[-4:]
    else:
        octets = bytes.fromhex(endpoint_id[:8])
    return ":".join(f"{octet:02x}" for octet in b"\x02\x42" + octets)
