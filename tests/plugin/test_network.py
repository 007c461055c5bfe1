"""The NetworkDriver protocol: fields, optional parts, errors, and what an engine sent."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from zope.interface import implementer

from exampledriver.plugin import PluginError
from exampledriver.plugin import network as n
from exampledriver.plugin.convert import write

from .protocols import ProtocolCase, exchanges

ENDPOINT = {"NetworkID": "n1", "EndpointID": "e1"}
IPAM = n.IPAMData("local", "10.1.0.0/16", "10.1.0.1/16", {"host": "10.1.0.9/16"})
SENT_IPAM = {
    "AddressSpace": "local",
    "Pool": "10.1.0.0/16",
    "Gateway": "10.1.0.1/16",
    "AuxAddresses": {"host": "10.1.0.9/16"},
}
INTERFACE = n.EndpointInterface("10.1.0.2/16", "fd00::2/64", "02:42:0a:01:00:02")
SENT_INTERFACE = {
    "Address": "10.1.0.2/16",
    "AddressIPv6": "fd00::2/64",
    "MacAddress": "02:42:0a:01:00:02",
}
Pairs = list[tuple[object, dict[str, Any]]]


@implementer(n.INetworkDriver)
@define(eq=False)
class Wires:
    """A driver that keeps what it was asked, without any optional part."""

    asked: list[Any] = field(factory=list)
    error: Exception | None = None
    details: Any = field(factory=lambda: n.EndpointDetails({"stub.oper": "info"}))

    def _note(self, asked: object) -> None:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error

    def capabilities(self) -> n.NetworkCapabilities:
        return n.NetworkCapabilities()

    def create_network(self, request: n.CreateNetwork) -> None:
        self._note(request)

    def delete_network(self, request: n.DeleteNetwork) -> None:
        self._note(request)

    async def create_endpoint(self, request: n.CreateEndpoint) -> n.CreatedEndpoint:
        self._note(request)
        return n.CreatedEndpoint()

    def delete_endpoint(self, request: n.DeleteEndpoint) -> None:
        self._note(request)

    def endpoint_info(self, request: n.EndpointInfo) -> n.EndpointDetails:
        self._note(request)
        found: n.EndpointDetails = self.details
        return found

    async def join(self, request: n.Join) -> n.Joined:
        self._note(request)
        name = n.InterfaceName("vd" + request.endpoint_id[:7])
        return n.Joined(name, gateway="10.123.0.1")

    def leave(self, request: n.Leave) -> None:
        self._note(request)


@implementer(n.IExternalConnectivity, n.INodeDiscovery, n.INetworkAllocator, n.IGatewayAllocation)
class AllWires(Wires):
    """A driver with all optional parts."""

    def program_external_connectivity(self, request: n.ProgramExternalConnectivity) -> None:
        self._note(request)

    def revoke_external_connectivity(self, request: n.RevokeExternalConnectivity) -> None:
        self._note(request)

    def discover_new(self, request: n.Discovery) -> None:
        self._note(request)

    def discover_delete(self, request: n.Discovery) -> None:
        self._note(request)

    def allocate_network(self, request: n.AllocateNetwork) -> n.Allocation:
        self._note(request)
        return n.Allocation({"vni": "7"})

    def free_network(self, request: n.FreeNetwork) -> None:
        self._note(request)

    def gw_alloc_check(self, request: n.GwAllocCheck) -> n.GatewayAllocation:
        self._note(request)
        return n.GatewayAllocation(skip_ipv4=True)


class FieldTests(ProtocolCase):
    """Every field of every message is as it is on the wire."""

    def test_networks(self) -> None:
        """The messages about networks."""
        named = {"NetworkID": "n1"}
        pools = {"IPv4Data": [SENT_IPAM], "IPv6Data": [SENT_IPAM]}
        generic: dict[str, object] = {n.GENERIC: {"color": "blue"}}
        node: dict[str, object] = {"Address": "10.0.0.1", "Self": True}
        pairs: Pairs = [
            (
                n.NetworkCapabilities("local", "global"),
                {"Scope": "local", "ConnectivityScope": "global"},
            ),
            (IPAM, SENT_IPAM),
            (n.GwAllocCheck(generic), {"Options": generic}),
            (n.GatewayAllocation(True, True), {"SkipIPv4": True, "SkipIPv6": True}),
            (
                n.AllocateNetwork("n1", {"a": "b"}, [IPAM], [IPAM]),
                {**named, "Options": {"a": "b"}, **pools},
            ),
            (n.Allocation({"a": "b"}), {"Options": {"a": "b"}}),
            (n.FreeNetwork("n1"), named),
            (
                n.CreateNetwork("n1", generic, [IPAM], [IPAM]),
                {**named, "Options": generic, **pools},
            ),
            (n.DeleteNetwork("n1"), named),
            (n.Discovery(1, node), {"DiscoveryType": 1, "DiscoveryData": node}),
        ]
        for message, sent in pairs:
            self.round_trip(message, sent)

    def test_endpoints(self) -> None:
        """The messages about endpoints."""
        options = {"Options": {"x": 1}}
        route = {"Destination": "10.2.0.0/16", "RouteType": 1, "NextHop": "10.1.0.1"}
        routes = [n.StaticRoute("10.2.0.0/16", n.CONNECTED, "10.1.0.1")]
        name = {"SrcName": "veth0", "DstPrefix": "eth"}
        pairs: Pairs = [
            (INTERFACE, SENT_INTERFACE),
            (
                n.CreateEndpoint("n1", "e1", INTERFACE, {"x": 1}),
                {**ENDPOINT, "Interface": SENT_INTERFACE, **options},
            ),
            (n.CreatedEndpoint(INTERFACE), {"Interface": SENT_INTERFACE}),
            (n.DeleteEndpoint("n1", "e1"), ENDPOINT),
            (n.EndpointInfo("n1", "e1"), ENDPOINT),
            (n.EndpointDetails({"a": [1, None]}), {"Value": {"a": [1, None]}}),
            (
                n.Join("n1", "e1", "/run/docker/netns/1", {"x": 1}),
                {**ENDPOINT, "SandboxKey": "/run/docker/netns/1", **options},
            ),
            (n.InterfaceName("veth0"), name),
            (routes[0], route),
            (
                n.Joined(n.InterfaceName("veth0"), "10.1.0.1", "fd00::1", routes, True),
                {
                    "InterfaceName": name,
                    "Gateway": "10.1.0.1",
                    "GatewayIPv6": "fd00::1",
                    "StaticRoutes": [route],
                    "DisableGatewayService": True,
                },
            ),
            (n.Leave("n1", "e1"), ENDPOINT),
            (n.ProgramExternalConnectivity("n1", "e1", {"x": 1}), {**ENDPOINT, **options}),
            (n.RevokeExternalConnectivity("n1", "e1"), ENDPOINT),
        ]
        for message, sent in pairs:
            self.round_trip(message, sent)

    def test_nowhere(self) -> None:
        """A container need not get an interface: then none is named."""
        self.assertNotIn("InterfaceName", write(n.Joined()))


class NetworkTests(ProtocolCase):
    """A plugin of the NetworkDriver protocol."""

    def setUp(self) -> None:
        self.driver = Wires()
        self.serve(self.driver)

    def test_capabilities(self) -> None:
        """The scope is local, and connectivity reaches as far, unless a driver says otherwise."""
        self.assertEqual(
            self.answer("NetworkDriver.GetCapabilities"),
            {"Scope": "local", "ConnectivityScope": "local", "GwAllocChecker": False, "Err": ""},
        )

    def test_recorded(self) -> None:
        """What an engine sent is answered as it was content with."""
        self.serve(AllWires())
        paths = set()
        for exchange in exchanges("network"):
            if not exchange.path.startswith("NetworkDriver.") or exchange.answer.get("Err"):
                continue
            response = self.client.ask(exchange.request)
            self.assertEqual((response.status, response.body), (200, response.body))
            for name, value in exchange.answer.items():
                if exchange.path != "NetworkDriver.CreateEndpoint":
                    self.assertEqual(response.answer[name], value)
            paths.add(exchange.path)
        self.assertEqual(len(paths), 10)

    def test_errors(self) -> None:
        """An error is a status, and a text under Err."""
        self.driver.error = PluginError("no network today")
        for call in ("CreateNetwork", "DeleteNetwork", "CreateEndpoint", "Join", "Leave"):
            answer = self.refused(f"NetworkDriver.{call}", ENDPOINT)
            self.assertEqual(answer, {"Err": "no network today"})

    def test_no_names(self) -> None:
        """A message that does not say which network or endpoint is refused, as is an empty one."""
        for call in ("CreateNetwork", "DeleteNetwork", "CreateEndpoint", "Join", "Leave"):
            for message in (b"", {}, {"NetworkID": "", "EndpointID": ""}):
                self.refused(f"NetworkDriver.{call}", message, 400)
        text = self.refused("NetworkDriver.CreateNetwork", {"NetworkID": "n", "IPv4Data": [7]}, 400)
        self.assertEqual(
            text, {"Err": 'NetworkDriver.CreateNetwork: "IPv4Data"[0]: is not an object'}
        )
        self.assertEqual(self.driver.asked, [])

    def test_without_options(self) -> None:
        """Without the optional parts, ports are a 404, which is accepted, and nodes passed over."""
        for call in ("ProgramExternalConnectivity", "RevokeExternalConnectivity"):
            self.refused(f"NetworkDriver.{call}", ENDPOINT, 404)
        for call in ("AllocateNetwork", "FreeNetwork", "GwAllocCheck"):
            self.refused(f"NetworkDriver.{call}", {"NetworkID": "n"}, 404)
        for call in ("DiscoverNew", "DiscoverDelete"):
            message = {"DiscoveryType": 1, "DiscoveryData": {}}
            self.assertEqual(self.answer(f"NetworkDriver.{call}", message), {"Err": ""})

    def test_options(self) -> None:
        """With an optional part its calls reach the driver."""
        driver = AllWires()
        self.serve(driver)
        self.assertIs(self.answer("NetworkDriver.GetCapabilities")["GwAllocChecker"], True)
        node = {"DiscoveryType": 1, "DiscoveryData": {"Address": "a"}}
        calls: list[tuple[str, dict[str, Any]]] = [
            ("ProgramExternalConnectivity", {**ENDPOINT, "Options": {n.PORT_MAP: []}}),
            ("RevokeExternalConnectivity", ENDPOINT),
            ("DiscoverNew", node),
            ("DiscoverDelete", node),
            ("AllocateNetwork", {"NetworkID": "n1"}),
            ("FreeNetwork", {"NetworkID": "n1"}),
            ("GwAllocCheck", {"Options": None}),
        ]
        answers = [self.answer(f"NetworkDriver.{call}", message) for call, message in calls]
        self.assertEqual(answers[4], {"Options": {"vni": "7"}, "Err": ""})
        self.assertEqual(answers[6], {"SkipIPv4": True, "SkipIPv6": False, "Err": ""})
        self.assertEqual(len(driver.asked), 7)

    def test_mistakes(self) -> None:
        """A method that returns something else than it must is named."""
        self.driver.details = {"a": 1}
        answer = self.refused("NetworkDriver.EndpointOperInfo", ENDPOINT)
        text = "driver Wires.endpoint_info returned a dict; an EndpointDetails is expected"
        self.assertEqual(answer, {"Err": text})
        self.assertEqual(len(self.flushLoggedErrors()), 1)
