"""The file system of a volume's directory: noted once, kept, and compared at each use."""

from __future__ import annotations

import os

from exampledriver.backends import places
from exampledriver.volumes.errors import NoSuchVolumeError, VolumeError
from exampledriver.volumes.model import OWN

from .case import ServiceCase

ELSEWHERE = "nfs server:/x /data"


class NotedTests(ServiceCase):
    """Three volumes: of the root, elsewhere, and elsewhere with an older journal's record."""

    def setUp(self) -> None:
        super().setUp()
        self.do(self.service.create("db", {}))
        for name in ("there", "old"):
            self.do(self.service.create(name, {"mountpoint": str(self.world.base / name)}))
        self.world.settle()
        self.note("old", "")
        self.service = self.world.start()

    def note(self, name: str, place: str) -> None:
        """Let the journal say that a directory was elsewhere, or not say where."""
        value = {**self.world.catalog.durable[name], "place": place}
        if not place:
            del value["place"]
        self.world.catalog.durable[name] = value

    def noted(self, name: str) -> object:
        """Return what the journal says."""
        return self.world.catalog.durable[name].get("place")

    def health(self, name: str) -> str:
        """Return what a look at the volume finds."""
        self.service.get(name)
        return str(self.service.get(name).status["Health"])

    def test_created(self) -> None:
        """A Create notes where the directory is, and that stays so."""
        own = places.place(str(self.world.base), "/")
        self.assertEqual(self.noted("db"), OWN)
        self.assertTrue(str(self.noted("there")).startswith(own.split()[0]))
        for name in ("db", "there"):
            before = self.noted(name)
            self.do(self.service.mount(name, "1"))
            self.assertEqual((self.health(name), self.noted(name)), ("ok", before))

    def test_adopted(self) -> None:
        """So does a Create that adopts a directory."""
        (self.world.root / "new").mkdir()
        self.do(self.service.create("new", {}))
        self.assertEqual(self.noted("new"), OWN)

    def test_first_mount(self) -> None:
        """A volume of an older journal, without a note, gets it at its first Mount."""
        self.assertEqual(self.health("old"), "ok")
        self.assertIsNone(self.noted("old"))
        self.do(self.service.mount("old", "1"))
        self.assertEqual(str(self.noted("old")).replace("old", "there"), str(self.noted("there")))

    def test_first_mount_not_written(self) -> None:
        """A journal that cannot be written does not bar that Mount."""
        self.world.catalog.refuse.add("old")
        self.do(self.service.mount("old", "1"))
        self.assertIsNone(self.noted("old"))

    def test_not_mounted(self) -> None:
        """A directory whose file system is not mounted is not mounted for a container."""
        for name in ("db", "there"):
            self.note(name, ELSEWHERE)
        self.service = self.world.start()
        for name, path in (("db", self.world.root / "db"), ("there", self.world.base / "there")):
            text = self.fails(VolumeError, self.service.mount(name, "1"))
            self.assertIn(f"its directory {path} was on {ELSEWHERE}", text)
            self.assertIn(f'"exampledriver volume accept {name}"', text)
            self.assertIn(f"was on {ELSEWHERE}", self.health(name))
            self.assertEqual(self.service.get(name).status["Mounts"], 0)

    def test_other_work(self) -> None:
        """Nor is it copied, or given a size."""
        self.note("there", ELSEWHERE)
        backend = self.world.backend()
        volume = self.world.start().about("there")
        for work in (
            lambda: backend.users(volume),
            lambda: backend.of(volume).resize(volume, 1 << 20),  # type: ignore[attr-defined]
        ):
            self.assertIn("is not mounted: mount it", str(self.assertRaises(VolumeError, work)))

    def test_accepted(self) -> None:
        """Accepted by the operator, what is there now is noted, durably."""
        before = self.noted("there")
        self.note("there", ELSEWHERE)
        self.service = self.world.start()
        self.fails(VolumeError, self.service.mount("there", "1"))
        self.do(self.service.accept("there"))
        self.assertEqual(self.noted("there"), before)
        self.do(self.world.start().mount("there", "1"))
        self.do(self.service.mount("there", "1"))
        self.fails(NoSuchVolumeError, self.service.accept("nosuch"))

    def test_kept(self) -> None:
        """What is noted outlives a removal that failed, and a new start."""
        self.note("db", ELSEWHERE)
        self.service = self.world.start()
        (self.world.root / ".trash").write_text("in the way")
        self.fails(VolumeError, self.service.remove("db"))
        self.assertEqual(self.noted("db"), ELSEWHERE)

    def test_removed(self) -> None:
        """It can be removed all the same: that deletes nothing elsewhere."""
        self.note("there", ELSEWHERE)
        self.service = self.world.start()
        self.do(self.service.remove("there"))
        self.assertEqual(self.names(), ["db", "old"])
        self.assertTrue((self.world.base / "there").is_dir())


class PlaceTests(ServiceCase):
    """What is noted, and what is said of a difference."""

    def test_mounted_over(self) -> None:
        """Another file system over the directory is named, with what to do."""
        self.assertEqual(places.place("/proc", "/"), "proc proc /")
        text = places.trouble("db", "/proc", "/", OWN)
        self.assertIn("was in the file system of /, and proc proc / is mounted over it", text)
        self.assertEqual(places.trouble("db", "/proc", "/", "proc proc /"), "")

    def test_another(self) -> None:
        """So is another one than before."""
        text = places.trouble("db", "/proc", "/", ELSEWHERE)
        self.assertIn(f"was on {ELSEWHERE}, and is on proc proc / now: mount what was", text)

    def test_same_mount(self) -> None:
        """A directory in the mount of its home has nothing that changes with the disk."""
        base = str(self.world.base)
        self.assertEqual(places.place(base, os.path.dirname(base)), OWN)

    def test_unreadable(self) -> None:
        """A directory whose entries cannot be read is in trouble, though stat(2) answers."""
        # Another user's process: its directory is visible to all users, and readable by none.
        self.patch(places, "_read", _fails)
        text = places.trouble("db", str(self.world.base), "/", "")
        self.assertIn("cannot be read: Input/output error", text)


def _fails(fd: int) -> None:
    raise OSError(5, "Input/output error")
