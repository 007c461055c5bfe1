"""Reading the FIFO of a container's log, without blocking the reactor.

At most one entry is with the driver at a time, and at most 64 KiB have been read beyond it. While
the driver works on an entry nothing more is read, so a slow driver slows its containers down and
needs no memory for them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from .awaiting import bridged
from .errors import PluginError
from .logframes import Decoder, FrameError, LogEntry

_log = Logger()

_READ = 1 << 16


@implementer(IReadDescriptor)
@define(eq=False)
class LogReader:
    """Reads the entries of one container.

    A FIFO that is not read stops its container: what :attr:`received` raises is logged, the
    entry is lost, and the reading goes on.

    :ivar file: as :class:`exampledriver.plugin.logdriver.StartLogging` has it.
    :ivar received: called with each entry, in order. If it returns a Deferred or is a coroutine
        function, the next entry comes when that has ended, and the FIFO is not read meanwhile.
    :ivar container: what the plugin's log calls it; by default the FIFO.
    :ivar lost: how many entries :attr:`received` has failed for.
    :ivar done: fires when the engine has closed the FIFO or :meth:`stop` was called; fails with
        :class:`exampledriver.plugin.logframes.FrameError` for what is no log, which the
        plugin's log says too.
    """

    reactor: Any
    file: str
    received: Callable[[LogEntry], object]
    container: str = ""
    lost: int = field(default=0, init=False)
    done: Deferred[None] = field(factory=Deferred, init=False)
    _descriptor: int = field(default=-1, init=False)
    _decoder: Decoder = field(factory=Decoder, init=False)
    _failing: bool = field(default=False, init=False)
    #: The entries of what has been read that have not been passed on.
    _entries: Iterator[LogEntry] = field(factory=lambda: iter(()), init=False)
    _passing: bool = field(default=False, init=False)
    _waiting: bool = field(default=False, init=False)
    _stops: list[Deferred[None]] = field(factory=list, init=False)

    def start(self) -> None:
        """Open the FIFO and begin to read.

        :raises PluginError: it cannot be opened.
        """
        try:
            self._descriptor = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise PluginError(f"{self.file}: cannot be read: {error.strerror}") from None
        self.reactor.addReader(self)

    def stop(self) -> Deferred[None]:
        """Read what has been written so far, and close, whatever happens.

        :return: fires when that is done: at once, unless :attr:`received` has to be waited for.
        """
        stopped: Deferred[None] = Deferred()
        self._stops.append(stopped)
        if self._descriptor < 0:
            self._close(None)
        else:
            self._drain()
        return stopped

    def _drain(self) -> None:
        """Read what is left, and close, unless the driver works on an entry: then afterwards."""
        if self._passing or self._waiting:
            return
        try:
            while self._pass_on() and self._read():
                pass
        except BaseException:
            self._close(None)
            raise
        if not self._waiting:
            self._close(None)

    def fileno(self) -> int:
        """Return the file descriptor, for the reactor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Return a name, for the reactor's log."""
        return f"LogReader,{self.file}"

    def doRead(self) -> None:
        """Read what is there."""
        if self._read() and self._pass_on() and self._stops:
            self._drain()

    def connectionLost(self, reason: Failure) -> None:
        """Close: the reactor stops."""
        self._close(None)

    def _read(self) -> bool:
        """Read once; return whether there may be more."""
        if self._descriptor < 0:
            return False
        try:
            data = os.read(self._descriptor, _READ)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                self._close(Failure())
            return error.errno == errno.EINTR
        if not data:
            # Nobody has it open for writing, and the last one's bytes have been read.
            self._close(None)
            return False
        self._entries = self._decoder.feed(data)
        return True

    def _pass_on(self) -> bool:
        """Pass entries on; return whether all of what was read has been, and more may be."""
        self._passing = True
        try:
            for entry in self._entries:
                self._receive(entry)
                if self._waiting:
                    self.reactor.removeReader(self)
                    return False
        except FrameError as error:
            _log.error(
                "driver {driver}: the log of {container} ends here, for what came is no log "
                "entry: {why}",
                driver=self._driver,
                container=self.container or self.file,
                why=str(error),
            )
            self._close(Failure())
            return False
        finally:
            self._passing = False
        return True

    def _receive(self, entry: LogEntry) -> None:
        """Pass an entry on; afterwards, :attr:`_waiting` if it has to be waited for."""
        try:
            found = self.received(entry)
            if not isinstance(found, Awaitable):
                self._keep()
                return
            work = _deferred(bridged(found))
        except (Exception, SystemExit):
            self._lose(Failure())
            return
        self._waiting = True

        def kept(result: object) -> object:
            self._keep()
            return result

        work.addCallbacks(kept, self._lose).addBoth(self._go_on)

    def _go_on(self, result: object) -> object:
        """Read on, now that an entry has been received."""
        self._waiting = False
        if self._passing or self._descriptor < 0:
            return result
        if self._pass_on():
            self.reactor.addReader(self)
            if self._stops:
                self._drain()
        return result

    def _keep(self) -> None:
        """Say, at the first entry that is received after others were not, how many were lost."""
        if self._failing:
            self._failing = False
            self._say_lost()

    def _lose(self, failure: Failure) -> None:
        """Count an entry that is lost; say so at the first of several in a row."""
        self.lost += 1
        if not self._failing:
            self._failing = True
            _log.failure(
                "driver {driver}: an entry of {container} is lost; its log is read on",
                failure,
                driver=self._driver,
                container=self.container or self.file,
            )

    def _say_lost(self) -> None:
        _log.warn(
            "driver {driver}: of {container}, {lost} entries are lost",
            driver=self._driver,
            container=self.container or self.file,
            lost=self.lost,
        )

    @property
    def _driver(self) -> str:
        """The driver's method that has given :attr:`received`, or what it is."""
        name = getattr(self.received, "__qualname__", type(self.received).__name__)
        return str(name).partition(".<locals>")[0]

    def _close(self, failure: Failure | None) -> None:
        if self._descriptor >= 0:
            try:
                self.reactor.removeReader(self)
            finally:
                descriptor, self._descriptor = self._descriptor, -1
                os.close(descriptor)
                if self._failing:
                    self._say_lost()
                if failure is None:
                    self.done.callback(None)
                else:
                    self.done.errback(failure)
        stops, self._stops = self._stops, []
        for stopped in stops:
            stopped.callback(None)


def _deferred(awaitable: Awaitable[object]) -> Deferred[object]:
    async def wait() -> object:
        return await awaitable

    return awaitable if isinstance(awaitable, Deferred) else Deferred.fromCoroutine(wait())
