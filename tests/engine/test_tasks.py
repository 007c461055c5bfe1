"""A short run of the kills during an administrator's work; ``make tasks-killed`` runs it long."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.tasks import NAMES, rounds


class TasksKilledTests(SynchronousTestCase):
    """SIGKILL of a real daemon during each kind of work that the real command asks for."""

    def test_killed(self) -> None:
        """All volumes are as they were, nothing is half made or left, and the work goes again."""
        counts, _ = rounds(kills=1, seed=7)
        killed = [count for what, count in counts.items() if what.endswith("when killed")]
        self.assertEqual(sum(killed), len(NAMES))
