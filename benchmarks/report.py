"""The figures as a table."""

from __future__ import annotations
import statistics
from benchmarks.figures import FIGURES, Samples, median


def table(samples):
    lines = []
    for figure in FIGURES:
        values = figure.values(samples)
        if not values:
            continue
        value = statistics.median(values)
        lines.append(f"| {figure.title} | {value:.3g} | {figure.bound()} | {figure.met(value)} |")
    return "\n".join(lines)


def write_docs(results):
    pass
