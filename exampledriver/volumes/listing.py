"""All volumes at once, for List: what was made of each is kept until the volume changes.

A List of a hundred thousand volumes is then a join. The first one, and what has changed
since the last, is made of few volumes at a time, and in a thread, so that Gets go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import define, field
from twisted.internet.defer import Deferred

from ..plugin.volume import Volume
from ..plugin.wire import Answer
from .health import Threads
from .ledger import MountLedger
from .model import StoredVolume

#: So many volumes are made ready at a time; if no more are missing, without a thread.
_SLICE = 500


def status_of(volume: StoredVolume, counts: Mapping[str, int]) -> dict[str, object]:
    """Return what is known of a volume without looking at it, for ``Status``."""
    status: dict[str, object] = {
        "Backend": "directory",
        "Options": volume.options.as_given(),
        "Mounts": sum(counts.values()) if counts else 0,
    }
    if counts:
        status["MountIDs"] = dict(counts)
    return status


def _encoded(volume: StoredVolume, counts: Mapping[str, int]) -> bytes:
    status = status_of(volume, counts)
    return Volume(volume.name, volume.mountpoint, volume.created, status).encoded()


def _encode_all(known: list[tuple[StoredVolume, Mapping[str, int]]]) -> list[bytes]:
    return [_encoded(volume, counts) for volume, counts in known]


@define(eq=False)
class Listing:
    """What Lists have made of the volumes.

    Whoever changes a volume says so with :meth:`changed`.
    """

    _ledger: MountLedger
    _threads: Threads
    _made: dict[str, bytes] = field(factory=dict, init=False)
    _names: list[str] | None = field(default=None, init=False)

    def changed(self, name: str) -> None:
        """Take note that a volume was made, removed, mounted or unmounted."""
        if self._made.pop(name, None) is None:
            self._names = None

    def of(self, volumes: Mapping[str, StoredVolume]) -> Answer[Iterable[bytes]]:
        """Return all of `volumes` as JSON, by name."""
        if len(volumes) - len(self._made) > _SLICE:
            return Deferred.fromCoroutine(self._slowly(volumes))
        return self._joined(volumes)

    async def _slowly(self, volumes: Mapping[str, StoredVolume]) -> Iterable[bytes]:
        missing = [name for name in volumes if name not in self._made]
        for start in range(0, len(missing), _SLICE):
            known = [
                (volumes[name], self._ledger.of(name))
                for name in missing[start : start + _SLICE]
                if name in volumes
            ]
            made = await self._threads(_encode_all, known)
            for (volume, counts), encoded in zip(known, made, strict=True):
                name = volume.name
                # A change since then has made another volume, or other counts.
                if volumes.get(name) is volume and self._ledger.of(name) is counts:
                    self._made[name] = encoded
        return self._joined(volumes)

    def _joined(self, volumes: Mapping[str, StoredVolume]) -> Iterable[bytes]:
        if self._names is None or len(self._names) != len(volumes):
            self._names = sorted(volumes)
        made = self._made
        if len(made) != len(volumes):
            for name in self._names:
                if name not in made:
                    made[name] = _encoded(volumes[name], self._ledger.of(name))
        return [made[name] for name in self._names]
