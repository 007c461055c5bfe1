"""The power is cut at every call of a long story, before, during and after it: enumerated.

The random machine in ``test_machine`` finds what nobody thought of; this one leaves
nothing out of what somebody did.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.journal.crashfiles import Crash

from .machine import CRASHES, CrashMachine
from .simulation import Power

Story = Callable[[CrashMachine], None]


def plain(machine: CrashMachine) -> None:
    """Create and remove, singly and in batches, stop and start."""
    machine.create("a")
    machine.commit()
    for name in ("b", "c"):
        machine.create(name)
    machine.commit()
    machine.remove("a")
    machine.remove_in_use("b")
    for _ in range(3):
        machine.commit()
    machine.create("a")
    machine.remove("c")
    machine.commit()
    machine.commit()
    machine.stop_and_start()
    machine.create("d")
    machine.commit()
    machine.settle()
    machine.commit()


def unsettled(machine: CrashMachine) -> None:
    """Create, remove and create again, with and without time in between to settle."""
    for seed in range(3):
        for name in ("a", "b"):
            machine.create(name)
            machine.commit()
            machine.remove(name)
            machine.commit()
        machine.create("a")
        machine.commit()
        machine.commit()
        if seed:
            machine.settle()
        machine.create("c")
        machine.commit()
        machine.remove("a")
        machine.commit()
        machine.crash(seed, None)
        machine.commit()
        machine.remove("c")
        machine.commit()


def compaction(machine: CrashMachine) -> None:
    """Compact with changes in between."""
    for name in ("a", "b", "c"):
        machine.create(name)
        machine.commit()
    machine.remove("b")
    machine.commit()
    machine.compaction_begins()
    machine.create("d")
    machine.commit()
    for _ in range(5):
        machine.compact()
    machine.compaction_begins()
    machine.remove("a")
    machine.commit()
    machine.commit()
    machine.stop_and_start()
    machine.compaction_begins()
    machine.crash(1, None)


def full_disk(machine: CrashMachine) -> None:
    """Fail for want of space, in a change and in a compaction, and go on."""
    machine.create("a")
    machine.commit()
    for room in (0, 30, 150):
        machine.fill_the_disk(room)
        machine.create("b")
        machine.remove("a")
        machine.commit()
        machine.compaction_begins()
        for _ in range(5):
            machine.compact()
        machine.free_space()
    for _ in range(3):
        machine.commit()
    machine.create("b")
    machine.commit()


def bad_disk(**failing: int) -> Story:
    """Return a story in which calls fail with EIO, in a change during a compaction and after it."""

    def story(machine: CrashMachine) -> None:
        for name in ("a", "b"):
            machine.create(name)
            machine.commit()
        for compacting in (True, False):
            if compacting:
                machine.compaction_begins()
            machine.machine.power.failing.update(failing)
            machine.create("c")
            machine.remove("a")
            machine.commit()
            for _ in range(4):
                machine.compact()
            machine.compaction_begins()
            for _ in range(4):
                machine.compact()
            machine.commit()
            machine.machine.power.failing.clear()
            machine.remove("c")
            machine.commit()
            machine.commit()
            machine.create("a")
            machine.commit()

    return story


def torn(machine: CrashMachine) -> None:
    """Crash in the middle of a batch, so that the start finds a torn tail, and again."""
    machine.create("a")
    machine.commit()
    for seed in range(6):
        for name in ("b", "c", "d"):
            machine.create(name)
        machine.machine.power.arm("during", seed % 2)
        machine.commit()
        machine.crash(seed, None)
        machine.remove("b")
        machine.commit()
        machine.commit()


STORIES: list[Story] = [
    plain,
    unsettled,
    compaction,
    full_disk,
    torn,
    bad_disk(sync=1),
    bad_disk(sync=3),
    bad_disk(write=1),
    bad_disk(write=2, truncate=1),
    bad_disk(rename=1),
    bad_disk(sync_directory=2),
    bad_disk(create=2, sync=1),
    bad_disk(remove=1),
]


def cut_everywhere(story: Story, seeds: int, seen: Power) -> int:
    """Run a story once for each call, each way to crash there, and each seed.

    :return: how many crashes there were.
    :raises AssertionError: a start found what was not answered.
    """
    at = crashes = 0
    while True:
        for crash in CRASHES:
            for seed in range(seeds):
                machine = CrashMachine()
                power = machine.machine.power
                power.seen, power.struck = seen.seen, seen.struck
                machine.seed = Random(seed * 7919 + at).randrange(2**16)
                power.appointed[power.calls + at] = crash
                story(machine)
                machine.crash(seed, None)
                machine.teardown()
                if power.calls <= at:
                    return crashes
                crashes += 1
        at += 1


class EverywhereTests(SynchronousTestCase):
    """After a crash at any call, a start finds what was answered (J1 to J4, J6 to J8)."""

    def test_every_call(self) -> None:
        """Every call of every story, before, during and after it."""
        seen = Power()
        for story in STORIES:
            self.assertGreater(cut_everywhere(story, 1, seen), 50)
        missed = {(p, c) for p in seen.seen for c in CRASHES} - seen.struck
        self.assertEqual(missed, set())
        self.flushLoggedErrors(Crash)
        self.assertGreater(len(seen.seen), 40)
