"""The life of a volume of each kind with a real engine; kept where trial does not run it."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from exampledriver.backends.mounts import mounts_inside
from tests.process import until

from .case import DockerCase, DriverCase
from .storage import loop_devices, release


class DaemonKindCase(DriverCase):
    """A daemon, and what its volumes need."""

    def setUp(self) -> None:
        super().setUp()
        # Before the directory goes.
        self.addCleanup(release, self.daemon.base)

    def mounted(self) -> list[str]:
        """Return what is mounted below the root."""
        root = str(self.daemon.root)
        return [place for place in mounts_inside(root) if place != root]


class KindCase(DaemonKindCase, DockerCase):
    """With an engine."""

    def make(self, options: Mapping[str, str]) -> None:
        """Create the test's volume."""
        self.create(*(f"{key}={value}" for key, value in options.items()))

    def refused(self, options: Mapping[str, str]) -> str:
        """Return the error of a creation of the test's volume."""
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return self.error("volume", "create", "-d", "x", *words, self.name)

    def nothing_left(self) -> None:
        """See that nothing is mounted, no loop device is used, and no volume is there."""
        until(lambda: not self.mounted(), f"the end of {self.mounted()}")
        until(lambda: not loop_devices(self.daemon.root), "the end of the loop devices")
        self.assertEqual(self.daemon.names(), [])

    def life(self, options: Mapping[str, str], kept: bool = True) -> None:
        """Lead a volume through the deaths of daemon and engine, and remove it."""
        self.make(options)
        shown = self.inspect()
        self.assertEqual(shown["Status"]["Backend"], options["backend"])
        self.assertEqual(self.mounted(), [])
        self.engine.background(self.name, f"{self.name}:/data")
        self.engine.docker("exec", self.name, "sh", "-c", "echo precious > /data/file")
        self.revive()
        self.assertEqual(self.read(), "precious")
        self.engine.end(signal.SIGKILL)
        self.revive()
        self.engine.start()
        self.engine.docker("start", self.name)
        self.assertEqual(self.read(), "precious")
        until(lambda: self.inspect()["Status"]["Health"] == "ok", "good health")
        self.engine.docker("rm", "-f", self.name)
        if kept:
            found = self.engine.sh(f"{self.name}:/data", "cat /data/file")
            self.assertEqual(found, "precious")
        for key in ("Mountpoint", "CreatedAt"):
            self.assertEqual(self.inspect()[key], shown[key])
        self.engine.docker("volume", "rm", self.name)
        self.nothing_left()

    def read(self) -> str:
        """Return what the running container reads."""
        return self.engine.docker("exec", self.name, "cat", "/data/file")
