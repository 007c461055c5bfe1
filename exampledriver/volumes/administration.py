"""What an administrator asks of the volumes, beyond what engines do.

It decides nothing about a volume that the service decides: it asks the service, the ledger
and the kernel, and puts together what they say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from ..admin.interfaces import Fields, IAdministration, Report
from ..backends.bringing import check_source, forget_copy, move
from ..backends.interfaces import IBackend, IMeasurable
from ..plugin.redaction import hidden_options
from ..plugin.volume import rfc3339
from .errors import BusyError, ConflictError, VolumeError, quoted
from .health import HealthChecks, Threads
from .ledger import MountLedger
from .model import DIRECTORY, FROM, StoredVolume
from .origins import Origin
from .removed import PATIENCE, RemovedVolumes
from .service import VolumeService
from .usage import Key, Usages
from .waiting import Waits

#: How many volumes one call looks at; of the others it says what is known.
MOST_LOOKS = 1000
#: Seconds between the two looks before a release: a container that is just being started is
#: counted, and not mounted yet.
A_WHILE = 2.0
#: The length of the key of a volume's measure.
_VOLUME = 4
#: So many volumes are shown in one turn of the reactor.
_SLICE = 500


@implementer(IAdministration)
@define(eq=False)
class Administration:
    """The administrator's view of one daemon's volumes.

    :ivar root: where volumes live.
    :ivar version: the daemon's.
    :ivar driver: the name by which engines know the driver.
    :ivar default: the backend of a volume whose options name none.
    """

    _service: VolumeService
    _ledger: MountLedger
    _backend: IBackend
    _health: HealthChecks
    _usages: Usages
    _removed: RemovedVolumes
    _root: Path
    _threads: Threads
    _look_threads: Threads
    _waits: Waits
    version: Callable[[], str]
    driver: str = "exampledriver"
    default: str = DIRECTORY
    #: The questions to the kernel under way, by volume: one that hangs is not asked twice.
    _asking: dict[str, list[Deferred[Any]]] = field(factory=dict, init=False)

    def about(self) -> Fields:
        """Return what the daemon is."""
        retention = self._removed.retention
        return {
            "Version": self.version(),
            "Driver": self.driver,
            "DefaultBackend": self.default,
            "Root": str(self._root),
            "Volumes": self._service.count,
            "TrashRetention": None if retention is None else retention.total_seconds(),
        }

    def names(self) -> Sequence[str]:
        """Return the names of the volumes, in order."""
        return sorted(self._service.volumes)

    def _named(self, names: Sequence[str]) -> list[StoredVolume]:
        if names:
            return [self._service.about(name) for name in dict.fromkeys(names)]
        volumes = self._service.volumes
        return [volumes[name] for name in sorted(volumes)]

    async def volumes(self, names: Sequence[str]) -> Sequence[Fields]:
        """Return what is known of the volumes, or of all; they are looked at, for a moment."""
        wanted = self._named(names)
        for volume in wanted[:MOST_LOOKS]:
            self._health.status(volume, self._ledger.of(volume.name))
        for volume in wanted:
            self._measure(volume)
        if not names:
            self._usages.keep([self._key(volume) for volume in wanted])
        looks = [self._health.looked(volume.name) for volume in wanted[:MOST_LOOKS]]
        await self._waits.within(PATIENCE, looks)
        await self._usages.wait([self._key(volume) for volume in wanted], PATIENCE / 3)
        found: list[Fields] = []
        for start in range(0, len(wanted), _SLICE):
            if start:
                await self._waits.after(0)
            found += [
                self._shown(volume, start + number < MOST_LOOKS)
                for number, volume in enumerate(wanted[start : start + _SLICE])
                if self._is_there(volume)
            ]
        return found

    def _is_there(self, volume: StoredVolume) -> bool:
        return volume.name in self._service.volumes

    def _shown(self, volume: StoredVolume, looked: bool = True) -> Fields:
        counts = self._ledger.of(volume.name)
        stored = volume.to_json()
        shown: dict[str, object] = {
            "Name": volume.name,
            "Backend": stored["backend"],
            "Mountpoint": volume.mountpoint,
            "CreatedAt": rfc3339(volume.created),
            "Options": hidden_options(volume.options),
            "Labels": dict(volume.labels),
            "Mounts": sum(counts.values()),
            "MountIDs": dict(counts),
        }
        if looked:
            shown.update(self._health.status(volume, counts))
        shown["Usage"] = self._usages.of(self._key(volume))
        return shown

    def _measure(self, volume: StoredVolume, older_than: float | None = None) -> bool:
        what = volume if IMeasurable(self._backend, None) else volume.mountpoint
        older = () if older_than is None else (older_than,)
        return self._usages.ask(self._key(volume), what, *older)

    def _key(self, volume: StoredVolume) -> Key:
        # A name that comes again is another volume, and what is mounted has another measure.
        mounted = bool(self._ledger.of(volume.name))
        return volume.name, volume.created, volume.mountpoint, mounted

    async def mounts(self, names: Sequence[str]) -> Sequence[Fields]:
        """Return who has mounted what: counts, and holders as the kernel says."""
        counted = self._ledger.volumes()
        wanted = self._named(names) if names else self._named([]) if counted else []
        wanted = [volume for volume in wanted if names or self._ledger.of(volume.name)]
        answers = [self._ask(volume) for volume in wanted]
        await self._waits.within(PATIENCE, answers)
        found: list[Fields] = []
        for volume, answer in zip(wanted, answers, strict=True):
            counts = self._ledger.of(volume.name)
            shown: dict[str, object] = {
                "Name": volume.name,
                "Mounts": sum(counts.values()),
                "MountIDs": dict(counts),
            }
            if answer.called and isinstance(answer.result, tuple):
                trouble, holders = answer.result
                shown.update(Trouble=trouble, HeldBy=holders or "")
            else:
                shown.update(Trouble="its file system does not answer", HeldBy=None)
            found.append(shown)
        return found

    def _ask(self, volume: StoredVolume) -> Deferred[Any]:
        """Ask who holds a volume: a Deferred of its trouble and its holders, or of ``None``.

        Cancelled it fires with ``None``.
        """

        def leave(waiter: Deferred[Any]) -> None:
            waiting.remove(waiter)
            waiter.callback(None)

        waiter: Deferred[Any] = Deferred(leave)
        asked = volume.name in self._asking
        waiting = self._asking.setdefault(volume.name, [])
        waiting.append(waiter)
        if asked:
            return waiter

        def answered(result: object) -> None:
            answer = result if isinstance(result, tuple) else None
            for waiter in self._asking.pop(volume.name):
                if not waiter.called:
                    waiter.callback(answer)

        self._look_threads(self._backend.look, volume, True).addBoth(answered)
        return waiter

    async def _refuse_held(self, volume: StoredVolume) -> None:
        answer = self._ask(volume)
        await self._waits.within(PATIENCE, [answer])
        if not (answer.called and isinstance(answer.result, tuple)):
            raise VolumeError(
                f"volume {quoted(volume.name)}: its file system does not answer, so nobody can say "
                "who uses it; try again"
            )
        if answer.result[1]:
            raise BusyError(
                f"volume {quoted(volume.name)}: not released, in use by {answer.result[1]}; stop "
                "those containers, and their engine counts them out"
            )

    async def resize(self, name: str, size: str) -> Fields:
        """Give a volume another size; return it."""
        await self._service.resize(name, size)
        return self._shown(self._service.about(name))

    async def label(self, name: str, labels: Mapping[str, str]) -> Fields:
        """Keep the labels that an engine has for a volume."""
        await self._service.label(name, labels)
        return {"Name": name, "Labels": dict(self._service.about(name).labels)}

    async def accept(self, name: str) -> Fields:
        """Note that a volume's directory is meant to be where it is; return the volume."""
        before = self._service.about(name).place
        changed = await self._service.accept(name)
        return {**self._shown(changed), "Was": before, "Place": changed.place}

    async def release(self, name: str, mount_id: str) -> Fields:
        """Drop mount counts that an engine left behind, if the kernel says nobody uses it."""
        volume = self._service.about(name)
        counted = dict(self._ledger.of(name))
        if mount_id:
            if mount_id not in counted:
                known = ", ".join(counted) or "none"
                raise VolumeError(
                    f"volume {quoted(name)}: mount ID {quoted(mount_id)} is not counted; "
                    f"counted: {known}"
                )
            counted = {mount_id: counted[mount_id]}
        if counted:
            await self._refuse_held(volume)
            await self._waits.after(A_WHILE)
            await self._refuse_held(volume)
        released: dict[str, int] = {}
        for one, count in counted.items():
            for _ in range(min(count, self._ledger.of(name).get(one, 0))):
                await self._service.unmount(name, one)
                released[one] = released.get(one, 0) + 1
        return {"Name": name, "Released": released}

    async def usage(self, names: Sequence[str], fresh: bool, report: Report) -> Sequence[Fields]:
        """Return what the volumes take on the disk, as it was measured."""
        wanted = self._named(names)
        left = [self._key(volume) for volume in wanted if self._measure(volume, 0 if fresh else 60)]
        if not fresh:
            await self._usages.wait(left, PATIENCE)
        for number, volume in enumerate(wanted if fresh else []):
            about = {"Volume": volume.name, "Done": number, "Of": len(wanted)}
            await self._waits.telling(report, about, self._usages.wait([self._key(volume)], None))
        return [{"Name": volume.name, **self._usages.of(self._key(volume))} for volume in wanted]

    async def check(self, name: str, options: Mapping[str, str], source: str, move: bool) -> Fields:
        """Judge a Create, or a :meth:`bring`, without making anything."""
        if source:
            await self._check_source(name, source, move)
        return {"Exists": await self._service.check(name, options)}

    async def _check_source(self, name: str, source: str, move: bool) -> str:
        """Return the real path of what is to be brought.

        :raises PluginError: it cannot be.
        """
        if name in self._service.volumes:
            raise ConflictError(f"volume {quoted(name)}: exists already; give another name")
        # As strict about the place as with a volume's own directory.
        await self._service.check(name, {"backend": DIRECTORY, "mountpoint": source})
        real: str = await self._threads(check_source, name, source, str(self._root), move)
        return real

    async def create(self, name: str, options: Mapping[str, str], report: Report) -> Fields:
        """Make a volume; return it. A copy of another one is undone when its client goes."""
        stop = Event() if FROM in options else None
        making = self._service.create(name, options, stop=stop)
        if stop is None:
            await making
        else:
            await self._waits.telling(report, {"Volume": name}, making, stop)
        return self._shown(self._service.about(name))

    async def remove(self, name: str, now: bool = False) -> Fields:
        """Remove a volume that is not in use; with `now` without the trash."""
        volume = self._service.about(name)
        kept = self._backend.trashes(volume) and await self._threads(
            os.path.lexists, self._backend.data_path(volume)
        )
        await self._service.remove(name, now)
        if now:
            self._removed.finish()
        return {
            "Name": name,
            "Kept": kept and not now,
            "Until": self._removed.until() if kept and not now else None,
        }

    def largest(self) -> Sequence[tuple[str, int]]:
        """Return the volumes that were measured, with their bytes, the largest first."""
        found = [
            (key[0], measure.bytes)
            for key, measure in self._usages.measures()
            if isinstance(key, tuple) and len(key) == _VOLUME and key[0] in self._service.volumes
        ]
        return sorted(found, key=lambda one: -one[1])

    async def bring(
        self, name: str, options: Mapping[str, str], source: str, move: bool, report: Report
    ) -> Fields:
        """Make a volume of a directory of the host."""
        real = await self._check_source(name, source, move)
        stop = Event()
        origin = _moved(real) if move else self._removed.copied(real, stop)
        making = self._service.create(name, options, origin)
        await self._waits.telling(report, {"Volume": name}, making, stop)
        if not move:
            await self._threads(forget_copy, self._service.path(name))
        return self._shown(self._service.about(name))

    async def trash(self) -> Sequence[Fields]:
        """Return what is in the trash, oldest first."""
        return await self._removed.listed()

    async def restore(self, which: str, name: str, partial: bool = False) -> Fields:
        """Bring a removed volume back, the one removed last if there are several."""
        target, about = await self._removed.restore(which, name, partial)
        return {**self._shown(self._service.about(target)), **about}

    async def purge(self, which: Sequence[str], older_than: float, report: Report) -> Fields:
        """Delete for good what is in the trash."""
        return await self._removed.purge(which, older_than, report)


def _moved(source: str) -> Origin:
    def bring(volume: StoredVolume) -> None:
        move(volume.name, source, volume.mountpoint)

    def undo(volume: StoredVolume) -> None:
        move(volume.name, volume.mountpoint, source)

    return Origin(bring, undo)
