"""Every rule of the conformance kit can fail: for each there is a plugin that breaks it alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin import Plugin
from exampledriver.plugin.testing import (
    RULES,
    AuthzSubject,
    IpamSubject,
    LogSubject,
    MemoryTarget,
    MetricsSubject,
    NetworkSubject,
    Outcome,
    SecretSubject,
    Verdict,
    VolumeSubject,
    rules_of,
    run,
)
from tests.plugin.wrong import http, kinds, logs, messages, metrics, mounts, secrets, volumes
from tests.plugin.wrong.oldauthz import OldTemplate
from tests.plugin.wrong.registry import WRONG
from tests.plugin.wrong.right import Right

#: The modules that fill the registry.
MODULES = (http, kinds, logs, messages, metrics, mounts, secrets, volumes)
#: The right plugin of each other kind, its subject and its protocol.
KINDS: list[tuple[type[Right], Any, str]] = [
    (kinds.RightAuthz, AuthzSubject, "authz"),
    (kinds.RightNetwork, NetworkSubject, "NetworkDriver"),
    (kinds.RightIpam, IpamSubject, "IpamDriver"),
    (secrets.RightSecrets, partial(SecretSubject, secret=secrets.SECRET), "secretprovider"),
    (logs.RightLogs, LogSubject, "LogDriver"),
    (metrics.RightMetrics, MetricsSubject, "MetricsCollector"),
]
#: Judged where there is a socket.
ELSEWHERE = {"P-SOCKET-MODE"}


class WrongPluginTests(SynchronousTestCase):
    """Wrong plugins, in memory."""

    def judge(self, plugin: type[Right]) -> list[Verdict]:
        """Return how a plugin stands to the rules of its kind."""
        base = Path(self.mktemp()).absolute()
        kind, protocol = next(
            ((kind, name) for right, kind, name in KINDS if issubclass(plugin, right)),
            (VolumeSubject, "VolumeDriver"),
        )
        found = []
        for rule in rules_of(protocol):
            clock = Clock()
            made = plugin(base / rule.id / "volumes", clock)
            subject = kind(MemoryTarget(made.site(), clock), idle=90.0, large=(1 << 20) + 1)
            if isinstance(subject, VolumeSubject):
                subject.prefix = f"kit-{rule.id}-"
            run(subject.prepare())
            found.append(run(rule.judge(subject)))
            run(subject.cleanup())
        return found

    def test_right(self) -> None:
        """The plugins that the wrong ones are made of break no rule."""
        rights: list[type[Right]] = [Right, *(right for right, _, _ in KINDS)]
        for plugin in rights:
            verdicts = self.judge(plugin)
            found = {v.rule.id: v.seen for v in verdicts if v.outcome is not Outcome.PASSED}
            self.assertEqual(set(found), ELSEWHERE, found)

    def test_every_rule(self) -> None:
        """For every rule there is a wrong plugin."""
        self.assertEqual(sorted(WRONG), sorted(rule.id for rule in RULES))


class OldTemplateTests(SynchronousTestCase):
    """The template of authorization plugins as it was."""

    def test_old(self) -> None:
        """Each way round it is a rule's, and it breaks no others."""
        found = set()
        for rule in rules_of("authz"):
            clock = Clock()
            site = Plugin("old", [OldTemplate()], clock).site()
            subject = AuthzSubject(MemoryTarget(site, clock), idle=90.0, large=(1 << 20) + 1)
            verdict = run(rule.judge(subject))
            if verdict.failed:
                found.add(rule.id)
        ways = {"A-BESIDE", "A-CASE", "A-DUPLICATE", "A-ESCAPE", "A-EXEC", "A-START"}
        self.assertEqual(found, ways)


def _test(rule_id: str) -> Any:
    def test(self: WrongPluginTests) -> None:
        failed = {v.rule.id: v.seen for v in self.judge(WRONG[rule_id]) if v.failed}
        self.assertEqual(set(failed), {rule_id}, failed)

    test.__doc__ = f"{WRONG[rule_id].__doc__} {rule_id} says so, and no other rule."
    return test


for _id in sorted(set(WRONG) - ELSEWHERE):
    setattr(WrongPluginTests, f"test_{_id.replace('-', '_')}", _test(_id))
