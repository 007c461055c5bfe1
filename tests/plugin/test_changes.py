"""A change outlives its client; a read does not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent

from exampledriver.plugin import PluginError, Volume

from .memory import CHANGES, NAMED, Client, PluginCase, post

READS = ("Get", "Path", "List", "Capabilities")

#: Makes what a driver returns out of the Deferred that it waits for.
Shape = Callable[["Deferred[Any]"], object]


def itself(work: Deferred[Any]) -> object:
    """A driver that returns a Deferred."""
    return work


def coroutine(work: Deferred[Any]) -> Coroutine[Deferred[Any], Any, Any]:
    """A driver that returns a coroutine."""

    async def wait() -> Any:
        return await work

    return wait()


class WorkCase(PluginCase):
    """Calls to a driver that takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.cancelled: list[str] = []

    def begin(self, call: str, shape: Shape = itself) -> tuple[Client, Deferred[Any]]:
        """Begin a call on a new connection; return it, and what the driver waits for."""
        work: Deferred[Any] = Deferred(lambda _: self.cancelled.append(call))
        self.driver.answers[call.lower()] = shape(work)
        client = self.connect()
        client.feed(post(f"VolumeDriver.{call}", NAMED.get(f"VolumeDriver.{call}", {})))
        self.assertEqual(client.responses(), [])
        return client, work


class ChangeTests(WorkCase):
    """Create, Remove, Mount and Unmount."""

    def test_goes_on(self) -> None:
        """A client that goes away stops no change: it runs to its end, and nothing is wrong."""
        for shape in (itself, coroutine):
            for call in CHANGES:
                client, work = self.begin(call, shape)
                client.disconnect()
                self.assertEqual((self.cancelled, self.plugin.wire.pending), ([], 1))
                work.callback("/srv/db")
                self.assertEqual((self.cancelled, self.plugin.wire.pending), ([], 0))
                self.assertEqual(client.received(), b"")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_to_its_last_step(self) -> None:
        """Every step of a driver's coroutine is taken after the client has gone."""
        steps: list[Deferred[None]] = [Deferred(), Deferred()]
        taken: list[int] = []

        async def create(*_: object) -> None:
            for number, step in enumerate(steps):
                await step
                taken.append(number)

        self.driver.answers["create"] = create
        self.client.feed(post("VolumeDriver.Create", {"Name": "v"}))
        steps[0].callback(None)
        self.client.disconnect()
        self.assertEqual(taken, [0])
        steps[1].callback(None)
        self.assertEqual(taken, [0, 1])
        self.assertEqual(self.plugin.wire.pending, 0)

    def test_logged(self) -> None:
        """That the client has gone is one warning, and the change's end its usual line."""
        client, work = self.begin("Create")
        with capturedLogs() as events:
            client.disconnect()
            work.callback(None)
        self.assertEqual([e["log_level"] for e in events], [LogLevel.warn, LogLevel.info])
        self.assertIn("VolumeDriver.Create 'db': the client has gone", str(formatEvent(events[0])))
        self.assertIn("VolumeDriver.Create 'db': done", str(formatEvent(events[1])))

    def test_refused_afterwards(self) -> None:
        """A change that is refused after its client has gone is a warning, no error."""
        for call in CHANGES:
            client, work = self.begin(call)
            client.disconnect()
            with capturedLogs() as events:
                work.errback(PluginError("no space: free some"))
            (event,) = events
            self.assertEqual(event["log_level"], LogLevel.warn)
            self.assertIn("no space", str(formatEvent(event)))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_bug_afterwards(self) -> None:
        """A bug in a change whose client has gone is logged with its traceback."""
        for call in CHANGES:
            client, work = self.begin(call)
            client.disconnect()
            work.errback(ZeroDivisionError())
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertEqual(self.plugin.wire.pending, 0)

    def test_answered_once(self) -> None:
        """A client that stays gets its answer, and only then may go, with no word in the log."""
        for call in CHANGES:
            client, work = self.begin(call)
            work.callback("/srv/db")
            (response,) = client.responses()
            self.assertAnswered(response)
            with capturedLogs() as events:
                client.disconnect()
            self.assertEqual(events, [])

    def test_not_begun(self) -> None:
        """A pipelined change whose turn has not come when its client goes is not begun."""
        client, work = self.begin("Mount")
        client.feed(post("VolumeDriver.Remove", {"Name": "db"}))
        client.disconnect()
        work.callback("/srv/db")
        self.assertEqual([call[0] for call in self.driver.calls], ["mount"])

    def test_cancelled_by_the_driver(self) -> None:
        """A driver that cancels its own work has a bug, for its client to hear of."""
        client, work = self.begin("Create")
        work.cancel()
        (response,) = client.responses()
        self.assertRefused(response, 500)
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)


