"""The ``LogDriver`` protocol: where the output of containers goes.

For each container the engine makes a FIFO and names it in StartLogging; what is written into it
is read with :class:`exampledriver.plugin.fifo.LogReader`. StopLogging comes at its end. A driver
that keeps logs can answer ``docker logs`` too: it implements :class:`ILogReader` besides.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from datetime import datetime
from typing import Annotated

from attrs import evolve, field, frozen
from zope.interface import Interface

from . import checking
from .awaiting import bridged
from .convert import call, read
from .errors import wrong_part, wrong_type
from .fifo import LogReader
from .logframes import Decoder, FrameError, LogEntry, Partial, encode
from .message import Message
from .protocol import Protocol, bind
from .wire import Answer, Call, Wire

__all__ = [
    "IMPLEMENTS",
    "Decoder",
    "FrameError",
    "ILogDriver",
    "ILogReader",
    "Info",
    "LogEntry",
    "LogReader",
    "Partial",
    "ReadConfig",
    "ReadLogs",
    "StartLogging",
    "StopLogging",
]

#: The name of this protocol in the answer to ``Plugin.Activate``.
IMPLEMENTS = "LogDriver"


@frozen
class Info:
    """A container whose output is logged. Only its ID is always there.

    :ivar config: of ``docker run --log-opt``.
    :ivar container_id: its ID.
    :ivar container_name: its name, with a slash before it.
    :ivar entrypoint: the program that it runs.
    :ivar arguments: of that program.
    :ivar image_id: its image.
    :ivar image_name: the image as it was asked for.
    :ivar created: when it was created.
    :ivar environment: its variables, as ``NAME=value``.
    :ivar labels: its labels.
    :ivar log_path: passed over by engines.
    :ivar daemon_name: the engine's name, ``docker``.
    """

    container_id: Annotated[str, "ContainerID"]
    config: Annotated[Mapping[str, str], "Config"] = field(factory=dict)
    container_name: Annotated[str, "ContainerName"] = ""
    entrypoint: Annotated[str, "ContainerEntrypoint"] = ""
    arguments: Annotated[Sequence[str], "ContainerArgs"] = ()
    image_id: Annotated[str, "ContainerImageID"] = ""
    image_name: Annotated[str, "ContainerImageName"] = ""
    created: Annotated[datetime | None, "ContainerCreated"] = None
    environment: Annotated[Sequence[str], "ContainerEnv"] = field(default=(), repr=False)
    labels: Annotated[Mapping[str, str], "ContainerLabels"] = field(factory=dict)
    log_path: Annotated[str, "LogPath"] = ""
    daemon_name: Annotated[str, "DaemonName"] = ""


@frozen
class StartLogging:
    """A container starts.

    :ivar file: the FIFO, which names it in StopLogging.
    :ivar info: the container.
    """

    file: Annotated[str, "File"]
    info: Annotated[Info, "Info"]


@frozen
class StopLogging:
    """A container has ended.

    :ivar file: its FIFO.
    """

    file: Annotated[str, "File"]


@frozen
class ReadConfig:
    """What of a log is asked for.

    :ivar since: nothing older; ``None`` for all.
    :ivar until: nothing younger; ``None`` for all.
    :ivar tail: so many lines at its end; all, if it is negative.
    :ivar follow: and what is written from now on.
    """

    since: Annotated[datetime | None, "Since"] = None
    until: Annotated[datetime | None, "Until"] = None
    tail: Annotated[int, "Tail"] = -1
    follow: Annotated[bool, "Follow"] = False


@frozen
class ReadLogs:
    """``docker logs``.

    :ivar info: the container.
    :ivar config: what is asked for.
    """

    info: Annotated[Info, "Info"]
    config: Annotated[ReadConfig, "Config"] = ReadConfig()


class ILogDriver(Interface):
    """What the author of a log driver writes.

    A method returns its value, a Deferred of it, or a coroutine, and refuses by raising
    :class:`exampledriver.plugin.errors.PluginError`. Both outlive their client.
    """

    def start_logging(request: StartLogging) -> Answer[None]:
        """Begin to read a container's FIFO. If this fails, the container does not start."""

    def stop_logging(request: StopLogging) -> Answer[None]:
        """Read what is left in a FIFO, and close it. The engine waits for that."""


class ILogReader(Interface):
    """An optional part: a driver that gives back what it has kept."""

    def read_logs(
        request: ReadLogs,
    ) -> Answer[AsyncIterable[LogEntry] | Iterable[LogEntry]]:
        """Return entries, in order, as they came. An asynchronous iterable can follow the log.

        The newline that ``docker logs`` needs after each line is added.
        It is closed when the client has read enough, or the plugin stops.
        """


def _info(wire: Wire, driver: ILogDriver) -> Call[object]:
    answer = {"Cap": {"ReadLogs": ILogReader.providedBy(driver)}, "Err": ""}
    return Call("LogDriver.Capabilities", lambda _: None, lambda _, message: answer, body=False)


def add_routes(wire: Wire, driver: ILogDriver) -> None:
    """Serve ``driver`` under ``/LogDriver.*``."""
    wire.route(_info(wire, driver))
    for name, method, request in (
        ("LogDriver.StartLogging", driver.start_logging, StartLogging),
        ("LogDriver.StopLogging", driver.stop_logging, StopLogging),
    ):
        # Info has the container's arguments and environment, secrets among them.
        wire.route(call(name, method, request, changes="File", hidden="Info"))


def _add_reading(wire: Wire, driver: ILogReader) -> None:
    name = "LogDriver.ReadLogs"

    async def pieces(body: bytes) -> AsyncGenerator[bytes, None]:
        request = read(ReadLogs, Message.decode(name, body).fields, name)
        found = driver.read_logs(request)
        entries = await bridged(found) if isinstance(found, Awaitable) else found
        if not isinstance(entries, (AsyncIterable, Iterable)):
            raise wrong_type(driver.read_logs, entries, "an iterable of LogEntry")
        return _framed(driver.read_logs, entries)

    wire.stream(name, pieces)


async def _framed(
    method: Callable[..., object], entries: AsyncIterable[LogEntry] | Iterable[LogEntry]
) -> AsyncGenerator[bytes, None]:
    if isinstance(entries, AsyncIterable):
        try:
            async for entry in entries:
                yield _frame(method, entry)
        finally:
            if isinstance(entries, AsyncGenerator):
                await entries.aclose()
    else:
        for entry in entries:
            yield _frame(method, entry)


def _frame(method: Callable[..., object], entry: LogEntry) -> bytes:
    if not isinstance(entry, LogEntry):
        raise wrong_type(method, entry, "each time a LogEntry")
    if part := checking.wrong_part(entry):
        raise wrong_part(method, entry, part)
    if not entry.partial and not entry.line.endswith(b"\n"):
        # An engine takes newlines away before it logs, but prints a line as it comes.
        entry = evolve(entry, line=entry.line + b"\n")
    return encode(entry)


bind(ILogDriver, Protocol(IMPLEMENTS, add_routes))
bind(ILogReader, Protocol("", _add_reading, part_of=IMPLEMENTS))
