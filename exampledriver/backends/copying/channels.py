"""The bytes of an archive on their way from or to a command, over a UNIX socket."""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path

from attrs import define, field

from ...volumes.errors import VolumeError
from .progress import Progress

#: Seconds without a byte after which the other side is given up.
SILENCE = 60.0
_TICK = 0.5
_BUFFER = 1 << 20
_PEER = struct.Struct("3i")


@define(eq=False)
class Channel:
    """A connection to who listens at a socket; it is read, or written. Blocks."""

    path: Path
    progress: Progress
    _socket: socket.socket = field(factory=lambda: socket.socket(socket.AF_UNIX), init=False)
    _read: memoryview = field(factory=lambda: memoryview(b""), init=False)

    def __enter__(self) -> Channel:
        """Connect.

        :raises VolumeError: nobody listens there, or another user does.
        """
        try:
            self._socket.settimeout(_TICK)
            self._socket.connect(os.fspath(self.path))
            # Whoever asked listens there: nobody else needs to find it.
            self.path.unlink(missing_ok=True)
            peer = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
            uid = _PEER.unpack(peer)[1]
            if uid not in (0, os.geteuid()):
                raise VolumeError(f"{self.path}: user {uid} listens there, who is not asked")
        except OSError as error:
            self._socket.close()
            raise VolumeError(
                f"{self.path}: who asked does not listen there: {error.strerror or error}"
            ) from error
        except VolumeError:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._socket.close()

    def write(self, data: bytes, /) -> int:
        """Write some of `data`; return how much.

        :raises VolumeError: nobody reads it.
        """
        began = time.monotonic()
        while True:
            try:
                return self._socket.send(data)
            except TimeoutError:  # noqa: PERF203 it waits, seldom
                self._wait(began)
            except OSError as error:
                raise VolumeError("the command that asked for it has gone") from error

    def read(self, count: int, /) -> bytes:
        """Return 1 to `count` bytes, or none at the end.

        :raises VolumeError: nobody writes them.
        """
        began = time.monotonic()
        while not self._read:
            try:
                received = self._socket.recv(_BUFFER)
            except TimeoutError:
                self._wait(began)
                continue
            except OSError as error:
                raise VolumeError("the command that sent it has gone") from error
            if not received:
                return b""
            self._read = memoryview(received)
        found, self._read = bytes(self._read[:count]), self._read[count:]
        return found

    def _wait(self, began: float) -> None:
        self.progress.advance()
        if time.monotonic() - began > SILENCE:
            raise VolumeError(f"the command that asked has been silent for {SILENCE:.0f} s")
