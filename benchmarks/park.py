"""All servers of a benchmark: up at once, and visited in an order that rotates."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from attrs import define, field

from benchmarks.servers import Server

T = TypeVar("T")

#: What was measured, by the name of the figure: one value a repetition.
Samples = dict[str, list[float]]


@define(eq=False)
class Park:
    """The servers, each started when it is first needed and kept.

    :ivar closers: called at the end, the last one first.

    :ivar base: a directory on a real disk, for all files.
    :ivar sockets: where the sockets are; their paths must be short.
    :ivar shrink: counts are divided by this.
    :ivar repetition: from 0.
    """

    base: Path
    sockets: Path
    shrink: int = 1
    repetition: int = 0
    samples: Samples = field(factory=lambda: defaultdict(list))
    closers: list[Callable[[], object]] = field(factory=list)
    _kept: dict[str, object] = field(factory=dict)
    _made: int = 0

    @classmethod
    def make(cls, directory: str, shrink: int) -> Park:
        """Return one below a new directory."""
        base = Path(tempfile.mkdtemp(prefix="xd-bench-", dir=directory))
        park = cls(base, base, shrink)
        park.closers.append(lambda: shutil.rmtree(base, ignore_errors=True))
        return park

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what `make` returned at the first call with this name."""
        if name not in self._kept:
            print(f"preparing {name}", file=sys.stderr)
            self._kept[name] = make()
        found: T = self._kept[name]  # type: ignore[assignment]
        return found

    def new(self, name: str) -> Server:
        """Return a server that is prepared and not started."""
        kind, _, volumes = name.partition("@")
        self._made += 1
        place = f"{kind}-{volumes}-{self._made}"
        server = Server(kind, int(volumes), self.base / place, self.sockets / f"{place}.sock")
        self.closers.append(server.close)
        server.prepare()
        return server

    def running(self, name: str) -> Server:
        """Return a server that is ready to be measured."""
        server = self.new(name)
        server.up()
        return server

    def each(self, names: Sequence[str]) -> Iterator[tuple[str, Server]]:
        """Yield names and servers; each repetition begins with another one."""
        servers = {name: self.once(name, partial(self.running, name)) for name in names}
        os.sync()
        for name in self.rotated(names):
            yield name, servers[name]

    def rotated(self, names: Sequence[str]) -> Sequence[str]:
        """Return the names, beginning with another one in each repetition."""
        turn = self.repetition % len(names)
        return [*names[turn:], *names[:turn]]

    def count(self, count: int, least: int = 20) -> int:
        """Return how many calls to measure where a whole run would measure `count`."""
        return max(count // self.shrink, min(count, least))

    def note(self, what: str, server: str, **metrics: float) -> None:
        """Keep what was measured as ``what/server/metric``."""
        for metric, value in metrics.items():
            self.samples[f"{what}/{server}/{metric}"].append(value)

    def close(self) -> None:
        """End all servers and remove their files."""
        while self.closers:
            self.closers.pop()()
