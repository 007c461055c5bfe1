"""The load generator ``load.c``: how it is built and run, and what it has measured."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import asdict, frozen

#: Where what is built goes.
BUILD = Path(__file__).parents[1] / "build/bench"

#: How long one run may take, in seconds.
PATIENCE = 600


class LoadError(Exception):
    """A server gave a wrong answer, or none; the text says which."""


@frozen
class Flow:
    """Connections that make one call, each with one request outstanding.

    :ivar message: the body, in which "@" is the request's number; ``None`` for none.
    :ivar expects: what an answer contains, beside ``"Err":""``; "@" as in the message.
    :ivar warm: so many answers come before measuring begins.
    :ivar count: how many answers are measured; 0 for as many as come until the others end.
    :ivar first: the first number.
    :ivar wrap: the numbers are modulo this; 0 for no end.
    """

    call: str
    message: str | None = None
    expects: Sequence[str] = ()
    connections: int = 1
    warm: int = 0
    count: int = 0
    first: int = 0
    wrap: int = 0

    def words(self) -> list[str]:
        """Return the options of the load generator."""
        words = ["--call", f"VolumeDriver.{self.call}"]
        if self.message is not None:
            words += ["--message", self.message]
        for text in (*self.expects, '"Err":""'):
            words += ["--expect", text]
        for option in ("connections", "warm", "count", "first", "wrap"):
            words += [f"--{option}", str(getattr(self, option))]
        return words


@frozen
class Timing:
    """What was measured of one flow.

    :ivar sent: all its requests, those not measured too.
    :ivar count: the measured answers.
    :ivar p50: in microseconds, as the other three.
    """

    sent: int
    count: int
    p50: float
    p90: float
    p99: float
    max: float


@frozen
class Load:
    """What one run has measured.

    :ivar seconds: how long the measured part took.
    :ivar cpu: the CPU seconds of the server meanwhile.
    :ivar generator: those of the load generator.
    """

    seconds: float
    cpu: float
    generator: float
    flows: Mapping[str, Timing]

    def metrics(self, name: str) -> dict[str, float]:
        """Return the figures of one flow: times in µs, ``rate`` in 1/s, CPU in µs a call."""
        flow = self.flows[name]
        return {
            **asdict(flow),
            "rate": flow.count / self.seconds,
            "cpu": self.cpu * 1e6 / flow.count,
            "generator": self.generator * 1e6 / flow.count,
        }


def build(program: Path = BUILD / "load") -> Path:
    """Compile the load generator and return it.

    :raises subprocess.CalledProcessError: the compiler fails or warns.
    """
    program.parent.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).with_name("load.c")
    subprocess.run(  # noqa: S603
        ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)],  # noqa: S607
        check=True,
    )
    return program


def run(
    socket: Path,
    flows: Mapping[str, Flow],
    pids: Sequence[int] = (),
    program: Path = BUILD / "load",
) -> Load:
    """Put load on a server.

    :param pids: the server's processes.
    :raises LoadError: an answer was wrong.
    """
    words = [str(program), "--socket", str(socket)]
    for pid in pids:
        words += ["--pid", str(pid)]
    for name, flow in flows.items():
        words += ["--flow", name, *flow.words()]
    done = subprocess.run(  # noqa: S603
        words, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode == 2 or not done.stdout:
        raise LoadError(f"{socket}: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    for name, flow in found["flows"].items():
        if flow.pop("errors"):
            raise LoadError(f"{socket}: {name}: a wrong answer: {flow['error']}")
        del flow["error"]
    timings = {name: Timing(**flow) for name, flow in found["flows"].items()}
    return Load(found["seconds"], found["cpu"], found["generator"], timings)
