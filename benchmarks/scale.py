"""What 100,000 volumes and a million changes cost: ``python -m benchmarks.scale``.

Prints the time from the start of the process to the first answer, the memory and the time
of a durable Create, each without and with many volumes, and the journal's size while a million
changes go through it. Figures of one run are compared as ratios: machines differ.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import timedelta
from pathlib import Path

from exampledriver.journal.files import RealFiles
from exampledriver.journal.live import Change
from exampledriver.journal.log import JOURNAL, Log
from exampledriver.journal.records import encode_value
from exampledriver.volumes.model import StoredVolume
from tests.process import Daemon, read_answer, remove_directory, request_bytes, short_directory
from tests.volumes.fixtures import NOON

OPTIONS = {"gid": "999", "mode": "0750", "uid": "999"}


def stored(name: str, root: Path, second: int = 0) -> Change:
    """Return the change that creates a volume, so many seconds after noon."""
    created = NOON + timedelta(seconds=second)
    volume = StoredVolume(name, f"{root}/{name}", created, OPTIONS)
    return name, encode_value(volume.to_json())


def fill(daemon: Daemon, volumes: int) -> None:
    """Write a journal of so many volumes."""
    daemon.state.mkdir(exist_ok=True)
    log = Log(RealFiles(str(daemon.state)))
    log.open()
    for start in range(0, volumes, 1000):
        log.commit([stored(f"volume-{n:06}", daemon.root, n) for n in range(start, start + 1000)])
    log.close()


def served(volumes: int, creates: int) -> tuple[float, float, float]:
    """Return start-up time in s, resident memory in MB, and a Create's median in ms."""
    base = short_directory()
    daemon = Daemon(base)
    try:
        fill(daemon, volumes)
        began = time.perf_counter()
        daemon.start()
        started = time.perf_counter() - began
        assert daemon.process is not None
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        memory = int(status.split("VmRSS:")[1].split()[0]) / 1024
        times = []
        with daemon.connect() as connection:
            for number in range(creates):
                began = time.perf_counter()
                connection.sendall(request_bytes("VolumeDriver.Create", {"Name": f"new{number}"}))
                assert read_answer(connection) == (200, {"Err": ""})
                times.append((time.perf_counter() - began) * 1000)
        daemon.stop()
    finally:
        daemon.close()
        remove_directory(base)
    return started, memory, statistics.median(times)


def churn(live: int, changes: int) -> tuple[int, int, float]:
    """Create and remove over a map of so many volumes; return the largest and last size, and s."""
    base = short_directory()
    try:
        log = Log(RealFiles(str(base)))
        log.open()
        for start in range(0, live, 1000):
            log.commit([stored(f"live-{n:06}", base) for n in range(start, start + 1000)])
        path = base / JOURNAL
        began, largest = time.perf_counter(), 0
        for start in range(0, changes, 200):
            batch: list[Change] = [stored(f"v{n}", base) for n in range(start, start + 100)]
            log.commit([*batch, *[(name, None) for name, _ in batch]])
            log.step()
            largest = max(largest, path.stat().st_size)
        while log.step():
            pass
        took = time.perf_counter() - began
        log.close()
        return largest, path.stat().st_size, took
    finally:
        remove_directory(base)


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description="What many volumes and many changes cost.")
    parser.add_argument("--volumes", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=1_000_000)
    parser.add_argument("--creates", type=int, default=500)
    options = parser.parse_args()
    empty = served(0, options.creates)
    full = served(options.volumes, options.creates)
    print(f"| | 0 volumes | {options.volumes:,} volumes | ratio |\n|---|---|---|---|")
    for what, one, many in zip(
        ("start until the first answer, s", "memory, MB", "durable Create, median, ms"),
        empty,
        full,
        strict=True,
    ):
        print(f"| {what} | {one:.2f} | {many:.2f} | {many / one:.2f} |")
    for live in (0, 10_000):
        largest, last, took = churn(live, options.changes)
        print(
            f"{options.changes:,} changes over {live:,} volumes: journal at most "
            f"{largest / 2**20:.1f} MiB, at the end {last / 2**20:.1f} MiB; {took:.0f} s"
        )


if __name__ == "__main__":
    main()
