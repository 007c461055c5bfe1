"""What the engine tests are made of; kept out of their modules, where trial would run it."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.process import Daemon

from .box import Engine, new_base, remove_base


class DriverCase(SynchronousTestCase):
    """A daemon for each test."""

    def setUp(self) -> None:
        base = new_base()
        self.addCleanup(remove_base, base)
        self.daemon = Daemon(base)
        self.prepare(self.daemon)
        self.daemon.start()
        self.addCleanup(self.daemon.close)

    def prepare(self, daemon: Daemon) -> None:
        """Change how the daemon is started."""


class DockerCase(DriverCase):
    """An engine and a daemon for each test, and a volume named after it."""

    def setUp(self) -> None:
        super().setUp()
        self.engine = Engine(self.daemon.base)
        self.addCleanup(self.engine.down)
        self.engine.up()
        self.name = self._testMethodName.replace("test_", "")

    def create(self, *options: str) -> str:
        """Create the test's volume."""
        words = [word for option in options for word in ("-o", option)]
        return self.engine.docker("volume", "create", "-d", "x", *words, self.name)

    def inspect(self) -> dict[str, Any]:
        """Return what docker volume inspect shows of the test's volume."""
        found: list[dict[str, Any]] = json.loads(self.engine.docker("volume", "inspect", self.name))
        return found[0]

    def error(self, *words: str) -> str:
        """Return what a docker command that fails prints."""
        found = self.engine.run(*words)
        self.assertNotEqual(found.returncode, 0)
        return found.stderr

    def trash(self) -> list[str]:
        """Return what is in the trash under the test's volume."""
        return [path.name for path in self.daemon.root.glob(f".trash/*/{self.name}/*")]

    def revive(self) -> None:
        """Kill the daemon and start it again."""
        self.daemon.kill()
        self.daemon.start()
