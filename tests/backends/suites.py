"""What the volume service expects of a backend, run against the real one and the simulated one."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from exampledriver.backends.interfaces import IBackend
from exampledriver.volumes.errors import VolumeError
from exampledriver.volumes.model import StoredVolume
from tests.volumes.fixtures import NOON


class BackendSuite(SynchronousTestCase):
    """A backend whose volumes live under its root."""

    #: What a Create asks for.
    options: Mapping[str, str] = {}

    def backend(self) -> IBackend:
        """Return a backend with an empty root."""
        raise NotImplementedError

    def fill(self, backend: IBackend, volume: StoredVolume) -> None:
        """Write something into a volume."""
        raise NotImplementedError

    def volume(self, backend: IBackend, name: str = "db") -> StoredVolume:
        """Return a volume that is not made yet."""
        wanted = backend.resolve(name, backend.parse(name, self.options))
        place = backend.mountpoint(name, wanted)
        return StoredVolume(name, place, NOON, wanted.options, wanted.backend)

    def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(IBackend, self.backend())

    def test_create(self) -> None:
        """A new volume is new once, and can be mounted where it says."""
        backend = self.backend()
        volume = self.volume(backend)
        self.assertTrue(backend.create(volume))
        self.assertFalse(backend.create(volume))
        self.assertEqual(backend.mount(volume), volume.mountpoint)

    def test_mount_missing(self) -> None:
        """What is not there is not mounted."""
        backend = self.backend()
        self.assertRaises(VolumeError, backend.mount, self.volume(backend))

    def test_undo(self) -> None:
        """A creation is taken back while nothing is in the volume, and not afterwards."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        backend.undo_create(volume)
        self.assertRaises(VolumeError, backend.mount, volume)
        self.assertRaises(VolumeError, backend.undo_create, volume)
        backend.create(volume)
        self.fill(backend, volume)
        self.assertRaises(VolumeError, backend.undo_create, volume)
        self.assertEqual(backend.mount(volume), volume.mountpoint)

    def test_remove(self) -> None:
        """A removed volume has no data; removing it again is no error."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        self.fill(backend, volume)
        self.assertTrue(backend.keeps_data(volume))
        backend.check_unused(volume)
        backend.remove(volume)
        backend.remove(volume)
        self.assertTrue(backend.create(volume))

    def test_settle(self) -> None:
        """What is settled is as it was left; what a crash undid is done again."""
        backend = self.backend()
        made, lost, removed, back = (self.volume(backend, name) for name in ("a", "b", "c", "d"))
        for volume in (made, removed, back):
            self.assertTrue(backend.settles(volume))
            backend.create(volume)
        backend.remove(removed)
        backend.recover({"a": made, "b": lost}, {"a", "b"})
        self.assertEqual(backend.settle([made, lost], [removed, back]), {})
        for volume in (made, lost):
            self.assertEqual(backend.mount(volume), volume.mountpoint)
        for volume in (removed, back):
            self.assertRaises(VolumeError, backend.mount, volume)

    def test_recover(self) -> None:
        """What belongs to no volume is listed."""
        backend = self.backend()
        made = {name: self.volume(backend, name) for name in ("a", "b", "c")}
        for volume in made.values():
            backend.create(volume)
        self.assertEqual(backend.recover({"b": made["b"]}, set()), ["a", "c"])
