"""The parts of ``exampledriver doctor`` that need no installation."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from threading import Event

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.checks import CannotLookError, Finding, Installation
from exampledriver.cli.checks.compose import fill, project_name, read
from exampledriver.cli.checks.engine import judge_units, read_unit
from exampledriver.cli.checks.files import judge_space
from exampledriver.cli.doctor import Report, examine
from exampledriver.cli.main import main

HERE = Installation("x", Path("/r"), Path("/s"), Path("/t"), Path("/x.sock"), [], None)
FINDING = Finding("sockets", "problem", "what", "why", "one\ntwo")


def space(
    size: int, free: int, inodes: int = 900, flags: int = 0, all_inodes: int = 1000
) -> os.statvfs_result:
    """Return what statvfs(2) says of a file system, in MiB."""
    return os.statvfs_result(
        (1 << 20, 1 << 20, size, free, free, all_inodes, inodes, inodes, flags, 255)
    )


class SpaceTests(SynchronousTestCase):
    """When a disk is full."""

    def severities(self, found: os.statvfs_result) -> list[str]:
        """Return how bad a file system is."""
        return [finding.severity for finding in judge_space("/x", Path("/x"), found)]

    def test_healthy(self) -> None:
        """Space enough is space enough, on large and on small file systems."""
        self.assertEqual(self.severities(space(100_000, 50_000)), [])
        self.assertEqual(self.severities(space(40, 30)), [])
        self.assertEqual(self.severities(space(0, 0, 0, all_inodes=0)), [])

    def test_full(self) -> None:
        """Less than 64 MiB or, on a small one, less than 5 % is full; before that it is a note."""
        self.assertEqual(self.severities(space(100_000, 63)), ["problem"])
        self.assertEqual(self.severities(space(100_000, 4_000)), ["note"])
        self.assertEqual(self.severities(space(40, 1)), ["problem"])

    def test_inodes(self) -> None:
        """No free inode is as bad."""
        self.assertEqual(self.severities(space(100_000, 50_000, 0)), ["problem"])

    def test_read_only(self) -> None:
        """A read-only file system is found, with the command that makes it writable."""
        (finding,) = judge_space("/", Path("/"), space(100, 50, flags=os.ST_RDONLY))
        self.assertIn("mount -o remount,rw /", finding.fix)


GOOD = read_unit("LoadState=loaded\nUnitFileState=enabled\nBefore=docker.service shutdown.target\n")
NONE = read_unit("LoadState=not-found\nUnitFileState=\nBefore=\n")
SOCKET = read_unit("LoadState=loaded\nUnitFileState=enabled\nBefore=sockets.target\n")


class UnitTests(SynchronousTestCase):
    """What systemd says of the driver's units."""

    def found(self, service: dict[str, str], socket: dict[str, str]) -> list[Finding]:
        """Return the findings."""
        return list(judge_units("x.service", service, "x.socket", socket))

    def test_good(self) -> None:
        """An enabled service before docker.service is good, an enabled socket too."""
        self.assertEqual(self.found({**GOOD}, {**NONE}), [])
        self.assertEqual(self.found({**NONE}, {**SOCKET}), [])

    def test_missing(self) -> None:
        """No unit at all is found."""
        (finding,) = self.found({**NONE}, {**NONE})
        self.assertIn("systemctl enable --now x.socket x.service", finding.fix)

    def test_disabled(self) -> None:
        """A unit that is not enabled is found."""
        (finding,) = self.found({**GOOD, "UnitFileState": "disabled"}, {**NONE})
        self.assertEqual(finding.fix, "systemctl enable x.service")

    def test_order(self) -> None:
        """A unit without Before=docker.service is found, with a drop-in that has it."""
        (finding,) = self.found({**GOOD, "Before": "shutdown.target"}, {**NONE})
        self.assertIn("Before=docker.service", finding.fix)
        self.assertIn("/etc/systemd/system/x.service.d/", finding.fix)


