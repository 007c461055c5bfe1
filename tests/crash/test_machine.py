"""The crash machine, shallow; ``python -m tests.crash.deep`` runs it deep."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.journal.crashfiles import Crash

from .machine import CrashMachine


class MachineTests(SynchronousTestCase):
    """Random changes, batches, compactions, faults, crashes and starts."""

    def test_shallow(self) -> None:
        """Every start finds what was answered, nothing refused, and no data lost."""
        run_state_machine_as_test(
            CrashMachine,
            settings=settings(
                max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
            ),
        )
        # A pass in which the power was cut says that it ended, to nobody.
        self.flushLoggedErrors(Crash)
