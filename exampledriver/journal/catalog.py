"""The journal as a catalog: one fdatasync for many changes, never in the reactor's thread.

Changes that are asked for while the disk works wait together and share the next
batch (group commit). An idle journal adds no delay: a single change is written
at once, by a thread of the journal's own. What was posted is written by the thread that
posted it, when it has nothing else to do: that saves the way from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Condition, Thread
from typing import Any

import msgspec
from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from .interfaces import CatalogError, ICatalog, Value
from .live import Change
from .log import Log
from .records import encode_value

_log = Logger()

#: After how many seconds without a change the file is looked at.
LOOK_EVERY = 1.0


@implementer(ICatalog)
@define(eq=False)
class Journal:
    """A durable catalog in an opened :class:`~exampledriver.journal.log.Log`.

    The thread begins with the first change, never before the process has daemonised.
    """

    _reactor: IReactorFromThreads
    _journal: Log
    _wake: Condition = field(factory=Condition, init=False)
    _waiting: list[tuple[Change, Deferred[None]]] = field(factory=list, init=False)
    #: Somebody waits for what waits.
    _wanted: bool = field(default=False, init=False)
    #: A thread is at work on the file.
    _working: bool = field(default=False, init=False)
    _closed: Deferred[None] | None = field(default=None, init=False)
    _thread: Thread | None = field(default=None, init=False)

    def entries(self) -> Iterator[tuple[str, Any]]:
        """Yield the map, one value at a time; what is kept as JSON is decoded."""
        for key, kept in self._journal.entries.items():
            yield key, msgspec.json.decode(kept) if isinstance(kept, bytes) else kept

    def put(self, key: str, value: Value) -> Deferred[None]:
        """Set a key, durably."""
        durable = self._ask((key, encode_value(value)))
        self.begin()
        return durable

    def delete(self, key: str) -> Deferred[None]:
        """Take a key out, durably."""
        durable = self._ask((key, None))
        self.begin()
        return durable

    def post(self, key: str, value: Value) -> Deferred[None]:
        """Set a key, durably, when it suits."""
        return self._ask((key, encode_value(value)))

    def _ask(self, change: Change) -> Deferred[None]:
        durable: Deferred[None] = Deferred()
        with self._wake:
            if self._closed is None:
                self._waiting.append((change, durable))
                return durable
        return fail(CatalogError("the journal is closed: the plugin is stopping; try again"))

    def watch(self) -> None:
        """Look once a second whether the file is still at its name, from now on (J13)."""
        with self._wake:
            self._wake_thread()

    def begin(self) -> None:
        """Let the journal's thread write what waits."""
        with self._wake:
            self._wanted = True
            self._wake_thread()

    def _wake_thread(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="journal", daemon=True)
            self._thread.start()
        self._wake.notify()

    def flush(self) -> None:
        """Write what waits, in this thread, if no other one is at work."""
        with self._wake:
            if self._working:
                self._wanted = True  # it goes on with that
                return
            if not self._waiting or self._closed:
                return
            if self._journal.due:
                self._wanted = True
                self._wake_thread()
                return
            batch = self._take()
        try:
            self._commit(batch)
        except BaseException:
            self._reactor.callFromThread(self._died, Failure())
            return
        with self._wake:
            self._working = False
            if self._wanted or self._closed or self._journal.due:
                self._wanted = True
                self._wake_thread()

    def _take(self) -> list[tuple[Change, Deferred[None]]]:
        batch, self._waiting = self._waiting, []
        self._wanted, self._working = False, True
        return batch

    def close(self) -> Deferred[None]:
        """Let the thread finish what was asked for, and close the file."""
        if self._closed is None:
            with self._wake:
                self._closed = Deferred()
                self._wake_thread()
        return self._closed

    def _run(self) -> None:
        """Commit batch after batch; between two of them, and when idle, compact a little."""
        more = True
        try:
            while True:
                with self._wake:
                    while self._working or not (self._wanted or more or self._closed):
                        if not self._wake.wait(LOOK_EVERY) and not self._working:
                            break
                    batch = self._take()
                if batch:
                    self._commit(batch)
                elif self._closed:
                    break
                more = self._journal.step()
                with self._wake:
                    self._working = False
            self._journal.close()
        except BaseException:
            self._reactor.callFromThread(self._died, Failure())
        else:
            self._reactor.callFromThread(self._closed.callback, None)

    def _commit(self, batch: list[tuple[Change, Deferred[None]]]) -> None:
        error: CatalogError | None = None
        try:
            self._journal.commit([change for change, _ in batch])
        except CatalogError as failed:
            error = failed
        except BaseException:
            self._waiting[:0] = batch
            raise
        self._reactor.callFromThread(self._report, batch, error)

    @staticmethod
    def _report(batch: list[tuple[Change, Deferred[None]]], error: CatalogError | None) -> None:
        for _, durable in batch:
            if error is None:
                durable.callback(None)
            else:
                durable.errback(CatalogError(str(error)))

    def _died(self, failure: Failure) -> None:
        """Fail what waits and all that comes: a bug ended the work on the file."""
        _log.failure("the journal's thread ended; changes fail until a restart", failure)
        with self._wake:
            batch, self._waiting = self._waiting, []
            closing, self._closed = self._closed, Deferred()
        self._closed.callback(None)
        self._report(batch, CatalogError("the journal stopped; see the plugin's log and restart"))
        if closing is not None:
            closing.callback(None)
