"""Snapshots, rollbacks, clones and archives of volumes: who is kept from what meanwhile.

A volume that is copied is held: its changes wait, its mounts too, until the copy is there.
Snapshots have locks of their own, which are taken after a volume's, so that those of a
volume that was removed can be used. Whatever is made is whole, or not there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field
from twisted.logger import Logger
from zope.interface import implementer

from ..admin.interfaces import Fields, ICopying, Report
from ..backends.copying import placing, rollback
from ..backends.copying.archive import Manifest
from ..backends.copying.channels import Channel
from ..backends.copying.copiers import ICopier, TreeCopier
from ..backends.copying.exporting import export_tree
from ..backends.copying.importing import Import
from ..backends.copying.progress import Progress
from ..backends.copying.snapshots import Snapshot, Snapshots
from ..backends.copying.staging import clear_stages
from ..backends.copying.trees import Copied, check_no_mounts
from ..backends.interfaces import IBackend, ICopyable
from ..backends.trash import Trash
from ..plugin.volume import rfc3339
from . import values
from .errors import BusyError, ConflictError, InvalidOptionError, VolumeError, quoted
from .health import Threads
from .ledger import MountLedger
from .locks import Locks
from .model import DIRECTORY, FROM, StoredVolume, Wanted
from .origins import ICloner, Origin
from .service import VolumeService
from .waiting import Waits

_log = Logger()
T = TypeVar("T")

#: The options of an archived volume that the imported one has too; its directory has them.
_KEPT = ("gid", "mode", "uid")
#: Options that an imported volume cannot have.
_NOT_IMPORTED = (FROM, "mountpoint", "size")


@implementer(ICloner, ICopying)
@define(eq=False)
class Copies:
    """The copies of one daemon's volumes.

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

    def recover(self) -> None:
        """End the rollbacks that a crash cut off, before the service loads. Blocks."""
        try:
            for name in rollback.recover(self._root, TreeCopier()):
                _log.info("volume {name}: its rollback was cut off, and is done", name=name)
        except (OSError, VolumeError) as error:
            _log.error("what a crash has left of a copy stays: {error}", error=error)

    def clear(self) -> None:
        """Delete, in a thread, what a crash left half made."""

        def work() -> None:
            placing.forget_known(self._root, self._service.volumes)
            snapshots = self._snapshots()
            for path in [*clear_stages(self._root), *snapshots.recover()]:
                _log.info("{path}: was left half made, and is deleted", path=str(path))

        self._threads(work).addErrback(
            lambda failure: _log.warn("half made copies stay: {why}", why=failure.value)
        )

    def stop(self) -> None:
        """Let what is under way end, undone."""
        self._stopped = True
        for progress in self._under_way:
            progress.stop.set()

    # What all have in common

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
        done: T = await self._threads(_explaining(name, doing, work))
        return done

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

    # Snapshots

    async def snapshot(self, name: str, label: str, report: Report) -> Fields:
        """Make a snapshot; return it."""

        async def work() -> Snapshot:
            async with self._service.holding(name) as volume, self._locks.held(name):
                snapshots = self._snapshots(self._copier(volume))
                used, place = bool(await self._users(volume)), Path(volume.mountpoint)
                return await self._run(
                    name,
                    "making a snapshot",
                    lambda: snapshots.make(name, place, label or None, used, progress),
                )

        with self._work(name) as (progress, about):
            return _shown(await self._waits.telling(report, about, work()))

    async def snapshots(self, name: str) -> Sequence[Fields]:
        """Return a volume's snapshots, oldest first; they outlive the volume."""
        found = await self._run(name, "listing snapshots", lambda: self._snapshots().of(name))
        if not found:
            self._service.about(name)
        return [_shown(snapshot) for snapshot in found]

    async def delete_snapshot(self, name: str, label: str, report: Report) -> Fields:
        """Delete a snapshot."""

        async def work() -> None:
            async with self._locks.held(name):
                await self._run(
                    name, "deleting a snapshot", lambda: self._snapshots().delete(name, label)
                )

        await self._waits.telling(report, {"Volume": name}, work())
        return {"Name": name, "Label": label}

    async def roll_back(self, name: str, label: str, report: Report) -> Fields:
        """Give a volume the data of a snapshot; what it had goes to the trash."""

        async def work() -> Copied:
            async with self._service.holding(name) as volume, self._locks.held(name):
                copier, place = self._copier(volume), Path(volume.mountpoint)
                users = await self._users(volume)
                if users:
                    raise BusyError(
                        f"volume {quoted(name)}: not rolled back, in use by {users}; stop its "
                        'containers; "exampledriver volume release" drops counts of dead engines'
                    )

                def roll_back() -> Copied:
                    source = self._snapshots().data(name, label)
                    check_no_mounts(place)
                    about = {"name": name, **volume.to_json()}
                    return rollback.roll_back(self._root, place, source, about, copier, progress)

                return await self._run(name, f"rolling back to {quoted(label)}", roll_back)

        with self._work(name) as (progress, about):
            copied = await self._waits.telling(report, about, work())
        self._service.removed()
        return {"Name": name, "Label": label, **_copied(copied)}

    # Clones

    async def check(self, name: str, wanted: Wanted) -> None:
        """Judge the option ``from``."""
        source, _, label = wanted.options[FROM].partition("@")
        try:
            if label:
                await self._run(
                    source, "reading snapshots", lambda: self._snapshots().get(source, label)
                )
            else:
                self._copier(self._service.about(source))
        except VolumeError as error:
            raise values.bad(name, FROM, wanted.options[FROM], str(error)) from error

    @asynccontextmanager
    async def cloning(self, name: str, wanted: Wanted) -> AsyncIterator[Origin]:
        """Hold the source and give the origin; the new volume's note goes when it is journalled."""
        await self.check(name, wanted)
        text = wanted.options[FROM]
        source, _, label = text.partition("@")
        with self._work(name) as (progress, _):

            def filling(data: Path, copier: ICopier) -> Origin:
                def fill(content: Path, scratch: Path) -> Copied:
                    copied = copier.copy(data, content, progress)
                    placing.own(content, wanted.options)
                    _log.info(
                        "volume {name}: has the data of {source}: {files} files, {size} bytes, by "
                        "{method}, {changed} seen to change",
                        name=name,
                        source=text,
                        files=copied.files,
                        size=copied.size,
                        method=copied.method,
                        changed=copied.changed,
                    )
                    return copied

                return self._origin(f"copying {quoted(text)}", fill, copier)

            if label:
                async with self._locks.held(source):
                    data = self._snapshots().data
                    path = await self._run(name, "copying", lambda: data(source, label))
                    yield filling(path, TreeCopier())
            else:
                async with self._service.holding(source) as volume:
                    await self._users(volume)
                    yield filling(Path(volume.mountpoint), self._copier(volume))
        await self._forget(name)

    def _origin(self, doing: str, fill: placing.Fill, copier: ICopier) -> Origin:
        def bring(volume: StoredVolume) -> None:
            place = Path(volume.mountpoint)
            _explaining(
                volume.name, doing, lambda: placing.place(place, fill, copier, self._trash)
            )()

        def undo(volume: StoredVolume) -> None:
            place = Path(volume.mountpoint)
            _explaining(volume.name, "undoing", lambda: placing.take_back(place, copier))()

        return Origin(bring, undo)

    async def _forget(self, name: str) -> None:
        try:
            await self._threads(placing.forget, self._root / name)
        except OSError as error:
            _log.warn("volume {name}: a note of its copy stays: {error}", name=name, error=error)

    # Archives

    async def export(self, name: str, label: str, channel: str, report: Report) -> Fields:
        """Send a volume, or a snapshot, to who listens at a socket."""

        async def work() -> Copied:
            if label:
                async with self._locks.held(name):
                    snapshots = self._snapshots()
                    found = await self._run(name, "exporting", lambda: snapshots.get(name, label))
                    volume: StoredVolume | None = self._service.volumes.get(name)
                    data = snapshots.directory(name) / label / "data"
                    return await send(data, volume, found.consistency)
            async with self._service.holding(name) as volume:
                used = bool(await self._users(volume))
                consistency = self._copier(volume).consistency(used)
                return await send(Path(volume.mountpoint), volume, consistency)

        async def send(data: Path, volume: StoredVolume | None, consistency: str) -> Copied:
            manifest = Manifest(
                name,
                volume.backend if volume else DIRECTORY,
                rfc3339(volume.created) if volume else "",
                dict(volume.options) if volume else {},
                rfc3339(self._service.now()),
                consistency=consistency,
            )

            def export() -> Copied:
                with Channel(self._channels / channel, progress) as output:
                    return export_tree(data, manifest, output, progress, self._root)

            return await self._run(name, "exporting", export)

        with self._work(name) as (progress, about):
            copied = await self._waits.telling(report, about, work())
        return {"Name": name, "Label": label, **_copied(copied)}

    async def import_(
        self, name: str, options: Mapping[str, str], channel: str, report: Report
    ) -> Fields:
        """Make a volume of an archive that is sent by who listens at a socket."""
        for key in _NOT_IMPORTED:
            if key in options:
                raise InvalidOptionError(
                    f"volume {quoted(name)}: option {quoted(key)} is not for an imported volume"
                )
        if name in self._service.volumes:
            raise ConflictError(f"volume {quoted(name)}: exists already; give another name")

        async def work() -> None:
            source = Channel(self._channels / channel, progress)
            await self._run(name, "importing", source.__enter__)
            try:
                archive = Import(source, progress)
                manifest = await self._run(name, "importing", archive.read_manifest)
                manifests.append(manifest)
                kept = {key: manifest.options[key] for key in _KEPT if key in manifest.options}

                def fill(content: Path, scratch: Path) -> Copied:
                    copied.append(archive.extract(content, scratch))
                    placing.own(content, options)
                    return copied[0]

                wanted = {"backend": DIRECTORY, **kept, **options}
                origin = self._origin("importing", fill, TreeCopier())
                await self._service.create(name, wanted, origin)
                await self._forget(name)
            finally:
                source.__exit__()

        manifests: list[Manifest] = []
        copied: list[Copied] = []
        with self._work(name) as (progress, about):
            await self._waits.telling(report, about, work())
        (manifest,) = manifests
        archived: dict[str, object] = {
            "Name": manifest.name,
            "Backend": manifest.backend,
            "Options": manifest.options,
            "Exported": manifest.exported,
        }
        return {"Name": name, **_copied(copied[0]), "Archive": archived}


def _explaining(name: str, doing: str, work: Callable[[], T]) -> Callable[[], T]:
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


def _copied(copied: Copied) -> dict[str, Any]:
    return {
        "Method": copied.method,
        "Files": copied.files,
        "Size": copied.size,
        "Changed": copied.changed,
    }


def _shown(snapshot: Snapshot) -> Fields:
    return {
        "Name": snapshot.volume,
        "Label": snapshot.label,
        "CreatedAt": snapshot.created,
        "Method": snapshot.method,
        "Consistency": snapshot.consistency,
        "Files": snapshot.files,
        "Size": snapshot.size,
        "Changed": snapshot.changed,
    }
