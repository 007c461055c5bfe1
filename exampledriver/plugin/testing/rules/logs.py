"""The rules of log drivers for FIFOs."""

from __future__ import annotations

from functools import partial

from ...logframes import encode
from ..http import request
from ..judging import Severity, expect
from ..judging import rule as any_rule
from ..logs import LogSubject, entries
from ..reply import Reply

_rule = partial(any_rule, protocol="LogDriver")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_SOURCE = "moby, daemon/logger"


@_rule(
    "L-ACTIVATE",
    _ERROR,
    "Activate's Implements has LogDriver",
    "docker run --log-driver does not find the plugin.",
    _SOURCE,
)
async def _activate(subject: LogSubject) -> None:
    found = await subject.implements()
    expect("LogDriver" in found, f"Implements is {found}")


@_rule(
    "L-CAPABILITIES",
    _WARNING,
    "Capabilities answers Cap with ReadLogs, true or false, without a body, or 404",
    "The engine takes the driver for one that docker logs cannot read.",
    _SOURCE,
)
async def _capabilities(subject: LogSubject) -> None:
    reply = await subject.call("LogDriver.Capabilities")
    if reply.response.status != 404:
        can = reply.fields.get("Cap")
        good = isinstance(can, dict) and isinstance(can.get("ReadLogs", False), bool)
        expect(reply.ok and good, str(reply))


@_rule(
    "L-START",
    _ERROR,
    "StartLogging of a FIFO into which nothing has been written succeeds",
    "The container does not start.",
    _SOURCE,
)
async def _start(subject: LogSubject) -> None:
    reply = await subject.start(subject.fifo().path, subject.container())
    expect(reply.ok, str(reply))


@_rule(
    "L-START-NULL",
    _ERROR,
    "Config, ContainerArgs, ContainerEnv and ContainerLabels may be null",
    "Go sends null for what is empty: a container without a command does not start.",
    _SOURCE,
)
async def _null(subject: LogSubject) -> None:
    await subject.started(subject.container())
    none: dict[str, object] = dict.fromkeys(("ContainerArgs", "ContainerEnv", "ContainerLabels"))
    none.update({} if subject.options else {"Config": None})
    reply = await subject.start(subject.fifo().path, subject.container(), **none)
    expect(reply.ok, str(reply))


@_rule(
    "L-UNKNOWN-FIELDS",
    _WARNING,
    "Fields that the plugin does not know are ignored",
    "The next version of the engine sends one more: no container starts.",
    "Docker's plugin API",
)
async def _unknown_fields(subject: LogSubject) -> None:
    await subject.started(subject.container())
    reply = await subject.start(subject.fifo().path, subject.container(), KitUnknown={"a": 1})
    expect(reply.ok, str(reply))


@_rule(
    "L-START-MISSING",
    _WARNING,
    "StartLogging of a FIFO that does not exist is refused",
    "A container runs and its output goes nowhere, when the plugin sees other directories.",
    "practice",
)
async def _missing(subject: LogSubject) -> None:
    reply = await subject.start(subject.missing(), subject.container())
    expect(not reply.ok, str(reply))


@_rule(
    "L-START-PARALLEL",
    _ERROR,
    "Containers that start at the same time all start",
    "docker compose up starts many.",
    "practice",
)
async def _parallel(subject: LogSubject) -> None:
    await subject.started(subject.container())
    data = []
    for _ in range(8):
        message = {"File": subject.fifo().path, "Info": subject.info(subject.container())}
        data.append(request("LogDriver.StartLogging", message, subject.head))
    for response in await subject.at_once(data):
        reply = Reply("LogDriver.StartLogging", response)
        expect(reply.ok, f"with others, {reply}")


@_rule(
    "L-FIFO",
    _ERROR,
    "The FIFO is read while the container runs",
    "It is full after 64 KiB: the container hangs in its next write.",
    _SOURCE,
)
async def _fifo(subject: LogSubject) -> None:
    fifo = await subject.started(subject.container())
    line = encode(entries(b"x" * 1000)[0])
    await subject.write(fifo, line * 200)
    await subject.drained(fifo)


