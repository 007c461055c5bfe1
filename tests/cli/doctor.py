"""Running ``exampledriver doctor`` on a daemon's directories; kept out of the test modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.process import PATIENCE, Daemon


def doctor(daemon: Daemon, *options: str, user: int | None = None) -> tuple[int, str]:
    """Run the command in a process of its own; return its exit status and its output."""
    found = subprocess.run(
        [
            os.path.join(os.path.dirname(sys.executable), "exampledriver"),
            "doctor",
            "--name=x",
            f"--root={daemon.root}",
            f"--state={daemon.state}",
            f"--runtime={daemon.base / 'run'}",
            f"--socket={daemon.socket}",
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        user=user,
        cwd="/",
    )
    assert not found.stderr, found.stderr
    return found.returncode, found.stdout


def examine(daemon: Daemon, *options: str, user: int | None = None) -> dict[str, Any]:
    """Return the report for machines, with the exit status as ``status``."""
    status, text = doctor(daemon, "--json", *options, user=user)
    report: dict[str, Any] = json.loads(text)
    assert report["healthy"] is (status == 0), report
    return {**report, "status": status}


def found(report: dict[str, Any], check: str, severity: str = "problem") -> dict[str, str]:
    """Return the one finding of a check.

    :raises AssertionError: it is not there, or not the only one, or has no fix.
    """
    findings = [finding for finding in report["findings"] if finding["check"] == check]
    assert len(findings) == 1, report
    finding: dict[str, str] = findings[0]
    assert finding["severity"] == severity, finding
    assert finding["why"] and finding["fix"], finding
    if severity == "problem":
        assert report["status"] == 1, report
    return finding


def healthy(report: dict[str, Any]) -> None:
    """See that nothing was found, and everything looked at."""
    assert not report["findings"], report
    assert not report["not_made"], report
    assert report["status"] == 0, report
