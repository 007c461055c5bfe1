"""Suites for trial: mix one into a test case, say how a driver is made, and run it.

>>> class TestMine(VolumeDriverConformance, SynchronousTestCase):
...     def driver(self):
...         return MyDriver(self.mktemp())

Each rule is a test, ``test_V_GET_UNKNOWN`` for ``V-GET-UNKNOWN``, on a driver of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ..app import Plugin
from ..authz import IAuthzDriver
from ..ipam import IIpamDriver
from ..logdriver import ILogDriver
from ..metrics import IMetricsCollector
from ..network import INetworkDriver
from ..secret import ISecretProvider
from ..volume import IVolumeDriver
from .clients import FakeDocker, FakePodman
from .connection import Target
from .endpoint import EndpointTarget
from .judging import Outcome, Rule
from .logs import LogSubject
from .memory import MemoryTarget
from .rules import rules_of
from .subject import Subject, VolumeSubject, options_for
from .subjects import AuthzSubject, IpamSubject, MetricsSubject, NetworkSubject, SecretSubject

if TYPE_CHECKING:
    _Case = SynchronousTestCase
else:
    # A mixin: trial would run the suite itself if it were a case.
    _Case = object

_NOT_JUDGED = (Outcome.NOT_APPLICABLE, Outcome.BLOCKED)

#: What is said of a driver that does not come to its end while no time passes.
_NO_TIME = "\nIn memory no time passes: a driver that uses threads wants TestCase, and real = True."


class Conformance(_Case):
    """What the suites of all protocols have in common: a plugin in memory.

    With ``twisted.trial.unittest.SynchronousTestCase`` no time passes: the driver gets
    :attr:`clock`, a Clock. With ``twisted.trial.unittest.TestCase`` set :attr:`real`, and
    the clock is the reactor: the driver may use threads.

    :cvar waived: the ids of rules that this driver breaks, and means to; of a volume driver also
        ``test_docker`` and ``test_podman``.
    :cvar real: let time be the reactor's.
    """

    waived: Collection[str] = ()
    real: bool = False
    protocol: str = ""

    def drivers(self) -> list[object]:
        """Return new drivers; together they make the plugin."""
        raise NotImplementedError("say how the driver is made")

    @property
    def clock(self) -> IReactorTime:
        """The plugin's clock."""
        if not hasattr(self, "_clock"):
            self._clock = _reactor() if self.real else cast(IReactorTime, Clock())
        return self._clock

    def factory(self) -> IProtocolFactory:
        """Return a new plugin's server; by default :class:`exampledriver.plugin.app.Plugin`'s.

        A plugin that is not made with this package gives its own
        ``twisted.web.server.Site`` here.
        """
        return Plugin("kit", self.drivers(), self.clock).site()

    def target(self) -> Target:
        """Return a new plugin as clients reach it."""
        return MemoryTarget(self.factory(), self.clock)

    def subject(self, target: Target) -> Subject:
        """Return a plugin under judgement."""
        return Subject(target, idle=self.idle)

    @property
    def idle(self) -> float:
        """For how many seconds idle connections are looked at; a Clock's cost nothing."""
        return 0.2 if self.real else 90.0

    def settled(self, work: Coroutine[Any, Any, None]) -> Deferred[None]:
        """Carry out a coroutine: the result of a synchronous case is there at once."""
        done = ensureDeferred(cast("Coroutine[Deferred[Any], Any, None]", work))
        if self.real:
            return done
        results: list[object] = []
        done.addBoth(results.append)
        if not results:
            self.fail(f"it waits for something else than the clock; set {type(self).__name__}.real")
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return done

    def check_rule(self, rule: Rule) -> Deferred[None]:
        """Judge a new plugin by a rule; fail, or skip, with what was seen."""

        async def judge() -> None:
            subject = self.subject(self.target())
            await subject.prepare()
            verdict = await rule.judge(subject)
            left = await subject.cleanup()
            stuck = left or "no answer within" in verdict.seen
            hint = _NO_TIME if stuck and not self.real else ""
            if verdict.failed:
                self.fail(f"{rule.id}: {rule.says}.\n{verdict.seen}\n{rule.why}{hint}")
            self.assertEqual(left, [], f"the kit could not remove what it made{hint}")
            if verdict.outcome in _NOT_JUDGED:
                raise SkipTest(f"{rule.id}: {verdict.outcome.value}: {verdict.seen}")

        if rule.id in self.waived:
            raise SkipTest(f"{rule.id} is waived")
        return self.settled(judge())