class ComposeTests(SynchronousTestCase):
    """How a Compose file is read."""

    def test_fill(self) -> None:
        """Variables are filled in as Compose does."""
        environment = {"A": "1", "EMPTY": ""}
        for text, filled in (
            ("$A-${A}", "1-1"),
            ("$$A", "$A"),
            ("${B}", ""),
            ("${B-2}${EMPTY-2}", "2"),
            ("${B:-2}${EMPTY:-3}", "23"),
            ("${A:?must be}${A+there}${B+there}", "1there"),
            ("cost: 5$", "cost: 5$"),
        ):
            self.assertEqual(fill(text, environment), filled, text)

    def test_project(self) -> None:
        """The environment names the project, or the file, or its directory."""
        path = Path("/home/me/My_Shop! 2/compose.yaml")
        self.assertEqual(project_name(None, path, {}), "my_shop2")
        self.assertEqual(project_name("named", path, {}), "named")
        self.assertEqual(project_name("named", path, {"COMPOSE_PROJECT_NAME": "_env"}), "env")

    def test_without_yaml(self) -> None:
        """Without PyYAML one line says how to get it."""
        self.patch(sys, "modules", {**sys.modules, "yaml": None})
        error = self.assertRaises(CannotLookError, list, read(b"", Path("/x"), "x", {}))
        self.assertIn("pip install exampledriver[doctor]", str(error))


class ReportTests(SynchronousTestCase):
    """What is said at the end."""

    def test_status(self) -> None:
        """A problem is 1; notes alone are 0; something not looked at is 2."""
        note = Finding("disk", "note", "what", "why", "fix")
        self.assertEqual(Report(["a"], [note]).status(), 0)
        self.assertEqual(Report(["a"], [note, FINDING]).status(), 1)
        self.assertEqual(Report([], [FINDING], [("a", "why")]).status(), 1)
        self.assertEqual(Report([], [note], [("a", "why")]).status(), 2)

    def test_text(self) -> None:
        """Lines are short, commands whole, and the last line counts."""
        long = Finding("disk", "note", "word " * 50, "word " * 50, f"rm {'x' * 200}")
        lines = Report(["a"], [FINDING, long], [("b", "no")]).as_text().splitlines()
        self.assertEqual(
            lines[:4], ["PROBLEM (sockets): what", "  why: why", "  fix: one", "       two"]
        )
        self.assertLessEqual(max(len(line) for line in lines if "xx" not in line), 96)
        self.assertIn(f"  fix: rm {'x' * 200}", lines)
        self.assertIn("NOT MADE (b): no", lines)
        self.assertEqual(lines[-1], "1 problem, 1 note; 1 check made, 1 not made")

    def test_hanging(self) -> None:
        """A check that hangs is given up, with what it has found and where it was."""
        end = Event()
        self.addCleanup(end.set)

        def hangs(at: Installation) -> Iterator[Finding]:
            yield FINDING
            at.looking_at = "/mnt/dead"
            end.wait()

        report = examine(HERE, {"hangs": hangs, "good": lambda at: iter([])}, 0.2)
        self.assertEqual((report.checks, report.findings), (["good"], [FINDING]))
        self.assertIn("/mnt/dead", report.not_made[0][1])

    def test_trouble(self) -> None:
        """A check that fails in any way is not made, and keeps what it has found."""
        for error, text in (
            (CannotLookError("no"), "no"),
            (PermissionError(13, "denied", "/x"), "/x: permission denied: run doctor as root"),
            (KeyError("x"), "KeyError: 'x'"),
        ):

            def fails(at: Installation, error: Exception = error) -> Iterator[Finding]:
                yield FINDING
                raise error

            report = examine(HERE, {"fails": fails})
            self.assertEqual(report.not_made, [("fails", text)])
            self.assertEqual((report.checks, report.findings), ([], [FINDING]))

    def test_help(self) -> None:
        """The help names the exit statuses."""
        out = StringIO()
        with redirect_stdout(out):
            self.assertRaises(SystemExit, main, ["doctor", "--help"])
        self.assertIn("Exit status: 0 no problem", out.getvalue())
