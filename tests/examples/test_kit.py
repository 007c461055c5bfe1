"""Every example keeps the rules of the conformance kit."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.authz import IAuthzDriver
from exampledriver.plugin.testing import AuthzConformance

from .strict import strict_gate


class GateTests(AuthzConformance, SynchronousTestCase):
    """``examples/authz``."""

    def driver(self) -> IAuthzDriver:
        return strict_gate(Path(self.mktemp()))
