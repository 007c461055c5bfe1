"""A journal that an earlier version wrote replays for ever."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.journal.files import RealFiles
from exampledriver.journal.log import Log
from exampledriver.volumes.packed import Packed, Packer
from tests.crash.simulation import SimulatedCatalog

from .fixtures import World, listed

FIXTURES = Path(__file__).parents[1] / "journal/fixtures"


class UpgradeTests(SynchronousTestCase):
    """Format 1, as it was first released. The file is never written anew."""

    def test_format_1(self) -> None:
        """Compacted and appended records, options, a removal under way: all are read."""
        state = Path(os.path.realpath(self.mktemp()))
        state.mkdir()
        (state / "journal").write_bytes((FIXTURES / "journal-1").read_bytes())
        world = World(state / "world")
        backend = world.backend()
        codec = Packer(backend.mountpoint, backend.judge).codec()
        log = Log(RealFiles(str(state)), codec=codec)
        log.open()
        self.assertEqual({type(kept) for kept in log.entries.values()}, {Packed})
        world.clock = Clock()
        world.catalog.durable.update(SimulatedCatalog(log).entries())  # as they are kept
        # The removal under way had reached its end.
        (world.root / ".trash").mkdir(parents=True)
        service = world.start()
        self.assertEqual(listed(service), ["elsewhere", "later", "owned"])
        self.assertEqual(service.path("elsewhere"), "/srv/d\u00e4ta/db")
        self.assertEqual(
            service.get("owned").status["Options"], {"gid": "999", "mode": "0700", "uid": "999"}
        )
        self.assertEqual(str(service.get("later").created), "2026-11-24 08:00:00+00:00")
