"""All volumes at once, for List: kept as JSON, some hundred volumes in one piece.

A List of a hundred thousand volumes hands out the pieces that were made before. A change makes
one piece anew, at the next List. The first List, and what has changed much since the last, is
made piece by piece in a thread, so that Gets go on. Lists that come meanwhile wait for it and share
its pieces.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredLock

from ..backends.interfaces import SIZE_LIMITS
from ..plugin.redaction import hidden_options
from ..plugin.volume import Volume, encoded
from ..plugin.wire import Answer
from .health import Threads
from .ledger import MountLedger
from .model import StoredVolume
from .packed import Volumes

#: How many volumes a piece has when it is new; it is halved when it has twice as many.
_PIECE = 256
#: So many pieces are made at once; if more are missing, in a thread.
_AT_ONCE = 2


def status_of(volume: StoredVolume, counts: Mapping[str, int]) -> dict[str, object]:
    """Return what is known of a volume without looking at it, for ``Status``."""
    status: dict[str, object] = {
        "Backend": volume.backend,
        "Options": hidden_options(volume.options) if volume.options else {},
        "Mounts": sum(counts.values()) if counts else 0,
    }
    if "size" in volume.options and volume.backend in SIZE_LIMITS:
        status["SizeLimit"] = SIZE_LIMITS[volume.backend]
    if counts:
        status["MountIDs"] = dict(counts)
    return status


def _encoded(known: Iterable[tuple[StoredVolume, Mapping[str, int]]]) -> bytes:
    return encoded(
        Volume(volume.name, volume.mountpoint, volume.created, status_of(volume, counts))
        for volume, counts in known
    )


@define(eq=False)
class _Piece:
    """Volumes whose names follow one another.

    :ivar made: their JSON, separated by commas; ``None`` if they have changed.
    :ivar changes: how often they have changed.
    """

    names: list[str]
    made: bytes | None = None
    changes: int = 0

    def put(self, name: str, there: bool) -> None:
        """Take note of a change of one volume, which is there or is not."""
        place = bisect_left(self.names, name)
        known = self.names[place : place + 1] == [name]
        if there and not known:
            self.names.insert(place, name)
        elif known and not there:
            del self.names[place]
        self.made = None
        self.changes += 1


@define(eq=False)
class Listing:
    """What Lists have made of the volumes.

    Whoever changes a volume says so afterwards with :meth:`changed`.
    """

    _volumes: Volumes
    _ledger: MountLedger
    _threads: Threads
    #: In the order of names; none before the first List.
    _pieces: list[_Piece] = field(factory=list, init=False)
    #: The first name that may be in each piece.
    _firsts: list[str] = field(factory=list, init=False)
    #: Held while many pieces are made.
    _making: DeferredLock = field(factory=DeferredLock, init=False)

    def changed(self, name: str) -> None:
        """Take note that a volume was made, removed, mounted or unmounted."""
        if not self._pieces:
            return
        at = max(0, bisect_right(self._firsts, name) - 1)
        piece = self._pieces[at]
        piece.put(name, name in self._volumes)
        if not piece.names:
            del self._pieces[at], self._firsts[at]
        elif len(piece.names) > 2 * _PIECE:
            self._pieces[at : at + 1] = halves = _pieces(piece.names)
            self._firsts[at : at + 1] = [half.names[0] for half in halves]

    def all(self) -> Answer[Sequence[bytes]]:
        """Return all volumes as JSON, by name, in pieces that are separated by commas."""
        if not self._pieces:
            self._pieces = _pieces(sorted(self._volumes))
            self._firsts = [piece.names[0] for piece in self._pieces]
        if len([piece for piece in self._pieces if piece.made is None]) > _AT_ONCE:
            return self._making.run(lambda: Deferred.fromCoroutine(self._slowly()))
        return self._made()

    async def _slowly(self) -> Sequence[bytes]:
        for piece in list(self._pieces):
            if piece.made is None:
                changes = piece.changes
                made = await self._threads(_encoded, self._known(piece))
                if piece.changes == changes:
                    piece.made = made
        return self._made()

    def _known(self, piece: _Piece) -> list[tuple[StoredVolume, Mapping[str, int]]]:
        return [
            (volume, self._ledger.of(volume.name)) for volume in self._volumes.some(piece.names)
        ]

    def _made(self) -> Sequence[bytes]:
        found = []
        for piece in self._pieces:
            if piece.made is None:
                piece.made = _encoded(self._known(piece))
            found.append(piece.made)
        return found


def _pieces(names: list[str]) -> list[_Piece]:
    return [_Piece(names[at : at + _PIECE]) for at in range(0, len(names), _PIECE)]
