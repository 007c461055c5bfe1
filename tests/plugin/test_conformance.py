"""Drivers run through the conformance suite, in memory and over a socket.

Of our own driver this is the test that engines can live with it; of the suite, the test that it
passes what is right. That it fails what is wrong is in ``test_wrong_plugins``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest import TestResult

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from exampledriver.plugin import IVolumeDriver
from exampledriver.plugin.testing import RULES, OverSocket, VolumeDriverConformance
from tests.volumes.fixtures import World

from .wrong.messages import AlwaysOk
from .wrong.right import Right


class ServiceConformance(VolumeDriverConformance, SynchronousTestCase):
    """Our volume service over real directories, in memory."""

    def driver(self) -> IVolumeDriver:
        return World(Path(self.mktemp()).absolute(), clock=cast(Clock, self.clock)).start()


class ServiceOverSocketConformance(OverSocket, VolumeDriverConformance, TestCase):
    """Our volume service with real threads, over a socket."""

    def driver(self) -> IVolumeDriver:
        base = Path(self.mktemp()).absolute()
        return World(base, clock=cast(Clock, self.clock)).start(deferToThread, deferToThread)


class SlowConformance(VolumeDriverConformance, TestCase):
    """Our volume service in memory, on the reactor: each step on disk takes a while."""

    real = True

    def driver(self) -> IVolumeDriver:
        def later(function: Callable[..., Any], *args: object) -> Deferred[Any]:
            return deferLater(self.clock, 0.002, function, *args)

        return World(Path(self.mktemp()).absolute()).start(later)


class PlainConformance(VolumeDriverConformance, SynchronousTestCase):
    """A plugin that is not made with this package."""

    def factory(self) -> IProtocolFactory:
        return Right(Path(self.mktemp()).absolute(), self.clock).site()


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

    def test_not_applicable(self) -> None:
        """A rule that says nothing about the driver is skipped, and says why."""
        result = self.case("test_V_DATA_KEPT", files=False)
        ((_, text),) = result.skipped
        self.assertIn("not applicable", str(text))

    def test_every_rule(self) -> None:
        """A suite has a test for each rule; the socket's mode is one of those over a socket."""
        for rule in RULES:
            test = f"test_{rule.id.replace('-', '_')}"
            suite = ServiceOverSocketConformance
            self.assertEqual(getattr(suite, test).__doc__, f"{rule.says}.")
            self.assertEqual(hasattr(ServiceConformance, test), rule.id != "P-SOCKET-MODE")

    def test_no_driver(self) -> None:
        """A suite that is not told how its driver is made says what is missing."""
        case = type("Case", (VolumeDriverConformance, SynchronousTestCase), {})("test_docker")
        result = TestResult()
        case.run(result)
        ((_, text),) = result.errors
        self.assertIn("say how the driver is made", str(text))
