"""How a volume is doing, without ever making a read wait for a disk.

Get answers from memory. What it says of a volume's health is what the last look
found; a look that is too old is renewed in the background, one at a time for
each volume.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..backends import owned
from ..backends.interfaces import IBackend, IRooted
from ..backends.kinds import MOUNTED
from .model import StoredVolume

#: After how many seconds a look is renewed when somebody asks.
MAX_AGE = 10.0
#: After how many seconds a look that has not ended is itself what is said of a volume.
OVERDUE = 1.0


#: Runs ``function(*args)`` in a thread, and fires with its result.
Threads: TypeAlias = Callable[..., Deferred[Any]]


class Clock(Protocol):
    """Tells the time in seconds."""

    def seconds(self) -> float:
        """Return the time."""


@frozen
class Look:
    """What a look found.

    :ivar at: when, in the clock's seconds.
    :ivar trouble: what is wrong with the volume, or an empty text.
    :ivar holders: who the kernel says holds it; ``None`` if that is not known: it was not
        mounted, or a Mount or Unmount has come since.
    :ivar owner: how its owner and permissions differ from those that its options ask for.
    """

    at: float
    trouble: str
    holders: str | None
    owner: str = ""


def _owner(volume: StoredVolume, mounted: bool) -> str:
    """Say how a volume's owner and permissions differ from what its options ask for. Blocks."""
    if not mounted and volume.backend in MOUNTED:
        return ""  # its directory is not there
    try:
        return owned.difference(Path(volume.mountpoint), volume.options)
    except OSError as error:
        return f"not known: {error.strerror}"


#: What a look has found: the fields of a :class:`Look` behind its time.
Found: TypeAlias = tuple[str, "str | None", str]


@define(eq=False)
class _Asked:
    """A look in progress.

    :ivar began: when it was asked for, and from when a thread is at it, in the clock's seconds.
    :ivar outdated: something has happened since that it may have missed.
    :ivar again: look again when it has ended: whether the volume is mounted.
    :ivar where: the file system, for people, once it has not answered for :data:`OVERDUE`.
    """

    began: float
    at_work: bool = False
    outdated: bool = False
    again: bool | None = None
    where: str = ""


