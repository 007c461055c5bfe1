"""Deadlines of changes: an engine gets an answer before it gives up, and the answer stays true.

A call of the kernel that waits for a dead server cannot be cancelled. So a change goes on when its
deadline has passed, in its thread and with the volume's lock, and only its client is answered:
with the file system that it waits for, and with what happens if that answers after all. A change
that is not committed by then is undone when it ends, one that is committed is completed; either
is logged.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from threading import Event, Lock
from types import coroutine
from typing import Any, TypeVar, cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .errors import VolumeError, quoted

_log = Logger()
T = TypeVar("T")

#: Seconds in which Create and Mount are answered: Docker waits 120.
LONG = 115.0
#: Seconds in which other changes are answered: Docker waits 60.
SHORT = 55.0
#: Seconds between two looks at the deadlines, while there are any.
_TICK = 1.0

#: What a change waits for, if not for a file system.
BEFORE = "it waits for another change of the volume, or a copy of it"
COPY = "its data is still being copied"
JOURNAL = "its record in the journal is not written: the disk of --state does not answer"

#: What happens to a change that is not committed at its deadline, and to one that is.
UNDONE = "nothing is changed, and should it still end it is undone"
COMPLETED = "it goes on, and the log says how it ends"

#: A deadline and the end of a change come from two threads.
_DECIDING = Lock()


class LateError(VolumeError):
    """A change has come to its commit after its deadline, and is not made."""


@define(eq=False)
class Job:
    """A change whose answer is awaited.

    :ivar what: such as ``Mount``.
    :ivar name: the volume's.
    :ivar seconds: how long its client is let wait; 0 for as long as it takes.
    :ivar path: where it is at work; empty for the root.
    :ivar waits: what it waits for, if not for the file system of `path`.
    :ivar then: what happens to it after its deadline.
    :ivar stop: set when its client has gone; None if it then goes on.
    :ivar late: its client has been told that it is late.
    """

    what: str
    name: str
    seconds: float = 0.0
    path: str = ""
    waits: str = ""
    then: str = UNDONE
    stop: Event | None = None
    late: bool = field(default=False, init=False)
    began: float = field(default=0.0, init=False)
    answer: Deferred[Any] | None = field(default=None, init=False)

    def check(self) -> None:
        """Raise unless the answer is still awaited. In any thread.

        :raises LateError: it is not.
        """
        if self.late:
            raise LateError(f"volume {quoted(self.name)}: {self.what} came too late")

    def commit(self) -> None:
        """Complete the change from now on, however late it is. In any thread.

        :raises LateError: its client has been told that nothing is changed.
        """
        with _DECIDING:
            if self.then is UNDONE:
                self.check()
                self.then = COMPLETED

    def expire(self) -> str:
        """Return what happens to it from now on."""
        with _DECIDING:
            self.late = True
            return self.then


@coroutine
def _rest(
    waited: Deferred[Any], work: Coroutine[Deferred[Any], Any, T]
) -> Generator[Deferred[Any], Any, T]:
    """Go on with a coroutine that has begun, and waits."""
    try:
        while True:
            try:
                result = yield waited
            except GeneratorExit:  # noqa: PERF203 (as "yield from" does)
                work.close()
                raise
            except BaseException as error:
                waited = work.throw(error)
            else:
                waited = work.send(result)
    except StopIteration as ended:
        return cast(T, ended.value)


@define(eq=False)
class Deadlines:
    """The changes in progress. Used in the reactor's thread.

    :ivar file_system: returns the file system of a path, for people.
    """

    _clock: IReactorTime
    file_system: Callable[[str], str]
    _waited: set[Job] = field(factory=set, init=False)
    #: The changes that have not ended at their deadline, by volume.
    _late: dict[str, Job] = field(factory=dict, init=False)
    _ticking: bool = field(default=False, init=False)

    async def keep(self, job: Job, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """Wait for a change until its deadline.

        :raises VolumeError: it has not ended by then; or an earlier one of the volume has not.
        """
        before = self._late.get(job.name)
        if before is not None and job.then is UNDONE:
            work.close()
            raise VolumeError(self._text(before, "an earlier "))
        if not job.seconds:
            return await work
        # What ends at once costs no more than a call.
        try:
            waited = work.send(None)
        except StopIteration as ended:
            return cast(T, ended.value)
        job.began = self._clock.seconds()
        job.answer = Deferred()
        self._waited.add(job)
        if not self._ticking:
            self._ticking = True
            self._clock.callLater(_TICK, self._look)
        Deferred.fromCoroutine(_rest(waited, work)).addBoth(self._ended, job)
        return cast(T, await job.answer)

    def _look(self) -> None:
        now = self._clock.seconds()
        for job in [job for job in self._waited if now - job.began >= job.seconds]:
            assert job.answer is not None
            then = job.expire()
            self._waited.discard(job)
            self._late[job.name] = job
            job.answer.errback(VolumeError(f"{self._text(job)}; {then}"))
        self._ticking = bool(self._waited)
        if self._ticking:
            self._clock.callLater(_TICK, self._look)

    def _text(self, job: Job, earlier: str = "") -> str:
        waited = self._clock.seconds() - job.began
        return (
            f"volume {quoted(job.name)}: {earlier}{job.what} has not ended for {waited:.0f} s: "
            f"{job.waits or self.file_system(job.path) + ' does not answer'}"
        )

    def _ended(self, result: object, job: Job) -> None:
        assert job.answer is not None
        if not job.late:
            self._waited.discard(job)
            job.answer.callback(result)
            return
        if self._late.get(job.name) is job:
            del self._late[job.name]
        if not isinstance(result, Failure):
            how = "it is done all the same"
        elif result.check(LateError):
            how = "nothing was changed"
        elif result.check(VolumeError):
            how = f"it failed: {result.value}"
        else:
            _log.failure("late {what} of volume {name}", result, what=job.what, name=job.name)
            return
        _log.warn(
            "volume {name}: {what} has ended {seconds:.0f} s after it was asked for, and its "
            "client was told that it had not: {how}",
            name=job.name,
            what=job.what,
            seconds=self._clock.seconds() - job.began,
            how=how,
        )
