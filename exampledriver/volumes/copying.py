"""What all copies of volumes have in common: whose they are, and how their work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field
from twisted.logger import Logger

from ..backends.copying import placing
from ..backends.copying.copiers import ICopier, TreeCopier
from ..backends.copying.progress import Progress
from ..backends.copying.snapshots import Snapshots
from ..backends.copying.trees import Copied
from ..backends.interfaces import IBackend, ICopyable
from ..backends.trash import Trash
from .errors import VolumeError, quoted
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


@define(eq=False)
class Copying:
    """The works that copy one daemon's volumes.

    :ivar root: where volumes live.
    :ivar channels: the directory in which commands listen for archives.
    """

    _service: VolumeService
    _ledger: MountLedger
    _backend: IBackend
    _trash: Trash
    _root: Path
    _channels: Path
    _threads: Threads
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

    def _copier(self, volume: StoredVolume) -> ICopier:
        copyable = ICopyable(self._backend, None)
        if copyable is None:
            raise VolumeError(f"volume {quoted(volume.name)}: its kind cannot be copied")
        found: ICopier = copyable.copier(volume)
        return found

    def can_copy(self, volume: StoredVolume) -> bool:
        """Tell whether the volume's kind can be copied."""
        try:
            self._copier(volume)
        except VolumeError:
            return False
        return True

    @contextmanager
    def _work(self, name: str) -> Iterator[tuple[Progress, dict[str, object]]]:
        """Give a work's progress, and what is told of it."""
        about: dict[str, object] = {"Volume": name}
        progress = Progress(lambda now: about.update(Files=now.files, Size=now.size))
        if self._stopped:
            progress.stop.set()
        self._under_way.add(progress)
        try:
            yield progress, about
        finally:
            self._under_way.discard(progress)

    async def _run(self, name: str, doing: str, work: Callable[[], T]) -> T:
        """Do a work in a thread; its errors name the volume, and what was being done."""
        done: T = await self._threads(explaining(name, doing, work))
        return done

    def _reading(self, name: str) -> AbstractAsyncContextManager[Hold]:
        """Hold a volume while it is copied; its mounts go on.

        :raises VolumeError: it is not there, or cannot be copied.
        """

        async def begin(volume: StoredVolume) -> bool:
            self._copier(volume)
            return bool(await self._users(volume))

        return self._service.copying(name, begin)

    async def _users(self, volume: StoredVolume) -> str:
        """Return who uses a volume, which is held; empty if nobody does.

        :raises VolumeError: it is not there.
        """
        trouble, held = await self._threads(self._backend.look, volume, True)
        if trouble:
            raise VolumeError(f"volume {quoted(volume.name)}: {trouble}")
        counted = sum(self._ledger.of(volume.name).values())
        if held or not counted:
            return held or ""
        return f"an engine, which counts {counted} mounts"

    def _origin(self, doing: str, fill: placing.Fill, copier: ICopier) -> Origin:
        def bring(volume: StoredVolume) -> None:
            place = Path(volume.mountpoint)
            explaining(
                volume.name, doing, lambda: placing.place(place, fill, copier, self._trash)
            )()

        def undo(volume: StoredVolume) -> None:
            place = Path(volume.mountpoint)
            explaining(volume.name, "undoing", lambda: placing.take_back(place, copier))()

        return Origin(bring, undo)

    async def _forget(self, name: str) -> None:
        try:
            await self._threads(placing.forget, self._root / name)
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
            raise VolumeError(f"volume {quoted(name)}: {doing}: {where}{why}") from error

    return explained


def copied_fields(copied: Copied) -> dict[str, Any]:
    """Return what a copy came to, as an answer has it."""
    return {
        "Method": copied.method,
        "Files": copied.files,
        "Size": copied.size,
        "Changed": copied.changed,
    }
