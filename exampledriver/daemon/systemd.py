"""systemd: sockets that it passes on, and what it is told.

A passed socket stays the service manager's: its file is neither opened to others nor
removed, and who connects while the daemon restarts waits in its queue.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.systemd import ListenFDs

from .listening import ListenError
from .ports import SocketPort

_log = Logger()


@define(eq=False)
class _Passed:
    """A passed socket that is being listened on."""

    port: IListeningPort

    def close(self) -> Deferred[Any]:
        """Accept no more; who waits in the queue is answered by the next process."""
        return maybeDeferred(self.port.stopListening)


@define(eq=False)
class SystemdEndpoint:
    """A UNIX socket that the service manager listens on; sd_listen_fds(3).

    :ivar text: the endpoint as it was given.
    :ivar index: which of the passed sockets, from 0.
    :ivar name: or its ``FileDescriptorName=``.
    """

    text: str
    index: int = 0
    name: str = ""
    _descriptor: int = field(default=-1, init=False)

    @classmethod
    def parse(cls, text: str) -> SystemdEndpoint:
        """Read ``systemd:``, ``systemd:index=N`` or ``systemd:name=NAME``.

        ``domain=UNIX``, which Twisted's own endpoint asks for, is accepted.

        :raises ValueError: it is none of these.
        """
        words = [word for word in text.split(":")[1:] if word and word != "domain=UNIX"]
        match = re.fullmatch(r"index=([0-9]{1,4})|name=([^:]+)", words[0]) if words else None
        if len(words) > 1 or (words and not match):
            raise ValueError(
                f"{text}: give systemd: for the first socket that is passed, or "
                "systemd:index=N or systemd:name=NAME"
            )
        index, name = match.groups("") if match else ("", "")
        return cls(text, int(index or 0), name)

    def __str__(self) -> str:
        """Return the endpoint as people write it."""
        return self.text

    def check(self) -> None:
        """Find out whether the socket was passed to this process, and is one.

        It is remembered, because twistd may fork before it is listened on.

        :raises ListenError: it was not, or is none that can be served.
        """
        passed = ListenFDs.fromEnvironment(_first_environment())
        self._descriptor = descriptor = self._find(passed)
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise ListenError(f"{self.text}: file descriptor {descriptor} is no socket")
        with socket.socket(fileno=os.dup(descriptor)) as found:
            if found.family != socket.AF_UNIX or found.type != socket.SOCK_STREAM:
                raise ListenError(
                    f"{self.text}: the socket that was passed is no UNIX stream socket: use "
                    "ListenStream=/path.sock in the .socket unit"
                )
            if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise ListenError(f"{self.text}: the socket is not listening: use Accept=no")
            self._warn_of_mode(found.getsockname())

    def _warn_of_mode(self, path: str) -> None:
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else 0
        if mode & 0o077:
            _log.warn(
                "{path} has mode {mode:04o}: whoever can open it is as good as root; use "
                "SocketMode=0600 in the .socket unit",
                path=path,
                mode=mode,
            )

    def _find(self, passed: ListenFDs) -> int:
        found, named = passed.inheritedDescriptors(), passed.inheritedNamedDescriptors()
        if not found:
            raise ListenError(
                f"{self.text}: the service manager has passed no socket: start this by its "
                ".socket unit, or listen on unix:PATH"
            )
        try:
            return named[self.name] if self.name else found[self.index]
        except LookupError:
            raise ListenError(
                f"{self.text}: no such socket among those that were passed: "
                f"{len(found)}, named {', '.join(named)}"
            ) from None

    def listen(self, reactor: Any, factory: Factory[Any]) -> _Passed:
        """Accept what connects; :meth:`check` was called before."""
        # A copy: the one that was passed stays open, and the socket with it.
        passed = socket.socket(fileno=os.dup(self._descriptor))
        port = SocketPort(passed, factory, reactor)
        port.startListening()
        return _Passed(port)


def _first_environment() -> dict[str, str]:
    """Return the environment with which this process was started.

    Twisted's endpoints, when they are imported, take the variables out of the present one.
    """
    words = Path("/proc/self/environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(word).partition("=") for word in words)
    return {key: value for key, _, value in pairs if key}


@define(eq=False)
class Notifier:
    """Tells the service manager how the daemon is doing; sd_notify(3).

    :ivar environment: where ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` are, if systemd set them.
    :ivar status: what the daemon serves, in a few words.
    """

    _clock: IReactorTime
    status: Callable[[], str]
    environment: Mapping[str, str] = field(factory=lambda: os.environ)
    _watchdog: LoopingCall | None = field(default=None, init=False)

    def ready(self) -> None:
        """Say that requests are answered, and begin to say that the reactor turns."""
        self.tell(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={self.status()}")
        microseconds = self.environment.get("WATCHDOG_USEC", "")
        if microseconds.isdecimal() and int(microseconds):
            self._watchdog = LoopingCall(self._alive)
            self._watchdog.clock = self._clock
            self._watchdog.start(int(microseconds) / 2e6)

    def _alive(self) -> None:
        self.tell(f"WATCHDOG=1\nSTATUS={self.status()}")

    def stopping(self) -> None:
        """Say that the stop has begun."""
        self.tell("STOPPING=1\nSTATUS=answering the last requests")

    def tell(self, text: str) -> None:
        """Send a message; nobody there, or trouble with it, is none of the daemon's."""
        address = self.environment.get("NOTIFY_SOCKET", "")
        if not address:
            return
        path = b"\0" + os.fsencode(address[1:]) if address[0] == "@" else os.fsencode(address)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(text.encode("utf-8"), path)
        except OSError as error:
            _log.warn("the service manager cannot be told: {error}", error=error)
