"""A log driver under judgement: FIFOs as engines make them, and logs that are read back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import tempfile
import termios
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field

from ..logframes import Decoder, FrameError, LogEntry, encode
from .connection import NO_ANSWER, Client, Silent
from .judging import Blocked, NotApplicable, Violation
from .reply import Reply
from .subject import Subject, long_id, options_for

#: Seconds between two looks at a FIFO.
_MOMENT = 0.01
#: Go's zero time: none is given.
_NEVER = "0001-01-01T00:00:00Z"


@define(eq=False)
class Fifo:
    """A container's FIFO, open for writing as the engine has it.

    :ivar path: names it in StartLogging and StopLogging.
    """

    path: str
    descriptor: int

    @property
    def unread(self) -> int:
        """How many bytes the driver has not read."""
        (size,) = struct.unpack("i", fcntl.ioctl(self.descriptor, termios.FIONREAD, b"\0" * 4))
        return int(size)

    def write(self, data: bytes) -> int:
        """Write what has room; return how many bytes these are."""
        try:
            return os.write(self.descriptor, data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Close it, as at an engine's end."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def entries(*lines: bytes, source: str = "stdout") -> list[LogEntry]:
    """Return entries of lines, a nanosecond apart."""
    begin = 1_790_000_000_000_000_000
    return [LogEntry(source, begin + at, line) for at, line in enumerate(lines)]


@define(eq=False)
class LogSubject(Subject):
    """A log driver, on the same machine: it opens FIFOs that are made here.

    :ivar prefix: makes the IDs of containers different from those of other subjects.
    :ivar options: of ``docker run --log-opt``; ``{name}`` in a value stands for the container's ID.
    """

    prefix: str = "0"
    options: dict[str, str] = field(factory=dict)
    _base: Path | None = field(default=None, init=False)
    _count: int = field(default=0, init=False)
    _fifos: list[Fifo] = field(factory=list, init=False)
    _started: list[str] = field(factory=list, init=False)

    def container(self) -> str:
        """Return the ID of a container that no log has."""
        self._count += 1
        return long_id(self.prefix, self._count)

    def missing(self) -> str:
        """Return a path in a directory for FIFOs where there is nothing."""
        if self._base is None:
            self._base = Path(tempfile.mkdtemp(prefix="kit-"))
        self._count += 1
        return str(self._base / f"{self._count}")

    def fifo(self) -> Fifo:
        """Make a FIFO. The kit can also read it, so that it can be opened at once."""
        path = self.missing()
        os.mkfifo(path, 0o700)
        made = Fifo(path, os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        self._fifos.append(made)
        return made

    def info(self, container: str) -> dict[str, object]:
        """Return what the engine says of a container without a command, variables or labels."""
        return {
            "Config": options_for(self.options, container),
            "ContainerID": container,
            "ContainerName": f"/kit-{container[:12]}",
            "ContainerEntrypoint": "sh",
            "ContainerArgs": [],
            "ContainerImageID": f"sha256:{'0' * 64}",
            "ContainerImageName": "busybox",
            "ContainerCreated": "2026-11-24T12:00:00.123456789Z",
            "ContainerEnv": [],
            "ContainerLabels": {},
            "LogPath": "",
            "DaemonName": "docker",
        }

    async def start(self, file: str, container: str, **more: object) -> Reply:
        """Ask to read a FIFO; it is asked to stop at the end."""
        self._started.append(file)
        message = {"File": file, "Info": {**self.info(container), **more}}
        return await self.call("LogDriver.StartLogging", message)

    async def stop(self, file: str) -> Reply:
        """Say that a container has ended."""
        return await self.call("LogDriver.StopLogging", {"File": file})

    async def started(self, container: str) -> Fifo:
        """Start a container; return its FIFO.

        :raises Blocked: it does not start.
        """
        fifo = self.fifo()
        try:
            reply = await self.start(fifo.path, container)
        except NO_ANSWER as error:
            raise Blocked(f"LogDriver.StartLogging: {error}") from None
        if not reply.ok:
            raise Blocked(str(reply))
        return fifo

    async def stopped(self, fifo: Fifo) -> None:
        """End a container as the engine does: it closes the FIFO after the answer.

        :raises Blocked: it fails.
        """
        try:
            reply = await self.stop(fifo.path)
        except NO_ANSWER as error:
            raise Blocked(f"LogDriver.StopLogging: {error}") from None
        if not reply.ok:
            raise Blocked(str(reply))
        fifo.close()

    async def write(self, fifo: Fifo, data: bytes) -> None:
        """Write bytes as a container does: it waits while the FIFO is full.

        :raises Violation: the driver does not read on.
        """
        end = self.target.seconds() + self.limit
        while data := data[fifo.write(data) :]:
            if self.target.seconds() > end:
                raise Violation(f"{fifo.unread} bytes are not read")
            await self.target.sleep(_MOMENT)

    async def drained(self, fifo: Fifo) -> None:
        """Wait until the driver has read all that was written.

        :raises Violation: it does not.
        """
        end = self.target.seconds() + self.limit
        while fifo.unread:
            if self.target.seconds() > end:
                raise Violation(f"{fifo.unread} bytes are not read")
            await self.target.sleep(_MOMENT)

    async def logged(self, container: str, found: Sequence[LogEntry]) -> None:
        """Let a container run that writes entries and ends.

        :raises Blocked: it does not start or end.
        """
        fifo = await self.started(container)
        await self.write(fifo, b"".join(map(encode, found)))
        await self.stopped(fifo)

    async def reads(self) -> None:
        """Go on if the driver gives back what it keeps.

        :raises NotApplicable: it does not.
        """
        reply = await self.call("LogDriver.Capabilities")
        can = reply.fields.get("Cap")
        if not isinstance(can, dict) or can.get("ReadLogs") is not True:
            raise NotApplicable("the driver does not give logs back")

    def reading(
        self,
        container: str,
        tail: int = -1,
        follow: bool = False,
        since: str = _NEVER,
        until: str = _NEVER,
    ) -> dict[str, object]:
        """Return the message of ``docker logs``; times are in RFC 3339."""
        config = {"Since": since, "Until": until, "Tail": tail, "Follow": follow}
        return {"Info": self.info(container), "Config": config}

    async def read(self, container: str, tail: int = -1, **more: str) -> list[LogEntry]:
        """Return the log of a container.

        :param more: as of :meth:`reading`.
        :raises Violation: it cannot be read.
        """
        message = self.reading(container, tail, **more)  # type: ignore[arg-type]
        reply = await self.call("LogDriver.ReadLogs", message)
        if reply.response.status != 200:
            raise Violation(str(reply))
        decoder = Decoder()
        try:
            found = list(decoder.feed(reply.response.body))
        except FrameError as error:
            raise Violation(f"ReadLogs answers what is no log: {error}") from None
        if decoder.rest:
            raise Violation(f"ReadLogs ends with {decoder.rest} bytes of an entry")
        return found

    async def lines(self, container: str, tail: int = -1, **more: str) -> list[bytes]:
        """Return the lines of a log, without newlines."""
        return [entry.line.rstrip(b"\n") for entry in await self.read(container, tail, **more)]

    async def came(self, client: Client, text: bytes) -> None:
        """Wait until a text has come of an answer that is not at its end.

        :raises Violation: it does not come, or the answer is at its end.
        """
        end = self.target.seconds() + self.limit
        while text not in client.waiting:
            if self.target.seconds() > end:
                raise Violation(f"{text!r}, which was written, does not come")
            # Nothing whole comes, unless it has ended.
            with contextlib.suppress(Silent):
                response = await client.response(5 * _MOMENT)
                raise Violation(f"while the container runs, the answer ends: {response}")

    async def cleanup(self) -> list[str]:
        """Stop what was started and remove the FIFOs; logs stay, for no call removes them."""
        started, self._started = self._started, []
        for file in started:
            with contextlib.suppress(*NO_ANSWER):
                await self.stop(file)
        for fifo in self._fifos:
            fifo.close()
        self._fifos.clear()
        if self._base is not None:
            shutil.rmtree(self._base, ignore_errors=True)
            self._base = None
        return []
