"""The volume service and its journal on a simulated machine that can crash at any call.

Files are :class:`~tests.journal.crashfiles.CrashFiles`; directories are
:class:`SimulatedBackend`, which keeps what the real backend keeps (both pass
``tests/backends/suites.py``). Before every call a plan decides whether it goes on,
fails with an errno, or is where the power is cut: before, during or after it.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from exampledriver.backends.interfaces import IBackend
from exampledriver.journal.interfaces import CatalogError, ICatalog, Value
from exampledriver.journal.live import Change
from exampledriver.journal.log import Log
from exampledriver.journal.records import encode_value
from exampledriver.volumes.errors import BusyError, VolumeError
from exampledriver.volumes.health import HealthChecks
from exampledriver.volumes.ledger import MountLedger
from exampledriver.volumes.model import DIRECTORY, StoredVolume, Wanted
from exampledriver.volumes.packed import Packer
from exampledriver.volumes.service import VolumeService
from tests.journal.crashfiles import Crash, CrashFiles
from tests.volumes.fixtures import MemoryCatalog

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
ROOT = "/volumes"


@define(eq=False)
class Power:
    """Decides what happens to each call, and remembers where it struck.

    :ivar schedule: what happens to which call, by its number.
    :ivar appointed: like it, but not forgotten at a crash.
    :ivar failing: calls of these names fail with EIO, so many times.
    :ivar calls: how many calls there have been.
    :ivar off: the power is cut; every call fails until the next start.
    :ivar seen: each call that was asked about, by who made it.
    :ivar struck: each such call and the way in which a crash came to it.
    """

    schedule: dict[int, str | int] = field(factory=dict)
    appointed: dict[int, str | int] = field(factory=dict)
    failing: dict[str, int] = field(factory=dict)
    calls: int = 0
    off: bool = False
    seen: set[str] = field(factory=set)
    struck: set[tuple[str, str]] = field(factory=set)

    def arm(self, fault: str | int, delay: int) -> None:
        """Let `fault` happen to the call that comes after `delay` others."""
        self.schedule[self.calls + delay] = fault

    def __call__(self, call: str) -> str | int | None:
        if self.off:
            raise Crash(call)
        point = f"{_caller()}.{call}"
        self.seen.add(point)
        fault = self.schedule.pop(self.calls, None) or self.appointed.pop(self.calls, None)
        self.calls += 1
        if fault is None and self.failing.get(call, 0):
            self.failing[call] -= 1
            fault = errno.EIO
        if isinstance(fault, str):
            self.off = True
            self.struck.add((point, fault))
        return fault


def _caller() -> str:
    """Return the method of the journal or the service on whose behalf a call is made."""
    frame: Any = sys._getframe(2)
    names: list[str] = []
    while frame is not None and len(names) < 2:
        module = frame.f_globals.get("__name__", "")
        if module in ("exampledriver.journal.log", "exampledriver.volumes.service"):
            names.append(frame.f_code.co_name)
        frame = frame.f_back
    return "/".join(reversed(names))


@implementer(IBackend)
@define(eq=False)
class SimulatedBackend:
    """Directories in memory; what was not settled may be gone after a crash.

    :ivar directories: the root's directories, with the token that was written into each.
    :ivar trash: the tokens of what was removed.
    :ivar history: what each name was, and the trash then, before each change that is not durable.
    """

    power: Power = field(factory=Power)
    directories: dict[str, str] = field(factory=dict)
    trash: list[str] = field(factory=list)
    held: set[str] = field(factory=set)
    dead: bool = False
    history: dict[str, list[str | None]] = field(factory=dict)

    def after_crash(self, random: Random) -> SimulatedBackend:
        """Return what the disk has kept: of each name's changes some first ones."""
        directories, trash = dict(self.directories), list(self.trash)
        for name, states in self.history.items():
            states = [*states, self.directories.get(name)]
            kept = random.randrange(len(states))
            for before, after in zip(states[kept:], states[kept + 1 :], strict=False):
                if before is not None and after is None:
                    trash.remove(before)
            state = states[kept]
            if state is None:
                directories.pop(name, None)
            else:
                directories[name] = state
        return SimulatedBackend(self.power, directories, trash)

    def _change(self, name: str) -> None:
        self.history.setdefault(name, []).append(self.directories.get(name))

    def _do(self, call: str, change: Any) -> Any:
        if self.dead:
            raise Crash(call)
        verdict = self.power(call)
        if isinstance(verdict, int):
            raise VolumeError(f"{call}: errno {verdict}")
        if verdict == "before":
            raise Crash(call)
        result = change()
        if verdict is not None:
            raise Crash(call)
        return result

    def parse(self, name: str, given: Mapping[str, str]) -> Wanted:
        return Wanted(DIRECTORY, dict(given))

    def judge(self, backend: str, options: Mapping[str, str]) -> None:
        pass

    def resolve(self, name: str, wanted: Wanted) -> Wanted:
        return wanted

    def mounted(self) -> frozenset[str]:
        return frozenset()

    def mountpoint(self, name: str, wanted: Wanted) -> str:
        return f"{ROOT}/{name}"

    def create(self, volume: StoredVolume) -> bool:
        def create() -> bool:
            return self._make(volume.name)

        return bool(self._do("create", create))

    def _make(self, name: str) -> bool:
        if name in self.directories:
            return False
        self._change(name)
        self.directories[name] = ""
        return True

    def undo_create(self, volume: StoredVolume) -> None:
        if self.directories.get(volume.name, "no") != "":
            raise VolumeError("not empty, or not there")

        def undo() -> None:
            self.directories.pop(volume.name)
            # Nothing that it was made can be told from nothing that it was taken back.
            self.history[volume.name].pop()

        self._do("undo_create", undo)

    def mount(self, volume: StoredVolume) -> str:
        if volume.name not in self.directories:
            raise VolumeError("is missing")
        return volume.mountpoint

    def unmount(self, volume: StoredVolume) -> None:
        pass

    def check_unused(self, volume: StoredVolume) -> None:
        if volume.name in self.held:
            raise BusyError("in use")

    def keeps_data(self, volume: StoredVolume) -> bool:
        return True

    def trashes(self, volume: StoredVolume) -> bool:
        return True

    def data_path(self, volume: StoredVolume) -> str:
        return volume.mountpoint

    def settles(self, volume: StoredVolume) -> bool:
        return True

    def settle(
        self, made: Sequence[StoredVolume], removed: Sequence[StoredVolume]
    ) -> Mapping[str, str]:
        def settle() -> None:
            for volume in made:
                self._make(volume.name)
            for volume in removed:
                self._move(volume.name)
            for volume in (*made, *removed):
                self.history.pop(volume.name, None)

        self._do("settle", settle)
        return {}

    def _move(self, name: str) -> None:
        if name in self.directories:
            self._change(name)
            self.trash.append(self.directories.pop(name))

    def remove(self, volume: StoredVolume, now: bool = False) -> None:
        if volume.name in self.directories:
            self._do("remove", lambda: self._move(volume.name))

    def look(self, volume: StoredVolume, mounted: bool) -> tuple[str, str | None]:
        return ("", "")

    def recover(self, known: Any, fresh: Any) -> list[str]:
        return sorted(set(self.directories) - set(known))


