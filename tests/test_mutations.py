"""The mutations fit the code that they break."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .mutations import HERE, MUTATIONS


class MutationTests(SynchronousTestCase):
    """Each mutation of ``make mutations``."""

    def test_found(self) -> None:
        """What a mutation changes is in its file once, so that a change of the code is noticed."""
        found = [(HERE / each.file).read_text().count(each.old) for each in MUTATIONS]
        lost = [each.what for each, count in zip(MUTATIONS, found, strict=True) if count != 1]
        self.assertEqual(lost, [])
