"""What a rule is, and how one is judged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from attrs import frozen

from .connection import NO_ANSWER
from .reply import shown

#: How much is told of what was seen, in characters.
_SEEN = 1000


class Severity(Enum):
    """What it means for a plugin's users that a rule is broken."""

    #: Data, volumes or the engine are lost, or the plugin does not work.
    ERROR = "error"
    #: It hurts in some situations, or with one of the engines.
    WARNING = "warning"
    #: No engine in use minds; another client, or the next version, may.
    NOTE = "note"


class Outcome(Enum):
    """How a rule was judged."""

    PASSED = "passed"
    FAILED = "failed"
    #: What the rule needs first did not work; another rule says what.
    BLOCKED = "blocked"
    #: The rule says nothing about this plugin, or cannot be looked at from here.
    NOT_APPLICABLE = "not applicable"


class Violation(Exception):
    """A rule is broken; the text says what was seen."""


class Blocked(Exception):
    """A rule cannot be judged, because something before it does not work."""


class NotApplicable(Exception):
    """A rule says nothing about this plugin; the text says why."""


@frozen
class Rule:
    """One thing that engines need of a plugin.

    :ivar id: names it for ever: ``P-`` every plugin, ``V-`` volume drivers, ``A-``
        authorization plugins, ``N-`` network and ``I-`` IPAM drivers, ``S-`` secret providers,
        ``L-`` log drivers, ``M-`` metrics collectors.
    :ivar protocol: as in Activate's ``Implements``; empty for every plugin.
    :ivar says: the rule, in one line.
    :ivar why: what happens to a user when it is broken.
    :ivar source: where it comes from.
    :ivar check: judges it, with the protocol's subject.
    """

    id: str
    protocol: str
    severity: Severity
    says: str
    why: str
    source: str
    check: Callable[[Any], Awaitable[None]]

    async def judge(self, subject: Any) -> Verdict:
        """Judge a plugin by this rule."""
        outcome, seen = Outcome.PASSED, ""
        try:
            await self.check(subject)
        except Violation as violation:
            outcome, seen = Outcome.FAILED, str(violation)
        except Blocked as why:
            outcome, seen = Outcome.BLOCKED, str(why)
        except NotApplicable as why:
            outcome, seen = Outcome.NOT_APPLICABLE, str(why)
        except NO_ANSWER as why:
            outcome, seen = Outcome.FAILED, str(why)
        return Verdict(self, outcome, shown(seen, _SEEN))


@frozen
class Verdict:
    """How a plugin stands to a rule.

    :ivar seen: what was seen, if it did not simply pass.
    """

    rule: Rule
    outcome: Outcome
    seen: str = ""

    @property
    def failed(self) -> bool:
        """Whether the rule is broken."""
        return self.outcome is Outcome.FAILED


Check = Callable[[Any], Awaitable[None]]

#: Every rule, in the order in which they are judged.
RULES: list[Rule] = []


def rule(
    rule_id: str, severity: Severity, says: str, why: str, source: str, protocol: str
) -> Callable[[Check], Check]:
    """Make a rule of the function that judges it."""

    def enter(check: Check) -> Check:
        if any(known.id == rule_id for known in RULES):
            raise ValueError(f"there is a rule {rule_id} already")
        RULES.append(Rule(rule_id, protocol, severity, says, why, source, check))
        return check

    return enter


def expect(condition: object, seen: str) -> None:
    """Go on if a condition holds.

    :raises Violation: it does not.
    """
    if not condition:
        raise Violation(seen)
