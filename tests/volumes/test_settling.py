"""What the journal has promised is kept, whatever comes between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, execute

from exampledriver.volumes.errors import VolumeError
from exampledriver.volumes.model import SETTLED

from .case import ServiceCase
from .fixtures import listed


class Held:
    """Threads in which one method of the backend waits until it is let go."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.waiting: list[tuple[Deferred[None], Callable[[], Any]]] = []

    def __call__(self, function: Callable[..., Any], *args: object) -> Deferred[Any]:
        if getattr(function, "__name__", "") != self.method:
            return execute(function, *args)
        go: Deferred[None] = Deferred()
        self.waiting.append((go, lambda: function(*args)))
        return go.addCallback(lambda _: function(*args))

    def go(self) -> None:
        """Let the first go that waits."""
        self.waiting.pop(0)[0].callback(None)


class SettlingTests(ServiceCase):
    """Passes."""

    def lost(self, name: str) -> None:
        """Let a crash have undone the creation of a volume's directory."""
        (self.world.root / name).rmdir()

    def test_made_again(self) -> None:
        """A directory that a crash has undone is made again by the start, with its mode."""
        self.do(self.service.create("db", {"mode": "0700"}))
        self.lost("db")
        self.world.start()
        self.assertEqual((self.world.root / "db").stat().st_mode & 0o7777, 0o700)

    def test_taken_away(self) -> None:
        """A new directory that somebody took away, and no crash, is not made again."""
        self.do(self.service.create("db", {}))
        self.lost("db")
        self.assertIn("is missing", self.fails(VolumeError, self.service.mount("db", "c")))
        self.assertFalse((self.world.root / "db").exists())

    def test_settled(self) -> None:
        """What was settled is not made again: it did not vanish by a crash."""
        for name in ("db", "other"):
            self.do(self.service.create(name, {}))
        self.world.settle()
        self.lost("db")
        self.service = self.world.start()
        self.assertFalse((self.world.root / "db").exists())
        self.assertIn("is missing", self.fails(VolumeError, self.service.mount("db", "c")))

    def test_one_record_for_many(self) -> None:
        """A pass tells the journal one thing, however many volumes it has settled."""
        for number in range(20):
            self.do(self.service.create(f"v{number}", {}))
        before = len(self.world.catalog.history)
        self.world.settle()
        self.assertEqual([key for key, _ in self.world.catalog.history[before:]], [SETTLED])

    def test_more_than_a_pass_takes(self) -> None:
        """More volumes than one pass takes are settled, all of them."""
        for number in range(1100):
            self.do(self.service.create(f"v{number}", {}))
        self.world.settle()
        self.lost("v0")
        self.lost("v1099")
        self.world.start()
        self.assertFalse((self.world.root / "v0").exists())
        self.assertFalse((self.world.root / "v1099").exists())

    def test_pass_during_a_creation(self) -> None:
        """A creation that is under way during a pass is not taken for settled."""
        self.do(self.service.create("a", {}))
        self.world.catalog.held = []
        create = Deferred.fromCoroutine(self.service.create("b", {}))
        self.world.settle()
        self.world.catalog.release()
        self.successResultOf(create)
        self.lost("b")
        self.world.start()
        self.assertTrue((self.world.root / "b").exists())

    def test_pass_during_a_removal(self) -> None:
        """A pass leaves a volume alone that is being removed, and the next one settles that."""
        self.do(self.service.create("db", {}))
        self.world.catalog.held = []
        remove = Deferred.fromCoroutine(self.service.remove("db"))
        self.world.settle()
        self.world.catalog.release()
        self.successResultOf(remove)
        self.world.settle()
        self.assertEqual(self.world.trash(), ["db"])
        self.assertNotIn("db", self.world.catalog.durable)

    def test_removal_during_a_pass(self) -> None:
        """A Remove waits for a pass that works on its volume: it would make the directory again."""
        held = Held("settle")
        self.service = self.world.start(threads=held)
        self.do(self.service.create("db", {}))
        self.world.settle()
        remove = Deferred.fromCoroutine(self.service.remove("db"))
        self.assertNoResult(remove)
        held.go()
        self.successResultOf(remove)
        self.assertFalse((self.world.root / "db").exists())

    def test_mount_waits(self) -> None:
        """A Mount is answered when the directory is durable: from then on there may be data."""
        held = Held("settle")
        self.service = self.world.start(threads=held)
        self.do(self.service.create("db", {}))
        mount = Deferred.fromCoroutine(self.service.mount("db", "c1"))
        self.assertNoResult(mount)
        held.go()
        self.successResultOf(mount)

    def test_mount_waits_for_its_own(self) -> None:
        """A Mount among many new volumes waits for its own directory, not for all of them."""
        settled: list[str] = []

        def threads(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
            if getattr(function, "__name__", "") == "settle":
                settled.extend(volume.name for volume in args[0])
            return execute(function, *args)

        self.service = self.world.start(threads=threads)
        for name in ("a", "b", "c"):
            self.do(self.service.create(name, {}))
        self.do(self.service.mount("b", "c1"))
        self.assertEqual(settled, ["b"])
        self.world.settle()
        self.assertEqual(settled, ["b", "a", "c"])

    def test_none_left(self) -> None:
        """A mounted volume is known to be settled, though the one beside it was removed."""
        for name in ("a", "b"):
            self.do(self.service.create(name, {}))
        self.do(self.service.mount("a", "c1"))
        self.do(self.service.remove("b"))
        self.world.settle()
        self.lost("a")
        self.service = self.world.start()
        self.assertFalse((self.world.root / "a").exists())

    def test_passes_wait(self) -> None:
        """While changes go on there is no pass, for five seconds at the most."""
        for number in range(9):
            self.do(self.service.create(f"v{number}", {}))
            self.assertNotIn(SETTLED, self.world.catalog.durable)
            self.world.clock.advance(0.6)
        self.assertIn(SETTLED, self.world.catalog.durable)

    def test_removal_fails(self) -> None:
        """A new volume whose removal fails is as it was: it is settled, and made again."""
        self.do(self.service.create("db", {}))
        (self.world.root / ".trash").write_text("in the way")
        self.fails(VolumeError, self.service.remove("db"))
        self.lost("db")
        (self.world.root / ".trash").unlink()
        self.world.start()
        self.assertTrue((self.world.root / "db").exists())

    def test_cannot(self) -> None:
        """What cannot be settled is tried again, and bars nothing but itself."""
        self.do(self.service.create("a", {}))
        self.do(self.service.create("b", {}))
        self.lost("a")
        (self.world.root / "a").write_text("in the way")
        self.service = self.world.start()
        self.assertIn("not a directory", self.fails(VolumeError, self.service.mount("a", "c")))
        self.do(self.service.mount("b", "c"))
        (self.world.root / "a").unlink()
        self.world.clock.advance(60)
        self.do(self.service.mount("a", "c"))

    def test_stop(self) -> None:
        """After a clean stop nothing is left to settle."""
        self.do(self.service.create("db", {}))
        self.do(self.service.create("gone", {}))
        self.do(self.service.remove("gone"))
        self.do(self.service.settle())
        self.assertEqual(set(self.world.catalog.durable), {"db", SETTLED})
        self.assertEqual(listed(self.world.start()), ["db"])