@define(eq=False)
class HealthChecks:
    """The last look at each volume that was asked about, and at all after the start."""

    _backend: IBackend
    _threads: Threads
    _clock: Clock
    _looks: dict[str, Look] = field(factory=dict, init=False)
    _looking: dict[str, _Asked] = field(factory=dict, init=False)
    _waiting: dict[str, list[Deferred[None]]] = field(factory=dict, init=False)
    #: The looks after the start found nothing wrong with any volume up to these names that has no
    #: look of its own; and when.
    _seen_to: list[str] = field(factory=list, init=False)
    _seen_at: list[float] = field(factory=list, init=False)

    def status(self, volume: StoredVolume, counts: Mapping[str, int]) -> dict[str, object]:
        """Return what is known of the volume's health, for ``Status``.

        It looks again, in the background, if the last look is older than :data:`MAX_AGE`.
        """
        look = self.last(volume.name)
        now = self._clock.seconds()
        if look is None or now - look.at > MAX_AGE or (counts and look.holders is None):
            self._look(volume, bool(counts))
            if look is None:
                # Where nothing makes it wait it has ended.
                look = self._looks.get(volume.name)
        asked = self._looking.get(volume.name)
        if asked is not None and now - asked.began >= OVERDUE:
            return {"Health": self._overdue(volume, asked, now - asked.began)}
        if look is None:
            return {"Health": "not checked yet"}
        shown: dict[str, object] = {
            "Health": look.trouble or "ok",
            "HealthAge": f"{int(now - look.at)}s",
        }
        if look.owner:
            shown["Owner"] = look.owner
        if counts and look.holders is not None:
            shown["HeldBy"] = look.holders or (
                "nobody: unless a container is just being started, these mounts were never "
                "unmounted; they do not keep the volume from being removed"
            )
        return shown

    def _overdue(self, volume: StoredVolume, asked: _Asked, seconds: float) -> str:
        if not asked.at_work:
            return f"not checked for {seconds:.0f} s: other checks have not ended"
        if not asked.where:
            rooted = IRooted(self._backend, None)
            asked.where = rooted.file_system(volume.mountpoint) if rooted else volume.mountpoint
        return f"has not answered for {seconds:.0f} s: {asked.where.rstrip(',')}"

    def looked(self, name: str) -> Deferred[None]:
        """Return a Deferred that fires when no look at the volume `name` is in progress.

        It is no error to cancel it: then it fires at once.
        """

        def leave(waiter: Deferred[None]) -> None:
            waiting.remove(waiter)
            waiter.callback(None)

        waiting: list[Deferred[None]] = []
        waiter: Deferred[None] = Deferred(leave)
        if name in self._looking:
            waiting = self._waiting.setdefault(name, waiting)
            waiting.append(waiter)
        else:
            waiter.callback(None)
        return waiter

    def last(self, name: str) -> Look | None:
        """Return the last look at a volume, if there was one."""
        look = self._looks.get(name)
        if look is None and self._seen_to:
            place = bisect_left(self._seen_to, name)
            if place < len(self._seen_to):
                return Look(self._seen_at[place], "", None)
        return look

    def now(self) -> float:
        """Return the clock's seconds."""
        return self._clock.seconds()

    def _look(self, volume: StoredVolume, mounted: bool) -> None:
        name = volume.name
        if name in self._looking:
            return
        asked = self._looking[name] = _Asked(self._clock.seconds())

        def look(volume: StoredVolume, mounted: bool) -> Found:
            asked.began, asked.at_work = self._clock.seconds(), True
            return self.found(volume, mounted)

        def seen(result: Found | Failure) -> None:
            if self._looking.get(name) is asked:
                del self._looking[name]
            if not asked.outdated:
                if isinstance(result, Failure):
                    result = (f"could not be checked: {result.value}", None, "")
                self._looks[name] = Look(self._clock.seconds(), *result)
            elif asked.again is not None:
                self._look(volume, asked.again)
            for waiter in self._waiting.pop(name, []):
                if not waiter.called:
                    waiter.callback(None)

        self._threads(look, volume, mounted).addBoth(seen)

    def found(self, volume: StoredVolume, mounted: bool) -> Found:
        """Look at a volume, in a thread."""
        trouble, holders = self._backend.look(volume, mounted)
        return trouble, holders, "" if trouble else _owner(volume, mounted)

    def look(self, volume: StoredVolume) -> Deferred[None]:
        """Look at a volume that has not been looked at, and return :meth:`looked`."""
        if volume.name not in self._looks:
            self._look(volume, False)
        return self.looked(volume.name)

    def seen(self, last: str, remarkable: Mapping[str, Found]) -> None:
        """Note what a look at many volumes has found, of all up to the name `last`.

        :param remarkable: those that are not simply good; of what has changed since nothing is
            taken over.
        """
        now = self._clock.seconds()
        for name, found in remarkable.items():
            if name not in self._looks:
                self._looks[name] = Look(now, *found)
        self._seen_to.append(last)
        self._seen_at.append(now)

    def good(self, name: str) -> None:
        """Take note that a volume was just made, or found good by a Mount."""
        self._outdate(name)
        self._looks[name] = Look(self._clock.seconds(), "", None)

    def doubt(self, volume: StoredVolume, mounted: bool) -> None:
        """Look at a volume again, whatever was found before: a Mount has failed."""
        asked = self._looking.get(volume.name)
        if asked is None:
            self._look(volume, mounted)
        else:
            asked.outdated, asked.again = True, mounted

    def released(self, name: str) -> None:
        """Take note that somebody has let go of a volume."""
        self._outdate(name)
        if name in self._looks:
            self._looks[name] = evolve(self._looks[name], holders=None)

    def forget(self, name: str) -> None:
        """Drop what is known of a volume that is gone: the next of its name is another."""
        asked = self._looking.pop(name, None)
        if asked is not None:
            asked.outdated, asked.again = True, None
        self._looks.pop(name, None)

    def _outdate(self, name: str) -> None:
        asked = self._looking.get(name)
        if asked is not None:
            asked.outdated = True
