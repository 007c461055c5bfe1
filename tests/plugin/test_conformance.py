"""Drivers run through the conformance suites in memory; over sockets: tests.functional.test_suites.

Of our own driver this is the test that engines can live with it; of the suite, the test that it
passes what is right. That it fails what is wrong is in ``tests.functional.test_wrong_plugins``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast
from unittest import TestResult

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from exampledriver.plugin import IVolumeDriver, PluginError, ipam, network
from exampledriver.plugin.logdriver import (
    ILogDriver,
    StartLogging,
)
from exampledriver.plugin.metrics import IMetricsCollector
from exampledriver.plugin.secret import ISecretProvider
from exampledriver.plugin.testing import (
    IpamDriverConformance,
    LogDriverConformance,
    MetricsCollectorConformance,
    NetworkDriverConformance,
    OverSocket,
    SecretProviderConformance,
    VolumeDriverConformance,
    rules_of,
)
from tests.volumes.fixtures import World

from .logs import Logs
from .memory import FakeDriver
from .test_network import Wires
from .test_small import Meter, Vault
from .wrong.messages import AlwaysOk
from .wrong.places import Placed
from .wrong.right import Right
from .wrong.secrets import SECRET, PlainValue, RightSecrets


class ServiceConformance(VolumeDriverConformance, SynchronousTestCase):
    """Our volume service over real directories, in memory."""

    def driver(self) -> IVolumeDriver:
        return World(Path(self.mktemp()).absolute(), clock=cast(Clock, self.clock)).start()


class SlowConformance(VolumeDriverConformance, SynchronousTestCase):
    """Our volume service in memory, where each step on disk takes a while of the clock."""

    def driver(self) -> IVolumeDriver:
        def later(function: Callable[..., Any], *args: object) -> Deferred[Any]:
            return deferLater(self.clock, 0.002, function, *args)

        return World(Path(self.mktemp()).absolute(), clock=cast(Clock, self.clock)).start(later)


class PlainConformance(VolumeDriverConformance, SynchronousTestCase):
    """A plugin that is not made with this package."""

    def factory(self) -> IProtocolFactory:
        return Right(Path(self.mktemp()).absolute(), self.clock).site()


class PlacedConformance(VolumeDriverConformance, SynchronousTestCase):
    """A driver whose options name a place, with another one for each volume."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.options = {"place": f"{self.base}/places/{{name}}"}

    def factory(self) -> IProtocolFactory:
        return Placed(self.base / "volumes", self.clock).site()


@implementer(network.INetworkDriver)
@define(eq=False)
class Networks(Wires):
    """A network driver that knows what it has."""

    has: set[str] = field(factory=set)

    def _note(self, asked: object) -> None:
        super()._note(asked)
        if isinstance(asked, network.CreateNetwork):
            self.has.add(asked.network_id)
        elif isinstance(asked, network.CreateEndpoint):
            if asked.network_id not in self.has:
                raise PluginError("there is no such network")
            self.has.add(asked.endpoint_id)
        elif isinstance(asked, network.Join) and asked.endpoint_id not in self.has:
            raise PluginError("there is no such endpoint")


@implementer(ipam.IIpamDriver)
@define(eq=False)
class Pools:
    """An IPAM driver that keeps what it gave."""

    given: dict[str, set[str]] = field(factory=dict)

    def capabilities(self) -> ipam.IpamCapabilities:
        return ipam.IpamCapabilities()

    def default_address_spaces(self) -> ipam.AddressSpaces:
        return ipam.AddressSpaces("local", "global")

    def request_pool(self, request: ipam.RequestPool) -> ipam.Pool:
        pool = ip_network(request.pool or "10.200.0.0/24")
        if any(pool.overlaps(ip_network(other)) for other in self.given):
            raise PluginError("it overlaps another one")
        self.given[str(pool)] = set()
        return ipam.Pool(str(pool), str(pool))

    def release_pool(self, request: ipam.ReleasePool) -> None:
        self.given.pop(request.pool_id, None)

    def request_address(self, request: ipam.RequestAddress) -> ipam.Address:
        given = self.given.get(request.pool_id)
        if given is None:
            raise PluginError("there is no such pool")
        hosts = map(str, ip_network(request.pool_id).hosts())
        address = request.address or next(host for host in hosts if host not in given)
        if address in given:
            raise PluginError("it is taken")
        given.add(address)
        return ipam.Address(f"{address}/{request.pool_id.partition('/')[2]}")

    def release_address(self, request: ipam.ReleaseAddress) -> None:
        self.given.get(request.pool_id, set()).discard(request.address)


class NetworksConformance(NetworkDriverConformance, SynchronousTestCase):
    """A network driver of this package, in memory."""

    def driver(self) -> network.INetworkDriver:
        return Networks()


class PoolsConformance(IpamDriverConformance, SynchronousTestCase):
    """An IPAM driver of this package, in memory."""

    def driver(self) -> ipam.IIpamDriver:
        return Pools()


class VaultConformance(SecretProviderConformance, SynchronousTestCase):
    """A secret provider of this package, in memory."""

    secret = "db"

    def driver(self) -> ISecretProvider:
        return Vault()


class LogsConformance(LogDriverConformance, TestCase):
    """A log driver of this package, in memory."""

    def driver(self) -> ILogDriver:
        return Logs()


@implementer(ILogDriver)
@define(eq=False)
class FileLogs(Logs):
    """A log driver whose option says which file a container's log is."""

    def start_logging(self, request: StartLogging) -> None:
        self.kept[request.info.container_id] = self.kept.setdefault(request.info.config["file"], [])
        super().start_logging(request)


class FileLogsConformance(LogDriverConformance, TestCase):
    """A log driver whose option names a place, with another one for each container."""

    options: Mapping[str, str] = {"file": "/var/log/{name}"}

    def driver(self) -> ILogDriver:
        return FileLogs()


