"""Coroutines of drivers under asyncio's loop, and without it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from errno import EMFILE
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin import Plugin, PluginError, Volume
from exampledriver.plugin.errors import BadRequest

from .memory import FakeDriver

try:
    Group: Any = ExceptionGroup  # type: ignore[name-defined,unused-ignore]
except NameError:

    class _Group(Exception):
        """What packages offer to Pythons before 3.11."""

        def __init__(self, text: str, errors: Sequence[Exception]) -> None:
            super().__init__(text)
            self.exceptions = tuple(errors)

    Group = type("ExceptionGroup", (_Group,), {})


class AsyncioTests(SynchronousTestCase):
    """Calls while asyncio's loop turns, as it does under Twisted's asyncio reactor."""

    def setUp(self) -> None:
        self.driver = FakeDriver()
        self.plugin = Plugin("x", [self.driver], Clock())

    def begin(self) -> Deferred[Any]:
        """Begin a Get that is answered later."""
        wire = self.plugin.wire
        answered = wire.begin(wire.calls["VolumeDriver.Get"], b'{"Name":"db"}')
        assert isinstance(answered, Deferred)
        return answered

    def get(self, answer: Callable[[], Awaitable[Volume]]) -> tuple[int, bytes]:
        """Return the answer to a Get, which a driver's method of asyncio gives."""

        async def main() -> tuple[int, bytes]:
            self.driver.answers["get"] = lambda name: answer()
            done: tuple[int, bytes] = await self.begin().asFuture(asyncio.get_running_loop())
            return done

        return asyncio.run(main())

    def answered(self, answer: Callable[[], Awaitable[Volume]]) -> None:
        """Check that a Get is answered."""
        status, body = self.get(answer)
        self.assertEqual((status, body), (200, body))
        self.assertIn(b'"Mountpoint":"/srv/db"', body)

    def test_task(self) -> None:
        """A coroutine runs in a task: timeouts, locks and gathers of asyncio work in it."""

        async def answer() -> Volume:
            assert asyncio.current_task() is not None
            async with asyncio.Lock():
                await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0.001))
                path = await asyncio.wait_for(asyncio.sleep(0.001, "/srv/db"), 5)
            return Volume("db", path)

        self.answered(answer)

    def test_both(self) -> None:
        """A coroutine may await Deferreds too, that have fired and that fire later."""

        async def answer() -> Volume:
            fired: Deferred[str] = Deferred()
            later: Deferred[str] = Deferred()
            failing: Deferred[str] = Deferred()
            fired.callback("/srv")
            loop = asyncio.get_running_loop()
            loop.call_later(0.001, later.callback, "/db")
            loop.call_later(0.002, failing.errback, KeyError("x"))
            path = await fired + await later
            try:
                await failing
            except KeyError:
                return Volume("db", path)
            raise AssertionError("no error")

        self.answered(answer)

    def test_future(self) -> None:
        """A method may return a future of asyncio's."""

        def answer() -> Awaitable[Volume]:
            future: asyncio.Future[Volume] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.set_result, Volume("db", "/srv/db"))
            return future

        self.answered(answer)

    def test_refused(self) -> None:
        """What a coroutine raises is answered as ever."""

        async def answer() -> Volume:
            await asyncio.sleep(0)
            raise PluginError("no such volume")

        self.assertEqual(self.get(answer), (500, b'{"Err":"no such volume"}'))

    def test_group(self) -> None:
        """A refusal inside of groups of errors, as task groups raise, keeps its text and status."""
        groups: list[tuple[list[Exception], tuple[int, bytes]]] = [
            ([PluginError("no such volume")], (500, b'{"Err":"no such volume"}')),
            ([BadRequest("no name"), Group("", [BadRequest("no name")])], (400, b"no name")),
            ([BadRequest("no name"), PluginError("no room")], (500, b"no name; no room")),
            ([Group("", [Group("", [OSError(EMFILE, "x")])])], (500, b"raise LimitNOFILE")),
        ]
        for errors, found in groups:

            async def answer(errors: list[Exception] = errors) -> Volume:
                await asyncio.sleep(0)
                raise Group("unhandled errors in a TaskGroup", errors)

            status, body = self.get(answer)
            self.assertEqual(status, found[0])
            self.assertIn(found[1], body)

    def test_group_bug(self) -> None:
        """A bug next to a refusal is logged, and the text of the refusal is kept."""

        async def answer() -> Volume:
            raise Group("x", [PluginError("no such volume"), ZeroDivisionError("bug")])

        status, body = self.get(answer)
        self.assertEqual(status, 500)
        self.assertRegex(body, b"\"no such volume; .*: internal error; the plugin's log has it as")
        self.assertNotIn(b"bug", body)
        self.assertEqual(len(self.flushLoggedErrors(Group)), 1)

    def test_gathered(self) -> None:
        """So does a refusal in one of several Deferreds that are waited for together."""

        async def answer() -> Volume:
            await gatherResults(
                [succeed(1), fail(PluginError("no such volume"))], consumeErrors=True
            )
            raise AssertionError("no error")

        self.assertEqual(self.get(answer), (500, b'{"Err":"no such volume"}'))

    def test_exit(self) -> None:
        """A coroutine that ends the program ends neither the loop nor the reactor on it."""
        for error in (SystemExit, KeyboardInterrupt, asyncio.CancelledError):

            async def answer(error: type[BaseException] = error) -> Volume:
                await asyncio.sleep(0)
                raise error

            status, body = self.get(answer)
            self.assertEqual(status, 500)
            self.assertIn(b"the driver raised %s, " % error.__name__.encode(), body)
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def cancelled(self, wait: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Check that a read whose client goes is cancelled in the driver."""
        seen: list[str] = []

        async def answer() -> Volume:
            try:
                await wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
            return Volume("db")

        async def main() -> None:
            self.driver.answers["get"] = lambda name: answer()
            work = self.begin()
            await asyncio.sleep(0.001)
            work.addErrback(lambda failure: None).cancel()
            await asyncio.sleep(0.001)

        asyncio.run(main())
        self.assertEqual(seen, ["cancelled"])

    def test_cancelled(self) -> None:
        """A read whose client goes is cancelled, whatever it waits for."""

        async def deferred() -> object:
            return await Deferred()

        self.cancelled(lambda: asyncio.sleep(60))
        self.cancelled(deferred)

    def test_no_loop(self) -> None:
        """Without the asyncio reactor the error says what to do."""

        async def sleeps() -> Volume:
            await asyncio.sleep(1)
            return Volume("db")

        self.driver.answers["get"] = sleeps()
        status, body = self.successResultOf(self.begin())
        self.assertEqual(status, 500)
        self.assertIn(b"run(asyncio=True)", body)
