"""Threads for blocking work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from exampledriver.daemon import threads as module
from exampledriver.daemon.threads import LONG, STUCK, DaemonThreads
from tests.process import until

reactor: Any = _reactor


class Loop(Clock):
    """A reactor whose turns the test takes."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[Callable[[], object]] = []
        #: Call at the next turn.
        self.callFromThread: Callable[..., object] = self._calls.append

    def turn(self) -> None:
        """Make the calls that threads have asked for."""
        calls = self._calls[:]
        del self._calls[: len(calls)]
        for call in calls:
            call()


class ThreadsTests(TestCase):
    """A bounded pool that never keeps the process from ending."""

    async def test_result(self) -> None:
        """A call gives its function's result or error, from another thread that is a daemon."""
        threads = DaemonThreads(reactor, "test", 2)
        self.addCleanup(threads.stop)
        thread = await threads(threading.current_thread)
        self.assertIsNot(thread, threading.current_thread())
        self.assertTrue(thread.daemon)
        await self.assertFailure(threads(int, "x"), ValueError)

    async def test_bounded(self) -> None:
        """No more calls run at once than the pool's size."""
        threads = DaemonThreads(reactor, "test", 3)
        self.addCleanup(threads.stop)
        lock, most, now = threading.Lock(), [0], [0]
        both = threading.Barrier(3)

        def work() -> None:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            both.wait(10)
            with lock:
                now[0] -= 1

        await gatherResults([threads(work) for _ in range(9)])
        self.assertEqual(most, [3])

    async def test_no_thread(self) -> None:
        """While no thread can be started, calls wait, and none of the pool's size is lost."""

        def refuse(*args: Any, **more: Any) -> Any:
            raise RuntimeError("can't start new thread")

        loop = Loop()
        threads = DaemonThreads(loop, "test", 2)
        self.addCleanup(threads.stop)

        def look() -> None:
            loop.turn()
            loop.advance(STUCK)

        busy = threading.Event()
        refusal = self.patch(module, "Thread", refuse)
        with capturedLogs() as events:
            calls = [threads(busy.wait, 30) for _ in range(2)]
            for _ in range(20):
                look()
        (line,) = [formatEvent(event) for event in events]
        self.assertIn("can't start new thread: raise TasksMax", line)
        refusal.restore()

        def met(condition: Callable[[], bool]) -> bool:
            look()
            return condition()

        until(lambda: met(lambda: threads._threads == 2), "two threads")
        busy.set()
        until(lambda: met(lambda: all(call.called for call in calls)), "the calls' end")

    async def test_flush(self) -> None:
        """What many calls have put off is done at once, before any of them is answered."""
        done: list[object] = []
        threads = DaemonThreads(reactor, "test", 2, lambda: done.append("flush"))
        self.addCleanup(threads.stop)
        calls = [threads(done.append, number) for number in range(20)]
        self.assertEqual(sum(call.called for call in calls), 0)
        await calls[0]
        self.assertIn("flush", done)
        await gatherResults(calls)
        self.assertEqual([what for what in done if what != "flush"], list(range(20)))
        self.assertLess(done.count("flush"), 10)
        self.assertEqual(done[-1], "flush")

    async def test_behind(self) -> None:
        """A call that has ended is answered while the next one hangs, and others go on."""
        threads = DaemonThreads(reactor, "test", 2)
        self.addCleanup(threads.stop)
        begun, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def hang() -> None:
            begun.set()
            release.wait(10)

        # Together in the queue of one thread.
        ended, hanging = threads(begun.clear), threads(hang)
        await ended
        await threads(begun.wait, 10)
        await threads(int)
        self.assertFalse(hanging.called)

    def test_help(self) -> None:
        """Another thread comes when no call has ended for a while, not when answers are held."""
        loop = Loop()
        threads = DaemonThreads(loop, "test-help", 4)
        self.addCleanup(threads.stop)
        begun, release = ([threading.Event() for _ in range(3)] for _ in range(2))

        def work(number: int) -> None:
            begun[number].set()
            release[number].wait(10)

        for number in range(3):
            threads(work, number).addErrback(self.fail)
            self.addCleanup(release[number].set)
        loop.turn()
        release[0].set()
        self.assertTrue(begun[1].wait(10))
        for count in (1, 2):
            loop.advance(STUCK)
            loop.turn()
            names = [thread.name for thread in threading.enumerate()]
            self.assertEqual(len([n for n in names if n.startswith("test-help")]), count)
        self.assertTrue(begun[2].wait(10))

    def test_together(self) -> None:
        """After many answers the next calls go together as well, the first one included."""
        loop = Loop()
        threads = DaemonThreads(loop, "test", 1)
        self.addCleanup(threads.stop)
        begun, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)
        calls = [threads(release.wait, 10) for _ in range(3)]
        loop.turn()
        release.set()

        def answered() -> bool:
            loop.turn()
            return calls[-1].called

        until(answered, "the answers")
        threads(begun.set)
        self.assertFalse(begun.wait(0.05))
        loop.turn()
        self.assertTrue(begun.wait(10))

    def test_slow(self) -> None:
        """An answer is not held for long for those of calls behind it."""
        loop = Loop()
        threads = DaemonThreads(loop, "test", 1)
        self.addCleanup(threads.stop)
        queued, begun, release = (threading.Event() for _ in range(3))
        self.addCleanup(release.set)

        def slow() -> None:
            queued.wait(10)
            time.sleep(LONG * 1.1)

        def hang() -> None:
            begun.set()
            release.wait(10)

        ended, hanging = threads(slow), threads(hang)
        loop.turn()
        queued.set()
        self.assertTrue(begun.wait(10))
        loop.turn()
        self.assertTrue(ended.called)
        self.assertFalse(hanging.called)

    async def test_stop_with_a_hanging_call(self) -> None:
        """Stopping does not wait for a call that hangs."""
        threads = DaemonThreads(reactor, "test", 1)
        release = threading.Event()
        self.addCleanup(release.set)
        threads(release.wait)
        threads.stop()
