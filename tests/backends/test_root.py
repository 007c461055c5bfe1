"""Nothing is made, mounted or removed in a root that is not the one with the volumes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.directory import DirectoryBackend
from exampledriver.backends.registry import Backends
from exampledriver.backends.trash import Trash
from exampledriver.volumes.errors import VolumeError
from exampledriver.volumes.model import StoredVolume
from tests.volumes.fixtures import NOON


class RootTests(SynchronousTestCase):
    """Three volumes: one in the root, one to be made there, and one elsewhere."""

    def setUp(self) -> None:
        base = Path(os.path.realpath(self.mktemp()))
        self.root, self.away = base / "root", base / "away"
        self.root.mkdir(parents=True)
        self.backends = self.start()
        self.db, self.new = (
            StoredVolume(name, str(self.root / name), NOON, {}) for name in ("db", "new")
        )
        place = str(base / "there")
        self.there = StoredVolume("there", place, NOON, {"mountpoint": place})
        for volume in (self.db, self.there):
            self.backends.create(volume)

    def start(self) -> Backends:
        """Return what a daemon that starts has."""
        directory = DirectoryBackend(self.root, [], Trash(self.root), lambda path: [])
        return Backends({"directory": directory}, directory.home)

    def unmount(self) -> None:
        """Leave an empty directory in the root's place."""
        self.root.rename(self.away)
        self.root.mkdir()

    def mount(self) -> None:
        """Bring the root back."""
        self.root.rmdir()
        self.away.rename(self.root)

    def fails(self, function: Callable[..., object], *args: object) -> str:
        """Return the text of the error."""
        return str(self.assertRaises(VolumeError, function, *args))

    def test_unmounted(self) -> None:
        """In another directory at its path nothing is done; what is elsewhere goes on."""
        self.unmount()
        backends = self.backends
        for work, volume in (
            (backends.create, self.new),
            (backends.mount, self.db),
            (backends.check_unused, self.db),
            (backends.remove, self.db),
        ):
            text = self.fails(work, volume)
            self.assertIn(f"{self.root} is not the directory that it was", text)
            self.assertIn("start the driver again", text)
        self.assertEqual(list(self.root.iterdir()), [])
        self.assertEqual(backends.mount(self.there), self.there.mountpoint)
        self.mount()
        self.assertTrue(backends.create(self.new))
        self.assertEqual(backends.mount(self.db), self.db.mountpoint)

    def test_gone(self) -> None:
        """A root whose path leads nowhere is another one."""
        self.root.rename(self.away)
        self.assertIn("is not the directory", self.fails(self.backends.create, self.new))

    def test_settle(self) -> None:
        """What cannot be synced there is not taken for durable."""
        self.unmount()
        for made, removed in (([self.db], []), ([], [self.db])):
            self.assertIn("is not the directory", self.fails(self.backends.settle, made, removed))
        self.assertEqual(self.backends.settle([], []), {})

    def test_absent(self) -> None:
        """No volume is made in a root that has none of its volumes at the start."""
        self.unmount()
        backends = self.start()
        backends.recover({"db": self.db, "there": self.there}, set())
        text = self.fails(backends.create, self.new)
        self.assertIn(f'{self.root} has nothing of its 1 volumes, such as "db"', text)
        self.assertEqual(list(self.root.iterdir()), [])
        backends.create(self.there)
        self.mount()
        self.assertIn("start the driver again", self.fails(backends.create, self.new))
        backends = self.start()
        backends.recover({"db": self.db, "there": self.there}, set())
        self.assertTrue(backends.create(self.new))

    def test_lost(self) -> None:
        """Whose data is gone for good removes the volumes, and can make others."""
        self.unmount()
        backends = self.start()
        backends.recover({"db": self.db, "new": self.new}, set())
        backends.remove(self.db)
        self.assertIn('its 1 volumes, such as "new"', self.fails(backends.create, self.db))
        backends.remove(self.new)
        self.assertTrue(backends.create(self.db))

    def test_not_absent(self) -> None:
        """A root without volumes is no other one: all are elsewhere, or may have been undone."""
        self.unmount()
        backends = self.start()
        backends.recover({"there": self.there, "db": self.db}, {"db"})
        self.assertTrue(backends.create(self.new))
