"""The volume service in use: mounts and their counts, reads, the start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, execute

from exampledriver.backends.mounts import Holder
from exampledriver.volumes.errors import (
    NoSuchVolumeError,
    VolumeError,
)
from exampledriver.volumes.service import VolumeService

from .case import ServiceCase
from .fixtures import MemoryCatalog, listed


class MountTests(ServiceCase):
    """Mount, Unmount and the ledger."""

    def setUp(self) -> None:
        super().setUp()
        self.do(self.service.create("db", {}))

    def ids(self, service: VolumeService | None = None) -> object:
        """Return the counted IDs of db."""
        return (service or self.service).get("db").status.get("MountIDs", {})

    def test_multiset(self) -> None:
        """One ID mounted twice is unmounted twice (docker cp does that)."""
        path = str(self.world.root / "db")
        for _ in range(2):
            self.assertEqual(self.do(self.service.mount("db", "c1")), path)
        self.do(self.service.mount("db", "c2"))
        self.assertEqual(self.ids(), {"c1": 2, "c2": 1})
        self.assertEqual(self.service.get("db").status["Mounts"], 3)
        self.do(self.service.unmount("db", "c1"))
        self.assertEqual(self.ids(), {"c1": 1, "c2": 1})
        self.do(self.service.unmount("db", "c1"))
        self.do(self.service.unmount("db", "c2"))
        self.assertEqual(self.ids(), {})
        self.assertEqual(self.world.counts.durable, {})

    def test_unknown(self) -> None:
        """An Unmount of what is not mounted, or does not exist, succeeds; a Mount of it fails."""
        self.do(self.service.unmount("db", "never"))
        self.do(self.service.unmount("nosuch", "never"))
        text = self.fails(NoSuchVolumeError, self.service.mount("nosuch", "id"))
        self.assertIn('volume "nosuch": no such volume; create it first', text)
        self.assertNotIn("docker", text)  # Podman's users read it too

    def test_restart(self) -> None:
        """Counts survive the daemon and not the boot."""
        self.do(self.service.mount("db", "c1"))
        self.assertEqual(self.ids(self.world.start()), {"c1": 1})
        self.world.boot = "boot-2"
        self.assertEqual(self.ids(self.world.start()), {})

    def test_missing_directory(self) -> None:
        """A volume whose directory is gone is not mounted, not made anew, and still there."""
        self.world.settle()
        (self.world.root / "db").rmdir()
        text = self.fails(VolumeError, self.service.mount("db", "c1"))
        self.assertIn("is missing: mount the file system", text)
        self.assertEqual(self.ids(), {})
        self.assertFalse((self.world.root / "db").exists())

    def test_count_not_written(self) -> None:
        """A Mount that cannot be counted fails."""
        self.world.counts.refuse.add("db")
        self.fails(VolumeError, self.service.mount("db", "c1"))
        self.assertEqual(self.ids(), {})

    def test_counts_of_a_volume_that_is_gone(self) -> None:
        """Counts without a volume are dropped at the start."""
        self.do(self.service.mount("db", "c1"))
        self.world.catalog.durable.clear()
        self.world.start()
        self.assertEqual(self.world.counts.durable, {})

    def test_slow_volume(self) -> None:
        """One volume's slow operation delays no other, and no read."""
        self.do(self.service.create("other", {}))
        waiting: list[Deferred[Any]] = []

        def slow(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
            if getattr(args[0], "name", "") == "db":
                waiting.append(Deferred())
                return waiting[-1]
            return execute(function, *args)

        service = self.world.start(threads=slow)
        first = Deferred.fromCoroutine(service.mount("db", "c1"))
        second = Deferred.fromCoroutine(service.mount("db", "c2"))
        self.do(service.mount("other", "c3"))
        service.get("db")
        self.assertNoResult(first)
        self.assertNoResult(second)
        waiting[0].callback("/x")
        self.assertEqual(self.successResultOf(first), "/x")


class ReadTests(ServiceCase):
    """Get and List answer from memory."""

    def setUp(self) -> None:
        super().setUp()
        self.do(self.service.create("db", {}))

    def test_trouble(self) -> None:
        """A volume in trouble is found all the same, with the trouble in Status."""
        self.world.settle()
        (self.world.root / "db").rmdir()
        self.world.clock.advance(11)
        self.service.get("db")
        status = self.service.get("db").status
        self.assertIn("is missing", str(status["Health"]))
        self.assertEqual(status["HealthAge"], "0s")

    def test_looked_at_once(self) -> None:
        """A volume that many ask about is looked at once in ten seconds, in the background."""
        self.do(self.service.mount("db", "c1"))
        service = self.world.start()
        for _ in range(5):
            service.get("db")
        self.assertEqual(len(self.world.looks), 1)
        self.world.clock.advance(11)
        service.get("db")
        self.assertEqual(len(self.world.looks), 2)
        service.list()
        self.assertEqual(len(self.world.looks), 2)

    def test_look_overtaken(self) -> None:
        """What a look began to see before a Mount does not hide what the Mount has found."""
        looks: list[Deferred[Any]] = []

        def slow(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
            looks.append(Deferred())
            return looks[-1]

        service = self.world.start(look_threads=slow)
        service.get("db")
        self.do(service.mount("db", "c1"))
        looks[0].callback(("its directory is missing", ""))
        self.assertEqual(service.get("db").status["Health"], "ok")
        self.assertEqual(len(looks), 2)
        looks[1].callback(("", "pid 1"))
        self.assertEqual(service.get("db").status["HeldBy"], "pid 1")

    def test_not_mounted(self) -> None:
        """Who holds a volume that is not mounted is not asked: it costs a look at all mounts."""
        service = self.world.start()
        service.get("db")
        self.assertEqual(service.get("db").status["Health"], "ok")
        self.assertEqual(self.world.looks, [])

    def test_leaked(self) -> None:
        """A count that the kernel does not confirm is said in Status."""
        self.do(self.service.mount("db", "c1"))
        self.service.get("db")
        self.assertIn("never unmounted", str(self.service.get("db").status["HeldBy"]))
        self.world.holders = [Holder((1,), "/data", False)]
        self.world.clock.advance(11)
        self.service.get("db")
        self.assertIn("pid 1 (", str(self.service.get("db").status["HeldBy"]))

    def test_list(self) -> None:
        """List has every volume once, by name, also after a restart."""
        for name in ("zz", "aa"):
            self.do(self.service.create(name, {}))
        self.assertEqual(self.names(), ["aa", "db", "zz"])
        self.assertEqual(listed(self.world.start()), ["aa", "db", "zz"])


class LoadTests(ServiceCase):
    """The start."""

    def test_not_a_volume(self) -> None:
        """A journal with an entry that is no volume stops the start."""
        self.world.catalog = MemoryCatalog({"db": {"what": "ever"}})
        self.assertRaises(ValueError, self.world.start)

    def test_moved_root(self) -> None:
        """Volumes of a root that was moved are where the root is now; others stay."""
        elsewhere = self.world.base / "elsewhere"
        self.do(self.service.create("db", {}))
        self.do(self.service.create("there", {"mountpoint": str(elsewhere)}))
        self.world.root.rename(self.world.base / "moved")
        self.world.name = "moved"
        service = self.world.start()
        self.assertEqual(self.do(service.mount("db", "c1")), str(self.world.base / "moved/db"))
        self.assertEqual(service.path("there"), str(elsewhere))
        self.do(service.remove("db"))
        self.assertEqual(self.world.trash(), ["db"])

    def test_absent_root_during_a_removal(self) -> None:
        """A removal is not taken for done where the root is not mounted; nor is its name free."""
        self.do(self.service.create("db", {}))
        self.world.catalog.durable["db"] = {**self.world.catalog.durable["db"], "removing": True}
        self.world.root.rename(self.world.base / "away")
        service = self.world.start()
        self.assertEqual(listed(service), [])
        text = self.fails(VolumeError, service.create("db", {}))
        self.assertIn("is the file system that holds them mounted?", text)
        self.assertIn("removing", self.world.catalog.durable["db"])
        self.world.root.rmdir()
        (self.world.base / "away").rename(self.world.root)
        self.do(self.world.start().create("db", {}))
        self.assertEqual(self.world.trash(), ["db"])

    def test_absent_root_after_a_creation(self) -> None:
        """A volume is not made again where the root is not mounted: data would go there."""
        self.do(self.service.create("old", {}))
        self.world.settle()
        self.do(self.service.create("db", {}))
        self.world.root.rename(self.world.base / "away")
        service = self.world.start()
        text = self.fails(VolumeError, service.mount("db", "c1"))
        self.assertIn("has nothing of the volume that was made in it", text)
        self.assertEqual(list(self.world.root.iterdir()), [])
        self.world.root.rmdir()
        (self.world.base / "away").rename(self.world.root)
        self.do(self.world.start().mount("db", "c1"))

    def test_half_made(self) -> None:
        """A directory that a crash left half made is cleared."""
        self.do(self.service.create("db", {}))
        staged = self.world.root / ".0123456789abcdef.exampledriver-new"
        staged.mkdir()
        self.world.start()
        self.assertFalse(staged.exists())
        self.assertTrue((self.world.root / "db").is_dir())
