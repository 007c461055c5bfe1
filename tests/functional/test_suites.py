"""Drivers run through the conformance suites over sockets, in real time."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from exampledriver.plugin import IVolumeDriver
from exampledriver.plugin.authz import IAuthzDriver
from exampledriver.plugin.logdriver import ILogDriver
from exampledriver.plugin.metrics import IMetricsCollector
from exampledriver.plugin.secret import ISecretProvider
from exampledriver.plugin.testing import (
    AuthzConformance,
    LogDriverConformance,
    MetricsCollectorConformance,
    OverSocket,
    SecretProviderConformance,
    VolumeDriverConformance,
)
from examples import secretfiles
from tests.examples.strict import strict_gate
from tests.plugin.logs import Logs
from tests.plugin.test_small import Meter
from tests.volumes.fixtures import World


class ServiceOverSocketConformance(OverSocket, VolumeDriverConformance, TestCase):
    """Our volume service with real threads, over a socket."""

    def driver(self) -> IVolumeDriver:
        # Its timers, of a world without a stop, are of a clock that stands still.
        return World(Path(self.mktemp()).absolute()).start(deferToThread, deferToThread)


class GateOverSocketConformance(OverSocket, AuthzConformance, TestCase):
    """The example of an authorization driver, over a socket."""

    def driver(self) -> IAuthzDriver:
        return strict_gate(Path(self.mktemp()))


class SecretFilesConformance(OverSocket, SecretProviderConformance, TestCase):
    """The example of a secret provider, over a socket."""

    secret = "password"

    def driver(self) -> ISecretProvider:
        root = Path(self.mktemp())
        root.mkdir(mode=0o700)
        (root / "password").write_bytes(b"hunter2")
        self.patch(secretfiles, "ROOT", root)
        return secretfiles.SecretFiles()


class LogsOverSocketConformance(OverSocket, LogDriverConformance, TestCase):
    """A driver of this package, over a socket."""

    def driver(self) -> ILogDriver:
        return Logs()


class MeterOverSocketConformance(OverSocket, MetricsCollectorConformance, TestCase):
    """A driver of this package, over a socket."""

    def driver(self) -> IMetricsCollector:
        return Meter()