@implementer(ICatalog)
@define(eq=False)
class SimulatedCatalog:
    """The journal without its thread: changes wait until :meth:`commit` takes a batch."""

    log: Log
    waiting: list[tuple[Change, Deferred[None]]] = field(factory=list)
    dead: bool = False

    def entries(self) -> Iterator[tuple[str, Any]]:
        for key, kept in self.log.entries.items():
            yield key, json.loads(kept) if isinstance(kept, bytes) else kept

    def put(self, key: str, value: Value) -> Deferred[None]:
        return self._ask((key, encode_value(value)))

    post = put

    def begin(self) -> None:
        """Nothing: the batch is taken when it suits the simulation."""

    flush = begin

    def delete(self, key: str) -> Deferred[None]:
        return self._ask((key, None))

    def _ask(self, change: Change) -> Deferred[None]:
        if self.dead:
            return fail(Crash())
        self.waiting.append((change, Deferred()))
        return self.waiting[-1][1]

    def commit(self) -> None:
        """Commit what waits as one batch, as the journal's thread does."""
        batch, self.waiting = self.waiting, []
        if not batch:
            return
        try:
            self.log.commit([change for change, _ in batch])
        except CatalogError as error:
            for _, done in batch:
                done.errback(CatalogError(str(error)))
        else:
            for _, done in batch:
                done.callback(None)

    def close(self) -> Deferred[None]:
        return succeed(None)

    def die(self) -> None:
        """Let everything that waits end where it is."""
        self.dead = True
        waiting, self.waiting = self.waiting, []
        for _, done in waiting:
            done.errback(Crash())


def _dead(call: str) -> None:
    raise Crash(call)


@define(eq=False)
class Machine:
    """A machine on which the daemon runs, crashes, and starts again."""

    power: Power = field(factory=Power)
    files: CrashFiles = field(factory=CrashFiles)
    backend: SimulatedBackend = field(init=False)
    catalog: SimulatedCatalog = field(init=False)
    service: VolumeService = field(init=False)
    clock: Clock = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.backend = SimulatedBackend(self.power)
        self.start()

    def start(self) -> None:
        """Start the daemon on what the disk has; the start itself may crash."""
        self.power.off = False
        self.files.plan = self.power
        codec = Packer(self.backend.mountpoint, self.backend.judge).codec()
        log = Log(self.files, slack=2000, piece=60, codec=codec)
        log.open()
        self.catalog = SimulatedCatalog(log)
        self.clock = Clock()
        ledger = MountLedger(MemoryCatalog(), "boot")
        health = HealthChecks(self.backend, execute, Clock())
        self.service = VolumeService(
            self.catalog, ledger, self.backend, health, execute, self.clock, lambda: NOW
        )
        self.service.load()
        self.service.start()
        if self.power.off:
            # What the start does in the background has met the crash.
            raise Crash

    def end(self) -> None:
        """Let the process be gone: no part of it touches the disk again."""
        self.backend.dead = True
        self.files.plan = _dead
        self.catalog.die()

    def crash(self, random: Random) -> None:
        """Cut the power: only what the disk keeps is left."""
        self.end()
        self.backend = self.backend.after_crash(random)
        self.files = self.files.after_crash(random)
        self.power.schedule.clear()
        self.power.failing.clear()

    def settle(self) -> None:
        """Commit until nothing waits, compacting between the batches."""
        while self.catalog.waiting:
            self.catalog.commit()
            self.catalog.log.step()
