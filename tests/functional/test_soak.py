"""A short run of the soak; ``make soak`` runs it long."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .case import run_program


class SoakTests(SynchronousTestCase):
    """The daemon keeps nothing of what has passed."""

    def test_short(self) -> None:
        """8,000 requests and 4 restarts: every answer right, nothing grows."""
        found = run_program("soak", "--requests=8000", "--restarts=4")
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        self.assertIn("nothing grew", found.stdout)