class MeterConformance(MetricsCollectorConformance, SynchronousTestCase):
    """A metrics collector of this package, in memory."""

    def driver(self) -> IMetricsCollector:
        return Meter()


class SuiteTests(SynchronousTestCase):
    """What a suite does with a driver that is wrong."""

    def case(self, method: str, **attributes: object) -> TestResult:
        """Return how one test of a suite for a wrong plugin ends."""
        base = Path(self.mktemp()).absolute()

        class Case(VolumeDriverConformance, SynchronousTestCase):
            def factory(self) -> IProtocolFactory:
                return AlwaysOk(base, self.clock).site()

        for name, value in attributes.items():
            setattr(Case, name, value)
        result = TestResult()
        Case(method).run(result)
        return result

    def test_fails(self) -> None:
        """A broken rule fails its test, with what was seen and why it matters."""
        result = self.case("test_V_ERR_STATUS")
        ((_, text),) = result.failures
        for part in ("V-ERR-STATUS", "was answered with 200", "Podman ignores an Err on 200"):
            self.assertIn(part, str(text))

    def test_waived(self) -> None:
        """A rule that the driver breaks on purpose is skipped, and says so."""
        result = self.case("test_V_ERR_STATUS", waived=["V-ERR-STATUS"])
        self.assertEqual(result.failures, [])
        ((_, text),) = result.skipped
        self.assertIn("V-ERR-STATUS is waived", str(text))

    def test_waived_lives(self) -> None:
        """An engine's life with volumes is a test like the others: it can be waived."""
        for test in ("test_docker", "test_podman"):
            self.assertEqual(self.case(test).skipped, [])
            result = self.case(test, waived=["test_docker", "test_podman"])
            self.assertEqual(result.failures + result.errors, [])
            ((_, text),) = result.skipped
            self.assertIn(f"{test} is waived", str(text))

    def test_one_place(self) -> None:
        """With one place for all volumes, a driver of places breaks just the rules about those."""
        found = []
        for rule in rules_of("VolumeDriver"):
            base = Path(self.mktemp()).absolute()

            class Case(VolumeDriverConformance, SynchronousTestCase):
                options: Mapping[str, str] = {"place": str(base / "place")}

                def factory(self, base: Path = base) -> IProtocolFactory:
                    return Placed(base / "volumes", self.clock).site()

            result = TestResult()
            if rule.id != "P-SOCKET-MODE":
                Case(f"test_{rule.id.replace('-', '_')}").run(result)
            found += [rule.id] if result.failures else []
        self.assertEqual(found, ["V-NAME-DISTINCT", "V-MOUNT-ONE-ID", "V-DATA-GONE"])

    def test_not_applicable(self) -> None:
        """A rule that says nothing about the driver is skipped, and says why."""
        result = self.case("test_V_DATA_KEPT", files=False)
        ((_, text),) = result.skipped
        self.assertIn("not applicable", str(text))

    def test_every_rule(self) -> None:
        """A suite has a test for each rule; the socket's mode is one of those over a socket."""
        for rule in rules_of("VolumeDriver"):
            test = f"test_{rule.id.replace('-', '_')}"
            suite = type("Suite", (OverSocket, VolumeDriverConformance), {})
            self.assertEqual(getattr(suite, test).__doc__, f"{rule.says}.")
            self.assertEqual(hasattr(ServiceConformance, test), rule.id != "P-SOCKET-MODE")

    def test_secret_hidden(self) -> None:
        """A broken rule about a secret is reported without the secret's value."""
        base = Path(self.mktemp()).absolute()

        class Case(SecretProviderConformance, SynchronousTestCase):
            secret = SECRET

            def factory(self) -> IProtocolFactory:
                return PlainValue(base, self.clock).site()

        for method in ("test_S_VALUE", "test_S_NAME_TRAVERSAL"):
            result = TestResult()
            Case(method).run(result)
            self.assertEqual(len(result.failures), method == "test_S_VALUE")
            self.assertNotIn("hunter2", "".join(str(text) for _, text in result.failures))

    def test_secret_size(self) -> None:
        """A secret is judged by the size that a swarm takes: less than 500 KiB."""

        class Sized(RightSecrets):
            size = 0

            def read_file(self, name: str) -> bytes:
                return bytes(self.size)

        class Case(SecretProviderConformance, SynchronousTestCase):
            secret = SECRET

            def factory(self) -> IProtocolFactory:
                return Sized(Path(self.mktemp()).absolute(), self.clock).site()

        for Sized.size, broken in ((0, 1), (1, 0), (511_999, 0), (512_000, 1)):
            result = TestResult()
            Case("test_S_VALUE").run(result)
            self.assertEqual((len(result.failures), result.errors), (broken, []), Sized.size)

    def test_threads(self) -> None:
        """A driver with threads, in memory without time, fails with what the suite wants."""

        class Threaded(FakeDriver):
            def remove(self, name: str) -> Any:
                return Deferred()

        class Case(VolumeDriverConformance, SynchronousTestCase):
            files = False

            def driver(self) -> IVolumeDriver:
                return Threaded()

        for test in ("test_V_GET_NAME", "test_V_REMOVE"):
            result = TestResult()
            Case(test).run(result)
            ((_, text),) = result.failures
            self.assertIn("a driver that uses threads wants TestCase, and real = True", str(text))

    def test_no_driver(self) -> None:
        """A suite that is not told how its driver is made says what is missing."""
        case = type("Case", (VolumeDriverConformance, SynchronousTestCase), {})("test_docker")
        result = TestResult()
        case.run(result)
        ((_, text),) = result.errors
        self.assertIn("say how the driver is made", str(text))
