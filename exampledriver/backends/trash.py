"""Where removed volumes wait: ``ROOT/.trash/TIME/NAME``, and beside it what it was.

The time is when the volume was removed, in UTC to the microsecond. A name that
comes again does not collide, and a name of 255 characters still fits.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Lock

import msgspec
from attrs import define, field
from twisted.logger import Logger

from ..volumes.model import StoredVolume
from .copying.removing import remove_tree
from .durable import sync
from .mounts import holders, mounts_inside, named

_log = Logger()

#: The directory of the trash, in the root; it cannot be a volume's name.
TRASH = ".trash"

#: In a slot, beside the directory: what is needed to bring the volume back, as JSON. The dot
#: keeps it apart from every volume's name. Slots of older versions have none.
MANIFEST = ".volume.json"

_FORMAT = "%Y%m%dT%H%M%S.%fZ"


@define(eq=False)
class Trash:
    """The trash of a root directory. All methods block."""

    root: Path
    #: The slots that somebody is at work in; everybody else leaves them alone.
    _claimed: set[str] = field(factory=set, init=False)
    #: The slots that are not durable yet.
    _unsynced: set[str] = field(factory=set, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    @property
    def path(self) -> Path:
        """The trash's directory."""
        return self.root / TRASH

    def prepare(self) -> None:
        """Make the trash's directory, if there is none.

        :raises OSError: it could not be made.
        """
        self.path.mkdir(mode=0o700, exist_ok=True)

    def put(self, directory: Path, manifest: bytes, name: str = "") -> None:
        """Move a directory of the root into the trash; :meth:`sync` makes that durable.

        :param name: what it is called in there, if not as it is.
        :param manifest: what is to be known of it to bring it back, as JSON.
        :raises FileNotFoundError: it is not there.
        :raises OSError: it could not be moved, and is where it was.
        """
        self.prepare()
        slot = self._slot(datetime.now(timezone.utc))
        try:
            try:
                with open(slot / MANIFEST, "xb", opener=_private) as file:
                    file.write(manifest)
                os.rename(directory, slot / (name or directory.name))
            except OSError:
                shutil.rmtree(slot)
                raise
        finally:
            with self._lock:
                self._claimed.discard(slot.name)
                self._unsynced.add(slot.name)

    def sync(self) -> None:
        """Make durable what :meth:`put` has moved.

        :raises OSError: it could not be done.
        """
        with self._lock:
            slots = sorted(self._unsynced)
        for name in slots:
            # A purge may have been there first.
            with suppress(FileNotFoundError):
                for path in (self.path / name / MANIFEST, self.path / name):
                    sync(path)
        # Inside out: where it is first, where it was last.
        for path in (self.path, self.root):
            sync(path)
        with self._lock:
            self._unsynced.difference_update(slots)

    def _slot(self, moment: datetime) -> Path:
        while True:
            slot = self.path / slot_name(moment)
            try:
                with self._lock:
                    slot.mkdir(mode=0o700)
                    self._claimed.add(slot.name)
            except FileExistsError:
                moment += timedelta(microseconds=1)
            else:
                return slot

    @contextmanager
    def claimed(self, slot: str) -> Iterator[bool]:
        """Keep everybody else out of a slot; give whether nobody is in it."""
        with self._lock:
            mine = slot not in self._claimed
            if mine:
                self._claimed.add(slot)
        try:
            yield mine
        finally:
            if mine:
                with self._lock:
                    self._claimed.discard(slot)

    def purge(self, older_than: timedelta) -> int:
        """Delete for good what was removed more than `older_than` ago; return how many volumes.

        What cannot be deleted, and what has something mounted in it, stays and is logged.
        """
        if not self.path.is_dir():
            return 0
        limit = datetime.now(timezone.utc) - older_than
        purged = 0
        for slot in sorted(self.path.iterdir()):
            removed = slot_time(slot.name)
            if removed is not None and removed <= limit:
                count, why = self.purge_slot(slot.name)
                purged += count
                if why:
                    _log.warn("{slot} is not purged: {why}", slot=str(slot), why=why)
        return purged

    def purge_slot(self, name: str) -> tuple[int, str]:
        """Delete a slot for good; return how many volumes were in it, and why it is not done."""
        slot = self.path / name
        with self.claimed(name) as mine:
            if not mine:
                return 0, ""  # a removal or a restore is at work in it
            try:
                # In anybody's namespace: a container may have what was removed under it.
                where = named(mounts_inside(str(slot))) or ", ".join(
                    holder.describe() for holder in holders(str(slot.resolve()))
                )
                if where:
                    return 0, f"mounted, and not to be deleted under its users: {where}"
                volumes = len([path for path in slot.iterdir() if path.name != MANIFEST])
                remove_tree(slot)
            except FileNotFoundError:
                return 0, ""  # another one was there first
            except OSError as error:
                return 0, str(error)
        return volumes, ""


def manifest(volume: StoredVolume) -> bytes:
    """Return what :meth:`Trash.put` keeps of a volume."""
    return msgspec.json.encode({"name": volume.name, **volume.to_json()})


def slot_name(moment: datetime) -> str:
    """Return the name of the slot of what is removed at a moment, which is in UTC."""
    return moment.strftime(_FORMAT)


def slot_time(name: str) -> datetime | None:
    """Return when what is in a slot was removed; ``None`` if that is no slot's name."""
    try:
        return datetime.strptime(name, _FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
