"""Recorded traffic of Docker and Podman, byte for byte, against the real volume service."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin import Plugin, PluginSite
from tests.plugin.replay import TRACES, complaint, replay

from .fixtures import World


class ReplayTests(SynchronousTestCase):
    """What engines have sent gets answers that they accept."""

    def site(self) -> PluginSite:
        """Return a plugin with a volume service over real directories."""
        world = World(Path(os.path.realpath(self.mktemp())))
        return Plugin("x", [world.start()], Clock()).site()

    def test_accepted(self) -> None:
        """Every recorded request is answered as an engine accepts it."""
        self.assertEqual(len(TRACES), 5)
        for file in TRACES:
            exchanges = replay(self.site, file)
            self.assertGreater(len(exchanges), 40)
            for exchange in exchanges:
                self.assertEqual(complaint(exchange.path, exchange), "", (file.name, exchange))

    def test_sense(self) -> None:
        """Volumes that were created with good options are found, mounted and removed."""
        for file in TRACES:
            known: set[str] = set()
            for path, request, status, _, _ in replay(self.site, file):
                name: str = (request or {}).get("Name", "")
                good = status == 200
                if path == "/VolumeDriver.Create":
                    self.assertEqual(good, bool(name) and not request.get("Opts"), request)
                    known |= {name} if good else set()
                elif path == "/VolumeDriver.Remove":
                    known.discard(name)
                elif path in ("/VolumeDriver.Get", "/VolumeDriver.Mount") and name:
                    self.assertEqual(good, name in known, (file.name, path, request))
