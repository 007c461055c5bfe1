"""The IpamDriver protocol: fields, answers, and both keys of an error."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from zope.interface import implementer

from exampledriver.plugin import PluginError
from exampledriver.plugin.ipam import (
    Address,
    AddressSpaces,
    IIpamDriver,
    IpamCapabilities,
    Pool,
    ReleaseAddress,
    ReleasePool,
    RequestAddress,
    RequestPool,
)

from .protocols import ProtocolCase, exchanges

POOL = "stub/10.123.0.0/24"


@implementer(IIpamDriver)
@define(eq=False)
class Addresses:
    """A driver that keeps what it was asked, and gives the same to everybody."""

    asked: list[object] = field(factory=list)
    error: Exception | None = None

    def _note(self, asked: object) -> None:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error

    def capabilities(self) -> IpamCapabilities:
        return IpamCapabilities(requires_request_replay=True)

    def default_address_spaces(self) -> AddressSpaces:
        return AddressSpaces("stublocal", "stubglobal")

    def request_pool(self, request: RequestPool) -> Pool:
        self._note(request)
        return Pool(f"stub/{request.pool}", request.pool)

    def release_pool(self, request: ReleasePool) -> None:
        self._note(request)

    def request_address(self, request: RequestAddress) -> Address:
        self._note(request)
        return Address("10.123.0.1/24")

    def release_address(self, request: ReleaseAddress) -> None:
        self._note(request)


class IpamTests(ProtocolCase):
    """A plugin of the IpamDriver protocol."""

    def setUp(self) -> None:
        self.driver = Addresses()
        self.serve(self.driver)

    def test_fields(self) -> None:
        """Every field of every message is as it is on the wire."""
        pool = {"Pool": "10.0.0.0/8"}
        gateway = {"com.docker.network.gateway": "10.0.0.1/8"}
        pairs: list[tuple[object, dict[str, Any]]] = [
            (
                IpamCapabilities(True, True),
                {"RequiresMACAddress": True, "RequiresRequestReplay": True},
            ),
            (
                AddressSpaces("l", "g"),
                {"LocalDefaultAddressSpace": "l", "GlobalDefaultAddressSpace": "g"},
            ),
            (
                RequestPool("l", "10.0.0.0/8", "10.1.0.0/16", {"a": "b"}, True),
                {
                    "AddressSpace": "l",
                    **pool,
                    "SubPool": "10.1.0.0/16",
                    "Options": {"a": "b"},
                    "V6": True,
                },
            ),
            (Pool("p", "10.0.0.0/8", gateway), {"PoolID": "p", **pool, "Data": gateway}),
            (ReleasePool("p"), {"PoolID": "p"}),
            (
                RequestAddress("p", "10.0.0.2", {"RequestAddressType": "x"}),
                {"PoolID": "p", "Address": "10.0.0.2", "Options": {"RequestAddressType": "x"}},
            ),
            (Address("10.0.0.2/8", {"a": "b"}), {"Address": "10.0.0.2/8", "Data": {"a": "b"}}),
            (ReleaseAddress("p", "10.0.0.2"), {"PoolID": "p", "Address": "10.0.0.2"}),
        ]
        for message, sent in pairs:
            self.round_trip(message, sent)

    def test_recorded(self) -> None:
        """What an engine sent is answered as it was content with."""
        paths = set()
        for exchange in exchanges("network"):
            if not exchange.path.startswith("IpamDriver.") or exchange.status != 200:
                continue
            response = self.client.ask(exchange.request)
            self.assertEqual((response.status, response.body), (200, response.body))
            usual = {**exchange.answer, "Err": ""}
            if exchange.path == "IpamDriver.GetCapabilities":
                usual["RequiresRequestReplay"] = True
            if exchange.path == "IpamDriver.RequestAddress":
                usual["Address"] = "10.123.0.1/24"
            self.assertEqual(response.answer, usual)
            paths.add(exchange.path)
        self.assertEqual(len(paths), 6)

    def test_errors(self) -> None:
        """An error has both keys: the engine reads Error with a 200, Err with the others."""
        self.driver.error = PluginError("no address is left")
        for call, message in (
            ("RequestPool", {"AddressSpace": "l"}),
            ("ReleasePool", {"PoolID": POOL}),
            ("RequestAddress", {"PoolID": POOL}),
            ("ReleaseAddress", {"PoolID": POOL, "Address": "10.123.0.2"}),
        ):
            answer = self.refused(f"IpamDriver.{call}", message)
            self.assertEqual(answer, dict.fromkeys(("Err", "Error"), "no address is left"))

    def test_no_mask(self) -> None:
        """A pool or address without a mask, which no engine reads, is the driver's mistake."""

        class Bare(Addresses):
            def request_pool(self, request: RequestPool) -> Pool:
                return Pool("p", "10.0.0.0")

            def request_address(self, request: RequestAddress) -> Address:
                return Address(request.address)

        self.serve(Bare())
        mask = "without a mask; one is expected, as in 10.1.0.5/16"
        for call, message, says in (
            ("RequestPool", {}, "request_pool returned a Pool whose pool is '10.0.0.0'"),
            (
                "RequestAddress",
                {"PoolID": "p", "Address": "10.0.0.2"},
                "request_address returned an Address whose address is '10.0.0.2'",
            ),
        ):
            answer = self.refused(f"IpamDriver.{call}", message)
            self.assertEqual(answer["Err"], f"driver Bare.{says}, {mask}")
            self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.answer("IpamDriver.RequestAddress", {"PoolID": "p"})

    def test_empty_body(self) -> None:
        """A retry without its body changes nothing: it is refused."""
        for call in ("RequestPool", "ReleasePool", "RequestAddress", "ReleaseAddress"):
            answer = self.refused(f"IpamDriver.{call}", b"", 400)
            self.assertEqual(list(answer), ["Err", "Error"])
        self.assertEqual(self.driver.asked, [])

    def test_any_address_space(self) -> None:
        """A pool may be asked for in no address space, but not an address in no pool."""
        self.answer("IpamDriver.RequestPool", {"AddressSpace": "", "Pool": "10.0.0.0/8"})
        self.refused("IpamDriver.RequestAddress", {"PoolID": ""}, 400)
