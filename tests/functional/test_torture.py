"""A short run of the kill harness; ``make torture`` runs it long."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase


class TortureTests(SynchronousTestCase):
    """Nothing that was answered is lost, nothing that was refused is there."""

    def test_short(self) -> None:
        """Ten kills under load, one in the middle of a start."""
        found = subprocess.run(
            [sys.executable, "-m", "tests.functional.torture", "--kills", "10"],
            capture_output=True,
            text=True,
            cwd=__file__.rsplit("/tests/", 1)[0],
        )
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        self.assertIn("11 of 11 starts", found.stdout)
        self.assertIn(" 0 lost or wrong", found.stdout)
