"""The conformance command, as a process, against plugins that are processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.testing import RULES, rules_of
from tests.plugin.wrong.secrets import SECRET
from tests.process import PATIENCE, remove_directory, short_directory, until

from .case import DaemonCase

ROOT = Path(__file__).parents[2]

#: Rules whose wrong plugins are served by a process here, one of each kind and every serious one.
SERVED = (
    "L-FIFO",
    "L-READ",
    "M-START",
    "P-HOST-EMPTY",
    "P-IDLE",
    "P-SOCKET-MODE",
    "S-NAME-TRAVERSAL",
    "S-VALUE",
    "V-DATA-KEPT",
    "V-DROPPED-BODY",
    "V-ERR-STATUS",
    "V-GET-BUSY",
    "V-GET-CREATED",
    "V-GET-STEADY",
    "V-LIST-NULL",
    "V-MOUNT",
    "V-NAME-TRAVERSAL",
    "V-RETRY-EMPTY",
    "V-TYPE-NONE",
)


def check(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "exampledriver.plugin.check", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=4 * PATIENCE,
    )


def outcomes(found: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return each rule's outcome, of a report for machines."""
    return {rule["id"]: rule["outcome"] for rule in json.loads(found.stdout)["rules"]}


class DaemonTests(DaemonCase):
    """Our own daemon under judgement."""

    def test_all(self) -> None:
        """The daemon keeps every rule, and what was there before is there after."""
        self.daemon.start()
        self.daemon.ok("Create", Name="mine")
        found = check("--json", str(self.daemon.socket))
        report = json.loads(found.stdout)
        wrong = [rule for rule in report["rules"] if rule["outcome"] != "passed"]
        self.assertEqual(wrong, [])
        self.assertEqual(
            (found.returncode, len(report["rules"])), (0, len(rules_of("VolumeDriver")))
        )
        self.assertEqual(report["left"], [])
        self.assertEqual(self.daemon.names(), ["mine"])

    def test_people(self) -> None:
        """The report for people has a line for each rule, and one that says it all."""
        self.daemon.start()
        found = check("--only", "V-GET-*", "--name-prefix", "mine-", str(self.daemon.socket))
        lines = found.stdout.splitlines()
        self.assertTrue(all(line.startswith("ok   V-GET-") for line in lines[:-2]), lines)
        self.assertTrue(lines[-1].endswith(f"{len(lines) - 2} of {len(lines) - 2} rules hold"))
        self.assertIn("making and removing volumes named mine-", found.stderr)

    def test_spec(self) -> None:
        """A spec file leads to the plugin too."""
        self.daemon.start()
        spec = self.base / "x.spec"
        spec.write_text(f"unix://{self.daemon.socket}\n")
        self.assertEqual(check("--only", "P-ACTIVATE", str(spec)).returncode, 0)


class WrongPluginTests(SynchronousTestCase):
    """Wrong plugins under judgement."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)

    def serve(self, rule: str) -> str:
        """Serve the plugin that breaks a rule; return its socket's path."""
        socket = self.base / "s"
        words = [rule, str(socket), str(self.base / "volumes")]
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.plugin.wrong", *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        until(lambda: socket.exists() or process.poll() is not None, "a socket")
        return str(socket)

    def test_right(self) -> None:
        """The plugin that the wrong ones are made of keeps every rule."""
        found = check("--json", self.serve("right"))
        self.assertEqual(set(outcomes(found).values()), {"passed"}, found.stdout)
        self.assertEqual(found.returncode, 0)

    def test_places(self) -> None:
        """Of an option that names a place, each volume gets its own."""
        places = self.base / "places"
        option = f"--opt=place={places}/{{name}}"
        found = check("--json", "--only=V-*", option, self.serve("places"))
        self.assertEqual(set(outcomes(found).values()), {"passed"}, found.stdout)
        (self.base / "one").mkdir()
        (self.base / "one/file").touch()
        one = check("--json", "--only=V-*", f"--opt=place={self.base}/one", str(self.base / "s"))
        failed = {rule for rule, how in outcomes(one).items() if how == "failed"}
        self.assertEqual(failed, {"V-NAME-DISTINCT", "V-MOUNT-ONE-ID", "V-MOUNT-FRESH",
                                  "V-DATA-GONE"})  # fmt: skip

    def test_no_volumes(self) -> None:
        """Of a plugin without volumes nobody reads that volumes are made."""
        found = check("--only=P-ACTIVATE", self.serve("S-VALUE"))
        self.assertEqual((found.returncode, found.stderr), (0, ""), found.stdout)

    def test_silent(self) -> None:
        """A plugin that accepts and never answers is judged in the end, as broken."""
        import socket

        path = os.fspath(self.base / "s")
        with socket.socket(socket.AF_UNIX) as port:
            port.bind(path)
            port.listen(100)
            found = check("--json", "--timeout=0.2", "--only=P-ACTIVATE*", "--only=V-G*", path)
        self.assertEqual(found.returncode, 1)
        self.assertEqual(outcomes(found)["P-ACTIVATE"], "failed")

    def test_nobody(self) -> None:
        """Where nobody listens there is no report, but one line and exit status 2."""
        for address in ("/nowhere/x.sock", "http://127.0.0.1:1", str(self.base), "ftp://x"):
            found = check(address)
            self.assertEqual((found.returncode, found.stdout), (2, ""), found)
            self.assertNotIn("Traceback", found.stderr)

    def test_unknown_rule(self) -> None:
        """A rule that does not exist is a mistake, not a success."""
        found = check("--only", "V-NOSUCH", self.serve("right"))
        self.assertEqual(found.returncode, 2)
        self.assertIn("no rule is V-NOSUCH", found.stderr)


def _test(rule: str) -> Any:
    def test(self: WrongPluginTests) -> None:
        words = ("--json", "--timeout=3", "--idle=1.5", f"--secret={SECRET}")
        found = check(*words, self.serve(rule))
        self.assertNotIn("hunter2", found.stdout)
        failed = [name for name, outcome in outcomes(found).items() if outcome == "failed"]
        self.assertEqual(failed, [rule], found.stdout)
        severe = next(known for known in RULES if known.id == rule).severity.value == "error"
        self.assertEqual(found.returncode == 1, severe)

    test.__doc__ = f"From outside too, the plugin that breaks {rule} breaks it alone."
    return test


for _rule in SERVED:
    setattr(WrongPluginTests, f"test_{_rule.replace('-', '_')}", _test(_rule))
