"""A lock for each name, made when it is wanted and dropped when nobody waits for it."""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen
from twisted.internet.defer import Deferred


@define(eq=False)
class Locks:
    """Changes of one volume wait for each other; those of two volumes do not."""

    #: The names that are held, and who waits for each.
    _held: dict[str, deque[Deferred[None]]] = field(factory=dict, init=False)
    #: The names that were let go of, while another one is being handed on.
    _free: deque[str] = field(factory=deque, init=False)
    _handing_on: bool = field(default=False, init=False)

    def held(self, name: str) -> Turn:
        """Hold the lock of `name` in an ``async with``; first come, first served."""
        return Turn(self, name)

    def is_held(self, name: str) -> bool:
        """Tell whether who asks for the lock of `name` now waits."""
        return name in self._held

    async def _take(self, name: str) -> None:
        waiting = self._held.get(name)
        if waiting is None:
            self._held[name] = deque()
        else:
            turn: Deferred[None] = Deferred()
            waiting.append(turn)
            await turn

    def _let_go(self, name: str) -> None:
        self._free.append(name)
        self._hand_on()

    def _hand_on(self) -> None:
        """Let those have their turn who wait for what is free.

        One after the other: the next one may be done at once, and hand on from within its
        turn; hundreds of them within each other would be too deep for Python.
        """
        if self._handing_on:
            return
        self._handing_on = True
        try:
            while self._free:
                name = self._free.popleft()
                waiting = self._held[name]
                while waiting and waiting[0].called:
                    waiting.popleft()  # it was cancelled
                if waiting:
                    waiting.popleft().callback(None)
                else:
                    del self._held[name]
        finally:
            self._handing_on = False


@frozen
class Turn:
    """A lock that is held as long as an ``async with`` of this lasts.

    Not a generator with a decorator, which takes five times as long: every change has one.
    """

    _locks: Locks
    _name: str

    async def __aenter__(self) -> None:
        """Wait for the lock."""
        await self._locks._take(self._name)

    async def __aexit__(self, *error: object) -> None:
        """Let the next one have it."""
        self._locks._let_go(self._name)
