"""Reading the FIFO of a container's log, without blocking the reactor."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from .errors import PluginError
from .logframes import Decoder, FrameError, LogEntry

_READ = 1 << 16


@implementer(IReadDescriptor)
@define(eq=False)
class LogReader:
    """Reads the entries of one container.

    :ivar file: as :class:`exampledriver.plugin.logdriver.StartLogging` has it.
    :ivar received: called with each entry.
    :ivar done: fires when the engine has closed the FIFO or :meth:`stop` was called; fails with
        :class:`exampledriver.plugin.logframes.FrameError` for what is no log.
    """

    reactor: Any
    file: str
    received: Callable[[LogEntry], object]
    done: Deferred[None] = field(factory=Deferred, init=False)
    _descriptor: int = field(default=-1, init=False)
    _decoder: Decoder = field(factory=Decoder, init=False)

    def start(self) -> None:
        """Open the FIFO and begin to read.

        :raises PluginError: it cannot be opened.
        """
        try:
            self._descriptor = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise PluginError(f"{self.file}: cannot be read: {error.strerror}") from None
        self.reactor.addReader(self)

    def stop(self) -> None:
        """Read what has been written so far, and close."""
        while self._descriptor >= 0 and self._read():
            pass
        self._close(None)

    def fileno(self) -> int:
        """Return the file descriptor, for the reactor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Return a name, for the reactor's log."""
        return f"LogReader,{self.file}"

    def doRead(self) -> None:
        """Read what is there."""
        self._read()

    def connectionLost(self, reason: Failure) -> None:
        """Close: the reactor stops."""
        self._close(None)

    def _read(self) -> bool:
        """Read once; return whether there may be more."""
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
        try:
            for entry in self._decoder.feed(data):
                self.received(entry)
        except FrameError:
            self._close(Failure())
            return False
        return True

    def _close(self, failure: Failure | None) -> None:
        if self._descriptor < 0:
            return
        self.reactor.removeReader(self)
        os.close(self._descriptor)
        self._descriptor = -1
        if failure is None:
            self.done.callback(None)
        else:
            self.done.errback(failure)
