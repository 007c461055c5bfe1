"""A week in a minute: many requests of all kinds, restarts, and what the process keeps of them.

A program: ``python -m tests.functional.soak --requests 200000``. Eight clients go through the
life of volumes over and over, with refused calls and dropped connections between. The first
half of the requests meets one process; the second is cut into pieces by restarts, graceful
ones and kills. File descriptors, threads and memory are read with all clients gone; the
program prints them, and exits with 1 if an answer was wrong or a figure grew.
"""

from __future__ import annotations

import argparse
import itertools
import selectors
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from socket import socket

from attrs import define, field, frozen

from tests.process import (
    Daemon,
    read_answer,
    remove_directory,
    request_bytes,
    short_directory,
)

CLIENTS = 8
#: The reactor's, two journals', a change for each client, 8 that look at volumes, the purge's.
#: They are made when they are needed first.
MOST_THREADS = 1 + 2 + CLIENTS + 8 + 1
#: How much memory may grow between two readings of one process: noise of the allocator.
ALLOWED_GROWTH = 1.04
#: A client dials anew after so many requests.
PER_CONNECTION = 50


@frozen
class Reading:
    """What a process has.

    :ivar memory: resident, in MB.
    """

    descriptors: int
    threads: int
    memory: float

    @classmethod
    def of(cls, pid: int) -> Reading:
        """Read it."""
        proc = Path("/proc", str(pid))
        status = (proc / "status").read_text()
        return cls(
            len(list((proc / "fd").iterdir())),
            int(status.split("Threads:")[1].split()[0]),
            int(status.split("VmRSS:")[1].split()[0]) / 1024,
        )

    def __str__(self) -> str:
        return f"{self.descriptors} descriptors, {self.threads} threads, {self.memory:.1f} MB"


def life(client: int) -> Iterator[tuple[str, object, int]]:
    """Yield a client's requests, without an end: call, message, the status of its answer."""
    for turn in itertools.count():
        name = {"Name": f"c{client}-{turn % 7}"}
        use = {**name, "ID": f"id{turn}"}
        yield "VolumeDriver.Create", {**name, "Opts": {"mode": "0750"}}, 200
        yield "VolumeDriver.Mount", use, 200
        for _ in range(3):
            yield "VolumeDriver.Get", name, 200
            yield "VolumeDriver.Get", {"Name": "nosuch"}, 500
            yield "VolumeDriver.List", {}, 200
        yield "VolumeDriver.Path", name, 200
        yield "VolumeDriver.Capabilities", {}, 200
        yield "Plugin.Activate", None, 200
        yield "VolumeDriver.Create", {**name, "Opts": {"sise": "1G"}}, 400
        yield "VolumeDriver.Create", None, 400
        yield "Nothing.Here", {}, 404
        yield "VolumeDriver.Unmount", use, 200
        yield "VolumeDriver.Remove", name, 200


@define(eq=False)
class Client:
    """One client, with one request under way."""

    daemon: Daemon
    calls: Iterator[tuple[str, object, int]]
    connection: socket = field(init=False)
    asked: int = field(default=0, init=False)
    _expected: int = field(default=0, init=False)
    _call: str = field(default="", init=False)

    def dial(self) -> None:
        """Open the connection."""
        self.connection = self.daemon.connect()

    def ask(self) -> None:
        """Send the next request."""
        self._call, message, self._expected = next(self.calls)
        self.connection.sendall(request_bytes(self._call, message))
        self.asked += 1

    def check(self) -> None:
        """Read the answer.

        :raises AssertionError: it is not the one that is right.
        """
        answer = read_answer(self.connection)
        assert answer is not None, f"{self._call}: the connection was cut"
        assert answer[0] == self._expected, f"{self._call}: {answer}"


def load(daemon: Daemon, clients: list[Client], requests: int) -> None:
    """Make so many requests, and leave no connection behind."""
    selector = selectors.DefaultSelector()
    for client in clients:
        client.dial()
        selector.register(client.connection, selectors.EVENT_READ, client)
        client.ask()
    left, waiting = requests - len(clients), len(clients)
    while waiting:
        for key, _ in selector.select():
            client = key.data
            client.check()
            waiting -= 1
            if left <= 0:
                continue
            if client.asked % PER_CONNECTION == 0:
                selector.unregister(client.connection)
                client.connection.close()
                client.dial()
                selector.register(client.connection, selectors.EVENT_READ, client)
            client.ask()
            left, waiting = left - 1, waiting + 1
    for client in clients:
        client.connection.close()


def read(daemon: Daemon) -> Reading:
    """Return the least of some readings: clients are leaving, and the purge opens files."""
    assert daemon.process is not None
    readings = []
    for _ in range(20):
        readings.append(Reading.of(daemon.process.pid))
        time.sleep(0.025)
    return min(readings, key=lambda reading: reading.descriptors)


def grown(before: Reading, after: Reading) -> bool:
    """Tell whether a process keeps more than it did."""
    return (
        after.descriptors > before.descriptors
        or after.threads > max(before.threads, MOST_THREADS)
        or after.memory > before.memory * ALLOWED_GROWTH
    )


def soak(daemon: Daemon, requests: int, restarts: int) -> bool:
    """Run it all; return whether nothing grew."""
    clients = [Client(daemon, life(number)) for number in range(CLIENTS)]
    daemon.start()
    half = requests // 2
    load(daemon, clients, half // 5)
    first = read(daemon)
    load(daemon, clients, half // 2 - half // 5)
    middle = read(daemon)
    load(daemon, clients, half - half // 2)
    last = read(daemon)
    print(f"one process, {half} requests:")
    print(f"  a fifth: {first}\n  half:    {middle}\n  end:     {last}")
    good = not grown(first, last)
    readings = []
    for turn in range(restarts):
        if turn % 2:
            daemon.kill()
        else:
            assert daemon.signal(signal.SIGTERM) == 0, "a stop was not complete"
        daemon.start()
        load(daemon, clients, (requests - half) // restarts)
        readings.append(read(daemon))
    first, middle, last = readings[0], readings[len(readings) // 2], readings[-1]
    print(f"{restarts} restarts, {requests - half} requests:")
    print(f"  first:   {first}\n  middle:  {middle}\n  last:    {last}")
    return good and not grown(first, last)


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--restarts", type=int, default=20)
    options = parser.parse_args()
    base = short_directory()
    daemon = Daemon(base, options=["--trash-retention=1s"])
    began = time.monotonic()
    try:
        good = soak(daemon, options.requests, options.restarts)
    finally:
        daemon.close()
        remove_directory(base)
    took = time.monotonic() - began
    print(f"{options.requests} requests, {options.restarts} restarts in {took:.0f} s: "
          f"{'nothing grew' if good else 'SOMETHING GREW'}")  # fmt: skip
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