class VolumeDriverConformance(Conformance):
    """The rules for volume drivers, in memory.

    :cvar options: the ``Opts`` with which a volume can be made; ``{name}`` in a value stands for
        the volume's name, for drivers whose options name the place of the data.
    :cvar files: volumes are directories that the test can look into.
    """

    protocol = "VolumeDriver"
    options: Mapping[str, str] = {}
    files: bool = True

    def driver(self) -> IVolumeDriver:
        """Return a new driver, without volumes."""
        raise NotImplementedError("say how the driver is made")

    def drivers(self) -> list[object]:
        """Return a new driver."""
        return [self.driver()]

    def subject(self, target: Target) -> VolumeSubject:
        """Return a driver under judgement."""
        return VolumeSubject(target, idle=self.idle, options=self.options, files=self.files)

    def test_docker(self) -> Deferred[None]:
        """Docker's life with a volume: create, run, cp, a killed engine, stop, rm."""
        return self.life("test_docker", docker_life)

    def test_podman(self) -> Deferred[None]:
        """Podman's life with two volumes, which have one mount ID."""
        return self.life("test_podman", podman_life)

    def life(
        self, name: str, live: Callable[[Target, Mapping[str, str]], Coroutine[Any, Any, None]]
    ) -> Deferred[None]:
        """Live an engine's life with volumes, unless the test of that name is waived."""
        if name in self.waived:
            raise SkipTest(f"{name} is waived")
        return self.settled(live(self.target(), self.options))


class AuthzConformance(Conformance):
    """The rules for authorization plugins, in memory."""

    protocol = "authz"

    def driver(self) -> IAuthzDriver:
        """Return a new driver."""
        raise NotImplementedError("say how the driver is made")

    def drivers(self) -> list[object]:
        """Return a new driver."""
        return [self.driver()]

    def subject(self, target: Target) -> AuthzSubject:
        """Return a driver under judgement."""
        return AuthzSubject(target, idle=self.idle)


class NetworkDriverConformance(Conformance):
    """The rules for network drivers, in memory.

    :cvar options: those of ``docker network create -o`` that it needs.
    """

    protocol = "NetworkDriver"
    options: Mapping[str, str] = {}

    def driver(self) -> INetworkDriver:
        """Return a new driver, without networks."""
        raise NotImplementedError("say how the driver is made")

    def drivers(self) -> list[object]:
        """Return a new driver."""
        return [self.driver()]

    def subject(self, target: Target) -> NetworkSubject:
        """Return a driver under judgement."""
        return NetworkSubject(target, idle=self.idle, options=self.options)


class IpamDriverConformance(Conformance):
    """The rules for IPAM drivers, in memory."""

    protocol = "IpamDriver"

    def driver(self) -> IIpamDriver:
        """Return a new driver, without pools."""
        raise NotImplementedError("say how the driver is made")

    def drivers(self) -> list[object]:
        """Return a new driver."""
        return [self.driver()]

    def subject(self, target: Target) -> IpamSubject:
        """Return a driver under judgement."""
        return IpamSubject(target, idle=self.idle)


class SecretProviderConformance(Conformance):
    """The rules for secret providers, in memory.

    :cvar secret: the name of a secret that the driver has; most rules need one.
    """

    protocol = "secretprovider"
    secret: str = ""

    def driver(self) -> ISecretProvider:
        """Return a new driver."""
        raise NotImplementedError("say how the driver is made")

    def drivers(self) -> list[object]:
        """Return a new driver."""
        return [self.driver()]

    def subject(self, target: Target) -> SecretSubject:
        """Return a driver under judgement."""
        return SecretSubject(target, idle=self.idle, secret=self.secret)


class LogDriverConformance(Conformance):
    """The rules for log drivers, in memory; FIFOs are real, and so is time: use TestCase.

    :cvar options: those of ``docker run --log-opt`` that it needs.
    """

    protocol = "LogDriver"
    options: Mapping[str, str] = {}
    real = True

    def driver(self) -> ILogDriver:
        """Return a new driver, without logs."""
        raise NotImplementedError("say how the driver is made")

    def drivers(self) -> list[object]:
        """Return a new driver."""
        return [self.driver()]

    def subject(self, target: Target) -> LogSubject:
        """Return a driver under judgement."""
        return LogSubject(target, idle=self.idle, options=dict(self.options))


