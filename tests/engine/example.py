"""An example of ``examples/`` as a process, beside an engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from tests.process import PATIENCE, Daemon, until

from .box import Engine, new_base, remove_base

ROOT = Path(__file__).parents[2]


@define(eq=False)
class Example:
    """An example.

    :ivar base: the engine's directory.
    :ivar module: what ``python -m`` runs.
    :ivar name: how engines find it.
    :ivar prefix: what it is started by, in the same process.
    """

    base: Path
    module: str
    name: str
    environment: Mapping[str, str] = field(factory=dict)
    prefix: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.base / f"plugins/{self.name}.sock"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.socket.parent.mkdir(exist_ok=True)
        self.process = process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *self.prefix, sys.executable, "-m", self.module,
             f"--listen=unix:{self.socket}"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
                 **self.environment},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=(self.base / f"{self.name}.log").open("ab"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        client = self.client()
        until(lambda: client.answers() or process.poll() is not None, "the example's answer")
        assert process.poll() is None, self.log()

    def client(self) -> Daemon:
        """Return a client of its socket."""
        client = Daemon(self.base)
        client.socket = self.socket
        return client

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end; return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.end(signal.SIGKILL)
        self.start()

    def log(self) -> str:
        """Return what it has written so far."""
        path = self.base / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """End it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)


class ExampleCase(SynchronousTestCase):
    """Engines and examples that end with their test."""

    def make_engine(self, options: Sequence[str] = ()) -> Engine:
        """Return an engine that is not up yet."""
        base = new_base()
        self.addCleanup(remove_base, base)
        engine = Engine(base, list(options))
        self.addCleanup(engine.down)
        return engine

    def add(self, example: Example) -> Example:
        """Start an example; at its end its log must be free of bugs."""

        def check() -> None:
            self.assertNotIn("Traceback", example.log())

        self.addCleanup(check)
        self.addCleanup(example.close)
        example.start()
        return example

    def error(self, engine: Engine, *words: str) -> str:
        """Return what a docker command that fails prints."""
        found: Any = engine.run(*words)
        self.assertNotEqual(found.returncode, 0, found.stdout)
        return str(found.stderr)
