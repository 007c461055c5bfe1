"""Docker's networks, and its API behind authorization: what is sent is what was recorded."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

from attrs import define, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from exampledriver.plugin import Plugin, PluginError, ipam, network
from exampledriver.plugin.authz import AuthzRequest, AuthzResponse, Decision, IAuthzDriver, deny
from exampledriver.plugin.testing import (
    EngineError,
    FakeApi,
    FakeDocker,
    FakeNetwork,
    MemoryTarget,
    run,
)

from .protocols import exchanges
from .test_conformance import Networks, Pools
from .test_fake_engines import Script, Tap, ok

ID = "1c3157b09a9bb567a84621d93eb0c1be947673da5faa2091a4538a58e174c673"
ONE = "fad39ada340df4e655823573018dc270f559024cb633ae46fbca21be7abc4bd1"


class ScenarioCase(SynchronousTestCase):
    """Drivers in memory, in front of Docker."""

    def engine(self, *drivers: object) -> FakeDocker:
        """Return Docker, with such a plugin."""
        clock = Clock()
        self.tap = Tap(Plugin("x", drivers, clock).site())
        return FakeDocker(MemoryTarget(self.tap, clock), old=True)

    def sent(self) -> list[tuple[str, Any]]:
        """Return path and message of each call that was made."""
        found = []
        for data in self.tap.sent:
            head, _, body = data.partition(b"\r\n\r\n")
            found.append((head.split()[1].decode("ascii"), json.loads(body) if body else None))
        return found

    def fails(self, work: Any) -> str:
        """Return what Docker tells its user."""
        return str(self.assertRaises(EngineError, run, work))


class NetworkTests(ScenarioCase):
    """Networks."""

    def test_recorded(self) -> None:
        """The calls for create, run, its end and rm are Docker's, with an IPAM of the plugin's."""

        class Recorded(Pools):
            def default_address_spaces(self) -> ipam.AddressSpaces:
                return ipam.AddressSpaces("stublocal", "stubglobal")

            def request_pool(self, request: ipam.RequestPool) -> ipam.Pool:
                self.given["stub/10.123.0.0/24"] = set()
                return ipam.Pool("stub/10.123.0.0/24", "10.123.0.0/24")

            def request_address(self, request: ipam.RequestAddress) -> ipam.Address:
                given = self.given[request.pool_id]
                given.add(f"10.123.0.{len(given) + 1}")
                return ipam.Address(f"10.123.0.{len(given)}/24")

        docker = self.engine(Networks(), Recorded())
        net = FakeNetwork(docker, ID, {"color": "blue"}, {"pool": "x"})
        run(net.create())
        sandbox = "/srv/engine/s31_network/exec/netns/b0bbb7c15dae"
        found = run(net.attach(ONE, sandbox))
        self.assertEqual(found.address, "10.123.0.2")
        run(net.detach(ONE))
        run(net.remove())
        recorded = [(f"/{each.path}", each.message) for each in exchanges("network")]
        # What was recorded twice in a row is there once.
        sent = [call for call, _ in groupby(self.sent())]
        end = next(n for n, (path, _) in enumerate(sent) if path == "/IpamDriver.ReleaseAddress")
        self.assertEqual(sent[: end + 1], recorded[: end + 1])
        rest = [path for path, _ in sent[end + 1 :]]
        self.assertEqual(
            rest,
            [
                "/IpamDriver.ReleaseAddress",
                "/IpamDriver.ReleasePool",
                "/NetworkDriver.DeleteNetwork",
            ],
        )
        self.assertIn(sent[-1], recorded)

    def test_two(self) -> None:
        """Two containers get addresses of their own; a network in use is not removed."""
        net = FakeNetwork(self.engine(Networks()), "a1" * 32)
        run(net.create())
        one, two = run(net.attach("b1" * 32, "/x")), run(net.attach("b2" * 32, "/y"))
        self.assertEqual((one.address, two.address), ("10.123.0.2", "10.123.0.3"))
        self.assertIn("has active endpoints", self.fails(net.remove()))
        for endpoint in list(net.endpoints):
            run(net.detach(endpoint))
        run(net.remove())
        self.assertFalse([path for path, _ in self.sent() if "Ipam" in path])

    def test_changes(self) -> None:
        """A driver that answers with the address it was given fails its containers."""

        class Echo(Networks):
            async def create_endpoint(
                self, request: network.CreateEndpoint
            ) -> network.CreatedEndpoint:
                return network.CreatedEndpoint(request.interface)

        net = FakeNetwork(self.engine(Echo()), ID)
        run(net.create())
        self.assertIn("changes what was given: Address", self.fails(net.attach(ONE, "/x")))

    def test_refused(self) -> None:
        """What an IPAM or a network driver refuses is told to the user."""

        class Full(Pools):
            def request_address(self, request: ipam.RequestAddress) -> ipam.Address:
                raise PluginError("the pool is full")

        net = FakeNetwork(self.engine(Networks(), Full()), ID)
        self.assertIn("the pool is full", self.fails(net.create()))
        net = FakeNetwork(self.engine(Pools()), ID)
        self.assertIn("does not implement NetworkDriver", self.fails(net.create()))


@implementer(IAuthzDriver)
@define(eq=False)
class Gate:
    """A driver that keeps what it was asked, and denies what it is told to."""

    no: str = ""
    asked: list[AuthzRequest] = field(factory=list)

    def authorize_request(self, request: AuthzRequest) -> Decision:
        self.asked.append(request)
        if self.no == "error":
            raise ZeroDivisionError
        return deny("not today") if self.no == "request" else Decision(True)

    def authorize_response(self, response: AuthzResponse) -> Decision:
        self.asked.append(response)
        return deny("not this") if self.no == "response" else Decision(True)


class ApiTests(ScenarioCase):
    """The API behind authorization."""

    def setUp(self) -> None:
        self.gate = Gate()
        self.api = FakeApi(self.engine(self.gate))

    def test_recorded(self) -> None:
        """Both phases are told what Docker tells: a body of JSON, and then status and answer."""
        recorded = [
            each.message
            for each in exchanges("authz")
            if each.message and each.message.get("RequestUri") == "/v1.41/volumes/create"
        ]
        asked, answered = recorded[:2]
        run(
            self.api.request(
                "POST",
                "/v1.41/volumes/create",
                b'{"Driver":"local","Labels":{"a":"b"},"Name":"v1"}\n',
                {"User-Agent": asked["RequestHeaders"]["User-Agent"], "Authorization": "secret"},
                status=201,
                answer=b"{}",
            )
        )
        (_, before), (_, after) = self.sent()[1:]
        self.assertEqual(before, asked)
        self.assertEqual(set(after), set(answered))
        self.assertEqual(after["ResponseStatusCode"], 201)

    def test_large(self) -> None:
        """A body beyond 4 MiB, or one that is no JSON, is not told; the rest is."""
        for body, kind, told in (
            (b"x" * (4 << 20), "application/json; charset=utf-8", True),
            (b"x" * ((4 << 20) + 1), "application/json", False),
            (b"x", "application/x-tar", False),
        ):
            self.gate.asked.clear()
            run(self.api.request("POST", "/v1.41/build", body, {"Content-Type": kind}))
            for asked in self.gate.asked:
                self.assertEqual(asked.body, body if told else None)

    def test_hijacked(self) -> None:
        """Of a connection that is taken over the second phase is told neither status nor body."""
        run(self.api.request("POST", "/v1.41/containers/c1/attach", answer=b"x", hijacked=True))
        after = self.gate.asked[1]
        assert isinstance(after, AuthzResponse)
        self.assertEqual((after.status, after.response_body), (0, None))
        self.assertIn("Ostype", after.response_headers)

    def test_denied(self) -> None:
        """What is denied first is not carried out; what is denied afterwards has been."""
        for self.gate.no, text, carried in (
            ("request", "not today", []),
            ("response", "not this", [("GET", "/x")]),
        ):
            self.assertIn(text, self.fails(self.api.request("GET", "/x")))
            self.assertEqual(self.api.carried_out, carried)

    def test_error(self) -> None:
        """An Err with status 200 denies nothing; one with 500, of a driver that fails, does."""
        self.gate.no = "error"
        self.assertIn("internal error", self.fails(self.api.request("GET", "/x")))
        self.flushLoggedErrors(ZeroDivisionError)
        clock = Clock()
        texts = {b"Plugin.Activate": b'{"Implements":["authz"]}'}

        def answer(data: bytes) -> bytes:
            return ok(texts.get(data.split()[1].strip(b"/"), b'{"Allow":true,"Err":"x"}'))

        api = FakeApi(FakeDocker(MemoryTarget(Script(clock, answer), clock)))
        run(api.request("GET", "/x"))
        self.assertEqual(api.carried_out, [("GET", "/x")])
