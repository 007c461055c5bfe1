"""List: what is kept of each volume, and when it is made anew."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from exampledriver.volumes import listing
from exampledriver.volumes.listing import Listing
from exampledriver.volumes.service import VolumeService

from .case import ServiceCase
from .fixtures import listed, shown


class ListingTests(ServiceCase):
    """The List of a service."""

    def shown(self, service: VolumeService | None = None) -> dict[str, Any]:
        """Return what List shows of each volume."""
        return shown((service or self.service).list())

    def test_as_get(self) -> None:
        """List shows what Get shows, without the health that was looked at."""
        self.do(self.service.create("db", {"mode": "0700"}))
        self.do(self.service.mount("db", "c1"))
        volume = self.service.get("db")
        health = ("Health", "HealthAge", "HeldBy")
        status = {key: value for key, value in volume.status.items() if key not in health}
        shown = self.shown()["db"]
        self.assertEqual((shown["Mountpoint"], shown["Status"]), (volume.mountpoint, status))

    def test_every_change(self) -> None:
        """Each change is seen by the next List: creation, mount, unmount, removal, again."""
        for _ in range(2):
            self.do(self.service.create("db", {}))
            self.assertEqual(self.shown()["db"]["Status"]["Mounts"], 0)
            for count in (1, 2):
                self.do(self.service.mount("db", "c1"))
                self.assertEqual(self.shown()["db"]["Status"]["MountIDs"], {"c1": count})
            for count in (1, 0):
                self.do(self.service.unmount("db", "c1"))
                self.assertEqual(self.shown()["db"]["Status"]["Mounts"], count)
            self.do(self.service.remove("db"))
            self.assertEqual(self.shown(), {})

    def test_order(self) -> None:
        """The order is by name, whatever was made, removed and listed in between."""
        for name in ("m", "z", "a"):
            self.do(self.service.create(name, {}))
        self.assertEqual(listed(self.service), ["a", "m", "z"])
        self.do(self.service.remove("m"))
        self.do(self.service.create("b", {}))
        self.assertEqual(listed(self.service), ["a", "b", "z"])
        self.do(self.service.remove("a"))
        self.do(self.service.create("a", {}))
        self.assertEqual(listed(self.service), ["a", "b", "z"])

    def test_kept(self) -> None:
        """A piece in which nothing has changed is not made again."""
        self.patch(listing, "_PIECE", 1)
        for name in ("a", "b"):
            self.do(self.service.create(name, {}))
        listed(self.service)
        made: list[str] = []
        real = listing.status_of

        def noted(volume: Any, counts: Any) -> dict[str, object]:
            made.append(volume.name)
            return real(volume, counts)

        self.patch(listing, "status_of", noted)
        listed(self.service)
        self.do(self.service.mount("b", "c1"))
        listed(self.service)
        self.assertEqual(made, ["b"])


class ManyTests(ServiceCase):
    """More volumes than are made ready within one turn of the reactor."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(listing, "_PIECE", 3)
        self.patch(listing, "_AT_ONCE", 1)
        for number in range(10):
            self.do(self.service.create(f"v{number}", {}))
        self.waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.listing = Listing(self.service._state.volumes, self.service._ledger, self.later)
        self.service._state.listing = self.listing

    def later(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Wait, as a thread that the test runs."""
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, lambda: function(*args)))
        return done

    def run_one(self) -> None:
        """Let what waits in the thread be done."""
        done, work = self.waiting.pop(0)
        done.callback(work())

    def waited(self, answer: Any) -> dict[str, Any]:
        """Return what a List that was waited for shows of each volume."""
        while self.waiting:
            self.run_one()
        return shown(answer if isinstance(answer, list) else self.successResultOf(answer))

    def test_slices(self) -> None:
        """They are made in a thread, few at a time, once."""
        answer = self.service.list()
        for _ in range(4):
            self.assertEqual(len(self.waiting), 1)
            self.run_one()
        self.assertEqual(list(self.waited(answer)), [f"v{number}" for number in range(10)])
        self.assertEqual(len(listed(self.service)), 10)

    def test_shared(self) -> None:
        """Lists that come meanwhile make nothing again: they wait, and share the same bytes."""
        answers: list[Any] = [self.service.list() for _ in range(3)]
        for _ in range(4):
            self.assertEqual(len(self.waiting), 1)
            self.run_one()
        found = [self.successResultOf(answer) for answer in answers]
        for one, other in zip(found[0], found[2], strict=True):
            self.assertIs(one, other)

    def test_changes_meanwhile(self) -> None:
        """What changes while the thread is at work is shown as it is at the end."""
        answer = self.service.list()
        self.do(self.service.mount("v0", "c1"))
        self.do(self.service.remove("v1"))
        self.do(self.service.remove("v9"))
        self.do(self.service.create("v1", {"mode": "0700"}))
        self.do(self.service.create("new", {}))
        while self.waiting:
            self.run_one()
        volumes = self.waited(answer)
        self.assertEqual(sorted(volumes), ["new", *(f"v{number}" for number in range(9))])
        self.assertEqual(volumes["v0"]["Status"]["MountIDs"], {"c1": 1})
        self.assertEqual(volumes["v1"]["Status"]["Options"], {"mode": "0700"})

    def test_pieces(self) -> None:
        """However many volumes come and go, List shows those that are there, in order."""
        self.waited(self.listing.all())
        random = Random(7)
        there = {f"v{number}" for number in range(10)}
        for _ in range(300):
            name = f"n{random.randrange(40):02}"
            if name in there:
                self.do(self.service.remove(name))
                there.remove(name)
            else:
                self.do(self.service.create(name, {}))
                there.add(name)
            if random.random() < 0.2:
                self.assertEqual(list(self.waited(self.listing.all())), sorted(there))
                sizes = [len(piece.names) for piece in self.listing._pieces]
                self.assertLessEqual(max(sizes), 6)
        for name in there:
            self.do(self.service.remove(name))
        self.assertEqual(listed(self.service), [])
