"""The servers that are compared: this project's daemon, and the baselines beside it.

A server is called KIND@VOLUMES, such as ``go-durable@10000``: its volumes ``volume-000000`` …
are there before anything is measured; this daemon's, which looks at them, with directories.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from attrs import define, field

from benchmarks.load import BUILD, Flow, run
from benchmarks.scale import fill
from tests.process import Daemon

HERE = Path(__file__).parent
OURS, MEM, DURABLE, KLEIN = "exampledriver", "go-mem", "go-durable", "klein"

#: How long a server may take to start, in seconds.
PATIENCE = 60.0

#: The names of the volumes that are there, and of those that are made and removed.
VOLUME, NEW = "volume-@", "new-@"


def create_message(name: str) -> str:
    """Return the body of a Create as Docker writes it."""
    return f'{{"Name":"{name}","Opts":null}}'


def name_message(name: str) -> str:
    """Return the body of any other call."""
    return f'{{"Name":"{name}"}}'


def build_baselines() -> None:
    """Compile the Go baselines; ``benchmarks/install`` has brought the compiler.

    :raises subprocess.CalledProcessError: the compiler fails.
    """
    build = BUILD.parent
    environment = {"GO111MODULE": "off", "GOCACHE": str(build / "gocache"), "GOTOOLCHAIN": "local"}
    subprocess.run(  # noqa: S603
        [
            str(build / "go/go/bin/go"), "build", "-o", str(BUILD / "volumes"),
            str(HERE / "baselines/volumes.go"),
        ],
        check=True,
        env={**os.environ, **environment},
    )  # fmt: skip


def children(pid: int) -> list[int]:
    """Return a process and all that it has started, directly or not."""
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += children(int(child))
    return found


@define(eq=False)
class Server:
    """One server below a directory of its own.

    :ivar socket: where it listens.
    :ivar volumes: how many it has from the start.
    """

    kind: str
    volumes: int
    base: Path
    socket: Path
    daemon: Daemon = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the directory; nothing is started yet."""
        self.base.mkdir()
        self.daemon = Daemon(self.base)
        self.daemon.socket = self.socket
        if self.kind == OURS:
            return
        state = f"-state={self.daemon.state}/state.json"
        program = str(BUILD / "volumes")
        self.daemon.command = {
            MEM: ["-socket", str(self.socket)],
            DURABLE: ["-socket", str(self.socket), "-root", str(self.daemon.root), state],
            KLEIN: [str(HERE / "baselines/klein_plugin.py"), str(self.socket)],
        }[self.kind]
        self.daemon.program = sys.executable if self.kind == KLEIN else program

    def prepare(self) -> None:
        """Write the volumes that are there at the start, where they are files."""
        root = self.daemon.root
        if self.kind == OURS:
            fill(self.daemon, self.volumes)
        if self.kind == DURABLE:
            names = [f"volume-{n:06}" for n in range(self.volumes)]
            volumes: Mapping[str, object] = {
                name: {
                    "Name": name, "Mountpoint": str(root / name),
                    "CreatedAt": "2026-01-01T12:00:00Z",
                }
                for name in names
            }  # fmt: skip
            self.daemon.state.mkdir()
            (self.daemon.state / "state.json").write_text(
                json.dumps(volumes, separators=(",", ":"))
            )
        root.mkdir(mode=0o710)
        if self.kind == OURS:
            for number in range(self.volumes):
                os.mkdir(f"{root}/volume-{number:06}")
        if self.daemon.state.exists():
            shutil.copytree(self.daemon.state, self.base / "prepared")

    def start(self, keep: bool = False) -> float:
        """Start the process; return the seconds until its first answer.

        :param keep: leave the socket alone: it is passed to the process.
        """
        if not keep:
            self.socket.unlink(missing_ok=True)
        began = time.perf_counter()
        process = self.daemon.spawn()
        while not self.daemon.answers():
            if process.poll() is not None or time.perf_counter() > began + PATIENCE:
                raise RuntimeError(f"{self.kind} does not start: {self.daemon.log()}")
            time.sleep(0.001)
        return time.perf_counter() - began

    def up(self) -> None:
        """Start it, and make the volumes that are in its memory only."""
        self.start()
        if self.kind in (MEM, KLEIN) and self.volumes:
            self.call(Flow("Create", create_message(VOLUME), count=self.volumes, connections=4))
        listed = len(self.daemon.ok("List").get("Volumes") or ())
        if listed != self.volumes:
            raise RuntimeError(f"{self.kind} has {listed} volumes, not {self.volumes}")

    def pids(self) -> list[int]:
        """Return its processes."""
        assert self.daemon.process is not None
        return children(self.daemon.process.pid)

    def memory(self) -> float:
        """Return the resident memory of its processes in MB (of 2**20 bytes)."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids()]
        return sum(int(status.split("VmRSS:")[1].split()[0]) for status in statuses) / 1024

    def call(self, flow: Flow) -> dict[str, float]:
        """Run one flow and return its metrics."""
        return run(self.socket, {"flow": flow}, self.pids()).metrics("flow")

    def create(self, connections: int, count: int) -> dict[str, float]:
        """Create volumes and :meth:`reset`; return the metrics of the Creates."""
        warm = max(count // 10, connections)
        found = self.call(Flow("Create", create_message(NEW), (), connections, warm, count))
        self.reset()
        return found

    def reset(self) -> None:
        """Start it again as it was prepared, with what it has made meanwhile out of the way.

        Nothing is deleted: an ext4 without a journal passes over every inode that was deleted
        within the last minutes, one by one, and a mkdir takes several times as long for all
        that is measured next.
        """
        self.daemon.stop()
        left = Path(tempfile.mkdtemp(prefix="left-", dir=self.base))
        for directory in self.daemon.root.glob("new-*"):
            directory.rename(left / directory.name)
        if self.daemon.state.exists():
            self.daemon.state.rename(left / "state")
            shutil.copytree(self.base / "prepared", self.daemon.state)
        self.up()

    def close(self) -> None:
        """End the process and remove the directory."""
        self.daemon.close()
        shutil.rmtree(self.base, ignore_errors=True)
