"""The same through a real Docker Engine: its API, spoken over one keep-alive connection."""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field

from benchmarks.park import Park
from benchmarks.servers import DURABLE, OURS
from tests.engine.box import Engine, new_base, remove_base


@define(eq=False)
class Client:
    """A client of an engine."""

    path: Path
    _socket: socket.socket = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Connect."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(self.path))
        self._socket.settimeout(60)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def timed(self, method: str, path: str, message: object, expected: int) -> float:
        """Make a call; return the milliseconds until the whole answer.

        :raises RuntimeError: the status is another one.
        """
        body = b"" if message is None else json.dumps(message).encode()
        began = time.perf_counter()
        self._socket.sendall(
            b"%s %s HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (method.encode(), path.encode(), len(body), body)
        )
        data = b""
        while not whole(data):
            more = self._socket.recv(65536)
            if not more:
                raise RuntimeError(f"{method} {path}: the engine closed the connection")
            data += more
        took = time.perf_counter() - began
        if int(data.split(b" ", 2)[1]) != expected:
            raise RuntimeError(f"{method} {path}: {data.decode(errors='replace')}")
        return took * 1000


def whole(data: bytes) -> bool:
    """Tell whether an answer with a Content-Length, or one without a body, is complete."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    _, given, length = head.lower().partition(b"content-length: ")
    return not given or len(body) >= int(length.split(b"\r\n")[0])


@define(eq=False)
class Box:
    """An engine, and the servers that are its plugins."""

    engine: Engine
    client: Client
    plugins: Park


def make_box(park: Park) -> Box:
    """Start an engine; it ends when the park does."""
    engine = Engine(new_base())
    park.closers.append(lambda: remove_base(engine.base))
    park.closers.append(engine.down)
    engine.up()
    files = park.base / "engine"
    files.mkdir()
    client = Client(engine.base / "docker.sock")
    park.closers.append(client.close)
    plugins = Park(files, engine.base / "plugins")
    park.closers.append(plugins.close)
    return Box(engine, client, plugins)


def engine(park: Park) -> None:
    """Time create, inspect and rm of volumes."""
    box = park.once("a Docker Engine", lambda: make_box(park))
    box.plugins.repetition = park.repetition
    names = [f"{kind}@{size}" for size in (0, 10_000) for kind in (OURS, DURABLE)]
    count = park.count(100)
    for name, server in box.plugins.each(names):
        driver = server.socket.stem
        warm = [f"warm-{park.repetition}-{number}" for number in range(5)]
        volumes = [f"{driver}-{park.repetition}-{number}" for number in range(count)]
        life(box.client, driver, warm)
        for what, times in life(box.client, driver, volumes).items():
            park.note(f"engine-{what}", name, p50=statistics.median(times))


def life(client: Client, driver: str, names: Sequence[str]) -> dict[str, list[float]]:
    """Create, inspect and remove each volume; return the milliseconds of each call."""
    times: dict[str, list[float]] = {"create": [], "inspect": [], "rm": []}
    for name in names:
        message = {"Name": name, "Driver": driver, "DriverOpts": {}, "Labels": {}}
        times["create"].append(client.timed("POST", "/volumes/create", message, 201))
        times["inspect"].append(client.timed("GET", f"/volumes/{name}", None, 200))
        times["rm"].append(client.timed("DELETE", f"/volumes/{name}", None, 204))
    return times
