"""Coroutines of drivers that await Deferreds, asyncio's futures, or both.

Twisted drives a coroutine that awaits Deferreds. One that awaits asyncio's futures needs a
task of asyncio's: libraries such as aiohttp ask which one they run in. Where asyncio's loop
turns, under Twisted's asyncio reactor, every coroutine of a driver becomes such a task, in
which a Deferred can be awaited too.
"""

from __future__ import annotations

from asyncio import CancelledError, Future, ensure_future, isfuture
from asyncio.events import _get_running_loop
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, TypeVar, cast

from attrs import define
from twisted.internet.defer import CancelledError as Cancelled
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .errors import ended

T = TypeVar("T")


def bridged(answer: Awaitable[T]) -> Awaitable[T]:
    """Return what Twisted can await in place of a driver's answer."""
    if _get_running_loop() is not None and not isinstance(answer, Deferred):
        if isinstance(answer, Coroutine):
            task = ensure_future(_run(answer))
            # One that is cancelled before its first step never gets to it.
            task.add_done_callback(lambda _: answer.close())
            return _deferred(task)
        if isfuture(answer):
            return _deferred(answer)
    return answer


def _deferred(future: Future[T]) -> Deferred[T]:
    def failed(failure: Failure) -> Failure:
        # Of the two exceptions of this name, the one that Twisted knows.
        if failure.check(CancelledError):
            raise Cancelled()
        return failure

    return Deferred.fromFuture(future).addErrback(failed)


async def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        return cast(T, await _InTask(coroutine))
    except (KeyboardInterrupt, SystemExit):
        # These, if a task raises them, end asyncio's loop, and the reactor with it.
        raise ended(Failure()) from None


@define
class _InTask:
    """Runs a coroutine inside asyncio's task, where asyncio does not know of Deferreds."""

    coroutine: Coroutine[Any, Any, Any]

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run it to its end."""
        error: BaseException | None = None
        while True:
            try:
                step = self.coroutine
                waited = step.send(None) if error is None else step.throw(error)
            except StopIteration as end:
                return end.value
            error = None
            try:
                if isinstance(waited, Deferred):
                    yield from _wait_for(waited)
                else:
                    yield waited
            except BaseException as raised:
                error = raised


def _wait_for(waited: Deferred[Any]) -> Generator[Any, Any, None]:
    """Wait until a Deferred has its result, and leave the result in it."""
    loop = _get_running_loop()
    assert loop is not None
    fired: Future[None] = loop.create_future()

    def note(result: object) -> object:
        if not fired.done():
            fired.set_result(None)
        return result

    waited.addBoth(note)
    try:
        yield from fired
    except CancelledError:
        waited.cancel()
        waited.addErrback(lambda failure: None)
        raise
