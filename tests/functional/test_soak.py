"""A short run of the soak; ``make soak`` runs it long."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase


class SoakTests(SynchronousTestCase):
    """The daemon keeps nothing of what has passed."""

    def test_short(self) -> None:
        """8,000 requests and 4 restarts: every answer right, nothing grows."""
        found = subprocess.run(
            [sys.executable, "-m", "tests.functional.soak", "--requests=8000", "--restarts=4"],
            capture_output=True,
            text=True,
            cwd=__file__.rsplit("/tests/", 1)[0],
        )
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        self.assertIn("nothing grew", found.stdout)
