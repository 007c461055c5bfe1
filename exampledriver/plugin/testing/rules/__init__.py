"""What engines need of a plugin: one rule, one function, one id.

:data:`RULES` has them all, in the order in which they are judged. A rule is judged
the same way in memory, behind an endpoint and from outside.
"""

from ..judging import RULES, Blocked, NotApplicable, Outcome, Rule, Severity, Verdict, Violation

# Imported for their rules, in this order.
from . import plugin, messages, volumes, names, mounts, authz, networks, addresses  # isort: skip
from . import secrets, logs, readback, metrics  # isort: skip


def rules_of(*protocols: str) -> list[Rule]:
    """Return the rules for every plugin and those of some protocols, as Activate names them."""
    return [rule for rule in RULES if not rule.protocol or rule.protocol in protocols]


__all__ = [
    "RULES",
    "Blocked",
    "NotApplicable",
    "Outcome",
    "Rule",
    "Severity",
    "Verdict",
    "Violation",
    "addresses",
    "authz",
    "logs",
    "messages",
    "metrics",
    "mounts",
    "names",
    "networks",
    "plugin",
    "readback",
    "rules_of",
    "secrets",
    "volumes",
]
