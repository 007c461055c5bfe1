"""The example of an authorization plugin, with a strict policy."""

from __future__ import annotations

import json
from pathlib import Path

from exampledriver.plugin.authz import IAuthzDriver
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


def strict_gate(base: Path) -> IAuthzDriver:
    """Return the example with that policy; its files are in `base`, which does not exist yet."""
    base.mkdir()
    (base / "policy.json").write_text(json.dumps(POLICY))
    return Gate(base / "policy.json", base / "audit")
