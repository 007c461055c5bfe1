"""This daemon and the baselines, measured side by side: ``python -m benchmarks.bench``.

Prints each promised figure with its bound and whether it is met, and writes all that was
measured to ``build/bench/results.json``. ``--write-docs`` makes docs/performance.md from it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time

from benchmarks.load import BUILD, build
from benchmarks.machine import machine
from benchmarks.park import Park, Samples
from benchmarks.report import table, write_docs
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers import build_baselines

RESULTS = BUILD / "results.json"


def measure(names: list[str], repetitions: int, directory: str, shrink: int) -> None:
    """Run scenarios and write what they measured beside what is there of others."""
    build()
    build_baselines()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    park = Park.make(directory, shrink)
    try:
        for name in names:
            for park.repetition in range(repetitions):
                began = time.monotonic()
                SCENARIOS[name](park)
                took = time.monotonic() - began
                print(f"{name} {park.repetition + 1}/{repetitions}: {took:.1f} s", file=sys.stderr)
            keep(park.samples, directory)
    finally:
        park.close()


def keep(measured: Samples, directory: str) -> None:
    """Write samples beside those of scenarios that were not run."""
    samples = json.loads(RESULTS.read_text())["samples"] if RESULTS.exists() else {}
    samples.update(measured)
    results = {"machine": machine(directory), "samples": samples}
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False))


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description="This daemon and the baselines, side by side.")
    parser.add_argument("--reps", type=int, default=5, help="repetitions; medians are shown")
    parser.add_argument("--only", default=",".join(SCENARIOS), help="scenarios [%(default)s]")
    parser.add_argument("--quick", action="store_true", help="few calls, one repetition: a trial")
    parser.add_argument("--directory", default="/var/tmp", help="on a real disk [%(default)s]")  # noqa: S108
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md")
    parser.add_argument("--report", action="store_true", help="measure nothing, show the last")
    options = parser.parse_args()
    names = options.only.split(",")
    for name in names:
        if name not in SCENARIOS:
            parser.error(f"scenario {name!r} is not known; known: {', '.join(SCENARIOS)}")
    if not options.report:
        repetitions, shrink = (1, 10) if options.quick else (options.reps, 1)
        measure(names, repetitions, options.directory, shrink)
    results = json.loads(RESULTS.read_text())
    print(table(results["samples"]))
    if options.write_docs:
        write_docs(results["machine"], results["samples"])


if __name__ == "__main__":
    main()
