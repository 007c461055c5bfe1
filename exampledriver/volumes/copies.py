"""Snapshots, rollbacks, clones and archives of volumes: who is kept from what meanwhile.

A volume that is copied is held: it is not removed, resized or rolled back until the copy is
there. Its mounts go on, and a copy during which it was mounted is not said to be exact.
Snapshots have locks of their own, which are taken before a volume's, so that those of a
volume that was removed can be used. Whatever is made is whole, or not there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define
from twisted.logger import Logger
from zope.interface import implementer

from ..admin.interfaces import Fields, ICopying, Report
from ..backends.copying import placing, rollback
from ..backends.copying.copiers import ICopier, TreeCopier
from ..backends.copying.snapshots import Snapshot
from ..backends.copying.staging import clear_stages
from ..backends.copying.trees import Copied, check_no_mounts
from . import values
from .archives import Archives
from .copying import copied_fields
from .errors import BusyError, VolumeError, quoted
from .model import FROM, Wanted
from .origins import ICloner, Origin

_log = Logger()


@implementer(ICloner, ICopying)
@define(eq=False)
class Copies(Archives):
    """The copies of one daemon's volumes."""

    def recover(self) -> None:
        """End the rollbacks that a crash cut off, before the service loads. Blocks."""
        try:
            placing.forget_unmade(self._root)
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

    # Snapshots

    async def snapshot(self, name: str, label: str, report: Report) -> Fields:
        """Make a snapshot; return it."""

        async def work() -> Snapshot:
            async with self._locks.held(name), self._reading(name) as hold:
                snapshots = self._snapshots(self._copier(hold.volume))
                place = Path(hold.volume.mountpoint)
                return await self._run(
                    name,
                    "making a snapshot",
                    lambda: snapshots.make(name, place, label or None, lambda: hold.used, progress),
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
            async with self._locks.held(name), self._service.holding(name, "rolled back") as volume:
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
        return {"Name": name, "Label": label, **copied_fields(copied)}

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
                async with self._locks.held(source), self._reading(source) as hold:
                    yield filling(Path(hold.volume.mountpoint), self._copier(hold.volume))
        await self._forget(name)


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
