"""The directory backend and the simulated one pass the same suite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from exampledriver.backends.directory import DirectoryBackend
from exampledriver.backends.interfaces import IBackend
from exampledriver.backends.trash import Trash
from exampledriver.volumes.errors import InvalidOptionError
from exampledriver.volumes.model import StoredVolume
from tests.crash.simulation import SimulatedBackend
from tests.volumes.fixtures import World

from . import suites


class DirectoryTests(suites.BackendSuite):
    """Real directories."""

    def backend(self) -> IBackend:
        world = World(Path(os.path.realpath(self.mktemp())))
        world.root.mkdir(parents=True)
        return world.kinds(Trash(world.root))["directory"]

    def fill(self, backend: IBackend, volume: StoredVolume) -> None:
        Path(volume.mountpoint, "file").write_text("x")

    def test_root_only(self) -> None:
        """With root_only no volume is elsewhere, and the error says why."""
        backend = cast(DirectoryBackend, self.backend())
        given = backend.parse("v", {"mountpoint": "/srv/x"})
        self.assertTrue(given.unresolved)
        self.assertEqual(backend.resolve("v", given).options["mountpoint"], "/srv/x")
        backend.root_only = True
        error = self.assertRaises(InvalidOptionError, backend.resolve, "v", given)
        self.assertIn('mountpoint="/srv/x": this driver runs with --root-only', str(error))
        plain = backend.parse("v", {"mode": "0700"})
        self.assertEqual(backend.resolve("v", plain), plain)


class SimulatedTests(suites.BackendSuite):
    """The simulation that crashes."""

    def backend(self) -> IBackend:
        return SimulatedBackend()

    def fill(self, backend: IBackend, volume: StoredVolume) -> None:
        cast(SimulatedBackend, backend).directories[volume.name] = "x"
