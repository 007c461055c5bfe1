"""Every rule of the conformance kit can fail: for each there is a plugin that breaks it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.testing import RULES, MemoryTarget, Outcome, Verdict, VolumeSubject, run

from .wrong import http, messages, mounts, volumes
from .wrong.registry import WRONG
from .wrong.right import Right

#: The modules that fill the registry.
MODULES = (http, messages, mounts, volumes)
#: Judged where there is a socket.
ELSEWHERE = {"P-SOCKET-MODE"}


class WrongPluginTests(SynchronousTestCase):
    """Wrong plugins, in memory."""

    def judge(self, plugin: type[Right], *ids: str) -> list[Verdict]:
        """Return how a plugin stands to rules, to all if none are named."""
        base = Path(self.mktemp()).absolute()
        found = []
        for rule in RULES:
            if ids and rule.id not in ids:
                continue
            clock = Clock()
            made = plugin(base / rule.id / "volumes", clock)
            target = MemoryTarget(made.site(), clock)
            subject = VolumeSubject(target, idle=90.0, large=2 << 20, prefix=f"kit-{rule.id}-")
            run(subject.prepare())
            found.append(run(rule.judge(subject)))
            run(subject.cleanup())
        return found

    def test_right(self) -> None:
        """The plugin that the wrong ones are made of breaks no rule."""
        found = {v.rule.id: v.seen for v in self.judge(Right) if v.outcome is not Outcome.PASSED}
        self.assertEqual(set(found), ELSEWHERE, found)

    def test_every_rule(self) -> None:
        """For every rule there is a wrong plugin."""
        self.assertEqual(sorted(WRONG), sorted(rule.id for rule in RULES))


def _test(rule_id: str) -> Any:
    def test(self: WrongPluginTests) -> None:
        failed = {v.rule.id: v.seen for v in self.judge(WRONG[rule_id]) if v.failed}
        self.assertEqual(set(failed), {rule_id}, failed)

    test.__doc__ = f"{WRONG[rule_id].__doc__} {rule_id} says so, and no other rule."
    return test


for _id in sorted(set(WRONG) - ELSEWHERE):
    setattr(WrongPluginTests, f"test_{_id.replace('-', '_')}", _test(_id))
