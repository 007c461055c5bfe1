"""What all copies of volumes have in common: whose they are, and how their work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias, TypeVar

from attrs import define, field
from twisted.logger import Logger

from ..backends.copying import placing
from ..backends.copying.copiers import ICopier, TreeCopier
from ..backends.copying.progress import Progress
from ..backends.copying.snapshots import Snapshots
from ..backends.copying.trees import Copied
from ..backends.interfaces import IBackend, ICopyable
from ..backends.trash import Trash, manifest
from .errors import VolumeError, advice, quoted
from .health import Threads
from .holds import Hold
from .ledger import MountLedger
from .locks import Locks
from .model import StoredVolume
from .origins import Origin
from .service import VolumeService
from .waiting import Waits

_log = Logger()
T = TypeVar("T")

#: Makes the data of a new volume at the first path; the second is a directory for what else
#: that needs.
Fill: TypeAlias = Callable[[StoredVolume, Path, Path], Copied]


@define(eq=False)
class Copying:
    """The works that copy one daemon's volumes.

    :ivar root: where volumes live.
    :ivar channels: the directory in which commands listen for archives.
    :ivar quick: threads for questions: a Mount may wait for the answer, and a few copies may
        have all of the others for long.
    :ivar sending: threads for archives, which take as long as who is at the other end.
    """

    _service: VolumeService
    _ledger: MountLedger
    _backend: IBackend
    _trash: Trash
    _root: Path
    _channels: Path
    _threads: Threads
    _quick: Threads
    _sending: Threads
    _waits: Waits
    _locks: Locks = field(factory=Locks, init=False)
    _under_way: set[Progress] = field(factory=set, init=False)
    _stopped: bool = field(default=False, init=False)

    def stop(self) -> None:
        """Let what is under way end, undone."""
        self._stopped = True
        for progress in self._under_way:
            progress.stop.set()

    def _snapshots(self, copier: ICopier | None = None) -> Snapshots:
        return Snapshots(self._root, copier or TreeCopier())

    def _copyable(self, volume: StoredVolume) -> ICopyable:
        copyable = ICopyable(self._backend, None)
        if copyable is None:
            raise VolumeError(f"volume {quoted(volume.name)}: its kind cannot be copied")
        return copyable

    def _copier(self, volume: StoredVolume) -> ICopier:
        return self._copyable(volume).copier(volume)

    def _data(self, volume: StoredVolume) -> Path:
        return Path(self._backend.data_path(volume))

    def can_copy(self, volume: StoredVolume) -> bool:
        """Tell whether the volume's kind can be copied."""
        try:
            self._copier(volume)
        except VolumeError:
            return False
        return True

    def is_busy(self, name: str) -> bool:
        """Tell whether a volume's next snapshot waits for another work."""
        return self._locks.is_held(name)

    @contextmanager
    def _work(
        self, name: str, stop: Event | None = None
    ) -> Iterator[tuple[Progress, dict[str, object]]]:
        """Give a job's progress, and the report of it.

        :param stop: set by who wants the work to end.
        """
        about: dict[str, object] = {"Volume": name}
        progress = Progress(
            lambda now: about.update(Files=now.files, Size=now.size), stop=stop or Event()
        )
        if self._stopped:
            progress.stop.set()
        self._under_way.add(progress)
        try:
            yield progress, about
        finally:
            self._under_way.discard(progress)

    async def _run(self, name: str, doing: str, work: Callable[[], T]) -> T:
        """Do a work in a thread; its errors name the volume, and what was being done."""
        done: T = await self._threads(explaining(name, doing, self._rooted(work)))
        return done

    async def _send(self, name: str, doing: str, work: Callable[[], T]) -> T:
        """Do as :meth:`_run` does what waits for somebody else."""
        done: T = await self._sending(explaining(name, doing, work))
        return done

    async def _ask(self, name: str, doing: str, question: Callable[[], T]) -> T:
        """Do as :meth:`_run` does, without waiting for other copies."""
        answer: T = await self._quick(explaining(name, doing, self._rooted(question)))
        return answer

    def _rooted(self, work: Callable[[], T]) -> Callable[[], T]:
        """Return a work that is refused where the root is not the one with the copies."""

        def checked() -> T:
            trouble = self._service.root_trouble()
            if trouble:
                raise VolumeError(trouble)
            return work()

        return checked

    def _reading(self, name: str) -> AbstractAsyncContextManager[Hold]:
        """Hold a volume while it is copied; its mounts go on.

        :raises VolumeError: it is not there, or cannot be copied.
        """

        async def begin(volume: StoredVolume) -> bool:
            return bool(await self._users(volume, ready=True))

        return self._service.copying(name, begin)

    async def _users(self, volume: StoredVolume, ready: bool = False) -> str:
        """Return who uses a volume, which is held; empty if nobody does.

        :param ready: make it ready to be copied, too.
        :raises VolumeError: it is not there.
        """
        copyable = self._copyable(volume)

        def work(volume: StoredVolume) -> str:
            held: str = copyable.users(volume)
            if ready:
                copyable.open(volume)
            return held

        held: str = await self._quick(work, volume)
        counted = sum(self._ledger.of(volume.name).values())
        if held or not counted:
            return held
        return f"an engine, which counts {counted} mounts"

    def _origin(self, doing: str, fill: Fill, backend: str, progress: Progress) -> Origin:
        """Return an origin that fills the data of a new volume."""

        def bring(volume: StoredVolume) -> None:
            def work() -> Copied:
                return placing.place(
                    volume.name,
                    self._data(volume),
                    lambda content, scratch: fill(volume, content, scratch),
                    manifest(volume),
                    self._trash,
                    progress,
                )

            explaining(volume.name, doing, work)()

        def undo(volume: StoredVolume) -> None:
            place = self._data(volume)
            explaining(volume.name, "undoing", lambda: placing.take_back(place))()

        return Origin(bring, undo, backend=backend)

    async def _forget(self, name: str) -> None:
        """Remove the note of a volume that has just been journalled."""
        try:
            await self._quick(placing.forget, self._data(self._service.about(name)))
        except OSError as error:
            _log.warn("volume {name}: a note of its copy stays: {error}", name=name, error=error)


def explaining(name: str, doing: str, work: Callable[[], T]) -> Callable[[], T]:
    """Return a work whose errors name the volume, and what was being done."""

    def explained() -> T:
        try:
            return work()
        except VolumeError as error:
            if str(error).startswith("volume "):
                raise
            raise VolumeError(f"volume {quoted(name)}: {doing}: {error}") from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            why = error.strerror or str(error)
            text = f"volume {quoted(name)}: {doing}: {where}{why}{advice(error)}"
            raise VolumeError(text) from error

    return explained


def copied_fields(copied: Copied) -> dict[str, Any]:
    """Return what a copy came to, as an answer has it."""
    return {
        "Method": copied.method,
        "Files": copied.files,
        "Size": copied.size,
        "Changed": copied.changed,
        "Warnings": list(copied.warnings),
    }
