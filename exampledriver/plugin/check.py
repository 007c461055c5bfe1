"""``python -m exampledriver.plugin.check SOCKET``: judge a running plugin of any language.

It talks to the plugin as Docker and Podman do, by every rule of
:mod:`exampledriver.plugin.testing`, and says what their users would see. It makes and removes
volumes of its own and touches no other.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from attrs import define, frozen

from .testing.address import Address, AddressError
from .testing.connection import NO_ANSWER, Target
from .testing.judging import Blocked, Outcome, Rule, Severity, Verdict
from .testing.logs import LogSubject
from .testing.rules import RULES
from .testing.sockets import SocketTarget, run
from .testing.subject import Subject, VolumeSubject
from .testing.subjects import (
    AuthzSubject,
    IpamSubject,
    MetricsSubject,
    NetworkSubject,
    SecretSubject,
)

#: What an exit status says.
PASSED, FAILED, CANNOT = 0, 1, 2

_MARKS = {
    Outcome.PASSED: "ok  ",
    Outcome.BLOCKED: "?   ",
    Outcome.NOT_APPLICABLE: "-   ",
}


@frozen
class Report:
    """What was found.

    :ivar target: what people call the plugin.
    :ivar left: names of volumes that could not be removed.
    """

    target: str
    protocols: Sequence[str]
    verdicts: Sequence[Verdict]
    left: Sequence[str]

    def failed(self, severity: Severity) -> list[Verdict]:
        """Return the broken rules of one severity."""
        return [v for v in self.verdicts if v.failed and v.rule.severity is severity]

    @property
    def status(self) -> int:
        """The exit status: 1 if a rule of severity error is broken, 2 if one cannot be judged."""
        if self.failed(Severity.ERROR):
            return FAILED
        blocked = any(verdict.outcome is Outcome.BLOCKED for verdict in self.verdicts)
        return CANNOT if blocked or self.left else PASSED

    def summary(self) -> str:
        """Return one line that says it all."""
        outcomes = Counter(verdict.outcome for verdict in self.verdicts)
        broken = [
            f"{len(found)} of severity {severity.value}"
            for severity in Severity
            if (found := self.failed(severity))
        ]
        parts = [f"{outcomes[Outcome.PASSED]} of {len(self.verdicts)} rules hold"]
        parts += [f"broken: {', '.join(broken)}"] if broken else []
        if outcomes[Outcome.BLOCKED]:
            parts.append(f"{outcomes[Outcome.BLOCKED]} could not be judged")
        if outcomes[Outcome.NOT_APPLICABLE]:
            parts.append(f"{outcomes[Outcome.NOT_APPLICABLE]} do not apply")
        return "; ".join(parts)

    def as_json(self) -> Mapping[str, object]:
        """Return the report for machines."""
        return {
            "target": self.target,
            "protocols": list(self.protocols),
            "status": self.status,
            "left": list(self.left),
            "rules": [
                {
                    "id": verdict.rule.id,
                    "severity": verdict.rule.severity.value,
                    "outcome": verdict.outcome.value,
                    "says": verdict.rule.says,
                    "seen": verdict.seen,
                }
                for verdict in self.verdicts
            ],
        }


def line(verdict: Verdict) -> str:
    """Return a verdict as lines for people."""
    rule = verdict.rule
    mark = _MARKS.get(verdict.outcome) or "FAIL"
    found = [f"{mark} {rule.id:<20} {rule.says}"]
    if verdict.failed:
        found.append(f"     {rule.severity.value}: {verdict.seen}")
        found.append(f"     so: {rule.why}")
    elif verdict.seen:
        found.append(f"     {verdict.outcome.value}: {verdict.seen}")
    return "\n".join(found)


@define(eq=False)
class Check:
    """A check of one plugin.

    :ivar say: gets each verdict as it comes.
    :ivar begin: gets the protocols, before the first one.
    """

    target: Target
    only: Sequence[str] = ()
    protocols: Sequence[str] = ()
    prefix: str = ""
    options: Mapping[str, str] = {}
    files: bool = True
    secret: str = ""
    limit: float = 10.0
    idle: float = 2.0
    say: Callable[[Verdict], None] = lambda verdict: None
    begin: Callable[[Sequence[str]], None] = lambda protocols: None

    def run(self) -> Report:
        """Judge the plugin by every rule that is asked for. Blocks.

        :raises Unreachable: it cannot be connected to.
        """
        run(self._connects())
        protocols = self.protocols or self._protocols()
        self.begin(protocols)
        verdicts, left = [], []
        for rule in self.rules(protocols):
            subject = self._subject(rule)
            try:
                run(subject.prepare())
                verdict = run(rule.judge(subject))
            finally:
                left += run(subject.cleanup())
            self.say(verdict)
            verdicts.append(verdict)
        return Report(self.target.name, protocols, verdicts, left)

    def rules(self, protocols: Sequence[str]) -> list[Rule]:
        """Return the rules that are judged."""
        return [
            rule
            for rule in RULES
            if (not rule.protocol or rule.protocol in protocols)
            and (not self.only or any(fnmatchcase(rule.id, pattern) for pattern in self.only))
        ]

    async def _connects(self) -> None:
        connection = await self.target.connect()
        connection.close()

    def _protocols(self) -> list[str]:
        """Return what the plugin says that it is; a volume driver, if it says nothing."""
        known = {rule.protocol for rule in RULES}
        try:
            said = run(Subject(self.target, self.limit).implements())
        except Blocked:
            return ["VolumeDriver"]
        return [name for name in said if name in known]

    def _subject(self, rule: Rule) -> Subject:
        if rule.protocol == "authz":
            return AuthzSubject(self.target, self.limit, self.idle)
        if rule.protocol == "NetworkDriver":
            subject = NetworkSubject(self.target, self.limit, self.idle, options=self.options)
            subject.prefix = secrets.token_hex(8)
            return subject
        if rule.protocol == "IpamDriver":
            return IpamSubject(self.target, self.limit, self.idle)
        if rule.protocol == "secretprovider":
            return SecretSubject(self.target, self.limit, self.idle, secret=self.secret)
        if rule.protocol == "LogDriver":
            logs = LogSubject(self.target, self.limit, self.idle, options=dict(self.options))
            logs.prefix = secrets.token_hex(8)
            return logs
        if rule.protocol == "MetricsCollector":
            return MetricsSubject(self.target, self.limit, self.idle)
        if rule.protocol != "VolumeDriver":
            return Subject(self.target, self.limit, self.idle)
        return VolumeSubject(
            self.target,
            self.limit,
            self.idle,
            # Another one for each rule: what one leaves behind is not in the next one's way.
            prefix=f"{self.prefix}{secrets.token_hex(4)}-",
            options=self.options,
            files=self.files,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m exampledriver.plugin.check",
        description="Judge a running Docker plugin by what Docker and Podman need of it, rule by "
        "rule, and say what their users would see. It makes, mounts and removes volumes of its "
        "own, and touches no other.",
        epilog="example: python -m exampledriver.plugin.check /run/docker/plugins/notes.sock. "
        "Exit status: 0 if all rules of severity error hold, 1 if one is broken, "
        "2 if it could not be found out.",
    )
    parser.add_argument(
        "address", metavar="SOCKET", nargs="?", help="a UNIX socket, a URL, a .spec or .json"
    )
    parser.add_argument("--json", action="store_true", help="a report for machines")
    parser.add_argument(
        "--only", metavar="RULE", action="append", default=[], help="an id, or V-GET-*; repeatable"
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        action="append",
        default=[],
        choices=sorted({rule.protocol for rule in RULES} - {""}),
        help="not what Activate says",
    )
    parser.add_argument(
        "--name-prefix", metavar="TEXT", default="kit-", help="begins the names of volumes"
    )
    parser.add_argument(
        "--opt",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="needed to make a volume, network or log; {name} in it stands for its name or ID",
    )
    parser.add_argument(
        "--no-files", action="store_true", help="the plugin's directories are not seen from here"
    )
    parser.add_argument(
        "--secret", metavar="NAME", default="", help="a secret that a secret provider has"
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=10.0, help="for each answer"
    )
    parser.add_argument(
        "--idle", metavar="SECONDS", type=float, default=2.0, help="how long P-IDLE looks"
    )
    parser.add_argument("--rules", action="store_true", help="list the rules, and do nothing")
    return parser


def table() -> str:
    """Return all rules as a table in Markdown."""
    rows = ["| rule | | what it says | otherwise | from |", "|---|---|---|---|---|"]
    for rule in RULES:
        cells = (f"`{rule.id}`", rule.severity.value, rule.says, rule.why, rule.source)
        escaped = (cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)
        rows.append(f"| {' | '.join(escaped)} |")
    return "\n".join(rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.rules:
        sys.stdout.write(table())
        return PASSED
    if given.address is None:
        parser.error("give the plugin's SOCKET")
    options = dict(option.partition("=")[::2] for option in given.opt)
    try:
        address = Address.parse(given.address)
    except (AddressError, OSError) as error:
        parser.error(str(error))
    check = Check(
        SocketTarget(address, given.timeout),
        only=given.only,
        protocols=given.protocol,
        prefix=given.name_prefix,
        options=options,
        # On another machine the directories are not here.
        files=not given.no_files and address.path is not None,
        secret=given.secret,
        limit=given.timeout,
        idle=given.idle,
    )
    if not check.rules([rule.protocol for rule in RULES]):
        parser.error(f"no rule is {' or '.join(given.only)}; --rules lists them")

    def begin(protocols: Sequence[str]) -> None:
        if "VolumeDriver" in protocols:
            text = f"{address.text}: making and removing volumes named {given.name_prefix}…\n"
            sys.stderr.write(text)

    check.begin = begin
    if not given.json:
        check.say = lambda verdict: print(line(verdict), flush=True)
    return _report(check, given.json)


def _report(check: Check, as_json: bool) -> int:
    try:
        report = check.run()
    except NO_ANSWER as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT
    except KeyboardInterrupt:
        sys.stderr.write("stopped; what was made has been removed\n")
        return CANNOT
    if as_json:
        print(json.dumps(report.as_json(), indent=1))
    else:
        print(f"\n{report.target} ({', '.join(report.protocols)}): {report.summary()}")
        if report.left:
            print(f"left behind, remove by hand: {', '.join(map(repr, report.left))}")
    return report.status


if __name__ == "__main__":
    sys.exit(main())
