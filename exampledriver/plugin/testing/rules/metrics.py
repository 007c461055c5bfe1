"""The rules of metrics collectors."""

from __future__ import annotations

from functools import partial

from ..judging import Blocked, Severity, expect
from ..judging import rule as any_rule
from ..subjects import MetricsSubject

_rule = partial(any_rule, protocol="MetricsCollector")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_SOURCE = "moby, daemon/metrics"


@_rule(
    "M-ACTIVATE",
    _ERROR,
    "Activate's Implements has MetricsCollector",
    "The engine does not offer its metrics to the plugin.",
    _SOURCE,
)
async def _activate(subject: MetricsSubject) -> None:
    found = await subject.implements()
    expect("MetricsCollector" in found, f"Implements is {found}")


@_rule(
    "M-START",
    _ERROR,
    "StartMetrics succeeds without a body",
    "The engine sends none: no metrics are read, and only the engine's log says so.",
    _SOURCE,
)
async def _start(subject: MetricsSubject) -> None:
    reply = await subject.ask("StartMetrics")
    expect(reply.ok, str(reply))


@_rule(
    "M-ANSWER",
    _ERROR,
    "StartMetrics answers a JSON object whose Err is a text, null or absent",
    "The engine cannot read the answer, and takes it for a failure.",
    _SOURCE,
)
async def _answer(subject: MetricsSubject) -> None:
    reply = await subject.must("StartMetrics")
    try:
        found = reply.response.answer
    except (ValueError, RecursionError):
        found = None
    err = found.get("Err") if isinstance(found, dict) else found
    expect(isinstance(found, dict) and (err is None or isinstance(err, str)), str(reply))


@_rule(
    "M-BODY",
    _NOTE,
    "What is in the body does not matter",
    "No engine sends one; the next version may.",
    "robustness",
)
async def _body(subject: MetricsSubject) -> None:
    await subject.must("StartMetrics")
    for body in (b"{}\n", b"null\n", b'{"KitUnknown":[1]}\n'):
        reply = await subject.ask("StartMetrics", body)
        expect(reply.ok, f"for the body {body!r}, {reply}")


@_rule(
    "M-START-AGAIN",
    _WARNING,
    "StartMetrics can come twice",
    "An engine that was killed never stops what it started: after its restart no metrics are read.",
    "practice",
)
async def _start_again(subject: MetricsSubject) -> None:
    await subject.must("StartMetrics")
    reply = await subject.ask("StartMetrics")
    expect(reply.ok, str(reply))


@_rule(
    "M-STOP",
    _WARNING,
    "StopMetrics succeeds after StartMetrics",
    "The engine passes over a failure; the plugin goes on with a socket that is gone.",
    _SOURCE,
)
async def _stop(subject: MetricsSubject) -> None:
    await subject.must("StartMetrics")
    reply = await subject.ask("StopMetrics")
    expect(reply.ok, str(reply))


@_rule(
    "M-STOP-FIRST",
    _NOTE,
    "StopMetrics is no error when nothing was started",
    "After a restart of the plugin its log has an error.",
    "practice",
)
async def _stop_first(subject: MetricsSubject) -> None:
    reply = await subject.ask("StopMetrics")
    expect(reply.ok, str(reply))


@_rule(
    "M-RESTART",
    _ERROR,
    "StartMetrics succeeds after StopMetrics",
    "docker plugin disable and enable: no metrics are read.",
    _SOURCE,
)
async def _restart(subject: MetricsSubject) -> None:
    await subject.must("StartMetrics")
    stopped = await subject.ask("StopMetrics")
    if not stopped.ok:
        raise Blocked(str(stopped))
    reply = await subject.ask("StartMetrics")
    expect(reply.ok, str(reply))


@_rule(
    "M-QUICK",
    _WARNING,
    "StartMetrics and StopMetrics take less than 1 s",
    "docker plugin enable, disable and the start of the engine wait for them.",
    _SOURCE,
)
async def _quick(subject: MetricsSubject) -> None:
    for call in ("StartMetrics", "StopMetrics"):
        reply = await subject.ask(call)
        expect(reply.took < 1, f"{reply.call} took {reply.took:.1f} s")
