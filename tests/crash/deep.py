"""Run the crash machine deep, and print where it has been.

A program: ``python -m tests.crash.deep --steps 20000``.
"""

from __future__ import annotations

import argparse
import sys
import time

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.logger import globalLogPublisher

from .machine import CRASHES, POWER, STEPS, CrashMachine
from .test_everywhere import STORIES, cut_everywhere


def run(steps: int) -> None:
    """Run the machine for at least so many steps.

    :raises Exception: a counterexample was found; hypothesis prints it.
    """
    target = STEPS[0] + steps
    while STEPS[0] < target:
        run_state_machine_as_test(
            CrashMachine,
            settings=settings(
                max_examples=200,
                stateful_step_count=60,
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Run the crash machine deep.")
    parser.add_argument("--steps", type=int, default=20000)
    steps = parser.parse_args().steps
    for observer in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(observer)
    began = time.monotonic()
    run(steps)
    random_points, random_steps = len(POWER.struck), STEPS[0]
    crashes = sum(cut_everywhere(story, 5, POWER) for story in STORIES)
    points = len(POWER.seen) * len(CRASHES)
    print(
        f"{random_steps} random steps, {crashes} enumerated crashes, no counterexample; "
        f"{len(POWER.struck)} of {points} crash points visited ({len(POWER.seen)} calls, before, "
        f"during and after; {random_points} of them at random), {time.monotonic() - began:.0f} s"
    )
    missed = sorted((p, c) for p in POWER.seen for c in CRASHES if (p, c) not in POWER.struck)
    for point, crash in missed:
        print(f"  not visited: {crash} {point}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
