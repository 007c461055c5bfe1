"""The conformance kit: find out whether a plugin does what engines need.

- :class:`VolumeDriverConformance` is a suite for trial that any driver can be run through,
  in memory or, with :class:`OverSocket`, over a socket; :class:`AuthzConformance`,
  :class:`NetworkDriverConformance`, :class:`IpamDriverConformance`,
  :class:`SecretProviderConformance`, :class:`LogDriverConformance` and
  :class:`MetricsCollectorConformance` are those of other protocols.
- :class:`FakeDocker` and :class:`FakePodman` send what the engines send, and conclude what
  they conclude; :class:`FakeNetwork` and :class:`FakeApi` are Docker's networks, and its API
  behind an authorization plugin.
- :data:`RULES` are the rules, each with an id; ``python -m exampledriver.plugin.check`` judges
  a running plugin of any language by them.
"""

from .address import Address, AddressError
from .clients import EngineCrash, EngineError, FakeDocker, FakePodman
from .conformance import (
    AuthzConformance,
    Conformance,
    IpamDriverConformance,
    LogDriverConformance,
    MetricsCollectorConformance,
    NetworkDriverConformance,
    OverSocket,
    SecretProviderConformance,
    VolumeDriverConformance,
)
from .connection import Client, Connection, Gone, Silent, Target, Unreachable
from .endpoint import EndpointTarget
from .http import DOCKER, OLD_DOCKER, PODMAN, NotHTTP, Response, request
from .judging import NotApplicable, Outcome, Rule, Severity, Verdict, Violation
from .logs import LogSubject
from .memory import MemoryTarget
from .reply import Reply
from .rules import RULES, rules_of
from .scenarios import FakeApi, FakeEndpoint, FakeNetwork
from .sockets import SocketTarget, run
from .subject import Subject, VolumeSubject
from .subjects import AuthzSubject, IpamSubject, MetricsSubject, NetworkSubject, SecretSubject

__all__ = [
    "DOCKER",
    "OLD_DOCKER",
    "PODMAN",
    "RULES",
    "Address",
    "AddressError",
    "AuthzConformance",
    "AuthzSubject",
    "Client",
    "Conformance",
    "Connection",
    "EndpointTarget",
    "EngineCrash",
    "EngineError",
    "FakeApi",
    "FakeDocker",
    "FakeEndpoint",
    "FakeNetwork",
    "FakePodman",
    "Gone",
    "IpamDriverConformance",
    "IpamSubject",
    "LogDriverConformance",
    "LogSubject",
    "MemoryTarget",
    "MetricsCollectorConformance",
    "MetricsSubject",
    "NetworkDriverConformance",
    "NetworkSubject",
    "NotApplicable",
    "NotHTTP",
    "Outcome",
    "OverSocket",
    "Reply",
    "Response",
    "Rule",
    "SecretProviderConformance",
    "SecretSubject",
    "Severity",
    "Silent",
    "SocketTarget",
    "Subject",
    "Target",
    "Unreachable",
    "Verdict",
    "Violation",
    "VolumeDriverConformance",
    "VolumeSubject",
    "request",
    "rules_of",
    "run",
]
