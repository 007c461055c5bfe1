"""A short run of the kill harness; ``make torture`` runs it long."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .case import run_program


class TortureTests(SynchronousTestCase):
    """Nothing that was answered is lost, nothing that was refused is there."""

    def test_short(self) -> None:
        """Ten kills under load, one in the middle of a start."""
        found = run_program("torture", "--kills", "10")
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        self.assertIn("11 of 11 starts", found.stdout)
        self.assertIn(" 0 lost or wrong", found.stdout)
