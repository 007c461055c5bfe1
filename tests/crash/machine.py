"""A hypothesis state machine that crashes the volume service everywhere, and checks each start.

What must hold after every start (J1 to J3), for each name: the volume is in the state that
was answered last, or, if a change of it was under way, in the state before or after that
change; and the data of a volume that exists is the data that was written into it.
While the daemon runs: a refused change has changed nothing, and no file grows without
bound (J8).
"""

from __future__ import annotations

import contextlib
import errno
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from exampledriver.journal.log import NEW, Log
from exampledriver.plugin import PluginError
from exampledriver.volumes.settling import DELAY
from tests.journal.crashfiles import Crash
from tests.volumes.fixtures import listed

from .simulation import Machine, Power

NAMES = ["a", "b", "c", "d"]
CRASHES = ["before", "during", "after"]
ERRORS = [errno.ENOSPC, errno.EIO]

#: Where crashes have struck, over all runs of a process; for the closing figures.
POWER = Power()
STEPS = [0]


class CrashMachine(RuleBasedStateMachine):
    """Volumes are created and removed; batches are committed; the power is cut."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine(Power(seen=POWER.seen, struck=POWER.struck))
        #: For each name, whether the volume exists; both while a change is under way.
        self.states: dict[str, set[bool]] = {name: {False} for name in NAMES}
        #: The token in each volume that is known to exist.
        self.tokens: dict[str, str] = {}
        self.pending: list[tuple[str, bool, Deferred[Any]]] = []
        self.written = 0
        #: Refused by a disk that may bring the change back all the same.
        self.doubted: set[str] = set()
        #: What is left after a crash in the middle of a call.
        self.seed = 0

    def teardown(self) -> None:
        """End the last run, so that nothing of it goes on behind the test's back."""
        self._end_run()

    def _end_run(self) -> None:
        pending, self.pending = self.pending, []
        self.machine.end()
        for _, _, answer in pending:
            answer.addErrback(lambda failure: failure.trap(Crash))

    @rule(name=st.sampled_from(NAMES))
    def create(self, name: str) -> None:
        """Begin a Create."""
        self._begin(name, True, self.machine.service.create(name, {}))

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        """Begin a Remove."""
        self._begin(name, False, self.machine.service.remove(name))

    @rule(name=st.sampled_from(NAMES))
    def remove_in_use(self, name: str) -> None:
        """Begin a Remove of a volume that somebody holds."""
        self.machine.backend.held.add(name)
        self._begin(name, False, self.machine.service.remove(name))
        self.machine.backend.held.discard(name)

    def _begin(self, name: str, exists: bool, call: Any) -> None:
        STEPS[0] += 1
        self.states[name] = self.states[name] | {exists}
        answer: Deferred[Any] = Deferred()
        self.pending.append((name, exists, answer))

        def fire(result: Any) -> None:
            # What a process does after the power was cut reaches nobody.
            if not self.machine.power.off:
                answer.callback(result)

        Deferred.fromCoroutine(call).addBoth(fire)
        self._take_answers()

    @rule()
    def commit(self) -> None:
        """Let the journal commit what waits, as one batch."""
        self._run(self.machine.catalog.commit)

    @rule()
    def settle(self) -> None:
        """Let the time come at which the disk gets what was promised."""
        self._run(lambda: self.machine.clock.advance(DELAY))

    @rule()
    def compact(self) -> None:
        """Let the journal do a step of compaction, if one is due."""
        self._run(self.machine.catalog.log.step)

    @rule()
    def compaction_begins(self) -> None:
        """Make a compaction due."""
        self.machine.catalog.log.slack = -(10**6)
        self._run(self.machine.catalog.log.step)
        self.machine.catalog.log.slack = 2000

    @rule(fault=st.sampled_from([*CRASHES, *ERRORS]), delay=st.integers(0, 12))
    def arm(self, fault: str | int, delay: int) -> None:
        """Let one of the next calls crash or fail."""
        STEPS[0] += 1
        self.machine.power.arm(fault, delay)

    @rule(room=st.integers(0, 400))
    def fill_the_disk(self, room: int) -> None:
        """Leave so many bytes on the disk."""
        STEPS[0] += 1
        self.machine.files.space = self.machine.files.used() + room

    @rule()
    def free_space(self) -> None:
        """Make room again."""
        STEPS[0] += 1
        self.machine.files.space = None

    @rule(
        seed=st.integers(0, 2**16),
        again=st.none() | st.tuples(st.sampled_from(CRASHES), st.integers(0, 14)),
    )
    def crash(self, seed: int, again: tuple[str, int] | None) -> None:
        """Cut the power between two calls, and perhaps again during the start."""
        STEPS[0] += 1
        self._restart(seed, again)

    @rule(seed=st.integers(0, 2**16), fault=st.sampled_from(CRASHES), delay=st.integers(0, 2))
    def crash_in_the_stop(self, seed: int, fault: str, delay: int) -> None:
        """Cut the power during a clean stop."""
        self._run(self.machine.settle)
        self.machine.power.arm(fault, delay)
        self._run(self.machine.catalog.log.close)
        self._restart(seed)

    @rule()
    def stop_and_start(self) -> None:
        """Stop cleanly and start again."""
        self._run(self.machine.settle)
        self._run(self.machine.catalog.log.close)
        self._restart(0)

    def _run(self, work: Any) -> None:
        STEPS[0] += 1
        with contextlib.suppress(Crash):
            work()
        self._take_answers()

    def _take_answers(self) -> None:
        """Note the answers that have come; restart if the power was cut."""
        for entry in list(self.pending):
            name, exists, answer = entry
            if not answer.called:
                continue
            # Those behind it are still pending: the power may have been cut between two answers.
            self.pending.remove(entry)
            results: list[Any] = []
            answer.addBoth(results.append)
            if not isinstance(results[0], Failure):
                self._succeeded(name, exists)
            elif results[0].check(PluginError):
                self._refused(name)
            elif not results[0].check(Crash):
                results[0].raiseException()
        if self.machine.power.off:
            self.seed += 1
            self._restart(self.seed)

    def _others(self, name: str) -> bool:
        return any(name == other for other, _, _ in self.pending)

    def _succeeded(self, name: str, exists: bool) -> None:
        if not self.machine.catalog.log.doubtful:
            self.states[name] = {exists} | {e for n, e, _ in self.pending if n == name}
        if not exists:
            self.tokens.pop(name, None)
        elif name not in self.tokens and not self._others(name) and name in self._names():
            # Its user mounts it and writes; not if a Remove was answered at once after the Create.
            mount = Deferred.fromCoroutine(self.machine.service.mount(name, "user"))
            mount.addCallbacks(
                lambda _: self._write(name), lambda failure: failure.trap(Crash, PluginError)
            )

    def _write(self, name: str) -> None:
        self.written += 1
        self.tokens[name] = self.machine.backend.directories[name] = f"token {self.written}"

    def _refused(self, name: str) -> None:
        # A disk that takes neither a change nor its withdrawal leaves it in doubt, and says so.
        if self.machine.catalog.log.doubtful:
            self.doubted.add(name)
        elif not self._others(name):
            # It has not happened: what it is, memory says now; a start must agree.
            self.states[name] = {name in self._names()}

    def _names(self) -> set[str]:
        return set(listed(self.machine.service))

    def _restart(self, seed: int, again: tuple[str, int] | None = None) -> None:
        random = Random(seed)
        space, self.machine.files.space = self.machine.files.space, None
        self._end_run()
        for _ in range(3):
            self.machine.crash(random)
            if again is not None:
                self.machine.power.arm(*again)
                again = None
            try:
                self.machine.start()
                break
            except Crash:
                continue
        self.machine.files.space = space
        self._compare()

    def _compare(self) -> None:
        names = self._names()
        for name in NAMES:
            assert (name in names) in self.states[name], (name, names, self.states)
            self.states[name] = {name in names}
            if name in names and name in self.doubted:
                self.machine.backend.directories.setdefault(name, self.tokens.get(name, ""))
            if name in names:
                found = self.machine.backend.directories.get(name)
                assert found is not None, f"{name}: its directory is gone"
                wanted = self.tokens.get(name, found)
                assert found == wanted, f"{name}: has {found!r}, not {wanted!r}"
            else:
                token = self.tokens.pop(name, None)
                assert token is None or token in self.machine.backend.trash, f"{token} is lost"
        self.doubted.clear()

    @invariant()
    def memory_is_possible(self) -> None:
        """What the running daemon shows is what was answered, or under way."""
        if not self.machine.power.off:
            for name in NAMES:
                assert (name in self._names()) in self.states[name]

    @invariant()
    def bounded(self) -> None:
        """No file grows without bound: the map here is small."""
        sizes = {n: len(i.cached) for n, i in self.machine.files._names.items()}
        log: Log = self.machine.catalog.log
        limit = 2 * log._live.size + 2000 + 4000
        assert sizes.get(NEW, 0) <= limit, sizes
        assert len(sizes) < 25, sizes
