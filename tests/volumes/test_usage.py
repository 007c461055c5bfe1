"""What volumes take, measured in the background, with its age."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.measuring import Measure, MeasureError
from exampledriver.volumes.usage import MOST_HANGING, STALE, STALL, Usages


class UsageTests(SynchronousTestCase):
    """The queue and the cache; threads that the test lets go."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.held: list[tuple[str, Callable[[], None], Deferred[Any]]] = []
        self.usages = Usages(lambda path, pulse: Measure(0, 0), self.threads, self.clock)

    def threads(self, function: object, path: str, pulse: Callable[[], None]) -> Deferred[Any]:
        self.held.append((path, pulse, Deferred()))
        return self.held[-1][2]

    def paths(self) -> list[str]:
        """Return what has been begun, in order."""
        return [path for path, _, _ in self.held]

    def test_age(self) -> None:
        """A measure is shown with its age, and made again when it is stale."""
        self.assertEqual(self.usages.of("a"), {"State": "not measured"})
        self.assertTrue(self.usages.ask("a", "/a"))
        self.assertEqual(self.usages.of("a"), {"State": "being measured"})
        self.held[0][2].callback(Measure(5, 2))
        self.clock.advance(STALE)
        self.assertEqual(
            self.usages.of("a"), {"Age": STALE, "Bytes": 5, "Files": 2, "State": "measured"}
        )
        self.assertFalse(self.usages.ask("a", "/a"))
        self.clock.advance(1)
        self.assertTrue(self.usages.ask("a", "/a"))
        self.assertEqual(self.usages.of("a")["State"], "being measured")

    def test_one_at_a_time(self) -> None:
        """One is measured at a time, each once, however often it is asked for."""
        for _ in range(3):
            for key in "ab":
                self.usages.ask(key, f"/{key}")
        self.assertEqual(self.paths(), ["/a"])
        self.held[0][2].callback(Measure(1, 1))
        self.assertEqual(self.paths(), ["/a", "/b"])

    def test_trouble(self) -> None:
        """What cannot be measured says why, and the next one has its turn."""
        self.usages.ask("a", "/a")
        self.usages.ask("b", "/b")
        self.held[0][2].errback(Failure(MeasureError("on nfs4")))
        self.assertEqual(self.usages.of("a")["Trouble"], "on nfs4")
        self.assertEqual(self.paths(), ["/a", "/b"])

    def test_hanging(self) -> None:
        """One without a sign is left to hang, and the others go on, up to a bound."""
        for key in "abcdef":
            self.usages.ask(key, f"/{key}")
        self.clock.advance(STALL - 1)
        self.held[0][1]()
        self.clock.pump([1, STALL - 2])
        self.assertEqual(self.paths(), ["/a"])
        self.clock.pump([STALL] * 10)
        self.assertEqual(len(self.held), MOST_HANGING)
        self.assertEqual(self.usages.of("a")["State"], "hanging")
        self.assertFalse(self.usages.ask("a", "/a", 0))
        self.held[0][2].callback(Measure(1, 1))
        self.assertEqual(self.usages.of("a")["State"], "measured")
        self.assertEqual(len(self.held), MOST_HANGING + 1)

    def test_wait(self) -> None:
        """Who waits goes on when all is measured, or when it has waited long enough."""
        self.usages.ask("a", "/a")
        short = Deferred.fromCoroutine(self.usages.wait(["a"], 2))
        long = Deferred.fromCoroutine(self.usages.wait(["a", "b"], None))
        self.clock.advance(2)
        self.successResultOf(short)
        self.assertNoResult(long)
        self.held[0][2].callback(Measure(1, 1))
        self.successResultOf(long)
        self.successResultOf(Deferred.fromCoroutine(self.usages.wait(["a"], 2)))
        self.assertEqual(self.clock.getDelayedCalls(), [])
