"""Every example keeps the rules of the conformance kit."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.authz import IAuthzDriver
from exampledriver.plugin.testing import AuthzConformance
from examples.authz.__main__ import Gate
from examples.authz.bodies import CONDITIONS

#: A policy that forbids whatever the kit looks for ways round.
POLICY = {
    "rules": [
        {"paths": ["/volumes/create", "/images/create"], "allow": False},
        {"paths": ["/containers/create"], "allow": True, "forbid": list(CONDITIONS)},
        {"paths": ["/containers/**/exec"], "allow": True, "forbid": ["privileged"]},
        {"allow": True},
    ]
}


class GateTests(AuthzConformance, SynchronousTestCase):
    """``examples/authz``."""

    def driver(self) -> IAuthzDriver:
        base = Path(self.mktemp())
        base.mkdir()
        (base / "policy.json").write_text(json.dumps(POLICY))
        return Gate(base / "policy.json", base / "audit")
