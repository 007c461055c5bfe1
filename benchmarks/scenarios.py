"""What is measured: each scenario adds one value a repetition to each of its figures."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.engine import engine
from benchmarks.load import Flow, run
from benchmarks.park import Park
from benchmarks.restart import restart
from benchmarks.servers import (
    DURABLE,
    KLEIN,
    MEM,
    NEW,
    OURS,
    VOLUME,
    Server,
    create_message,
    name_message,
)

SIZES = (0, 1_000, 10_000, 100_000)


def read(call: str, volumes: int, connections: int = 1, warm: int = 0, count: int = 0) -> Flow:
    """Return a flow of Gets or Paths, over a hundred of the volumes at most."""
    shown = '"Name":"volume-@"' if call == "Get" else '/volume-@"'
    return Flow(
        call, name_message(VOLUME), [shown], connections, warm, count, wrap=min(volumes, 100)
    )


def get(park: Park) -> None:
    """Time Gets and Paths, from 1, 16 and 64 connections."""
    names = [f"{kind}@1000" for kind in (OURS, MEM, KLEIN)]
    for call, connections, count in (
        ("Get", 1, 10_000),
        ("Path", 1, 10_000),
        ("Get", 16, 20_000),
        ("Get", 64, 20_000),
    ):
        count = park.count(count)
        for name, server in park.each(names):
            flow = read(call, 1000, connections, count // 10, count)
            park.note(f"{call}-{connections}", name, **server.call(flow))


def growth(park: Park) -> None:
    """Time Gets and Lists with more volumes."""
    for size in SIZES[1:]:
        for name, server in park.each([f"{OURS}@{size}", f"{MEM}@{size}"]):
            count = park.count(5000)
            park.note("Get-growth", name, **server.call(read("Get", size, 1, count // 10, count)))
            count = park.count(min(200, max(5, 200_000 // size)), 5)
            shown = ['"Volumes":[{', '"Name":"volume-0']
            park.note("List", name, **server.call(Flow("List", "{}", shown, warm=1, count=count)))


def create(park: Park) -> None:
    """Time durable Creates, from 1, 16 and 64 connections."""
    counts = {DURABLE: {0: 300, 1_000: 200, 10_000: 50, 100_000: 5}}
    names = [f"{kind}@{size}" for size in SIZES for kind in (OURS, DURABLE)]
    for name, server in park.each(names):
        count = counts.get(server.kind, {}).get(server.volumes, 500)
        count = park.count(count)
        park.note("Create-1", name, **server.create(1, count))
    for connections in (16, 64):
        for name, server in park.each([n for n in names if n.endswith(("@0", "@10000"))]):
            count = 3000 if server.kind == OURS else 640 if server.volumes == 0 else 128
            park.note(f"Create-{connections}", name, **server.create(connections, count))


def list_(park: Park) -> None:
    """Time Gets while another client makes one List of 100,000 after the other."""
    for name, server in park.each([f"{OURS}@100000", f"{MEM}@100000"]):
        flows = {
            "list": Flow("List", "{}", count=park.count(8, 3)),
            "get": read("Get", 100_000),
        }
        found = run(server.socket, flows, server.pids())
        park.note("Get-during-List", name, **found.metrics("get"))


def mixed(park: Park) -> None:
    """Time Gets of one client while 16 others create."""
    for name, server in park.each([f"{kind}@1000" for kind in (OURS, MEM, DURABLE)]):
        flows = {
            "create": Flow("Create", create_message(NEW), connections=16),
            "get": read("Get", 1000, warm=100, count=park.count(3000, 500)),
        }
        found = run(server.socket, flows, server.pids())
        server.reset()
        park.note("Get-during-Create", name, **found.metrics("get"))


def start(park: Park) -> None:
    """Time starts until the first answer, and look at the memory then and after a List."""
    names = [f"{kind}@{size}" for size in SIZES for kind in (OURS, DURABLE)]
    for name in park.rotated([*names, f"{KLEIN}@0"]):
        server = park.once(f"{name}, stopped", partial(warmed, park, name))
        seconds = server.start()
        park.note("start", name, seconds=seconds, memory=server.memory())
        server.call(Flow("List", "{}", count=1))
        park.note("start", name, after=server.memory())
        server.daemon.signal(signal.SIGTERM)


def warmed(park: Park, name: str) -> Server:
    """Return a server that has run before, and does not run."""
    server = park.new(name)
    server.start()
    server.daemon.signal(signal.SIGTERM)
    return server


SCENARIOS: Mapping[str, Callable[[Park], None]] = {
    "get": get,
    "growth": growth,
    "create": create,
    "list": list_,
    "mixed": mixed,
    "start": start,
    "engine": engine,
    "restart": restart,
}
