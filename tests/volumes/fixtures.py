"""A volume service over real directories, with everything that takes time made immediate."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from exampledriver.backends.directory import DirectoryBackend
from exampledriver.backends.interfaces import IBackend
from exampledriver.backends.mounts import Holder
from exampledriver.backends.registry import Backends
from exampledriver.backends.root import Root
from exampledriver.backends.trash import MANIFEST, Trash
from exampledriver.journal.interfaces import CatalogError, ICatalog, Value
from exampledriver.volumes.health import HealthChecks
from exampledriver.volumes.ledger import MountLedger
from exampledriver.volumes.service import VolumeService
from exampledriver.volumes.settling import DELAY

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=timezone.utc)


def listed(service: VolumeService) -> list[str]:
    """Return the names of a service's volumes, as its List at once has them."""
    return list(shown(service.list()))


def shown(found: Any) -> dict[str, Any]:
    """Return the volumes of a service's List, by name, in the order in which they come."""
    assert isinstance(found, list), found
    return {volume["Name"]: volume for volume in json.loads(b"[%s]" % b",".join(found))}


@implementer(ICatalog)
@define(eq=False)
class MemoryCatalog:
    """A catalog in memory; what it holds outlives the service, as a journal does.

    :ivar refuse: the changes of these keys fail.
    :ivar held: while it is a list, changes wait in it for :meth:`release`.
    :ivar history: every change that became durable.
    """

    durable: dict[str, Value] = field(factory=dict)
    refuse: set[str] = field(factory=set)
    held: list[Callable[[], None]] | None = None
    history: list[tuple[str, Value | None]] = field(factory=list)

    def entries(self) -> list[tuple[str, Value]]:
        return list(self.durable.items())

    def put(self, key: str, value: Value) -> Deferred[None]:
        return self._change(key, value)

    post = put

    def begin(self) -> None:
        """Nothing waits but what is held."""

    flush = begin

    def delete(self, key: str) -> Deferred[None]:
        return self._change(key, None)

    def _change(self, key: str, value: Value | None) -> Deferred[None]:
        if key in self.refuse:
            return fail(CatalogError("no space: free some"))
        done: Deferred[None] = Deferred()

        def apply() -> None:
            if value is None:
                self.durable.pop(key, None)
            else:
                self.durable[key] = value
            self.history.append((key, value))
            done.callback(None)

        if self.held is None:
            apply()
        else:
            self.held.append(apply)
        return done

    def release(self) -> None:
        """Let the waiting changes, and all that come, become durable."""
        held, self.held = self.held or [], None
        for apply in held:
            apply()

    def close(self) -> Deferred[None]:
        return succeed(None)


@define(eq=False)
class World:
    """What a daemon has below one directory: start a service in it, crash, start another.

    :ivar holders: what the kernel is made to say.
    :ivar looks: what it was asked about.
    :ivar name: of the root, below the base.
    :ivar wall: the wall clock.
    :ivar uptime: how many seconds the machine has run.
    """

    base: Path
    catalog: MemoryCatalog = field(factory=MemoryCatalog)
    counts: MemoryCatalog = field(factory=MemoryCatalog)
    clock: Clock = field(factory=Clock)
    holders: list[Holder] = field(factory=list)
    boot: str = "boot-1"
    name: str = "volumes"
    purged: int = 0
    looks: list[str] = field(factory=list)
    wall: datetime = NOON
    uptime: float = 0.0

    @property
    def root(self) -> Path:
        """The directory that volumes live in."""
        return self.base / self.name

    def new_trash(self) -> Trash:
        """Return a trash that goes by this world's clocks."""
        return Trash(self.root, now=lambda: self.wall, uptime=lambda: (self.boot, self.uptime))

    def backend(self, trash: Trash | None = None) -> Backends:
        """Return what a daemon begins with."""
        for name in (self.name, "state", "run"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        return Backends(self.kinds(trash or self.new_trash()), Root(self.root, {"tmpfs"}))

    def kinds(self, trash: Trash) -> dict[str, IBackend]:
        """Return a directory backend whose kernel says what the test wants."""
        private = [self.base / "state", self.base / "run"]
        return {"directory": DirectoryBackend(self.root, private, trash, self._find_holders)}

    def _find_holders(self, path: str) -> list[Holder]:
        self.looks.append(path)
        return self.holders

    def start(
        self,
        threads: Callable[..., Deferred[Any]] = execute,
        look_threads: Callable[..., Deferred[Any]] = execute,
    ) -> VolumeService:
        """Start a service, as after a crash of the one before."""
        backend = self.backend()
        ledger = MountLedger(self.counts, self.boot)
        ledger.load()
        service = VolumeService(
            self.catalog,
            ledger,
            backend,
            HealthChecks(backend, look_threads, self.clock),
            threads,
            self.clock,
            lambda: NOON,
            self._removed,
        )
        service.load()
        service.start()
        return service

    def _removed(self) -> None:
        self.purged += 1

    def trash(self) -> list[str]:
        """Return the names in the trash, oldest first."""
        return [path.name for path in sorted(self.root.glob(".trash/*/*")) if path.name != MANIFEST]

    def settle(self) -> None:
        """Let the time come at which the disk gets what the journal has promised."""
        self.clock.advance(DELAY)
