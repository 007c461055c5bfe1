"""A short run of every fuzz target; ``make fuzz`` is the long one."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from .runner import TARGETS, check_inputs, run

INPUTS = 150


class FuzzTests(SynchronousTestCase):
    """The first inputs of each target."""

    def test_targets(self) -> None:
        """No random input makes a parser do what it must not."""
        for target in TARGETS:
            fault = run(target, 1, 0, INPUTS)
            self.assertIsNone(fault, fault and f"{target} {fault.number}: {fault.error}")

    def test_fault(self) -> None:
        """A fault is reported with the number that makes the same input again."""

        def refuses_sevens(random: Random) -> None:
            if random.randrange(10) == 7:
                raise ValueError("seven")

        fault = check_inputs(refuses_sevens, "sevens", 1, 0, 1000)
        assert fault is not None
        self.assertIn("ValueError: seven", fault.error)
        self.assertIsNone(check_inputs(refuses_sevens, "sevens", 1, 0, fault.number))
        self.assertIsNotNone(check_inputs(refuses_sevens, "sevens", 1, fault.number, 1))
