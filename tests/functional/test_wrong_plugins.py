"""Every rule of the conformance kit can fail: for each there is a plugin that breaks it alone."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from exampledriver.plugin import Plugin
from exampledriver.plugin.authz import (
    ALLOW,
    AuthzRequest,
    AuthzResponse,
    Decision,
    IAuthzDriver,
)
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


class GoodPluginTests(SynchronousTestCase):
    """Plugins that look wrong, and are not."""

    def judge(self, plugin: type[Right], rule_id: str) -> Verdict:
        """Return how a plugin of volumes stands to a rule."""
        (rule,) = (rule for rule in RULES if rule.id == rule_id)
        clock = Clock()
        made = plugin(Path(self.mktemp()).absolute(), clock)
        return run(rule.judge(VolumeSubject(MemoryTarget(made.site(), clock), idle=90.0)))

    def test_complete(self) -> None:
        """A message that is complete may be acted on before what follows it has come."""

        class Early(Right):
            """It creates a volume as soon as the object has come to its end."""

            def received(self, protocol: Any, data: bytes) -> bytes:
                body = data.partition(b"\r\n\r\n")[2]
                if b"/VolumeDriver.Create" in data:
                    with contextlib.suppress(ValueError):
                        self.make(json.loads(body)["Name"], {})
                return data

        self.assertEqual(self.judge(Early, "V-DROPPED-BODY").outcome, Outcome.PASSED)


class AllowingTests(SynchronousTestCase):
    """An authorization plugin that forbids nothing."""

    def test_ways_round(self) -> None:
        """There is nothing to get round: those rules do not apply, and the others hold."""
        outcomes = judged_authz(AllowAll())
        ways = OldTemplateTests.ways | {"A-HIDDEN"}
        self.assertEqual(
            {rule for rule, how in outcomes.items() if how is Outcome.NOT_APPLICABLE}, ways
        )
        self.assertEqual(
            {how for rule, how in outcomes.items() if rule not in ways}, {Outcome.PASSED}
        )


@implementer(IAuthzDriver)
class AllowAll:
    """A driver that allows everything."""

    def authorize_request(self, request: AuthzRequest) -> Decision:
        return ALLOW

    def authorize_response(self, response: AuthzResponse) -> Decision:
        return ALLOW


def judged_authz(driver: object) -> dict[str, Outcome]:
    """Return how a driver of authorization stands to each rule, but that of sockets."""
    found = {}
    for rule in rules_of("authz"):
        clock = Clock()
        target = MemoryTarget(Plugin("x", [driver], clock).site(), clock)
        subject = AuthzSubject(target, idle=90.0, large=(1 << 20) + 1)
        if rule.id not in ELSEWHERE:
            found[rule.id] = run(rule.judge(subject)).outcome
    return found


class OldTemplateTests(SynchronousTestCase):
    """The template of authorization plugins as it was."""

    ways = frozenset({"A-BESIDE", "A-CASE", "A-DUPLICATE", "A-ESCAPE", "A-EXEC", "A-START"})

    def test_old(self) -> None:
        """Each way round it is a rule's, and it breaks no others."""
        outcomes = judged_authz(OldTemplate())
        failed = {rule for rule, how in outcomes.items() if how is Outcome.FAILED}
        self.assertEqual(failed, self.ways)


def _test(rule_id: str) -> Any:
    def test(self: WrongPluginTests) -> None:
        failed = {v.rule.id: v.seen for v in self.judge(WRONG[rule_id]) if v.failed}
        self.assertEqual(set(failed), {rule_id}, failed)

    test.__doc__ = f"{WRONG[rule_id].__doc__} {rule_id} says so, and no other rule."
    return test


for _id in sorted(set(WRONG) - ELSEWHERE):
    setattr(WrongPluginTests, f"test_{_id.replace('-', '_')}", _test(_id))
