"""What the journal has promised, made durable on the disk a little later, for many volumes at once.

A Create is answered when the journal has its record, a Remove when it has that and the
data has been moved. Neither waits for the disk to have the directory, or the move: should a
crash undo it, the next start does it again, since the journal says that it was to be done.
This is write-ahead logging, of directories. When no change has come for :data:`DELAY` one
*pass* syncs all that has come together, and the journal no longer needs to know.

Nobody may write into a volume before its directory is durable (there would be data to lose):
a Mount waits for a pass, of its own volume alone. A name comes again only when its removal has
been settled: the old data must not be found in the new volume.

How the journal tells what is not settled: a new volume's record has the number of the
*generation* in which it was made, the record :data:`SETTLED` the last generation that is
settled whole; a removed volume's record says "removing" until it is settled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from itertools import islice

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..backends.interfaces import IBackend
from ..journal.interfaces import ICatalog
from .errors import VolumeError, quoted
from .health import Threads
from .model import SETTLED, StoredVolume

_log = Logger()

#: For how many seconds changes come together before a pass: from the last one on.
DELAY = 1.0

#: After how many seconds a pass comes at the latest, while changes go on.
LATEST = 5.0

#: After how many seconds what could not be settled is tried again.
RETRY = 30.0

#: How many volumes of a kind one pass takes: a name that it works on is not to be changed.
_MOST = 512


@define(eq=False)
class Settler:
    """The passes, one at a time.

    :ivar generation: of the volumes that are made now.
    """

    _backend: IBackend
    _catalog: ICatalog
    _threads: Threads
    _clock: IReactorTime
    generation: int = field(default=1, init=False)
    _made: dict[str, StoredVolume] = field(factory=dict, init=False)
    _removed: dict[str, StoredVolume] = field(factory=dict, init=False)
    #: What the pass under way works on.
    _working: frozenset[str] = field(default=frozenset(), init=False)
    #: Who waits for a pass, and for which name; ``None`` for all.
    _waiting: list[tuple[str | None, Deferred[None]]] = field(factory=list, init=False)
    _running: bool = field(default=False, init=False)
    _scheduled: bool = field(default=False, init=False)
    #: When the next pass comes, in the clock's seconds: not before, and at the latest.
    _not_before: float = field(default=0.0, init=False)
    _latest: float = field(default=0.0, init=False)
    #: Creations under way, by their generation: it is not settled before they are.
    _beginning: Counter[int] = field(factory=Counter, init=False)
    #: How many volumes are being removed: one that is kept after all may belong to any generation.
    _taken: int = field(default=0, init=False)
    #: Volumes were settled, and the journal has not been told that of their generation.
    _unsaid: bool = field(default=False, init=False)
    #: Why the last pass could not settle a volume.
    _failed: Mapping[str, str] = field(factory=dict, init=False)

    def begin(self) -> int:
        """Take note that a volume is about to be made; return its generation."""
        self._beginning[self.generation] += 1
        return self.generation

    def end(self, generation: int, made: StoredVolume | None) -> None:
        """Take note that what :meth:`begin` began has ended, with a volume to be settled or not."""
        self._beginning[generation] -= 1
        if not self._beginning[generation]:
            del self._beginning[generation]
        if made is not None:
            self._made[made.name] = made
            self._schedule()

    def take(self, volume: StoredVolume) -> bool:
        """Leave a volume to its removal, which begins; return whether it was to be settled.

        :meth:`removed` or :meth:`kept` ends that. The name :meth:`is_free`.
        """
        self._taken += 1
        return self._made.pop(volume.name, None) is not None

    def removed(self, volume: StoredVolume) -> None:
        """Take note of a volume whose removal is to be settled."""
        self._taken -= 1
        self._removed[volume.name] = volume
        self._schedule()

    def kept(self, volume: StoredVolume, fresh: bool) -> None:
        """Take note of a volume whose removal has failed, and what :meth:`take` has returned."""
        self._taken -= 1
        if fresh:
            self._made[volume.name] = volume
            self._schedule()

    def restore(
        self,
        settled: int,
        made: Mapping[str, tuple[int, StoredVolume]],
        removed: list[StoredVolume],
    ) -> None:
        """Go on where the run before has ended.

        :param settled: the last generation that is settled.
        :param made: the volumes that have a generation, with it.
        :param removed: the volumes whose removal was not settled.
        """
        self.generation = max([settled, *(generation for generation, _ in made.values())]) + 1
        self._made.update(
            (name, volume) for name, (generation, volume) in made.items() if generation > settled
        )
        self._removed.update((volume.name, volume) for volume in removed)

    @property
    def fresh(self) -> Set[str]:
        """The names of the volumes that may not be durable on the disk."""
        return self._made.keys()

    def start(self) -> None:
        """Settle what a crash may have undone."""
        if self._made or self._removed:
            self._run()

    def _schedule(self, delay: float = DELAY) -> None:
        now = self._clock.seconds()
        self._not_before = now + delay
        if not (self._scheduled or self._running):
            self._scheduled = True
            self._latest = now + max(delay, LATEST)
            self._clock.callLater(delay, self._due)

    def _due(self) -> None:
        rest = min(self._not_before, self._latest) - self._clock.seconds()
        if rest > 0.001 and not self._running:
            self._clock.callLater(rest, self._due)
            return
        self._scheduled = False
        self._run()

    def _run(self) -> None:
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._passes()).addErrback(self._died)

    def _died(self, failure: Failure) -> None:
        """Fail those who wait: a bug ended the passes."""
        _log.failure("settling ended; it is tried again with the next change", failure)
        waiting, self._waiting = self._waiting, []
        for _, waiter in waiting:
            waiter.errback(VolumeError("making it durable failed; see the plugin's log"))

    def is_free(self, name: str) -> bool:
        """Tell whether no removal of `name` waits for a pass, and none works on the name."""
        return name not in self._removed and name not in self._working

    async def free(self, name: str, doing: str) -> None:
        """Wait until :meth:`is_free`.

        :raises VolumeError: a removal of the name cannot be settled; `doing` says what it bars.
        """
        while not self.is_free(name):
            await self._pass(name)
            if name in self._removed and name in self._failed:
                raise VolumeError(f"volume {quoted(name)}: {doing}: {self._failed[name]}")

    def is_settled(self, name: str) -> bool:
        """Tell whether the volume `name` is durable on the disk."""
        return name not in self._made and name not in self._working

    async def settled(self, name: str) -> None:
        """Wait until :meth:`is_settled`.

        :raises VolumeError: it cannot be settled.
        """
        while not self.is_settled(name):
            await self._pass(name)
            if name in self._made and name in self._failed:
                raise VolumeError(f"volume {quoted(name)}: {self._failed[name]}")

    async def all_settled(self) -> None:
        """Wait for a pass over all that there is, as far as it can be settled."""
        if self._made or self._removed or self._unsaid or self._running:
            await self._pass()

    async def _pass(self, name: str | None = None) -> None:
        """Wait for the end of the next pass, or of the one under way."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append((name, waiter))
        self._run()
        await waiter

    async def _passes(self) -> None:
        try:
            more = True
            while more:
                more = await self._one()
                waiting, self._waiting = self._waiting, []
                for _, waiter in waiting:
                    waiter.callback(None)
                more = more or bool(self._waiting)
        finally:
            self._running, self._working = False, frozenset()
        if self._made or self._removed:
            self._schedule(RETRY if self._failed else DELAY)

    async def _one(self) -> bool:
        """Settle what is waited for, or what there is; return whether more is to be done now."""
        named = {name for name, _ in self._waiting if name is not None}
        all_of_it = not self._waiting or any(name is None for name, _ in self._waiting)
        made = self._some(self._made, all_of_it, named)
        removed = self._some(self._removed, all_of_it, named)
        left = len(made) < len(self._made) or len(removed) < len(self._removed)
        more = left and all_of_it
        whole = self.generation if len(made) == len(self._made) and not self._taken else 0
        if whole:
            # What is made from now on is not in this pass.
            self.generation += 1
            whole = min([whole, *(g - 1 for g in self._beginning)])
        self._working = frozenset(volume.name for volume in (*made, *removed))
        try:
            self._failed = await self._threads(self._backend.settle, made, removed)
        except VolumeError as error:
            self._failed = dict.fromkeys(self._working, str(error))
        if self._failed:
            _log.warn(
                "{count} changes are not durable on the disk yet: {why}",
                count=len(self._failed),
                why="; ".join(sorted(set(self._failed.values()))[:5]),
            )
        for volume in made:
            if volume.name not in self._failed:
                del self._made[volume.name]
        for volume in removed:
            if volume.name not in self._failed:
                del self._removed[volume.name]
                # Before any change of that name which has waited for it.
                self._write(self._catalog.delete(volume.name))
        self._unsaid = self._unsaid or bool(made)
        if whole and self._unsaid and not any(volume.name in self._failed for volume in made):
            self._unsaid = False
            self._write(self._catalog.put(SETTLED, {"generation": whole}))
        self._working = frozenset()
        return more and not self._failed

    @staticmethod
    def _some(
        there: Mapping[str, StoredVolume], all_of_it: bool, named: Set[str]
    ) -> list[StoredVolume]:
        """Return what a pass takes: up to a bound, or what is named."""
        if all_of_it:
            return list(islice(there.values(), _MOST))
        return [there[name] for name in named if name in there]

    @staticmethod
    def _write(written: Deferred[None]) -> None:
        """Let the journal know no more than it needs; nobody waits for that."""
        written.addErrback(
            lambda failure: _log.warn("{why}; the next start does it again", why=failure.value)
        )
