"""How a volume is doing, without ever making a read wait for a disk.

Get answers from memory. What it says of a volume's health is what the last look
found; a look that is too old is renewed in the background, one at a time for
each volume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..backends import owned
from ..backends.interfaces import IBackend
from ..backends.kinds import MOUNTED
from .model import StoredVolume

#: After how many seconds a look is renewed when somebody asks.
MAX_AGE = 10.0


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


@define(eq=False)
class HealthChecks:
    """The last look at each volume that was asked about."""

    _backend: IBackend
    _threads: Threads
    _clock: Clock
    _looks: dict[str, Look] = field(factory=dict, init=False)
    #: The looks under way; whether something has happened since that they may have missed.
    _looking: dict[str, bool] = field(factory=dict, init=False)
    _waiting: dict[str, list[Deferred[None]]] = field(factory=dict, init=False)

    def status(self, volume: StoredVolume, counts: Mapping[str, int]) -> dict[str, object]:
        """Return what is known of the volume's health, for ``Status``.

        It looks again, in the background, if the last look is older than :data:`MAX_AGE`.
        """
        look = self._looks.get(volume.name)
        now = self._clock.seconds()
        if look is None or now - look.at > MAX_AGE or (counts and look.holders is None):
            self._look(volume, bool(counts))
        if look is None:
            return {"Health": "being looked at; ask again"}
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

    def looked(self, name: str) -> Deferred[None]:
        """Return a Deferred that fires when no look at the volume `name` is under way."""
        waiter: Deferred[None] = Deferred()
        if name in self._looking:
            self._waiting.setdefault(name, []).append(waiter)
        else:
            waiter.callback(None)
        return waiter

    def last(self, name: str) -> Look | None:
        """Return the last look at a volume, if there was one."""
        return self._looks.get(name)

    def now(self) -> float:
        """Return the clock's seconds."""
        return self._clock.seconds()

    def _look(self, volume: StoredVolume, mounted: bool) -> None:
        name = volume.name
        if name in self._looking:
            return
        self._looking[name] = False

        def look(volume: StoredVolume, mounted: bool) -> tuple[str, str | None, str]:
            trouble, holders = self._backend.look(volume, mounted)
            return trouble, holders, "" if trouble else _owner(volume, mounted)

        def seen(result: tuple[str, str | None, str] | Failure) -> None:
            if not self._looking.pop(name):
                if isinstance(result, Failure):
                    result = (f"could not be looked at: {result.value}", None, "")
                self._looks[name] = Look(self._clock.seconds(), *result)
            for waiter in self._waiting.pop(name, []):
                if not waiter.called:
                    waiter.callback(None)

        self._threads(look, volume, mounted).addBoth(seen)

    def good(self, name: str) -> None:
        """Take note that a volume was just made, or found good by a Mount."""
        self._outdate(name)
        self._looks[name] = Look(self._clock.seconds(), "", None)

    def doubt(self, volume: StoredVolume, mounted: bool) -> None:
        """Look at a volume again, whatever was found before: a Mount has failed."""
        self._outdate(volume.name)
        self._look(volume, mounted)

    def released(self, name: str) -> None:
        """Take note that somebody has let go of a volume."""
        self._outdate(name)
        if name in self._looks:
            self._looks[name] = evolve(self._looks[name], holders=None)

    def forget(self, name: str) -> None:
        """Drop what is known of a volume that is gone."""
        self._outdate(name)
        self._looks.pop(name, None)

    def _outdate(self, name: str) -> None:
        if name in self._looking:
            self._looking[name] = True
