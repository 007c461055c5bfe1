"""Copies and the service: what is held, refused, journalled and taken back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute
from zope.interface.verify import verifyObject

from exampledriver.admin.interfaces import ICopying
from exampledriver.backends.copying import placing
from exampledriver.backends.copying.copiers import TreeCopier
from exampledriver.backends.copying.notes import write_note
from exampledriver.backends.copying.progress import Progress
from exampledriver.backends.copying.trees import Copied
from exampledriver.backends.directory import DirectoryBackend
from exampledriver.backends.mounts import Holder
from exampledriver.volumes.errors import (
    BusyError,
    ConflictError,
    InvalidNameError,
    InvalidOptionError,
    NoSuchVolumeError,
    VolumeError,
)
from exampledriver.volumes.origins import ICloner
from tests.admin.case import AdminCase, lines
from tests.plugin.memory import post

HELD = Holder((1,), "/data", True)


def untold(fields: object) -> None:
    """Take a report."""


def filled(volume: object, content: Path, scratch: Path) -> Copied:
    """Make data, which is not to be asked for."""
    raise AssertionError("data was asked for")


def let_go(done: Deferred[Any], function: Callable[..., Any], *args: object) -> None:
    """Do a work of a thread, and tell who waits."""
    execute(function, *args).chainDeferred(done)


class CopiesCase(AdminCase):
    """A volume ``db`` with a file in it."""

    def setUp(self) -> None:
        super().setUp()
        self.do(self.service.create("db", {}))
        self.root = self.world.root
        (self.root / "db/file").write_text("old")

    def value(self, name: str = "db") -> str:
        """Return what a volume holds."""
        return (self.root / name / "file").read_text()

    def snapshot(self, label: str = "first") -> Any:
        """Make a snapshot."""
        return self.do(self.copies.snapshot("db", label, untold))

    def entries(self) -> set[str]:
        """Return the names in the root, but for the trash's and the snapshots'."""
        return set(os.listdir(self.root)) - {".trash", ".snapshots"}

    def holding(self) -> list[Callable[[], None]]:
        """Let the copying threads wait; return what lets each work go."""
        held: list[Callable[[], None]] = []

        def threads(function: Callable[..., Any], *args: object) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            held.append(lambda: let_go(done, function, *args))
            return done

        self.copies._threads = threads
        return held


class SnapshotTests(CopiesCase):
    """Snapshots and rollbacks."""

    def test_interfaces(self) -> None:
        """Copies are what the routes and the service ask for."""
        verifyObject(ICopying, self.copies)
        verifyObject(ICloner, self.copies)

    def test_consistency(self) -> None:
        """A snapshot is exact when nobody uses the volume, by count or by the kernel."""
        self.assertEqual(self.snapshot("free")["Consistency"], "exact")
        self.world.holders = [HELD]
        self.assertEqual(self.snapshot("held")["Consistency"], "file by file")
        self.world.holders = []
        self.do(self.service.mount("db", "c1"))
        self.assertEqual(self.snapshot("counted")["Consistency"], "file by file")

    def test_roll_back(self) -> None:
        """A rollback is refused while the volume is used, and puts aside what the volume had."""
        self.snapshot()
        (self.root / "db/file").write_text("new")
        roll_back = self.copies.roll_back
        self.world.holders = [HELD]
        self.assertIn("at /data", self.fails(BusyError, roll_back("db", "first", untold)))
        self.world.holders = []
        self.do(self.service.mount("db", "c1"))
        self.assertIn("1 mounts", self.fails(BusyError, roll_back("db", "first", untold)))
        self.assertEqual(self.value(), "new")
        self.do(self.service.unmount("db", "c1"))
        self.do(roll_back("db", "first", untold))
        self.assertEqual((self.value(), self.world.trash()), ("old", ["db"]))

    def test_another_root(self) -> None:
        """In a directory that took the root's place nothing is copied, wherever its source is."""
        place = self.world.base / "place"
        self.do(self.service.create("away", {"mountpoint": str(place)}))
        self.root.rename(self.world.base / "unmounted")
        self.root.mkdir()
        filling = self.copies._origin("filling", filled, "directory", Progress())
        for work in (
            self.copies.snapshot("away", "first", untold),
            self.service.create("copy", {"from": "away"}),
            self.service.create("copy", {}, filling),
        ):
            self.assertIn("is not the directory that it was", self.fails(VolumeError, work))
        self.assertEqual(os.listdir(self.root), [])

    def test_elsewhere(self) -> None:
        """A volume elsewhere has snapshots and clones, and is not rolled back."""
        place = self.world.base / "elsewhere"
        self.do(self.service.create("away", {"mountpoint": str(place)}))
        (place / "file").write_text("away")
        self.do(self.copies.snapshot("away", "first", untold))
        text = self.fails(VolumeError, self.copies.roll_back("away", "first", untold))
        self.assertIn("only a volume there can be rolled back", text)
        self.do(self.service.create("copy", {"from": "away"}))
        self.assertEqual(self.value("copy"), "away")

    def test_gone(self) -> None:
        """A volume whose directory is missing is not copied."""
        (self.root / "db").rename(self.root / "moved")
        text = self.fails(VolumeError, self.copies.snapshot("db", "first", untold))
        self.assertIn("is missing", text)

    def test_no_name(self) -> None:
        """What cannot be a volume's name leads to no snapshots elsewhere: a container makes any."""
        (self.root / "db/snapshot.json").write_text("{}")
        for call in (
            self.copies.snapshots(".."),
            self.copies.delete_snapshot("..", "db", untold),
            self.copies.export("..", "db", ".x01234567", untold),
        ):
            self.fails(InvalidNameError, call)
        self.assertEqual(self.value(), "old")

    def begun(self, call: Any) -> tuple[Deferred[Any], Callable[[], None]]:
        """Begin a copy; return its answer, and what lets its work be done."""
        held = self.holding()
        made = Deferred.fromCoroutine(call)

        def go_on() -> None:
            while held:
                held.pop(0)()

        return made, go_on

    def test_held(self) -> None:
        """A volume is mounted, unmounted and shown while it is copied; its copy then says so."""
        made, go_on = self.begun(self.copies.snapshot("db", "first", untold))
        self.assertEqual(self.do(self.service.mount("db", "c1")), self.service.path("db"))
        self.do(self.service.unmount("db", "c1"))
        self.assertEqual(self.service.get("db").name, "db")
        self.assertNoResult(made)
        go_on()
        self.assertEqual(self.successResultOf(made)["Consistency"], "file by file")

    def test_threads(self) -> None:
        """A copy that waits for others' threads keeps no Mount, and no question, waiting."""
        self.do(self.service.create("other", {}))
        self.snapshot()
        made, go_on = self.begun(self.copies.snapshot("db", "second", untold))
        self.do(self.service.mount("db", "c1"))
        self.assertEqual(len(self.do(self.copies.snapshots("db"))), 1)
        self.do(self.service.create("copy", {"from": "other"}))
        self.assertNoResult(made)
        go_on()
        self.successResultOf(made)

    def test_not_counted(self) -> None:
        """A Mount that cannot be counted leaves a volume mounted that is being copied."""
        unmounted: list[str] = []
        self.patch(DirectoryBackend, "unmount", lambda _, volume: unmounted.append(volume.name))
        made, go_on = self.begun(self.copies.snapshot("db", "first", untold))
        self.world.counts.refuse.add("db")
        self.fails(VolumeError, self.service.mount("db", "c1"))
        self.assertEqual(unmounted, [])
        go_on()
        self.successResultOf(made)
        self.assertEqual(unmounted, ["db"])

    def test_not_meanwhile(self) -> None:
        """A volume that is copied is not removed, resized or rolled back, and the error says so."""
        self.snapshot()
        made, go_on = self.begun(self.copies.snapshot("db", "second", untold))
        for done, call in (
            ("removed", self.service.remove("db")),
            ("resized", self.service.resize("db", "1G")),
        ):
            text = self.fails(BusyError, call)
            self.assertIn(f'volume "db": not {done}, it is being copied', text)
        rolled = Deferred.fromCoroutine(self.copies.roll_back("db", "first", untold))
        self.assertNoResult(rolled)
        go_on()
        self.assertEqual(self.successResultOf(made)["Consistency"], "exact")
        go_on()
        self.successResultOf(rolled)
        self.do(self.service.remove("db"))

    def test_exports(self) -> None:
        """An export keeps a rollback from the volume; no copy waits for it, or its threads."""
        self.snapshot()
        sending: list[Deferred[Any]] = []

        def send(function: Callable[..., Any]) -> Deferred[Any]:
            sending.append(Deferred())
            return sending[0]

        self.copies._sending = send
        made = Deferred.fromCoroutine(self.copies.export("db", "", ".x01234567", untold))
        text = self.fails(BusyError, self.copies.roll_back("db", "first", untold))
        self.assertIn("not rolled back, it is being copied", text)
        self.assertEqual(self.snapshot("second")["Consistency"], "exact")
        self.assertNoResult(made)
        sending[0].errback(VolumeError("nobody listens there"))
        self.failureResultOf(made, VolumeError)
        self.do(self.service.remove("db"))

    def test_stop(self) -> None:
        """What is under way when the daemon stops is undone, and what comes is refused."""
        held = self.holding()
        made = Deferred.fromCoroutine(self.copies.snapshot("db", "first", untold))
        self.copies.stop()
        held.pop()()
        self.assertIn("stopped", str(self.failureResultOf(made, VolumeError).value))
        self.assertEqual(list(self.root.glob(".snapshots/*/*")), [])

    def long(self, call: str, **fields: object) -> Any:
        """Return the last line of a call's answer, which has others that tell of the work."""
        self.client.feed(post(f"Admin.{call}", fields))
        begun, *_, last = lines(self.client.received())
        self.assertEqual(begun["Progress"]["Volume"], "db")
        return last

    def test_routes(self) -> None:
        """The routes make, list and delete snapshots; a channel's name is no path."""
        self.assertEqual(self.long("Snapshot", Name="db", Label="first")["Method"], "copy")
        (shown,) = self.answered("Snapshots", Name="db")["Snapshots"]
        self.assertEqual((shown["Label"], shown["Files"]), ("first", 1))
        self.assertEqual(self.long("Rollback", Name="db", Label="first")["Files"], 1)
        self.long("DeleteSnapshot", Name="db", Label="first")
        self.assertEqual(self.answered("Snapshots", Name="db")["Snapshots"], [])
        for channel in ("../x", ".x0123456", "/run/x"):
            text = self.refused(400, "Export", Name="db", Channel=channel)
            self.assertIn('"Channel" is not', text)
        answer = self.long("Export", Name="db", Channel=".x01234567")
        self.assertIn("who asked does not listen there", answer["Err"])


