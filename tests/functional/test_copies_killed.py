"""Work that copies volumes is killed; ``make copies-killed`` does it more often."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .copying import OPERATIONS, rounds


class KilledTests(SynchronousTestCase):
    """SIGKILL during snapshots, clones, rollbacks, exports, imports and restores."""

    def test_killed(self) -> None:
        """No half volume appears, nothing is left behind, and the same work again succeeds."""
        counts = rounds(kills=3, seed=6)
        self.assertEqual(sum(counts.values()), 3 * len(OPERATIONS))
