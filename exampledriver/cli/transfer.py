"""Archives between a file of the command's and the daemon.

The command opens the file, with its own rights, and listens at a socket beside the
administrator's, which only root can reach; the daemon connects there and sends or reads bytes.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

from attrs import define, field

from ..backends.copying.outputs import new_file
from ..volumes.errors import VolumeError
from .client import AdminError

_TICK = 0.2
_PIECE = 1 << 20
_PEER = struct.Struct("3i")


@define(eq=False)
class Transfer:
    """A socket for one connection of the daemon's, and what is done with it in a thread.

    :ivar error: why the command's side failed, if it did.
    """

    _beside: Path
    _pump: Callable[[socket.socket], None]
    error: OSError | None = field(default=None, init=False)
    _end: Event = field(factory=Event, init=False)
    _listener: socket.socket = field(init=False)
    _path: Path = field(init=False)
    _thread: Thread = field(init=False)

    @property
    def channel(self) -> str:
        """What the daemon is told."""
        return self._path.name

    def __enter__(self) -> Transfer:
        """Begin to listen.

        :raises AdminError: it is not possible there.
        """
        # The daemon knows the socket by its own name.
        beside = Path(os.path.realpath(self._beside)).parent
        self._path = beside / f".x{secrets.token_hex(4)}"
        self._listener = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)
        try:
            self._listener.bind(os.fspath(self._path))
        except OSError as error:
            self._listener.close()
            raise AdminError(
                f"{self._path}: {error.strerror or error}: run this as root, and see that the "
                "daemon runs"
            ) from None
        finally:
            os.umask(mask)
        self._listener.listen(1)
        self._listener.settimeout(_TICK)
        # It may wait for a terminal, or a pipe: it does not keep the command from ending.
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def _serve(self) -> None:
        while not self._end.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with connection:
                peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
                if _PEER.unpack(peer)[1] not in (0, os.geteuid()):
                    continue
                connection.settimeout(None)
                try:
                    self._pump(connection)
                except OSError as error:
                    self.error = error
                except ValueError:
                    return  # the file is closed: somebody has interrupted the command
            return

    def finish(self) -> None:
        """Wait until all that the daemon sent has been written.

        :raises AdminError: it could not be.
        """
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Refuse what this side could not do.

        :raises AdminError: why.
        """
        error = self.error
        if error is not None:
            raise AdminError(f"the archive: {error.strerror or error}") from error

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self._end.set()
        self._listener.close()
        self._path.unlink(missing_ok=True)


def _write_to(file: IO[bytes]) -> Callable[[socket.socket], None]:
    def pump(connection: socket.socket) -> None:
        while data := connection.recv(_PIECE):
            file.write(data)
        file.flush()

    return pump


def _read_from(file: IO[bytes]) -> Callable[[socket.socket], None]:
    def pump(connection: socket.socket) -> None:
        descriptor = file.fileno()
        # The daemon says why it reads no more.
        with suppress(BrokenPipeError, ConnectionResetError):
            while data := os.read(descriptor, _PIECE):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

    return pump


@contextmanager
def _output(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        if sys.stdout.isatty():
            raise AdminError("an archive is nothing for a terminal: give a FILE, or a pipe")
        yield sys.stdout.buffer
        return
    with new_file(Path(os.path.abspath(name))) as file:
        yield file


def write_archive(admin: Path, name: str, ask: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Let the daemon write an archive; a file gets its name when it is whole.

    :param admin: the administrator's socket.
    :param name: a file's, or ``-`` for standard output.
    :param ask: asks the daemon, with the name of a channel.
    :raises AdminError: it could not be done; there is no file.
    """
    try:
        with _output(name) as file, Transfer(admin, _write_to(file)) as transfer:
            try:
                answer = ask(transfer.channel)
            except AdminError:
                transfer.check()  # a full disk here says more than a broken pipe there
                raise
            transfer.finish()
            return answer
    except VolumeError as error:
        raise AdminError(str(error)) from None
    except OSError as error:
        raise AdminError(f"{name}: {error.strerror or error}") from None


def read_archive(admin: Path, name: str, ask: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Let the daemon read an archive.

    :param admin: the administrator's socket.
    :param name: a file's, or ``-`` for standard input.
    :raises AdminError: it could not be done.
    """
    if name == "-" and sys.stdin.isatty():
        raise AdminError("nobody types an archive: give a FILE, or a pipe")
    try:
        with (
            sys.stdin.buffer if name == "-" else open(name, "rb") as file,
            Transfer(admin, _read_from(file)) as transfer,
        ):
            try:
                return ask(transfer.channel)
            except AdminError:
                transfer.check()
                raise
    except OSError as error:
        raise AdminError(f"{name}: {error.strerror or error}") from None
