"""The directory backend and the simulated one pass the same suite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from exampledriver.backends.interfaces import IBackend
from exampledriver.volumes.model import StoredVolume
from tests.crash.simulation import SimulatedBackend
from tests.volumes.fixtures import World

from . import suites


class DirectoryTests(suites.BackendSuite):
    """Real directories."""

    def backend(self) -> IBackend:
        return World(Path(os.path.realpath(self.mktemp()))).backend()

    def fill(self, backend: IBackend, volume: StoredVolume) -> None:
        Path(volume.mountpoint, "file").write_text("x")


class SimulatedTests(suites.BackendSuite):
    """The simulation that crashes."""

    def backend(self) -> IBackend:
        return SimulatedBackend()

    def fill(self, backend: IBackend, volume: StoredVolume) -> None:
        cast(SimulatedBackend, backend).directories[volume.name] = "x"
