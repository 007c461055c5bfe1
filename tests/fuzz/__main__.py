"""Fuzz every parser: ``python -m tests.fuzz --inputs 1000000 --seed 1``.

One input again: ``python -m tests.fuzz --only archives --seed 1 --first 4711 --inputs 1``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from .runner import TARGETS, Fault, limit_process, run

#: Inputs that a process checks at a time.
CHUNK = 2000


def _chunks(targets: list[str], inputs: int, first: int) -> list[tuple[str, int, int]]:
    """Divide the inputs among targets, and into pieces of work: target, first input, count."""
    total = sum(TARGETS[target] for target in targets)
    return [
        (target, first + at, min(CHUNK, count - at))
        for target in targets
        for count in [-(-inputs * TARGETS[target] // total)]
        for at in range(0, count, CHUNK)
    ]


def _show(fault: Fault, seed: int) -> None:
    print(
        f"{fault.target}: input {fault.number}:\n{fault.error}"
        f"again: python -m tests.fuzz --only {fault.target} --seed {seed} "
        f"--first {fault.number} --inputs 1",
        flush=True,
    )


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Fuzz every parser.")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", choices=sorted(TARGETS), help="one target")
    arguments = parser.parse_args()
    targets = [arguments.only] if arguments.only else sorted(TARGETS)
    began, faults, checked = time.monotonic(), 0, dict.fromkeys(targets, 0)
    with ProcessPoolExecutor(
        os.cpu_count(), multiprocessing.get_context("spawn"), limit_process
    ) as pool:
        chunks = _chunks(targets, arguments.inputs, arguments.first)
        running = [
            (target, count, pool.submit(run, target, arguments.seed, first, count))
            for target, first, count in chunks
        ]
        for target, count, future in running:
            fault = future.result()
            checked[target] += count
            if fault is not None:
                faults += 1
                _show(fault, arguments.seed)
    each = ", ".join(f"{name} {count}" for name, count in checked.items())
    print(
        f"{sum(checked.values())} inputs ({each}), seed {arguments.seed}, {faults} faults, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
