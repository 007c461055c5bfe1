"""The figures that are promised: what each is made of, and its bound."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from benchmarks.servers import DURABLE, MEM, OURS

Samples = Mapping[str, Sequence[float]]


@frozen
class Figure:
    """One promise.

    :ivar ours: the sample's name; :meth:`benchmarks.park.Park.note`.
    :ivar base: the sample that it is divided by; empty for a figure of its own.
    :ivar least: the lower bound, if there is one.
    :ivar most: the upper bound, if there is one.
    :ivar unit: of `ours` and `base`.
    """

    title: str
    ours: str
    base: str = ""
    least: float | None = None
    most: float | None = None
    unit: str = "µs"

    def values(self, samples: Samples) -> Sequence[float]:
        """Return the figure for each repetition; none if it was not measured."""
        if not self.base:
            return samples.get(self.ours, ())
        pairs = zip(samples.get(self.ours, ()), samples.get(self.base, ()), strict=False)
        return [ours / base for ours, base in pairs]

    def met(self, value: float) -> bool:
        """Tell whether a value is within the bounds."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    def bound(self) -> str:
        """Return the bounds for people."""
        unit = "" if self.base else f" {self.unit}"
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}{unit}"
        return f"≥ {self.least:g}{unit}" if self.most is None else f"≤ {self.most:g}{unit}"


def ratio(
    title: str,
    what: str,
    base: str,
    metric: str = "p50",
    size: int = 1000,
    least: float | None = None,
    most: float | None = None,
    unit: str = "µs",
) -> Figure:
    """Return a figure that compares with a baseline of as many volumes."""
    return Figure(
        f"{title}, to {base}",
        f"{what}/{OURS}@{size}/{metric}",
        f"{what}/{base}@{size}/{metric}",
        least,
        most,
        unit,
    )


def promised() -> Iterator[Figure]:
    """Yield all figures in the order of the page."""
    for call in ("Get", "Path"):
        yield ratio(f"{call}, 1 connection, p50", f"{call}-1", MEM, most=0.70)
    for connections in (16, 64):
        yield ratio(
            f"Get, {connections} connections, calls a second", f"Get-{connections}", MEM, "rate",
            least=1.25, unit="1/s",
        )  # fmt: skip
    for connections in (1, 16, 64):
        yield ratio(
            f"CPU per Get, {connections} connection{'s' * (connections > 1)}",
            f"Get-{connections}", MEM, "cpu", most=0.60,
        )  # fmt: skip
    for size, most in ((0, 0.45), (10_000, 0.06)):
        yield ratio(
            f"durable Create, 1 connection, {size:,} volumes, p50", "Create-1", DURABLE,
            size=size, most=most,
        )  # fmt: skip
    for connections, size, least in ((16, 0, 10), (64, 0, 20), (16, 10_000, 80), (64, 10_000, 80)):
        yield ratio(
            f"durable Create, {connections} connections, {size:,} volumes, calls a second",
            f"Create-{connections}", DURABLE, "rate", size, least=least, unit="1/s",
        )  # fmt: skip
    yield Figure(
        "durable Create, p50 with 100,000 volumes, to that with 0",
        f"Create-1/{OURS}@100000/p50", f"Create-1/{OURS}@0/p50", 0.8, 1.2,
    )  # fmt: skip
    yield ratio("List of 100,000, p50", "List", MEM, size=100_000, most=0.15)
    yield Figure(
        "Get while 100,000 are listed, p99", f"Get-during-List/{OURS}@100000/p99", most=5000
    )
    yield ratio("Get while 16 clients create, p99", "Get-during-Create", MEM, "p99", most=1.0)
    for size, seconds in ((0, 0.45), (100_000, 0.65)):
        yield Figure(
            f"start until the first answer, {size:,} volumes",
            f"start/{OURS}@{size}/seconds", most=seconds, unit="s",
        )  # fmt: skip
    for size, megabytes in ((0, 42), (100_000, 70)):
        yield Figure(
            f"memory, {size:,} volumes", f"start/{OURS}@{size}/memory", most=megabytes, unit="MB"
        )
    for size, change in ((0, 0.75), (10_000, 0.18)):
        for what, most in (("create", change), ("inspect", 1.0), ("rm", change)):
            yield ratio(
                f"docker volume {what}, {size:,} volumes, p50", f"engine-{what}", DURABLE,
                size=size, most=most, unit="ms",
            )  # fmt: skip
    yield Figure(
        "slowest request sent during a restart, systemd's socket",
        "restart/systemd/slowest", most=0.5, unit="s",
    )  # fmt: skip
    yield Figure(
        "requests cut off by a restart, systemd's socket", "restart/systemd/cut", most=0, unit=""
    )


FIGURES = tuple(promised())


def median(samples: Samples, name: str) -> float | None:
    """Return the median of what was measured; ``None`` if nothing was."""
    values = samples.get(name, ())
    return statistics.median(values) if values else None
