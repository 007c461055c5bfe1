"""Who has mounted what: a count for each pair of volume and mount ID.

Docker mounts one ID more than once, and Podman has one ID for everything, so an
ID is counted, not remembered as a set. A count is a hint: an engine that was
killed never unmounts. What is mounted dies with the kernel's boot, so a count of
another boot is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import define, field
from twisted.logger import Logger

from ..journal.interfaces import ICatalog

_log = Logger()
_NONE: Mapping[str, int] = MappingProxyType({})


@define(eq=False)
class MountLedger:
    """The counts, kept in a catalog of the runtime directory.

    Changes of one volume are made one at a time, by the caller's lock.

    :ivar boot_id: the kernel's boot, from ``/proc/sys/kernel/random/boot_id``.
    """

    _catalog: ICatalog
    boot_id: str
    _counts: dict[str, dict[str, int]] = field(factory=dict, init=False)

    def load(self) -> None:
        """Read what earlier runs in this boot have counted."""
        for name, value in self._catalog.entries():
            counts = value.get("ids")
            if value.get("boot") == self.boot_id and isinstance(counts, dict):
                self._counts[name] = counts

    def of(self, name: str) -> Mapping[str, int]:
        """Return how often each ID has mounted the volume `name`; no ID has 0."""
        return self._counts.get(name, _NONE)

    def volumes(self) -> list[str]:
        """Return the names of the volumes that are counted as mounted."""
        return list(self._counts)

    async def add(self, name: str, mount_id: str) -> None:
        """Count one mount.

        :raises CatalogError: it could not be written down, and is not counted.
        """
        counts = dict(self.of(name))
        counts[mount_id] = counts.get(mount_id, 0) + 1
        await self._set(name, counts)

    async def remove(self, name: str, mount_id: str) -> bool:
        """Count one mount less; return whether it was known.

        :raises CatalogError: it could not be written down, and is still counted.
        """
        counts = dict(self.of(name))
        if mount_id not in counts:
            return False
        counts[mount_id] -= 1
        if not counts[mount_id]:
            del counts[mount_id]
        await self._set(name, counts)
        return True

    async def forget(self, name: str) -> None:
        """Drop all counts of a volume.

        :raises CatalogError: they could not be dropped.
        """
        if name in self._counts:
            await self._set(name, {})

    async def _set(self, name: str, counts: dict[str, int]) -> None:
        if counts:
            await self._catalog.put(name, {"boot": self.boot_id, "ids": counts})
            self._counts[name] = counts
        else:
            await self._catalog.delete(name)
            self._counts.pop(name, None)
