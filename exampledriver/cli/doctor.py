"""``exampledriver doctor``: find what breaks plugin installations, and say what mends it.

Exit status: 0, no problem; 1, a problem was found; 2, it was misused, or no problem
was found but not everything could be looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import textwrap
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from attrs import asdict, define, field

from ..processes import printable
from ..settings import DEFAULTS

if TYPE_CHECKING:
    from .checks import Check, Finding, Installation

#: Seconds for one check, in which only a file system that hangs is left to wait for.
LIMIT = 30.0
_WIDTH = 96


def add_to(rooms: Any) -> None:
    """Add the command to the parser's commands."""
    text = "find what breaks plugin installations, and say what mends it; changes nothing"
    command: argparse.ArgumentParser = rooms.add_parser(
        "doctor",
        help=text,
        description=f"{text.capitalize()}.",
        epilog="Exit status: 0 no problem, 1 a problem found, 2 misused or not all could be "
        "looked at.",
    )
    option = command.add_argument
    option("--name", default=DEFAULTS["name"], help="the driver's name (default: %(default)s)")
    for place in ("root", "state", "runtime"):
        option(
            f"--{place}",
            type=_path,
            default=DEFAULTS[place],
            metavar="DIR",
            help="as the daemon's (default: %(default)s)",
        )
    option("--socket", type=_path, help="its socket (default: /run/docker/plugins/NAME.sock)")
    option(
        "--plugin-dir",
        type=_path,
        action="append",
        metavar="DIR",
        help="where Docker finds plugins, repeatable (default: /run/docker/plugins "
        "/etc/docker/plugins /usr/lib/docker/plugins)",
    )
    option(
        "--docker",
        type=_engine,
        default="unix:///var/run/docker.sock",
        metavar="ADDRESS",
        help="the engine, unix://PATH, or none (default: %(default)s)",
    )
    option(
        "--compose",
        type=_path,
        action="append",
        default=[],
        metavar="FILE",
        help="a Compose file whose volumes are compared, repeatable",
    )
    option("--json", action="store_true", help="one JSON object in place of text")
    command.set_defaults(action=run)


def _path(text: str) -> Path:
    return Path(os.path.abspath(text))


def _engine(text: str) -> Path | None:
    if text == "none":
        return None
    if not text.startswith("unix:///"):
        raise argparse.ArgumentTypeError(f"{text}: give unix://PATH, or none; only that is asked")
    return Path(text.removeprefix("unix://"))


@define(eq=False)
class Report:
    """What the checks found.

    :ivar checks: the names of those that were made to their end.
    :ivar not_made: the others, and why.
    """

    checks: list[str] = field(factory=list)
    findings: list[Finding] = field(factory=list)
    not_made: list[tuple[str, str]] = field(factory=list)

    def status(self) -> int:
        """Return the exit status."""
        if any(finding.severity == "problem" for finding in self.findings):
            return 1
        return 2 if self.not_made else 0

    def as_json(self) -> str:
        """Return the report for machines."""
        return json.dumps(
            {
                "healthy": self.status() == 0,
                "checks": self.checks,
                "not_made": [{"check": check, "why": why} for check, why in self.not_made],
                "findings": [asdict(finding) for finding in self.findings],
            }
        )

    def as_text(self) -> str:
        """Return the report for people."""
        lines: list[str] = []
        for finding in self.findings:
            lines += _wrapped(f"{finding.severity.upper()} ({finding.check}): ", finding.what)
            lines += _wrapped("  why: ", finding.why)
            # Commands are copied, so they are not broken.
            first, *others = map(printable, finding.fix.split("\n"))
            lines += [f"  fix: {first}", *(f"       {line}" for line in others), ""]
        for check, why in self.not_made:
            lines += [*_wrapped(f"NOT MADE ({check}): ", why), ""]
        return "\n".join([*lines, self._last_line()])

    def _last_line(self) -> str:
        problems = sum(finding.severity == "problem" for finding in self.findings)
        notes = len(self.findings) - problems
        made = _number(len(self.checks), "check") + " made"
        if not self.findings and not self.not_made:
            return f"healthy: {made}"
        missing = f", {len(self.not_made)} not made" if self.not_made else ""
        return f"{_number(problems, 'problem')}, {_number(notes, 'note')}; {made}{missing}"


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        head + printable(text),
        _WIDTH,
        subsequent_indent="       ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def examine(at: Installation, checks: dict[str, Check], limit: float = LIMIT) -> Report:
    """Make the checks, one after the other, each in a thread that may hang.

    :param limit: seconds for each.
    """
    report = Report()
    for name, check in checks.items():
        found: list[Finding] = []
        trouble: list[str] = []
        thread = Thread(target=_make, args=(at, check, found, trouble), daemon=True)
        thread.start()
        thread.join(limit)
        if thread.is_alive():
            trouble = [f"not done within {limit:.0f} s; the last look was at {at.looking_at}"]
        report.findings += found[:]
        if trouble:
            report.not_made.append((name, trouble[0]))
        else:
            report.checks.append(name)
    report.findings.sort(key=lambda finding: finding.severity != "problem")
    return report


def _make(at: Installation, check: Check, found: list[Finding], trouble: list[str]) -> None:
    from .checks import CannotLookError

    try:
        for finding in check(at):
            found.append(finding)  # noqa: PERF402 what is found before trouble counts
    except CannotLookError as error:
        trouble.append(str(error))
    except PermissionError as error:
        trouble.append(f"{error.filename}: permission denied: run doctor as root")
    except Exception as error:
        trouble.append(f"{type(error).__name__}: {error}")


def run(options: argparse.Namespace) -> int:
    """Examine the installation, and print what was found."""
    from .checks import Installation, checks_for

    at = Installation(
        options.name,
        options.root,
        options.state,
        options.runtime,
        options.socket or Path(f"/run/docker/plugins/{options.name}.sock"),
        options.plugin_dir
        or [Path(f"{place}/docker/plugins") for place in ("/run", "/etc", "/usr/lib")],
        options.docker,
        options.compose,
    )
    report = examine(at, checks_for(at))
    print(report.as_json() if options.json else report.as_text())
    return report.status()