class MetricsCollectorConformance(Conformance):
    """The rules for metrics collectors, in memory; the driver's source of metrics is there."""

    protocol = "MetricsCollector"

    def driver(self) -> IMetricsCollector:
        """Return a new driver."""
        raise NotImplementedError("say how the driver is made")

    def drivers(self) -> list[object]:
        """Return a new driver."""
        return [self.driver()]

    def subject(self, target: Target) -> MetricsSubject:
        """Return a driver under judgement."""
        return MetricsSubject(target, idle=self.idle)


class OverSocket(_Case):
    """Mix in before a suite: the same rules over a UNIX socket, with the reactor.

    >>> class TestMineOverSocket(OverSocket, VolumeDriverConformance, TestCase): ...
    """

    real = True

    def target(self) -> Target:
        """Return a new plugin behind a socket, which is closed after the test."""
        reactor = _reactor()
        base = tempfile.mkdtemp(prefix="kit-")
        path = os.path.join(base, "s")
        port = reactor.listenUNIX(path, cast(Any, self).factory(), mode=0o600)
        target = EndpointTarget(reactor, UNIXClientEndpoint(reactor, path), path, path)

        # In reverse order: what was added last is done first.
        self.addCleanup(shutil.rmtree, base, ignore_errors=True)
        self.addCleanup(port.stopListening)
        self.addCleanup(target.close)
        return target


def _reactor() -> Any:
    """Return the reactor, which trial has installed."""
    from twisted.internet import reactor

    return reactor


def _test(rule: Rule) -> Callable[[Conformance], Awaitable[None]]:
    def test(self: Conformance) -> Deferred[None]:
        return self.check_rule(rule)

    test.__name__ = f"test_{rule.id.replace('-', '_')}"
    test.__qualname__ = f"Conformance.{test.__name__}"
    test.__doc__ = f"{rule.says}."
    return test


def add_tests(suite: type[Conformance]) -> None:
    """Give a suite a test for each rule of its protocol."""
    for rule in rules_of(suite.protocol):
        owner = OverSocket if rule.id == "P-SOCKET-MODE" else suite
        test = _test(rule)
        setattr(owner, test.__name__, test)


async def docker_life(target: Target, options: Mapping[str, str]) -> None:
    """Live through what Docker does with a volume.

    :raises AssertionError: Docker would have come to a wrong conclusion.
    :raises EngineError: a command fails.
    """
    docker = FakeDocker(target)
    await docker.create("life", options_for(options, "life"), {"label": "kept"})
    path = await docker.run("life", "c1")
    assert path == await docker.start("life", "c1"), "docker cp gets another directory"
    await docker.stop("life", "c1")
    await docker.stop("life", "c1")
    assert "life" in await docker.list(), "docker volume ls does not show it"
    assert (await docker.inspect("life"))["Labels"] == {"label": "kept"}, "Docker forgot it"
    path = await docker.run("life", "c2")
    docker.close()
    again = FakeDocker(target, old=True)
    again.known.update(docker.known)
    assert path == await again.start("life", "c2"), "after a crash, another directory"
    await again.stop("life", "c2")
    assert not again.local, "a volume of the local driver was made in its place"
    await again.stop("life", "c2")
    await again.remove("life")
    assert "life" not in await again.list(), "docker volume ls shows what was removed"
    again.close()


async def podman_life(target: Target, options: Mapping[str, str]) -> None:
    """Live through what Podman does with two volumes.

    :raises AssertionError: Podman would have come to a wrong conclusion.
    :raises EngineError: a command fails.
    """
    podman = FakePodman(target)
    for name in ("life1", "life2"):
        await podman.create(name, options_for(options, name))
        await podman.create(name, options_for(options, name))
    one, two = await podman.mount("life1"), await podman.mount("life2")
    assert one != two, "two volumes have one directory"
    assert one == await podman.mount("life1"), "another directory for the second container"
    podman.reboot()
    assert one == await podman.mount("life1"), "after a crash, another directory"
    for name in ("life1", "life2"):
        await podman.unmount(name)
    await podman.reload()
    assert {"life1", "life2"} <= set(podman.known), "podman volume reload does not find them"
    for name in ("life1", "life2"):
        assert (await podman.inspect(name))["Name"] == name
        await podman.remove(name)


for _suite in (
    VolumeDriverConformance,
    AuthzConformance,
    NetworkDriverConformance,
    IpamDriverConformance,
    SecretProviderConformance,
    LogDriverConformance,
    MetricsCollectorConformance,
):
    add_tests(_suite)
