"""The trash in the hands of an administrator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Event

from attrs import define
from twisted.logger import Logger

from ..admin.interfaces import Fields, Report
from ..backends.bringing import copy, delete_copy, move
from ..backends.removed import Removed, bring_back, forget, removed
from ..backends.trash import Purged, Trash
from ..plugin.redaction import hidden_options
from ..plugin.volume import rfc3339
from .errors import NoSuchVolumeError, VolumeError, quoted
from .health import Threads
from .model import StoredVolume
from .origins import Origin
from .service import VolumeService
from .usage import Key, Usages
from .waiting import Waits

_log = Logger()

#: Two clocks that agree may differ by so much.
_A_WHILE = timedelta(minutes=1)
#: Seconds that a list waits for what is being measured.
PATIENCE = 1.5


@define(eq=False)
class RemovedVolumes:
    """What is in the trash.

    :ivar data_path: where a volume's data is when it is not in the trash.
    :ivar delete_threads: in which it is deleted, one at a time.
    :ivar now: the time of day, with a time zone.
    :ivar retention: how long the trash keeps; ``None`` for ever.
    """

    _service: VolumeService
    _trash: Trash
    _usages: Usages
    _threads: Threads
    _delete_threads: Threads
    _waits: Waits
    _data_path: Callable[[StoredVolume], str]
    now: Callable[[], datetime]
    retention: timedelta | None

    def until(self, age: timedelta = timedelta()) -> str | None:
        """Return until when a volume of this age is kept; ``None`` means forever."""
        return None if self.retention is None else rfc3339(self.now() - age + self.retention)

    async def _in_trash(self) -> list[Removed]:
        def look() -> list[Removed]:
            trouble = self._service.root_trouble()
            if trouble:
                raise VolumeError(f"trash: {trouble}")
            return removed(self._trash)

        try:
            found: list[Removed] = await self._threads(look)
        except OSError as error:
            raise VolumeError(f"the trash cannot be read: {error}") from error
        return found

    async def listed(self) -> Sequence[Fields]:
        """Return what is in the trash, oldest first."""
        found = [one for one in await self._in_trash() if one.there or one.partial]
        left = [(_trash_key(one), one.path) for one in found]
        for key, path in left:
            self._usages.ask(key, path)
        await self._usages.wait([key for key, _ in left], PATIENCE)
        return [
            {
                "Slot": one.slot,
                "Name": one.name,
                "State": "partly deleted" if one.partial else "whole",
                "Path": one.path,
                "RemovedAt": rfc3339(one.at),
                "PurgedAt": self.until(one.age),
                "CreatedAt": one.created or None,
                "Backend": one.backend,
                "Options": hidden_options(one.options),
                "Labels": one.labels,
                "Usage": self._usages.of(_trash_key(one)),
            }
            for one in found
        ]

    async def restore(self, which: str, name: str, partial: bool = False) -> tuple[str, Fields]:
        """Bring a removed volume back, the one removed last if there are several.

        :param partial: bring back also what a purge has begun to delete.
        :return: its name now, and ``Slot`` and ``Others``: where it was, and what else of that
            name is in the trash.
        """
        found = [one for one in await self._in_trash() if which in (one.slot, one.name)]
        if not found:
            raise NoSuchVolumeError(f"trash: {_not_in_trash(which)}")
        # One whose restore was cut short has no directory there: it is completed, unless there
        # is another one.
        one = ([one for one in found if one.there] or found)[-1]
        if one.partial and not partial:
            raise VolumeError(_partly_deleted(one, [other for other in found if other.there]))
        target = name or one.name
        options = {"backend": one.backend, **one.options}
        await self._service.create(target, options, self._restored(one))
        try:
            await self._threads(forget, self._trash, one)
        except OSError as error:
            _log.warn("trash {slot}: is empty, and stays: {error}", slot=one.slot, error=error)
        older = [other.slot for other in found if other is not one and other.there]
        return target, {"Slot": one.slot, "Others": older}

    def finish(self) -> None:
        """Begin to delete what was removed without the trash."""
        self._delete_threads(self._trash.finish).addErrback(
            lambda failure: _log.failure("what was removed could not be deleted", failure)
        )

    def _restored(self, one: Removed) -> Origin:
        def bring(volume: StoredVolume) -> None:
            bring_back(self._trash, one, volume.name, self._data_path(volume))

        def undo(volume: StoredVolume) -> None:
            move(volume.name, self._data_path(volume), one.path)

        return Origin(bring, undo, _moment(one.created), one.backend, one.labels)

    def copied(self, source: str, stop: Event) -> Origin:
        """Return the origin of a copy of a directory; what a crash left of one is put aside.

        :param stop: set when the copy is not wanted any more; it is undone then.
        """

        def bring(volume: StoredVolume) -> None:
            copy(volume.name, source, volume.mountpoint, self._trash, stop)

        def undo(volume: StoredVolume) -> None:
            delete_copy(volume.mountpoint)

        return Origin(bring, undo)

    async def purge(self, which: Sequence[str], older_than: float, report: Report) -> Fields:
        """Delete for good what is in the trash."""
        found = [one for one in await self._in_trash() if one.there or one.partial]
        for text in which:
            if not any(text in (one.slot, one.name) for one in found):
                raise NoSuchVolumeError(f"trash: {_not_in_trash(text)}")
        limit = timedelta(seconds=older_than)
        named = [one for one in found if not which or {one.slot, one.name} & set(which)]
        wanted = [one for one in named if not older_than or one.partial or one.age >= limit]
        purged: list[Fields] = []
        kept: list[Fields] = [
            {"Slot": one.slot, "Name": one.name, "Why": _younger(one)}
            for one in named
            if one not in wanted and self.now() - one.at >= limit + _A_WHILE
        ]
        for number, one in enumerate(wanted):
            shown = {"Slot": one.slot, "Name": one.name}
            about = {**shown, "Done": number, "Of": len(wanted)}
            why = await self._waits.telling(report, about, self._purge_slot(one.slot))
            if why:
                kept.append({**shown, "Why": why})
            else:
                purged.append(shown)
        return {"Purged": purged, "Kept": kept}

    async def _purge_slot(self, slot: str) -> str:
        """Delete a slot; return why it is still there, or an empty text."""
        done: list[Purged] = await self._delete_threads(self._trash.purge_slots, [slot])
        if not any(one.volumes or one.why for one in done):
            return "a removal, a restore or a purge is at it"
        return "; ".join(one.why for one in done)


def _moment(created: str) -> datetime | None:
    try:
        # Python 3.10 reads no "Z".
        found = datetime.fromisoformat(created.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _trash_key(one: Removed) -> Key:
    return one.slot, one.name, one.partial


def _younger(one: Removed) -> str:
    """Return why a volume is kept that the wall clock calls old enough."""
    hours, seconds = divmod(int(one.age.total_seconds()), 3600)
    return (
        f"this machine has run only {hours} h {seconds // 60} min since it was removed, whatever "
        f'the wall clock says; "exampledriver trash purge {one.slot}" deletes it all the same'
    )


def _partly_deleted(one: Removed, found: Sequence[Removed]) -> str:
    """Return why a volume is not restored of which files are missing, and what to do."""
    whole = [other.slot for other in found if not other.partial]
    others = f"; whole are: {', '.join(whole)}" if whole else ""
    return (
        f"trash {one.slot}: volume {quoted(one.name)} is partly deleted: a purge has begun, and "
        'ends with the next one; "exampledriver trash restore --partial '
        f'{one.slot}" brings back what is left{others}'
    )


def _not_in_trash(which: str) -> str:
    return f'no removed volume {quoted(which)}; "exampledriver trash list" shows what there is'
