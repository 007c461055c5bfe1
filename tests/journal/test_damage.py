"""Truncation at every byte and a flip of every bit, enumerated."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .damage import flips, sample, truncations


class EnumeratedTests(SynchronousTestCase):
    """Nothing is silently wrong, and nothing that was durable is taken for torn (J4)."""

    def test_truncations(self) -> None:
        """A cut at any byte is clean, torn, or refused with the byte of the missing record.

        A file cut between two appended records is a whole journal of an earlier moment:
        no format that is appended to can tell.
        """
        for clean in (False, True):
            journal = sample(clean)
            born = 4  # three live keys, and the record that vouches for them
            for length, found in truncations(journal):
                if length < journal.starts[born]:
                    self.assertEqual(found, "refused", length)
                else:
                    at_boundary = length in journal.starts
                    self.assertEqual(found, "clean" if at_boundary else "torn", length)

    def test_flips(self) -> None:
        """A flipped bit is refused with its record's byte; only the last batch can look torn."""
        for clean in (False, True):
            journal = sample(clean)
            for offset, record, found in flips(journal):
                vouched = record < journal.vouched
                self.assertEqual(found, "refused" if vouched else "torn", offset)

    def test_last_batch_after_a_clean_shutdown(self) -> None:
        """After a clean shutdown the last batch is one record that holds no change."""
        journal = sample(clean=True)
        self.assertEqual(journal.maps[-1], journal.maps[-2])
        self.assertEqual(journal.vouched, len(journal.maps) - 2)
