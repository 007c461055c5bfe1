"""A lock for each name, made when it is wanted and dropped when nobody waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define, field
from twisted.internet.defer import DeferredLock


@define(eq=False)
class Locks:
    """Changes of one volume wait for each other; those of two volumes do not."""

    _locks: dict[str, DeferredLock] = field(factory=dict, init=False)

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of `name`; first come, first served."""
        lock = self._locks.setdefault(name, DeferredLock())
        await lock.acquire()
        try:
            yield
        finally:
            lock.release()
            # The next one may have come and gone in release(), and left a newer lock here.
            if not lock.locked and self._locks.get(name) is lock:
                del self._locks[name]
