"""What was measured, as tables and as the page docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

from benchmarks.figures import FIGURES, Samples, median
from benchmarks.plot import Points, plot
from benchmarks.servers import DURABLE, KLEIN, MEM, OURS

SIZES = (0, 1_000, 10_000, 100_000)
DOCS = Path(__file__).parents[1] / "docs"

#: Stands where nothing was measured.
NOTHING = "-"

#: How each figure grows: its title and unit, the sample and metric, and who is compared.
GROWTH = (
    ("Create, p50", "µs", "Create-1", "p50", (OURS, DURABLE)),
    ("Get, p50", "µs", "Get-growth", "p50", (OURS, MEM)),
    ("Get, p99", "µs", "Get-growth", "p99", (OURS, MEM)),
    ("List, p50", "µs", "List", "p50", (OURS, MEM)),
    ("start until the first answer", "s", "start", "seconds", (OURS, DURABLE)),
    ("memory at the first answer", "MB", "start", "memory", (OURS, DURABLE)),
    ("memory after a List", "MB", "start", "after", (OURS, DURABLE)),
)

#: What is shown of reads and changes; p50 and p99 in µs, the CPU in µs a call.
METRICS = ("p50", "p99", "rate", "cpu", "generator")
METRIC_TITLES = ("p50, µs", "p99, µs", "calls a second", "CPU, µs a call", "generator's CPU, µs")

#: The plots: file, and which lines of GROWTH.
PLOTS = {"create": 0, "list": 3, "start": 4}


def number(value: float | None) -> str:
    """Return a figure to three digits, in full."""
    if value is None:
        return NOTHING
    if not value or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(samples: Samples) -> str:
    """Return the promised figures that were measured, with their bounds."""
    body = []
    for figure in FIGURES:
        values = figure.values(samples)
        if not values:
            continue
        value = statistics.median(values)
        ours, base = median(samples, figure.ours), median(samples, figure.base)
        body.append(
            [
                figure.title,
                f"{number(ours)} {figure.unit}".strip(),
                f"{number(base)} {figure.unit}" if base is not None else NOTHING,
                f"{number(value)}" if figure.base else NOTHING,
                f"{number(min(values))} … {number(max(values))}" if figure.base else NOTHING,
                figure.bound(),
                "yes" if figure.met(value) else "**no**",
            ]
        )
    head = ("figure", "here", "baseline", "ratio", "least … most", "bound", "met")
    return rows(head, body)


def calls(samples: Samples) -> str:
    """Return what reads cost on each server."""
    body = []
    for call, connections in (("Get", 1), ("Path", 1), ("Get", 16), ("Get", 64)):
        for kind in (OURS, MEM, KLEIN):
            place = f"{call}-{connections}/{kind}@1000"
            figures = [median(samples, f"{place}/{m}") for m in METRICS]
            body.append([call, str(connections), kind, *map(number, figures)])
    return rows(("call", "connections", "server", *METRIC_TITLES), body)


def changes(samples: Samples) -> str:
    """Return what durable Creates cost on each server."""
    body = []
    for connections in (1, 16, 64):
        for size in (0, 10_000):
            for kind in (OURS, DURABLE):
                place = f"Create-{connections}/{kind}@{size}"
                figures = [median(samples, f"{place}/{m}") for m in METRICS]
                body.append([str(connections), f"{size:,}", kind, *map(number, figures)])
    return rows(("connections", "volumes", "server", *METRIC_TITLES), body)


def growth(samples: Samples) -> str:
    """Return how each figure grows with the number of volumes."""
    body = []
    for title, unit, what, metric, kinds in GROWTH:
        for kind in kinds:
            found = [median(samples, f"{what}/{kind}@{size}/{metric}") for size in SIZES]
            body.append([f"{title}, {unit}", kind, *map(number, found)])
    return rows(("", "server", *(f"{size:,}" for size in SIZES)), body)


def restarts(samples: Samples) -> str:
    """Return what requests see of a restart."""
    body = []
    for name in ("systemd", "unix"):
        metrics = ("median", "slowest", "refused", "cut")
        found = [median(samples, f"restart/{name}/{metric}") for metric in metrics]
        body.append([f"`{name}:`", *map(number, found)])
    return rows(
        ("`--listen=`", "median, s", "slowest, s", "requests refused a connection", "cut off"), body
    )


def points(samples: Samples, what: str, kind: str, metric: str) -> Points:
    """Return one line of a plot."""
    found = ((size, median(samples, f"{what}/{kind}@{size}/{metric}")) for size in SIZES)
    return [(size, value) for size, value in found if value]


def write_plots(samples: Samples, directory: Path) -> None:
    """Write the plots of what was measured."""
    directory.mkdir(exist_ok=True)
    for name, index in PLOTS.items():
        title, unit, what, metric, kinds = GROWTH[index]
        lines = {kind: points(samples, what, kind, metric) for kind in kinds}
        lines = {kind: line for kind, line in lines.items() if line}
        if lines:
            (directory / f"{name}.svg").write_text(plot(title, unit, lines))


def write_docs(machine: Mapping[str, str], samples: Samples, docs: Path = DOCS) -> None:
    """Write docs/performance.md and its plots."""
    write_plots(samples, docs / "performance")
    page = Template(Path(__file__).with_name("performance.md").read_text())
    repetitions = max(len(values) for values in samples.values())
    (docs / "performance.md").write_text(
        page.substitute(
            repetitions=repetitions,
            promised=table(samples),
            calls=calls(samples),
            changes=changes(samples),
            growth=growth(samples),
            restarts=restarts(samples),
            machine=rows(("", ""), machine.items()),
        )
    )
