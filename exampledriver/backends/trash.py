"""Where removed volumes wait: ``ROOT/.trash/TIME/NAME``, and beside it what it was.

The time is when the volume was removed, in UTC to the microsecond. A name that
comes again does not collide, and a name of 255 characters still fits.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Lock

from attrs import define, field
from twisted.logger import Logger

from .durable import sync
from .mounts import holders, mounts_inside

_log = Logger()

#: In a slot, beside the directory: what is needed to bring the volume back, as JSON. The dot
#: keeps it apart from every volume's name. Slots of older versions have none.
MANIFEST = ".volume.json"

_FORMAT = "%Y%m%dT%H%M%S.%fZ"


@define(eq=False)
class Trash:
    """The trash of a root directory. All methods block."""

    root: Path
    #: The slots that :meth:`put` is at work in; a purge in another thread leaves them alone.
    _filling: set[str] = field(factory=set, init=False)
    #: The slots that are not durable yet.
    _unsynced: set[str] = field(factory=set, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    @property
    def path(self) -> Path:
        """The trash's directory; its name cannot be a volume's."""
        return self.root / ".trash"

    def prepare(self) -> None:
        """Make the trash's directory, if there is none.

        :raises OSError: it could not be made.
        """
        self.path.mkdir(mode=0o700, exist_ok=True)

    def put(self, directory: Path, manifest: bytes) -> None:
        """Move a directory of the root into the trash; :meth:`sync` makes that durable.

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
                os.rename(directory, slot / directory.name)
            except OSError:
                shutil.rmtree(slot)
                raise
        finally:
            with self._lock:
                self._filling.discard(slot.name)
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
            slot = self.path / moment.strftime(_FORMAT)
            try:
                with self._lock:
                    slot.mkdir(mode=0o700)
                    self._filling.add(slot.name)
            except FileExistsError:
                moment += timedelta(microseconds=1)
            else:
                return slot

    def _is_filling(self, slot: Path) -> bool:
        with self._lock:
            return slot.name in self._filling

    def purge(self, older_than: timedelta) -> int:
        """Delete for good what was removed more than `older_than` ago; return how many volumes.

        What cannot be deleted, and what has something mounted in it, stays and is logged.
        """
        if not self.path.is_dir():
            return 0
        limit = datetime.now(timezone.utc) - older_than
        purged = 0
        for slot in sorted(self.path.iterdir()):
            try:
                removed = datetime.strptime(slot.name, _FORMAT).replace(tzinfo=timezone.utc)
            except ValueError:
                continue  # not ours
            if removed <= limit and not self._is_filling(slot):
                purged += self._purge_slot(slot)
        return purged

    def _purge_slot(self, slot: Path) -> int:
        # In anybody's namespace: a container may have what was removed under it.
        mounted = mounts_inside(str(slot)) or [h.describe() for h in holders(str(slot.resolve()))]
        if mounted:
            _log.warn(
                "{slot} is not purged: mounted, and not to be deleted under its users: {mounted}",
                slot=str(slot),
                mounted=", ".join(mounted),
            )
            return 0
        volumes = len([path for path in slot.iterdir() if path.name != MANIFEST])
        try:
            shutil.rmtree(slot)
        except OSError as error:
            _log.warn("{slot} is not purged: {error}", slot=str(slot), error=error)
            return 0
        return volumes


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
