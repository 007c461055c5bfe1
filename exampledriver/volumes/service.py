"""The volume service: what happens to a volume, in which order, and what of it is durable.

The order is the promise. A crash between any two steps leaves something that the
next start, or the same call again, completes:

- *Create*: validate, lock, make the directory, journal, publish, answer. A
  directory without a journal entry is adopted by the same call again.
- *Remove*: lock, ask the kernel who uses it, journal that it is *being removed*,
  move the data to the trash, publish, answer. From the journal's word on it is
  removed: a start that finds it does the rest. A move that fails is taken back in
  the journal before it is answered.
- Neither waits until the disk has the directory, or the move: the journal has
  promised it, and :mod:`~exampledriver.volumes.settling` keeps the promise.
- *Mount*: lock, see that it is durable, make it usable, count it in the ledger, answer.

Reads answer from memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from threading import Event
from typing import Any, TypeAlias, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ..backends.interfaces import IBackend
from ..journal.interfaces import ICatalog
from ..plugin.volume import Capabilities, IVolumeDriver, Volume
from ..plugin.wire import Answer
from .answers import Answers
from .copyup import CopyUps
from .creating import Creation
from .deadlines import COMPLETED, LONG, SHORT, Deadlines, Job
from .health import HealthChecks, Threads
from .holds import Hold
from .ledger import MountLedger
from .model import SETTLED, StoredVolume, is_name
from .origins import ICloner, Origin
from .packed import GENERATION, Packed
from .removing import Removal
from .settling import Settler
from .state import State
from .using import Use

_log = Logger()
T = TypeVar("T")

#: A change under way: a coroutine that awaits Deferreds.
Work: TypeAlias = Coroutine[Deferred[Any], Any, T]


@implementer(IVolumeDriver)
@define(eq=False)
class VolumeService:
    """The volumes of one machine.

    :ivar now: the time of day, with a time zone.
    :ivar removed: called after a volume's data went to the trash.
    :ivar passes: threads for making changes durable, which takes longer than a change.
    """

    _catalog: ICatalog
    _ledger: MountLedger
    _backend: IBackend
    _health: HealthChecks
    _threads: Threads
    _clock: IReactorTime
    now: Callable[[], datetime]
    removed: Callable[[], None] = lambda: None
    passes: Threads | None = None
    _state: State = field(init=False)
    _answers: Answers = field(init=False)
    _deadlines: Deadlines = field(init=False)
    _creation: Creation = field(init=False)
    _removal: Removal = field(init=False)
    _use: Use = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with no volume, and nothing to settle."""
        passes = self.passes or self._threads
        settler = Settler(self._backend, self._catalog, passes, self._clock)
        self._state = State(
            self._catalog, self._ledger, self._backend, self._health, self._threads, settler
        )
        self._answers = Answers(self._health)
        self._deadlines = Deadlines(self._clock, self._state.file_system)
        self._creation = Creation(self._state, self.now)
        copyups = CopyUps(self._backend, self._threads, self._clock)
        self._removal = Removal(self._state, copyups, self.removed)
        self._use = Use(self._state, copyups)

    def clone_with(self, cloner: ICloner) -> None:
        """Let the option ``from`` be: `cloner` copies other volumes."""
        self._creation.cloner = cloner

    def load(self) -> None:
        """Read the journal and settle what a crash interrupted. Blocks.

        :raises ValueError: an entry of the journal is no volume.
        """
        settled = 0
        dated: list[str] = []
        removed: list[StoredVolume] = []
        loaded: dict[str, Packed] = {}
        packer = self._state.volumes.packer
        read = packer.read
        for name, value in self._catalog.entries():
            if name == SETTLED and isinstance(value, Mapping):
                generation = value.get(GENERATION)
                if isinstance(generation, int):
                    settled = generation
                    continue
            # Of a hundred thousand all but a few are packed: they are not asked much.
            packed = value if isinstance(value, Packed) and is_name(name) else read(name, value)
            if packed.shared.removing:
                removed.append(packer.volume(name, packed))
                continue
            loaded[name] = packed
            if packed.generation:
                dated.append(name)
        self._state.volumes.load(loaded)
        made = self._state.volumes.since(settled, dated)
        self._state.settler.restore(settled, made, removed)
        strays = self._backend.recover(self._state.volumes, self._state.settler.fresh)
        if strays:
            _log.warn(
                "{count} entries of the root belong to no volume: {names}; a volume created "
                "with such a name adopts the directory",
                count=len(strays),
                names=", ".join(strays[:20]) + (" …" if len(strays) > 20 else ""),
            )

    def start(self) -> None:
        """Settle what a crash interrupted, and drop counts of volumes that are gone.

        What is mounted and not counted was left by a crash, and is unmounted.
        """
        self._state.settler.start()
        for name in self._backend.mounted():
            if not self._ledger.of(name):
                self._in_background(self._use.release(name))
        for name in self._ledger.volumes():
            if name not in self._state.volumes:
                self._in_background(self._removal.forget_gone(name))

    async def settle(self) -> None:
        """Let the disk have what was promised, as far as that can be done now."""
        await self._state.settler.all_settled()

    @staticmethod
    def _in_background(work: Work[None]) -> None:
        Deferred.fromCoroutine(work).addErrback(
            lambda failure: _log.warn("{why}; the next start does it again", why=failure.value)
        )

    def check(self, name: str, options: Mapping[str, str]) -> Work[bool]:
        """Judge a Create without making anything; see :meth:`.Creation.check`."""
        return self._creation.check(name, options)

    def create(
        self,
        name: str,
        options: Mapping[str, str],
        origin: Origin | None = None,
        stop: Event | None = None,
    ) -> Work[None]:
        """Make a volume; see :meth:`.Creation.create`.

        :param stop: set when the client has gone, which otherwise changes nothing.
        """
        # What an administrator copies says how far it is, and takes as long as it takes.
        job = Job("Create", name, LONG if origin is None and stop is None else 0, stop=stop)
        return self._deadlines.keep(job, self._creation.create(name, options, origin, job))

    def remove(self, name: str, now: bool = False) -> Work[None]:
        """Remove a volume; see :meth:`.Removal.remove`."""
        job = Job("Remove", name, SHORT)
        return self._deadlines.keep(job, self._removal.remove(name, job, now))

    def mount(self, name: str, mount_id: str) -> Work[str]:
        """Make a volume usable, and count it; see :meth:`.Use.mount`."""
        job = Job("Mount", name, LONG)
        return self._deadlines.keep(job, self._use.mount(name, mount_id, job))

    def unmount(self, name: str, mount_id: str) -> Work[None]:
        """Count one mount less; see :meth:`.Use.unmount`."""
        job = Job("Unmount", name, SHORT, then=COMPLETED)
        return self._deadlines.keep(job, self._use.unmount(name, mount_id, job))

    def resize(self, name: str, size: str) -> Work[None]:
        """Give a volume another size; see :meth:`.Use.resize`."""
        return self._use.resize(name, size)

    def accept(self, name: str) -> Work[StoredVolume]:
        """Note where a volume's directory is now; see :meth:`.Use.accept`."""
        job = Job("Accept", name, SHORT)
        return self._deadlines.keep(job, self._use.accept(name, job))

    def label(self, name: str, labels: Mapping[str, str]) -> Work[None]:
        """Keep the labels that an engine has for a volume; see :meth:`.Use.label`."""
        return self._use.label(name, labels)

    def holding(self, name: str, done: str) -> AbstractAsyncContextManager[StoredVolume]:
        """Keep a volume from all changes; see :meth:`.Use.holding`."""
        return self._use.holding(name, done)

    def copying(
        self, name: str, begin: Callable[[StoredVolume], Awaitable[bool]]
    ) -> AbstractAsyncContextManager[Hold]:
        """Keep a volume from what a copy does not bear; see :meth:`.Use.copying`."""
        return self._use.copying(name, begin)

    @property
    def volumes(self) -> Mapping[str, StoredVolume]:
        """The volumes by name, as they are; it changes with them."""
        return self._state.volumes

    def some(self, names: Iterable[str]) -> list[StoredVolume]:
        """Return the volumes of these names that are there."""
        return self._state.volumes.some(names)

    def root_trouble(self) -> str:
        """Return why nothing may be done where volumes live; see :meth:`.State.root_trouble`."""
        return self._state.root_trouble()

    def about(self, name: str) -> StoredVolume:
        """Return what is kept of the volume `name`.

        :raises NoSuchVolumeError: there is none.
        """
        return self._state.known(name)

    @property
    def count(self) -> int:
        """How many volumes there are."""
        return len(self._state.volumes)

    def path(self, name: str) -> str:
        """Return the volume's directory.

        :raises NoSuchVolumeError: there is none.
        """
        return self._state.known(name).mountpoint

    def get(self, name: str) -> Volume:
        """Return the volume from memory: it fails for no other reason than the first.

        :raises NoSuchVolumeError: there is none.
        """
        return self._answers.of(self._state.known(name), self._ledger.of(name))

    def capabilities(self) -> Capabilities:
        """Return the scope: the volumes of this machine."""
        return Capabilities("local")

    # Last, because its name hides the builtin from the annotations below it.
    def list(self) -> Answer[Iterable[bytes]]:
        """Return all volumes, by name, from what was made for the List before."""
        return self._state.listing.all()
