"""UNIX sockets as a plugin needs them.

Twisted's own ``unix:`` endpoint makes sockets that everybody may open, and stops
at a socket file that a killed process left. Here a socket has mode 0600 unless
another is asked for, a dead one is replaced, and a live one is an error that
says whose it is.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory

from ..processes import command
from .ports import SocketPort, accept_waiting

#: sun_path of unix(7), less its closing NUL.
_MAX_PATH = 107


class ListenError(Exception):
    """An endpoint cannot be listened on; the text says which and why."""


def endpoint_words(text: str) -> list[str]:
    r"""Return the parts of a server endpoint string, of which the first is its kind.

    They are divided by colons; one that belongs to a part is written ``\:``.
    """
    found = re.findall(r"(?:\\.|[^:\\])+", text)
    return [re.sub(r"\\(.)", r"\1", word) for word in found] or [""]


@frozen
class UnixEndpoint:
    """A UNIX stream socket to listen on.

    :ivar path: absolute.
    :ivar mode: the permissions of the socket file.
    :ivar backlog: how many connections may wait to be accepted.
    """

    path: Path
    mode: int = 0o600
    backlog: int = 1024

    @classmethod
    def parse(cls, text: str) -> UnixEndpoint:
        r"""Read a server endpoint string: ``unix:PATH[:mode=OCTAL][:backlog=N][:lockfile=0|1]``.

        A colon in the path is written ``\:``. The lock file of Twisted's own endpoint is
        not needed here and the argument is accepted without effect.

        :raises ValueError: it is none.
        """
        kind, *words = endpoint_words(text)
        if kind != "unix" or not words:
            raise ValueError(
                f"{text}: give unix:PATH, such as unix:/run/x.sock, systemd: for a socket that "
                "systemd passes on, or ssl:PORT with keys and the CA of its clients"
            )
        path = Path(os.path.abspath(words[0].removeprefix("address=")))
        given = dict(word.partition("=")[::2] for word in words[1:])
        mode, backlog = given.pop("mode", "600"), given.pop("backlog", "1024")
        given.pop("lockfile", None)
        if given:
            raise ValueError(
                f"{text}: {', '.join(given)} is not known; known: mode, backlog, lockfile"
            )
        if not re.fullmatch("[0-7]{3,4}", mode) or not re.fullmatch("[1-9][0-9]{0,4}", backlog):
            raise ValueError(f"{text}: mode is octal, such as 600, backlog a number")
        endpoint = cls(path, int(mode, 8), int(backlog))
        try:
            endpoint.check_path()
        except ValueError as error:
            raise ValueError(f"{text}: {error}") from None
        return endpoint

    def check_path(self) -> None:
        """Judge the path's length.

        :raises ValueError: it is too long for a socket.
        """
        if len(os.fsencode(self.path)) > _MAX_PATH:
            raise ValueError(f"a socket's path has at most {_MAX_PATH} bytes")

    def __str__(self) -> str:
        """Return the endpoint as people write it."""
        return f"unix:{self.path}"

    def check(self) -> None:
        """Make the socket's directory, and find out whether it can be listened on.

        :raises ListenError: the directory cannot be made or written, a live process listens
            there, or it is no socket.
        """
        directory = self.path.parent
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = os.lstat(self.path) if os.path.lexists(self.path) else None
        except OSError as error:
            raise ListenError(
                f"{self.path}: its directory cannot be made: {error.strerror}"
            ) from None
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ListenError(
                f"{self.path}: user {os.geteuid()} cannot write into {directory}; run as root, "
                "or listen somewhere else"
            )
        if found is None:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise ListenError(f"{self.path} exists and is not a socket: move it away")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.setblocking(False)
            try:
                client.connect(str(self.path))
            except ConnectionRefusedError:
                return
            except BlockingIOError:
                pass  # its queue is full, so somebody has one
            except OSError as error:
                raise ListenError(f"{self.path}: {error.strerror}") from None
            raise ListenError(
                f"{self.path} is in use by {_listener(client)}: stop that first, or listen "
                "somewhere else"
            )

    @property
    def real(self) -> Path:
        """The socket's path without symbolic links to its directory."""
        return Path(os.path.realpath(self.path.parent), self.path.name)

    def listen(self, reactor: Any, factory: Factory[Any]) -> Listening:
        """Listen, replacing a dead socket.

        :raises ListenError: it cannot be done.
        """
        self.check()
        try:
            self.path.unlink(missing_ok=True)
            # What Twisted's own endpoint leaves beside a dead socket: a link to a process id.
            lock = Path(f"{self.path}.lock")
            if lock.is_symlink():
                lock.unlink()
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listening.bind(os.fspath(self.path))
            # Nobody can connect before it listens, so nobody ever meets another mode.
            self.path.chmod(self.mode)
            made = os.lstat(self.path)
            listening.listen(self.backlog)
        except OSError as error:
            raise ListenError(f"{self.path}: {error.strerror}") from None
        port = SocketPort(listening, factory, reactor)
        port.startListening()
        return Listening(port, lambda: self._withdraw(made))

    def _withdraw(self, made: os.stat_result) -> None:
        """Remove the socket's file, unless another one has taken its place."""
        try:
            if os.path.samestat(os.lstat(self.path), made):
                self.path.unlink()
        except FileNotFoundError:
            pass


def check_distinct(endpoints: Sequence[object]) -> None:
    """Go on if no endpoint is there twice.

    :raises ValueError: one is.
    """
    names = [
        f"unix:{endpoint.real}" if isinstance(endpoint, UnixEndpoint) else str(endpoint)
        for endpoint in endpoints
    ]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is given twice: once is enough")


@define(eq=False)
class Listening:
    """An endpoint that is being listened on.

    :ivar port: where connections are accepted.
    :ivar withdraw: keeps further clients from finding it.
    """

    port: IListeningPort
    withdraw: Callable[[], None] = lambda: None

    def close(self) -> Deferred[Any]:
        """Stop listening; who has connected is accepted before.

        :return: fires when the port is closed.
        """
        self.withdraw()
        accept_waiting(self.port)
        return maybeDeferred(self.port.stopListening)


def _listener(client: socket.socket) -> str:
    """Say which process listens at the other end."""
    size = struct.calcsize("3i")
    try:
        pid, _, _ = struct.unpack(
            "3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
    except OSError:
        return "another process"
    return f"process {pid} ({command(pid)})"