class CloneTests(CopiesCase):
    """The option from."""

    def test_clone(self) -> None:
        """A clone has the data, its option is kept, and no note stays."""
        self.do(self.service.create("copy", {"from": "db"}))
        self.assertEqual(self.value("copy"), "old")
        self.assertEqual(self.world.catalog.durable["copy"]["options"], {"from": "db"})
        self.assertEqual(self.entries(), {"db", "copy"})

    def test_again(self) -> None:
        """The same again is a success, without its source too; without the option it is not."""
        self.do(self.service.create("copy", {"from": "db"}))
        self.do(self.service.remove("db"))
        (self.root / "copy/file").write_text("mine")
        self.start()
        self.do(self.service.create("copy", {"from": "db"}))
        self.assertEqual(self.value("copy"), "mine")
        self.assertIn("from is db", self.fails(ConflictError, self.service.create("copy", {})))

    def test_snapshot(self) -> None:
        """A clone of a snapshot has the data of that time."""
        self.snapshot()
        (self.root / "db/file").write_text("new")
        self.do(self.service.create("copy", {"from": "db@first"}))
        self.assertEqual(self.value("copy"), "old")

    def test_check(self) -> None:
        """A Create is judged without copying: the source must be there."""
        self.assertFalse(self.do(self.service.check("copy", {"from": "db"})))
        text = self.fails(InvalidOptionError, self.service.check("copy", {"from": "db@nix"}))
        self.assertIn('option from="db@nix": volume "db" has no snapshot "nix"', text)
        self.assertEqual(self.entries(), {"db"})

    def test_journal_fails(self) -> None:
        """A clone that cannot be journalled is taken back whole."""
        self.world.catalog.refuse = {"copy"}
        self.fails(VolumeError, self.service.create("copy", {"from": "db"}))
        self.assertEqual(self.entries(), {"db"})

    def test_crash(self) -> None:
        """A clone that a crash kept from the journal goes to the trash, and is made anew."""
        copier = TreeCopier()
        origin = self.copies._origin(
            "copying",
            lambda volume, content, scratch: copier.copy(self.root / "db", content, Progress()),
            "directory",
            Progress(),
        )
        volume = self.service.about("db")
        placed = type(volume)("copy", str(self.root / "copy"), volume.created, {})
        origin.bring(placed)
        self.start()
        self.copies.clear()
        (self.root / "db/file").write_text("new")
        self.do(self.service.create("copy", {"from": "db"}))
        self.assertEqual((self.value("copy"), self.world.trash()), ("new", ["copy"]))
        self.assertEqual(self.entries(), {"db", "copy"})

    def test_in_the_way(self) -> None:
        """A directory that nobody noted is neither adopted nor touched."""
        (self.root / "copy").mkdir()
        (self.root / "copy/file").write_text("theirs")
        text = self.fails(VolumeError, self.service.create("copy", {"from": "db"}))
        self.assertIn("is in the way and belongs to no volume", text)
        self.assertEqual(self.value("copy"), "theirs")

    def test_two(self) -> None:
        """Two volumes that are to be clones of each other do not wait for ever."""
        one = Deferred.fromCoroutine(self.service.create("a", {"from": "b"}))
        other = Deferred.fromCoroutine(self.service.create("b", {"from": "a"}))
        for made in (one, other):
            self.failureResultOf(made, InvalidOptionError)
        self.fails(InvalidOptionError, self.service.create("a", {"from": "a"}))

    def test_itself(self) -> None:
        """A volume that is made again of its own snapshot, and a snapshot, do not wait for ever."""
        self.snapshot()
        self.world.catalog.held = []
        removed = Deferred.fromCoroutine(self.service.remove("db"))
        made = Deferred.fromCoroutine(self.service.create("db", {"from": "db@first"}))
        another = Deferred.fromCoroutine(self.copies.snapshot("db", "second", untold))
        self.world.catalog.release()
        self.successResultOf(removed)
        text = str(self.failureResultOf(made, BusyError).value)
        self.assertIn("something is done with its snapshots", text)
        self.failureResultOf(another, NoSuchVolumeError)
        self.do(self.service.create("db", {"from": "db@first"}))
        self.assertEqual(self.value(), "old")

    def test_restored(self) -> None:
        """A removed clone comes back as it was, and is not copied again."""
        self.do(self.service.create("copy", {"from": "db"}))
        (self.root / "copy/file").write_text("mine")
        self.do(self.service.remove("copy"))
        self.world.settle()
        self.answered("Restore", Which="copy")
        self.assertEqual(self.value("copy"), "mine")

    def test_notes(self) -> None:
        """A note of a volume that the journal knows goes at the start; others stay."""
        for name in ("db", "nix"):
            write_note(placing._note(self.root / name), {"name": name, "identity": "1"})
        self.start()
        self.copies.clear()
        self.assertEqual(len(self.entries()), 2)

    def test_no_source(self) -> None:
        """A volume that is not there has no snapshots."""
        self.fails(NoSuchVolumeError, self.copies.snapshots("nix"))
        self.assertFalse(Path(self.root, ".snapshots").exists())
