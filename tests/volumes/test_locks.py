"""A lock for each name."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
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
        self.assertEqual(locks._held, {})

    def test_many_that_end_at_once(self) -> None:
        """However many wait and are done at once, none is too deep within another."""
        locks = Locks()
        first: Deferred[None] = Deferred()
        done: list[int] = []

        async def hold(number: int) -> None:
            async with locks.held("db"):
                if not number:
                    await first
                done.append(number)

        work = [Deferred.fromCoroutine(hold(number)) for number in range(5000)]
        first.callback(None)
        for each in work:
            self.successResultOf(each)
        self.assertEqual(done, list(range(5000)))
        self.assertEqual(locks._held, {})

    def test_cancelled(self) -> None:
        """One that waits and is cancelled has no turn, and keeps nobody from theirs."""
        locks = Locks()
        ends: Deferred[None] = Deferred()
        done: list[str] = []

        async def hold(name: str) -> None:
            async with locks.held("db"):
                if name == "A":
                    await ends
                done.append(name)

        work = {name: Deferred.fromCoroutine(hold(name)) for name in "ABC"}
        work["B"].cancel()
        self.failureResultOf(work["B"], CancelledError)
        ends.callback(None)
        self.assertEqual((done, locks._held), (["A", "C"], {}))
