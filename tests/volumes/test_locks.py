"""A lock for each name."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.volumes.locks import Locks


class LocksTests(SynchronousTestCase):
    """Changes of one volume never run together."""

    def test_waiter_that_ends_at_once(self) -> None:
        """A lock taken anew while another is being released is not dropped."""
        locks = Locks()
        inside: list[str] = []
        ends = {name: Deferred[None]() for name in "ACD"}

        async def hold(name: str) -> None:
            async with locks.held("db"):
                inside.append(name)
                await ends[name]
                inside.remove(name)

        async def quick() -> None:
            async with locks.held("db"):
                pass
            Deferred.fromCoroutine(hold("C"))

        Deferred.fromCoroutine(hold("A"))
        Deferred.fromCoroutine(quick())
        ends["A"].callback(None)
        Deferred.fromCoroutine(hold("D"))
        self.assertEqual(inside, ["C"])
        ends["C"].callback(None)
        self.assertEqual(inside, ["D"])
        ends["D"].callback(None)
        self.assertEqual(locks._locks, {})