@_rule(
    "L-FIFO-OTHERS",
    _ERROR,
    "When a container ends, the FIFOs of others are read on",
    "One container's end makes all others hang.",
    "practice",
)
async def _others(subject: LogSubject) -> None:
    one = await subject.started(subject.container())
    two = await subject.started(subject.container())
    await subject.write(two, encode(entries(b"before")[0]))
    await subject.drained(two)
    await subject.stopped(one)
    await subject.write(two, encode(entries(b"after")[0]))
    await subject.drained(two)


@_rule(
    "L-FIFO-BAD",
    _WARNING,
    "What is no log entry takes away neither the plugin nor the logs of others",
    "One container without a log becomes all of them.",
    "robustness",
)
async def _bad(subject: LogSubject) -> None:
    bad = await subject.started(subject.container())
    good = await subject.started(subject.container())
    await subject.write(bad, b"\xff" * 64)
    await subject.target.sleep(0.05)
    await subject.write(good, encode(entries(b"good")[0]))
    await subject.drained(good)


@_rule(
    "L-STOP",
    _ERROR,
    "StopLogging succeeds while the engine has the FIFO still open",
    "The engine closes it after the answer: a driver that waits for the end hangs the container's.",
    _SOURCE,
)
async def _stop(subject: LogSubject) -> None:
    fifo = await subject.started(subject.container())
    reply = await subject.stop(fifo.path)
    expect(reply.ok, str(reply))


@_rule(
    "L-STOP-CLOSED",
    _WARNING,
    "StopLogging succeeds after the FIFO was closed",
    "The engine that was killed, or a container whose log was bad, cannot be ended.",
    "practice",
)
async def _closed(subject: LogSubject) -> None:
    fifo = await subject.started(subject.container())
    fifo.close()
    await subject.target.sleep(0.05)
    reply = await subject.stop(fifo.path)
    expect(reply.ok, str(reply))


@_rule(
    "L-STOP-UNKNOWN",
    _WARNING,
    "StopLogging of a FIFO that the driver does not know succeeds",
    "After a restart of the plugin the engine keeps the FIFOs of ended containers open for ever.",
    _SOURCE,
)
async def _stop_unknown(subject: LogSubject) -> None:
    reply = await subject.stop(subject.missing())
    expect(reply.ok, str(reply))


@_rule(
    "L-RETRY-EMPTY",
    _ERROR,
    "StartLogging and StopLogging are refused without a body",
    "Docker repeats a call whose connection was cut with an empty body: a container runs whose "
    "output nobody reads.",
    "observed: Docker",
)
async def _retry_empty(subject: LogSubject) -> None:
    for call in ("StartLogging", "StopLogging"):
        reply = await subject.call(f"LogDriver.{call}", b"")
        expect(not reply.ok, f"without a body, {reply}")


@_rule(
    "L-ERR-TEXT",
    _ERROR,
    "A refusal is JSON, an object with a text in Err",
    "The user reads no reason why the container does not start.",
    "moby, pkg/plugins",
)
async def _err_text(subject: LogSubject) -> None:
    reply = await subject.call("LogDriver.StartLogging", {"File": "", "Info": {}})
    expect(reply.ok or reply.err.strip(), str(reply))


@_rule(
    "L-QUICK",
    _WARNING,
    "StartLogging and StopLogging take less than 5 s each",
    "Each start and each end of a container waits for them.",
    _SOURCE,
)
async def _quick(subject: LogSubject) -> None:
    fifo = subject.fifo()
    for reply in (
        await subject.start(fifo.path, subject.container()),
        await subject.stop(fifo.path),
    ):
        expect(reply.took < 5, f"{reply.call} took {reply.took:.1f} s")
