"""How long ago something was put into the trash, by two clocks.

The wall clock can be set: by hand, by NTP, by a battery that is empty at the start. So the time
that passes is counted, too, by one that cannot be set: CLOCK_BOOTTIME of clock_gettime(2), which
runs from the start of the machine, also while it is suspended. What has passed is kept in a note
with the boot id of proc(5), and the next boot goes on from there; time during which the machine
is off is not counted. Something is as old as the younger of the two ages.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from threading import RLock
from typing import TypeAlias

import msgspec
from attrs import define, field
from twisted.logger import Logger

from .durable import sync

_log = Logger()

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: After how many seconds the note is written again, though nothing else is new: a boot counts
#: from the last time that it was.
_AGAIN = 600.0

#: Returns the boot id, and the seconds since that boot.
Uptime: TypeAlias = Callable[[], tuple[str, float]]


def uptime() -> tuple[str, float]:
    """Return the boot id, and the seconds since that boot."""
    return _boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


class _Note(msgspec.Struct):
    """What is kept.

    :ivar boot: the boot id when it was written.
    :ivar uptime: the seconds since that boot then.
    :ivar elapsed: the seconds counted until then, of all boots.
    :ivar since: for each thing, what was counted when it was first seen.
    :ivar ahead: the wall clock, in seconds since 1970, when a thing was first seen that is dated
        after it.
    """

    boot: str
    uptime: float
    elapsed: float = 0.0
    since: dict[str, float] = {}
    ahead: dict[str, float] = {}


@define(eq=False)
class Ages:
    """The ages of named things. What is not known yet begins now: the error is on the safe side.

    :ivar path: of the note; its directory may not be there yet.
    """

    path: Path
    _uptime: Uptime
    _note: _Note | None = field(default=None, init=False)
    #: What the disk has: how much was counted then, and of which things.
    _written: float = field(default=-_AGAIN, init=False)
    _changed: bool = field(default=False, init=False)
    _refused: bool = field(default=False, init=False)
    _lock: RLock = field(factory=RLock, init=False)

    def _known(self) -> _Note:
        """Return the note, as of now."""
        boot, seconds = self._uptime()
        note = self._note
        if note is None:
            note = self._note = self._read() or _Note(boot, seconds)
        # What was written in another boot was written before this one began.
        passed = seconds - note.uptime if note.boot == boot else seconds
        if passed > 0:
            note.elapsed += passed
        note.boot, note.uptime = boot, seconds
        return note

    def _read(self) -> _Note | None:
        try:
            note = msgspec.json.decode(self.path.read_bytes(), type=_Note)
            # Whatever it says, nothing begins later than now.
            note.since = {name: min(when, note.elapsed) for name, when in note.since.items()}
            return note
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.warn("{path}: {error}: ages are counted from now on", path=self.path, error=error)
            return None

    def begin(self, name: str) -> None:
        """Count the age of a new thing from now on."""
        with self._lock:
            note = self._known()
            note.since[name] = note.elapsed
            self._changed = True

    def is_known(self, name: str) -> bool:
        """Tell whether the age of a thing is being counted."""
        with self._lock:
            return name in self._known().since

    def counted(self, name: str) -> timedelta:
        """Return how much time was counted since a thing was first seen, which may be now."""
        with self._lock:
            if not self.is_known(name):
                self.begin(name)
            note = self._known()
            return timedelta(seconds=note.elapsed - note.since[name])

    def by_wall(self, name: str, at: datetime, now: datetime) -> timedelta:
        """Return the age of a thing by the wall clock.

        One that is dated after the present counts from when it was first seen so: the clock was
        ahead, or is behind, and the thing is not kept until it has caught up.
        """
        if at <= now:
            return now - at
        with self._lock:
            note = self._known()
            if name not in note.ahead:
                note.ahead[name] = now.timestamp()
                self._changed = True
                _log.warn(
                    "{name} has a removal time in the future: the clock was ahead then, or is "
                    "behind now; its age is counted from now on",
                    name=name,
                )
            return timedelta(seconds=max(0.0, now.timestamp() - note.ahead[name]))

    def keep(self, names: Collection[str]) -> None:
        """Forget all other things, and let the disk have what is new. Blocks."""
        with self._lock:
            note = self._known()
            gone = note.since.keys() - set(names)
            for name in gone:
                del note.since[name]
                note.ahead.pop(name, None)
            new = self._changed or gone or note.elapsed - self._written >= _AGAIN
            if not note.since:
                with suppress(OSError):
                    self.path.unlink()
            elif new:
                self._write(note)

    def _write(self, note: _Note) -> None:
        new = self.path.with_name(self.path.name + ".new")
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with open(fd, "wb") as file:
                file.write(msgspec.json.encode(note))
                file.flush()
                os.fsync(fd)
            os.rename(new, self.path)
            sync(self.path.parent)
        except OSError as error:
            if not self._refused:
                _log.warn(
                    "{path} cannot be written: {error}; a restart counts ages from then on",
                    path=str(self.path),
                    error=error,
                )
            self._refused = True
            return
        self._written, self._changed, self._refused = note.elapsed, False, False
