"""The rules of log drivers for logs that are read back, where the driver says that it can."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from functools import partial

from attrs import evolve

from ...logframes import encode
from ..connection import Client
from ..http import request
from ..judging import Severity, expect
from ..judging import rule as any_rule
from ..logs import LogSubject, entries

_rule = partial(any_rule, protocol="LogDriver")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_SOURCE = "moby, daemon/logger"


@_rule(
    "L-READ",
    _ERROR,
    "ReadLogs gives what was written, in order, with source and time, to the last line",
    "docker logs shows something else than the container wrote; its last words say why it ended.",
    _SOURCE,
)
async def _read(subject: LogSubject) -> None:
    await subject.reads()
    container = subject.container()
    written = entries(b"one", b"", b"\xff\x00two", b"x" * 16384)
    written += entries(b"error", source="stderr")
    await subject.logged(container, written)
    found = [evolve(e, line=e.line.removesuffix(b"\n")) for e in await subject.read(container)]
    seen = [(e.source, e.time_nano, e.line[:20]) for e in found]
    expect(found == written, f"the entries are {seen}")


@_rule(
    "L-READ-NEWLINE",
    _WARNING,
    "ReadLogs' lines end with a newline, but for parts of a line",
    "The engine takes newlines away before it logs, and docker logs prints what comes: all in "
    "one line, or long lines cut.",
    _SOURCE,
)
async def _newline(subject: LogSubject) -> None:
    await subject.reads()
    container = subject.container()
    part, rest = entries(b"begin ", b"end")
    await subject.logged(container, [evolve(part, partial=True), rest])
    found = b"".join(entry.line for entry in await subject.read(container))
    expect(found == b"begin end\n", f"a line in two parts is printed as {found!r}")


@_rule(
    "L-READ-PIECES",
    _ERROR,
    "Entries whose bytes come in pieces are read whole",
    "Now and then a log is cut off, for a FIFO gives what it has.",
    "practice",
)
async def _pieces(subject: LogSubject) -> None:
    await subject.reads()
    container = subject.container()
    fifo = await subject.started(container)
    data = b"".join(map(encode, entries(b"one", b"two")))
    for piece in (data[:2], data[2:9], data[9:-3], data[-3:]):
        await subject.write(fifo, piece)
        await subject.drained(fifo)
    await subject.stopped(fifo)
    found = await subject.lines(container)
    expect(found == [b"one", b"two"], f"the lines are {found}")


@_rule(
    "L-READ-RUNNING",
    _ERROR,
    "ReadLogs without Follow ends while the container runs",
    "docker logs hangs.",
    _SOURCE,
)
async def _running(subject: LogSubject) -> None:
    await subject.reads()
    container = subject.container()
    fifo = await subject.started(container)
    await subject.write(fifo, encode(entries(b"one")[0]))
    await subject.drained(fifo)
    await subject.target.sleep(0.05)
    await subject.read(container)


@_rule(
    "L-READ-AGAIN",
    _ERROR,
    "A container that is started again adds to its log",
    "docker restart: the log from before is gone.",
    "practice",
)
async def _again(subject: LogSubject) -> None:
    await subject.reads()
    container = subject.container()
    await subject.logged(container, entries(b"first"))
    await subject.logged(container, entries(b"second"))
    found = await subject.lines(container)
    expect(found == [b"first", b"second"], f"the lines are {found}")


@_rule(
    "L-READ-OTHERS",
    _ERROR,
    "ReadLogs gives one container's log only",
    "One container's output is shown as another's.",
    "practice",
)
async def _read_others(subject: LogSubject) -> None:
    await subject.reads()
    one, two = subject.container(), subject.container()
    await subject.logged(one, entries(b"one"))
    await subject.logged(two, entries(b"two"))
    found = await subject.lines(one)
    expect(b"two" not in found, f"the lines are {found}")


@_rule(
    "L-READ-TAIL",
    _WARNING,
    "ReadLogs with a Tail gives the last entries",
    "docker logs --tail 10 shows all, or the first: the engine does not count.",
    _SOURCE,
)
async def _tail(subject: LogSubject) -> None:
    await subject.reads()
    container = subject.container()
    await subject.logged(container, entries(b"one", b"two", b"three"))
    if len(await subject.lines(container)) == 3:
        found = await subject.lines(container, tail=2)
        expect(found == [b"two", b"three"], f"the last two of three lines are {found}")


@_rule(
    "L-READ-TAIL-NONE",
    _WARNING,
    "ReadLogs with a Tail of 0 gives nothing of what is there",
    "docker logs --tail 0 --follow, to see what comes, shows the whole log first.",
    _SOURCE,
)
async def _tail_none(subject: LogSubject) -> None:
    await subject.reads()
    container = subject.container()
    await subject.logged(container, entries(b"one", b"two"))
    found = await subject.lines(container, tail=0)
    expect(not found, f"with a Tail of 0 the lines are {found}")


#: When the first of three entries was written, in seconds since 1970; the others come after it.
_BEGIN = 1_790_000_000


def _moment(second: int) -> str:
    return datetime.fromtimestamp(_BEGIN + second, timezone.utc).isoformat().replace("+00:00", "Z")


async def _seconds_apart(subject: LogSubject) -> str:
    """Let a container write three entries, a second apart; return its ID."""
    await subject.reads()
    container = subject.container()
    found = entries(b"one", b"two", b"three")
    times = [(_BEGIN + n) * 10**9 for n in range(3)]
    await subject.logged(
        container, [evolve(e, time_nano=at) for e, at in zip(found, times, strict=True)]
    )
    return container


@_rule(
    "L-READ-SINCE",
    _NOTE,
    "ReadLogs with a Since gives nothing older",
    "docker logs --since: all of a long log is sent, for the engine to leave it out by itself.",
    _SOURCE,
)
async def _since(subject: LogSubject) -> None:
    found = await subject.lines(await _seconds_apart(subject), since=_moment(1))
    expect(found == [b"two", b"three"], f"since the second of three lines they are {found}")


@_rule(
    "L-READ-UNTIL",
    _NOTE,
    "ReadLogs with an Until gives nothing younger",
    "docker logs --until: newer engines leave out by themselves what is sent, older ones show it.",
    _SOURCE,
)
async def _until(subject: LogSubject) -> None:
    found = await subject.lines(await _seconds_apart(subject), until=_moment(1))
    expect(found == [b"one", b"two"], f"until the second of three lines they are {found}")


@_rule(
    "L-READ-FOLLOW",
    _WARNING,
    "ReadLogs with Follow gives what is written while the container runs, as it comes",
    "docker logs --follow ends at once, or stays behind.",
    _SOURCE,
)
async def _follow(subject: LogSubject) -> None:
    await subject.reads()
    container = subject.container()
    fifo = await subject.started(container)
    async with _following(subject, container) as client:
        for line in (b"the first", b"the second"):
            await subject.write(fifo, encode(entries(line)[0]))
            await subject.came(client, line)


@_rule(
    "L-READ-FOLLOW-END",
    _WARNING,
    "A log that is followed ends after StopLogging, with its last entry",
    "docker logs --follow hangs when its container has ended.",
    _SOURCE,
)
async def _follow_end(subject: LogSubject) -> None:
    await subject.reads()
    container = subject.container()
    fifo = await subject.started(container)
    async with _following(subject, container) as client:
        await subject.write(fifo, encode(entries(b"the last")[0]))
        await subject.stopped(fifo)
        response = await client.response()
    if response.body:
        expect(b"the last" in response.body, f"the answer is {response}")


@asynccontextmanager
async def _following(subject: LogSubject, container: str) -> AsyncIterator[Client]:
    """Follow the log of a container that runs."""
    async with subject.client() as client:
        message = subject.reading(container, follow=True)
        await client.send(request("LogDriver.ReadLogs", message, subject.head))
        # So that it is followed before more is written.
        await subject.target.sleep(0.05)
        yield client
