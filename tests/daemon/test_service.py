"""The order of starting and stopping, and its limit, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.daemon.listening import ListenError
from exampledriver.daemon.service import STOP_LIMIT, CannotStart, DaemonService


@define(eq=False)
class FakeListening:
    """Something listened on that notes when it is closed."""

    story: list[str]

    def close(self) -> Deferred[None]:
        self.story.append("closed")
        return succeed(None)


@define(eq=False)
class FakeEndpoint:
    """An endpoint that notes when it is listened on, and may refuse."""

    story: list[str]
    trouble: str = ""

    def listen(self, reactor: object, factory: object) -> FakeListening:
        if self.trouble:
            raise ListenError(self.trouble)
        self.story.append("listening")
        return FakeListening(self.story)


@define(eq=False)
class FakeServer:
    """A server whose draining the test ends."""

    story: list[str]
    drained: Deferred[None] = field(factory=Deferred)

    def drain(self) -> Deferred[None]:
        self.story.append("draining")
        return self.drained

    def abort(self) -> int:
        self.story.append("aborted")
        return 3


class ServiceTests(SynchronousTestCase):
    """A service with two steps to finish and two to close."""

    def setUp(self) -> None:
        self.story: list[str] = []
        self.endpoint = FakeEndpoint(self.story)
        self.clock = Clock()
        self.server = FakeServer(self.story)
        self.waits: dict[str, Deferred[None]] = {}
        self.service = DaemonService(
            self.clock,
            [self.endpoint],
            Factory(),
            self.server,
            before=[lambda: self.story.append("started")],
            finish=[self.step("changes")],
            close=[self.step("counts"), self.step("journal")],
        )

    def step(self, name: str) -> tuple[str, Callable[[], Deferred[None]]]:
        """Return a step that waits until the test ends it."""

        def run() -> Deferred[None]:
            self.story.append(name)
            self.waits[name] = Deferred()
            return self.waits[name]

        return name, run

    def test_listens_last(self) -> None:
        """Nothing listens before all is ready."""
        self.service.startService()
        self.assertEqual(self.story, ["started", "listening"])

    def test_cannot_listen(self) -> None:
        """An endpoint that cannot be listened on ends the process in one line; none is left."""
        self.service.endpoints = [self.endpoint, FakeEndpoint(self.story, "/x: taken")]
        error = self.assertRaises(CannotStart, self.service.startService)
        self.assertEqual(error.code, "exampledriver: /x: taken")
        self.assertEqual(self.story, ["started", "listening", "closed"])

    def test_order(self) -> None:
        """Each step of a stop waits for the one before it."""
        self.service.startService()
        self.story.clear()
        stopped = self.service.stopService()
        self.assertEqual(self.story, ["closed", "draining"])
        self.server.drained.callback(None)
        for name in ("changes", "counts", "journal"):
            self.assertEqual(self.story[-1], name)
            self.assertNoResult(stopped)
            self.waits[name].callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_limit(self) -> None:
        """What hangs is cut in time to close the rest, and all of it within the limit."""
        self.service.startService()
        stopped = self.service.stopService()
        with capturedLogs() as events:
            self.clock.advance(STOP_LIMIT - 1)
            self.assertEqual(self.story[-3:], ["aborted", "changes", "counts"])
            self.waits["counts"].callback(None)
            self.assertEqual(self.story[-1], "journal")
            self.clock.advance(0.9)
            self.assertNoResult(stopped)
            self.clock.advance(0.1)
        self.successResultOf(stopped)
        text = "\n".join(formatEvent(event) for event in events)
        self.assertIn("3 connections were cut without an answer", text)
        self.assertIn("journal did not end within 8.0 s", text)

    def test_hurry(self) -> None:
        """Told again to stop, it cuts what it waits for, and still closes in the second left."""
        self.service.startService()
        stopped = self.service.stopService()
        self.clock.advance(1)
        with capturedLogs():
            self.service.hurry()
            self.clock.advance(0)
            self.assertEqual(self.story[-3:], ["aborted", "changes", "counts"])
            self.assertNoResult(stopped)
            self.waits["counts"].callback(None)
            self.clock.advance(0.9)
            self.assertNoResult(stopped)
            self.waits["journal"].callback(None)
        self.successResultOf(stopped)

    def test_hurry_while_closing(self) -> None:
        """Told again while it closes, it has one second left for that too."""
        self.service.startService()
        stopped = self.service.stopService()
        self.server.drained.callback(None)
        self.waits["changes"].callback(None)
        self.waits["counts"].callback(None)
        self.clock.advance(2)
        with capturedLogs() as events:
            self.service.hurry()
            self.clock.advance(0.9)
            self.assertNoResult(stopped)
            self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertIn("journal did not end within 3.0 s", formatEvent(events[-2]))

    def test_complete(self) -> None:
        """A stop that cut nothing is complete, one that cut something is not."""
        for cut in (False, True):
            self.setUp()
            self.service.startService()
            stopped = self.service.stopService()
            if cut:
                with capturedLogs():
                    self.clock.advance(STOP_LIMIT - 1)
            else:
                self.server.drained.callback(None)
                self.waits["changes"].callback(None)
            self.waits["counts"].callback(None)
            self.waits["journal"].callback(None)
            self.successResultOf(stopped)
            self.assertEqual(self.service.complete, not cut)

    def test_told(self) -> None:
        """Observers are told after it listens, and before it stops accepting."""
        self.service.observers = [self]
        self.service.startService()
        self.service.stopService()
        self.assertEqual(
            self.story,
            ["started", "listening", "ready", "stopping", "closed", "draining"],
        )

    def ready(self) -> None:
        """Take note, as an observer."""
        self.story.append("ready")

    def stopping(self) -> None:
        """Take note, as an observer."""
        self.story.append("stopping")

    def test_failure(self) -> None:
        """A step that fails is logged and keeps nothing from being closed."""
        self.service.startService()
        stopped = self.service.stopService()
        self.server.drained.callback(None)
        self.waits["changes"].errback(ZeroDivisionError())
        self.waits["counts"].callback(None)
        self.waits["journal"].callback(None)
        self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
