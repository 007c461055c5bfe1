"""Accepting connections when nothing is left to accept them with.

With every descriptor in use, a port stays ready and each accept(2) fails: a loop that takes a
processor and fills the log. Twisted's own answer is to accept and close whoever waits, which an
engine takes for a plugin that has failed. Here a port rests for a while; clients wait in its queue.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from socket import socket
from time import monotonic
from typing import Any

from attrs import define, field
from twisted.internet import tcp
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()

#: Seconds for which a port rests.
REST = 1.0
#: Resting is logged at most once in so many seconds, whichever ports do it.
LOG_INTERVAL = 60.0

#: The errors of accept(2) that last until something is freed, and what to do about them.
_ADVICE = {
    errno.EMFILE: "raise LimitNOFILE, or ulimit -n",
    errno.ENFILE: "raise the sysctl fs.file-max",
    errno.ENOBUFS: "the machine needs more memory",
    errno.ENOMEM: "the machine needs more memory",
}


@define(eq=False)
class _Warning:
    """Logs that ports rest, seldom."""

    _next: float = field(default=0.0, init=False)

    def log(self, number: int) -> None:
        """Log an error, unless one was logged a moment ago."""
        now = monotonic()
        if now < self._next:
            return
        self._next = now + LOG_INTERVAL
        _log.warn(
            "new connections wait: {why}: {advice}; retrying each second, logging once a minute",
            why=os.strerror(number),
            advice=_ADVICE[number],
        )


_warning = _Warning()


@define(eq=False)
class _Listening:
    """A listening socket that has no connection to accept while nothing is left for one."""

    _socket: socket
    _rest: Callable[[], object]

    def __getattr__(self, name: str) -> Any:
        """Return what the socket has by that name."""
        return getattr(self._socket, name)

    def accept(self) -> tuple[socket, Any]:
        """Accept a connection.

        :raises BlockingIOError: there is none.
        """
        try:
            return self._socket.accept()
        except OSError as error:
            if error.errno not in _ADVICE:
                raise
            _warning.log(error.errno)
            self._rest()
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None


class RestingPort(tcp.Port):
    """A port that rests when nothing is left to accept connections with."""

    _resting: IDelayedCall | None = None

    def startReading(self) -> None:
        """Begin to accept, or begin again."""
        if not isinstance(self.socket, _Listening):
            self.socket = _Listening(self.socket, self._rest)
        self._wake()
        super().startReading()  # type: ignore[no-untyped-call]

    def _rest(self) -> None:
        self.stopReading()  # type: ignore[no-untyped-call]
        self._wake()
        clock: Any = self.reactor
        self._resting = clock.callLater(REST, self.startReading)

    def _wake(self) -> None:
        if self._resting is not None and self._resting.active():
            self._resting.cancel()

    def connectionLost(self, reason: Failure) -> None:
        """Close this process's end of the socket. Leave its file alone if it has one."""
        self._wake()
        tcp.Port.connectionLost(self, reason)
