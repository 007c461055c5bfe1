"""What the tests of the managed plugin are made of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.process import until

from . import registry
from .box import Engine, done, new_base, remove_base

PROJECT = Path(__file__).parents[2]
#: The directory of the host that config.json names.
PLACE = "/var/lib/exampledriver"
PLUGIN = "exampledriver"


@cache
def built() -> Path:
    """Run ``make managed-plugin``, once; return the directory for docker plugin create."""
    done("make", "-C", str(PROJECT), "managed-plugin", f"VENV={sys.prefix}")
    return PROJECT / "build/managed-plugin"


class ManagedCase(SynchronousTestCase):
    """An engine for each test, whose host has a ``/var/lib/exampledriver`` of its own."""

    def setUp(self) -> None:
        self.base = new_base()
        self.addCleanup(remove_base, self.base)
        self.engine = Engine(self.base)
        self.addCleanup(self.engine.down)
        self.engine.up()
        self.place = self.base / "volumes"
        self.inside("mount", "-t", "tmpfs", "tmpfs", "/var/lib")
        self.inside("mkdir", PLACE)
        self.inside("mount", "--bind", str(self.place), PLACE)

    def inside(self, *words: str) -> str:
        """Run a command in the namespaces of the engine."""
        return done("nsenter", "-t", str(self.engine.init), "-m", "-n", "-p", "--", *words)

    def make(self) -> None:
        """Make the plugin and enable it."""
        self.engine.docker("plugin", "create", PLUGIN, str(built()))
        self.engine.docker("plugin", "enable", PLUGIN)

    def create(self, *options: str, name: str = "db") -> None:
        """Create a volume."""
        words = [word for option in options for word in ("-o", option)]
        self.engine.docker("volume", "create", "-d", PLUGIN, *words, name)

    def inspect(self, name: str = "db") -> dict[str, Any]:
        """Return what docker volume inspect shows."""
        found: list[dict[str, Any]] = json.loads(self.engine.docker("volume", "inspect", name))
        return found[0]

    def error(self, *words: str) -> str:
        """Return what a docker command that fails prints."""
        found = self.engine.run(*words)
        self.assertNotEqual(found.returncode, 0)
        return found.stderr

    def pid(self) -> int:
        """Return the process id of the plugin's daemon, as this process sees it; 0 if none."""
        namespace = os.readlink(f"/proc/{self.engine.init}/ns/pid")
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                mine = os.readlink(entry / "ns/pid") == namespace
            except OSError:
                continue
            if mine and b"/usr/local/bin/twistd" in words and b"--state=/data/state" in words:
                return int(entry.name)
        return 0

    def mounts(self) -> list[str]:
        """Return the places where the engine's host has mounts of the plugin, one for each."""
        lines = self.inside("cat", "/proc/self/mountinfo").splitlines()
        return [line.split()[4] for line in lines if "/propagated-mount" in line.split()[4]]

    def log(self) -> str:
        """Return the log of dockerd, which has the plugin's."""
        return (self.base / "dockerd.log").read_text()

    def serve_registry(self) -> Path:
        """Start a registry at 127.0.0.1:5000 of the engine; return its directory."""
        directory = self.base / "registry"
        directory.mkdir()
        server = subprocess.Popen(
            [
                "nsenter", "-t", str(self.engine.init), "-n", "-p", "--",
                "setpriv", "--pdeathsig", "KILL",
                sys.executable, registry.__file__, str(directory), "5000",
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        url = "http://127.0.0.1:5000/v2/"
        reach = ("nsenter", "-t", str(self.engine.init), "-n", "--", "curl", "-sf", url)
        until(lambda: subprocess.run(reach, capture_output=True).returncode == 0, "the registry")
        return directory