class ReadTests(WorkCase):
    """Get, Path, List and Capabilities."""

    def test_cancelled(self) -> None:
        """A read is cancelled when its client goes, and nothing is logged."""
        for shape in (itself, coroutine):
            for call in READS:
                self.cancelled.clear()
                client, _ = self.begin(call, shape)
                with capturedLogs() as events:
                    client.disconnect()
                self.assertEqual((self.cancelled, events), ([call], []))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_refused_when_cancelled(self) -> None:
        """A read that is refused because its client has gone is no error for the log."""
        for call in READS:
            work: Deferred[Any] = Deferred(lambda d: d.errback(PluginError("interrupted")))
            self.driver.answers[call.lower()] = work
            client = self.connect()
            client.feed(post(f"VolumeDriver.{call}", NAMED.get(f"VolumeDriver.{call}", {})))
            client.disconnect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_not_a_change(self) -> None:
        """A read is nothing that a stop waits for."""
        for call in READS:
            self.begin(call)
            self.assertEqual(self.plugin.wire.pending, 0)
            self.successResultOf(self.plugin.wire.when_idle())

    def test_only_its_own(self) -> None:
        """A client that goes cancels its own read, not that of another."""
        client, _ = self.begin("Get")
        other, work = self.begin("Path")
        client.disconnect()
        self.assertEqual(self.cancelled, ["Get"])
        work.callback("/srv/db")
        (response,) = other.responses()
        self.assertAnswered(response)

    def test_not_after_its_answer(self) -> None:
        """A client that goes after the answer cancels nothing."""
        client, work = self.begin("Get")
        work.callback(Volume("db"))
        client.disconnect()
        self.assertEqual(self.cancelled, [])


class IdleTests(WorkCase):
    """Wire.pending and Wire.when_idle: what a stop waits for."""

    def test_idle(self) -> None:
        """With no change under way, there is nothing to wait for."""
        self.assertEqual(self.plugin.wire.pending, 0)
        self.successResultOf(self.plugin.wire.when_idle())
        self.call("VolumeDriver.Create", {"Name": "v"})
        self.successResultOf(self.plugin.wire.when_idle())

    def test_last(self) -> None:
        """All who wait hear of the end of the last change, not before, client or no client."""
        works = [self.begin(call) for call in CHANGES]
        self.assertEqual(self.plugin.wire.pending, 4)
        waiters = [self.plugin.wire.when_idle() for _ in range(2)]
        works[0][0].disconnect()
        for left, (_, work) in enumerate(reversed(works)):
            for waiter in waiters:
                self.assertNoResult(waiter)
            work.callback("/srv/db")
            self.assertEqual(self.plugin.wire.pending, 3 - left)
        for waiter in waiters:
            self.successResultOf(waiter)

    def test_failure(self) -> None:
        """A change that fails, in whatever way, is over."""
        for error in (PluginError("no"), ZeroDivisionError()):
            for call in CHANGES:
                _, work = self.begin(call)
                waiter = self.plugin.wire.when_idle()
                work.errback(error)
                self.successResultOf(waiter)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_failure_at_once(self) -> None:
        """So is one that fails before it has waited for anything."""
        for error in (PluginError("no"), ZeroDivisionError()):
            self.driver.answers["create"] = error
            self.call("VolumeDriver.Create", {"Name": "v"})
            self.assertEqual(self.plugin.wire.pending, 0)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_again(self) -> None:
        """Who waits again waits for the next change."""
        for _ in range(2):
            _, work = self.begin("Create")
            waiter = self.plugin.wire.when_idle()
            self.assertNoResult(waiter)
            work.callback(None)
            self.successResultOf(waiter)
