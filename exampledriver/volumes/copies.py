"""Snapshots, rollbacks, clones and archives of volumes: who is kept from what meanwhile.

A volume that is copied is held: it is not removed, resized or rolled back until the copy is
there. Its mounts go on, and a copy during which it was mounted is not said to be exact.
Snapshots have locks of their own, which are taken before a volume's, so that those of a
volume that was removed can be used. Whatever is made is whole, or not there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

from attrs import define
from twisted.logger import Logger
from zope.interface import implementer

from ..admin.interfaces import Fields, ICopying, Report
from ..backends.copying import placing, rollback
from ..backends.copying.snapshots import Snapshot
from ..backends.copying.staging import clear_stages
from ..backends.copying.trees import Copied, check_no_mounts
from ..backends.interfaces import ICopyable
from . import values
from .archives import Archives
from .copying import copied_fields
from .errors import BusyError, VolumeError, quoted
from .model import FROM, StoredVolume, Wanted, check_name
from .origins import ICloner, Origin

_log = Logger()


@implementer(ICloner, ICopying)
@define(eq=False)
class Copies(Archives):
    """The copies of one daemon's volumes."""

    def recover(self) -> None:
        """End the rollbacks that a crash cut off, before the service loads. Blocks."""

        def end() -> None:
            for name in rollback.recover(self._root):
                _log.info("volume {name}: its rollback was cut off, and is done", name=name)

        _as_far_as_it_goes(end)

    def forget(self) -> None:
        """Forget volumes that a crash left unmade, after the service has loaded. Blocks."""
        _as_far_as_it_goes(lambda: placing.forget_unmade(self._leftovers()))

    def _leftovers(self) -> Sequence[Path]:
        copyable = ICopyable(self._backend, None)
        return copyable.leftovers() if copyable else ()

    def clear(self) -> None:
        """Delete, in a thread, what a crash left half made."""

        def work() -> None:
            found = self._leftovers()
            placing.forget_known(found, self._service.volumes)
            for path in [*clear_stages(found), *self._snapshots().recover()]:
                _log.info("{path}: was left half made, and is deleted", path=str(path))

        self._threads(work).addErrback(
            lambda failure: _log.warn("half made copies stay: {why}", why=failure.value)
        )

    # Snapshots

    async def snapshot(self, name: str, label: str, report: Report) -> Fields:
        """Make a snapshot; return it."""

        async def work() -> Snapshot:
            async with self._locks.held(name), self._reading(name) as hold:
                volume = hold.volume
                snapshots = self._snapshots(self._copier(volume))

                def make() -> Snapshot:
                    return snapshots.make(
                        name,
                        self._data(volume),
                        label or None,
                        lambda: hold.used,
                        progress,
                        volume.backend,
                        volume.options,
                    )

                return await self._run(name, "making a snapshot", make)

        with self._work(name) as (progress, about):
            return _shown(await self._waits.telling(report, about, work(), progress.stop))

    async def snapshots(self, name: str) -> Sequence[Fields]:
        """Return a volume's snapshots, oldest first; they outlive the volume."""
        check_name(name)
        found = await self._ask(name, "listing snapshots", lambda: self._snapshots().of(name))
        if not found:
            self._service.about(name)
        return [_shown(snapshot) for snapshot in found]

    async def delete_snapshot(self, name: str, label: str, report: Report) -> Fields:
        """Delete a snapshot."""
        check_name(name)

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
                copyable, copier, place = (
                    self._copyable(volume),
                    self._copier(volume),
                    self._data(volume),
                )
                users = await self._users(volume)
                if users:
                    raise BusyError(
                        f"volume {quoted(name)}: not rolled back, in use by {users}; stop its "
                        'containers; "exampledriver volume release" drops counts of dead engines'
                    )

                def roll_back() -> Copied:
                    found = self._snapshots().get(name, label)
                    theirs, ours = _kind(found), _kind(volume)
                    if theirs != ours:
                        raise VolumeError(
                            f"snapshot {quoted(label)} is of a volume of backend {theirs}, "
                            f"and this is one of {ours}: make a clone of it"
                        )
                    source = self._snapshots().data(name, label)
                    as_it_is = copyable.close(volume)
                    check_no_mounts(place)
                    about = {"name": name, **as_it_is.to_json()}
                    return rollback.roll_back(self._root, place, source, about, copier, progress)

                return await self._run(name, f"rolling back to {quoted(label)}", roll_back)

        with self._work(name) as (progress, about):
            copied = await self._waits.telling(report, about, work(), progress.stop)
        self._service.removed()
        return {"Name": name, "Label": label, **copied_fields(copied)}

    # Clones

    async def options(self, name: str, given: Mapping[str, str]) -> Mapping[str, str]:
        """Judge the option ``from``, and add what the source has."""
        text = values.read(name, FROM, given[FROM], values.source)
        try:
            backend, options = await self._source(text)
        except VolumeError as error:
            raise values.bad(name, FROM, text, str(error)) from error
        return ICopyable(self._backend).clone_options(name, backend, options, given)

    async def _source(self, text: str) -> tuple[str, Mapping[str, str]]:
        """Return the backend and the options of a volume, or of what a snapshot is of."""
        source, _, label = text.partition("@")
        if label:
            get = self._snapshots().get
            found = await self._ask(source, "reading snapshots", lambda: get(source, label))
            return found.backend, found.options
        volume = self._service.about(source)
        self._copier(volume)
        return volume.backend, volume.options

    @asynccontextmanager
    async def cloning(self, name: str, wanted: Wanted, stop: Event | None) -> AsyncIterator[Origin]:
        """Hold the source and give the origin; the new volume's note goes when it is journalled."""
        text = wanted.options[FROM]
        source, _, label = text.partition("@")
        with self._work(name, stop) as (progress, _):

            def filling(data: Path, backend: str) -> Origin:
                def fill(volume: StoredVolume, content: Path, scratch: Path) -> Copied:
                    copied = self._copier(volume).clone(data, content, progress, True)
                    _log.info(
                        "volume {name}: has the data of {source}: {copied}",
                        name=name,
                        source=text,
                        copied=copied.described(),
                    )
                    return copied

                return self._origin(f"copying {quoted(text)}", fill, backend, progress)

            if source == name and self._locks.is_held(name):
                # Who has that lock may wait for the volume's, which is held here.
                raise BusyError(
                    f"volume {quoted(name)}: something is done with its snapshots; create it again "
                    "when that has ended"
                )
            async with self._locks.held(source):
                if label:
                    snapshots = self._snapshots()
                    found = await self._ask(source, "copying", lambda: snapshots.get(source, label))
                    yield filling(snapshots.data(source, label), found.backend)
                else:
                    async with self._reading(source) as hold:
                        yield filling(self._data(hold.volume), hold.volume.backend)
        await self._forget(name)


def _kind(of: Snapshot | StoredVolume) -> str:
    """Return what a volume's data is, which a rollback does not change; for people too."""
    return f"{of.backend} with {of.options['fs']}" if "fs" in of.options else of.backend


def _as_far_as_it_goes(work: Callable[[], None]) -> None:
    try:
        work()
    except (OSError, VolumeError) as error:
        _log.error("what a crash has left of a copy stays: {error}", error=error)


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
        "Warnings": list(snapshot.warnings),
        "Backend": snapshot.backend,
    }
