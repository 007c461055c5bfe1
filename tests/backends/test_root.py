"""Nothing is made, mounted or removed in a root that is not the one with the volumes."""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.directory import DirectoryBackend
from exampledriver.backends.image import ImageBackend
from exampledriver.backends.registry import Backends
from exampledriver.backends.root import Root
from exampledriver.backends.tmpfs import TmpfsBackend
from exampledriver.backends.trash import Trash
from exampledriver.volumes.errors import VolumeError
from exampledriver.volumes.model import StoredVolume
from tests.volumes.fixtures import NOON


class RootTests(SynchronousTestCase):
    """Two volumes, one in the root and one elsewhere; others come."""

    def setUp(self) -> None:
        base = Path(os.path.realpath(self.mktemp()))
        self.root, self.away = base / "root", base / "away"
        self.root.mkdir(parents=True)
        self.backends = self.begin()
        self.db, self.new = (
            StoredVolume(name, str(self.root / name), NOON, {}) for name in ("db", "new")
        )
        place = str(base / "there")
        self.there = StoredVolume("there", place, NOON, {"mountpoint": place})
        self.memory = StoredVolume("memory", str(self.root / "memory"), NOON, {}, "tmpfs")
        for volume in (self.db, self.there):
            self.backends.create(volume)

    def begin(self, *known: StoredVolume, fresh: Set[str] = frozenset()) -> Backends:
        """Return what a daemon that starts has."""
        trash = Trash(self.root)
        directory = DirectoryBackend(self.root, [], trash, lambda path: [])
        kinds = {
            "directory": directory,
            "image": ImageBackend(self.root, trash),
            "tmpfs": TmpfsBackend(self.root, trash),
        }
        backends = Backends(kinds, Root(self.root, {"tmpfs"}))
        backends.recover({volume.name: volume for volume in known}, fresh)
        return backends

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

    def refused(self, backends: Backends) -> str:
        """See that nothing is done in the root; return why not."""
        texts = {
            self.fails(work, volume).replace(volume.name, "NAME", 1)
            for work, volume in (
                (backends.create, self.new),
                (backends.create, self.memory),
                (backends.mount, self.db),
                (backends.mount, self.memory),
                (backends.check_unused, self.db),
                (backends.remove, self.db),
            )
        }
        self.assertEqual(list(self.root.iterdir()), [])
        self.assertEqual(backends.mount(self.there), self.there.mountpoint)
        (text,) = texts
        self.assertIn(backends.trouble(), text)
        self.assertIn(backends.look(self.db, False)[0], text)
        self.assertEqual(backends.look(self.there, False), ("", None))
        return text

    def test_unmounted(self) -> None:
        """In another directory at its path nothing is done, and in the old one all goes on."""
        self.unmount()
        text = self.refused(self.backends)
        self.assertIn(f"{self.root} is not the directory that it was", text)
        self.mount()
        self.assertTrue(self.backends.create(self.new))
        self.assertEqual(self.backends.mount(self.db), self.db.mountpoint)

    def test_gone(self) -> None:
        """A root whose path leads nowhere is another one."""
        self.root.rename(self.away)
        self.assertIn("is not the directory", self.fails(self.backends.create, self.new))

    def test_settle(self) -> None:
        """What cannot be synced there is not taken for durable."""
        self.unmount()
        for made, removed in (([self.db], []), ([], [self.db])):
            self.assertIn("is not the directory", self.fails(self.backends.settle, made, removed))

    def test_absent(self) -> None:
        """In a root that has none of its volumes at the start nothing is done."""
        self.unmount()
        known = self.db, self.there, self.memory
        backends = self.begin(*known)
        text = self.refused(backends)
        self.assertIn(f"{self.root} has nothing of the volume that was made in it", text)
        self.mount()
        text = self.fails(backends.create, self.new)
        self.assertIn("was mounted after the driver had started: start the driver again", text)
        self.assertTrue(self.begin(*known).create(self.new))

    def test_no_evidence(self) -> None:
        """What may lie in an empty mountpoint does not make a root of it."""
        self.unmount()
        for name in ("memory", "there", "new", ".lock"):
            (self.root / name).mkdir()
        backends = self.begin(self.db, self.there, self.memory, self.new, fresh={"new"})
        self.assertIn("has nothing of the volume that", self.fails(backends.create, self.new))

    def test_lost(self) -> None:
        """Who says that the data is gone can remove the volumes, and make others."""
        self.unmount()
        backends = self.begin(self.db)
        text = self.fails(backends.check_unused, self.db)
        self.assertIn(f"making an empty volume of one, mkdir {self.root}/db", text)
        (self.root / "db").mkdir()
        backends.check_unused(self.db)
        backends.remove(self.db)
        self.assertTrue(backends.create(self.new))

    def test_lost_image(self) -> None:
        """So it is with images, whose files are gone with their directory."""
        images = [
            StoredVolume(name, str(self.root / name), NOON, {"fs": "ext4", "size": "1G"}, "image")
            for name in ("a", "b")
        ]
        self.unmount()
        backends = self.begin(*images)
        self.fails(backends.check_unused, images[0])
        (self.root / "a").mkdir()
        for image in images:
            backends.check_unused(image)
            backends.remove(image)
        self.assertEqual(backends.settle([], images), {})
        self.assertTrue(backends.create(self.new))

    def test_not_absent(self) -> None:
        """A root needs to have no volume: all are elsewhere, mounted, undone or removed."""
        self.unmount()
        for known in ((), (self.there,), (self.memory,), (self.new,)):
            self.assertTrue(self.begin(*known, fresh={"new"}).create(self.new))
            (self.root / "new").rmdir()
        for name in (".trash", ".images", ".snapshots"):
            (self.root / name).mkdir()
            self.assertTrue(self.begin(self.db).create(self.new))
            (self.root / "new").rmdir()
            (self.root / name).rmdir()
