"""Release, restore, purge, bring: what an administrator does to volumes."""

from __future__ import annotations

import gc
import json
import os
from datetime import timedelta
from pathlib import Path
from threading import Event

from twisted.internet.defer import Deferred

from exampledriver.backends.bringing import copy
from exampledriver.backends.mounts import Holder
from exampledriver.backends.trash import DELETING, MANIFEST
from exampledriver.plugin.volume import rfc3339
from exampledriver.volumes.administration import A_WHILE
from exampledriver.volumes.errors import (
    BusyError,
    ConflictError,
    InvalidOptionError,
    NoSuchVolumeError,
    VolumeError,
)
from tests.admin.case import AdminCase

HELD = Holder((1,), "/data", True)


class ReleaseTests(AdminCase):
    """Counts that an engine left behind."""

    def mounted(self) -> None:
        """Make a volume, and let two IDs mount it."""
        self.do(self.service.create("db", {}))
        for mount_id in ("c1", "c1", "c2"):
            self.do(self.service.mount("db", mount_id))

    def test_release(self) -> None:
        """All counts are dropped when nobody holds the volume at two looks."""
        self.mounted()
        releasing = Deferred.fromCoroutine(self.administration.release("db", ""))
        self.assertNoResult(releasing)
        self.world.clock.advance(A_WHILE)
        self.assertEqual(self.successResultOf(releasing)["Released"], {"c1": 2, "c2": 1})
        self.assertEqual(self.ledger.of("db"), {})

    def test_one_id(self) -> None:
        """With an ID only its count is dropped, and one that is not counted is refused."""
        self.mounted()
        self.assertIn("counted: c1, c2", self.fails(VolumeError, self.release("c3")))
        releasing = Deferred.fromCoroutine(self.administration.release("db", "c1"))
        self.world.clock.advance(A_WHILE)
        self.assertEqual(self.successResultOf(releasing)["Released"], {"c1": 2})
        self.assertEqual(self.ledger.of("db"), {"c2": 1})

    def release(self, mount_id: str = "") -> object:
        """Begin a release."""
        return self.administration.release("db", mount_id)

    def test_held(self) -> None:
        """While the kernel says that somebody holds it nothing is dropped, at either look."""
        self.mounted()
        self.world.holders = [HELD]
        self.assertIn("at /data", self.fails(BusyError, self.release()))
        self.world.holders = []
        releasing = Deferred.fromCoroutine(self.administration.release("db", ""))
        self.world.holders = [HELD]
        self.world.clock.advance(A_WHILE)
        self.failureResultOf(releasing, BusyError)
        self.assertEqual(self.ledger.of("db"), {"c1": 2, "c2": 1})

    def test_mounted_meanwhile(self) -> None:
        """What is counted after the first look stays counted."""
        self.mounted()
        releasing = Deferred.fromCoroutine(self.administration.release("db", ""))
        self.do(self.service.mount("db", "c1"))
        self.do(self.service.mount("db", "c3"))
        self.world.clock.advance(A_WHILE)
        self.assertEqual(self.successResultOf(releasing)["Released"], {"c1": 2, "c2": 1})
        self.assertEqual(self.ledger.of("db"), {"c1": 1, "c3": 1})

    def test_mounts(self) -> None:
        """What is counted is shown with its IDs and holders; others only when they are named."""
        self.mounted()
        self.do(self.service.create("other", {}))
        self.world.holders = [HELD]
        (shown,) = self.do(self.administration.mounts([]))
        self.assertEqual((shown["Name"], shown["MountIDs"]), ("db", {"c1": 2, "c2": 1}))
        self.assertEqual(shown["HeldBy"], "this host, at /data")
        (shown,) = self.do(self.administration.mounts(["other"]))
        self.assertEqual((shown["Mounts"], shown["HeldBy"]), (0, "this host, at /data"))

    def test_no_answer(self) -> None:
        """A file system that does not answer is named; it is asked once, and nobody waits long."""
        self.mounted()
        asked: list[Deferred[object]] = []

        def hang(*args: object) -> Deferred[object]:
            asked.append(Deferred())
            return asked[-1]

        self.start(looks=hang)
        for _ in range(2):
            showing = Deferred.fromCoroutine(self.administration.mounts([]))
            self.world.clock.advance(2)
            (shown,) = self.successResultOf(showing)
            self.assertIn("does not answer", str(shown["Trouble"]))
        self.assertEqual(len(asked), 1)

    def test_no_memory(self) -> None:
        """Who asks again and again about what does not answer leaves nothing behind."""
        self.mounted()
        self.start(looks=lambda *args: Deferred())

        def waiting() -> int:
            gc.collect()
            return sum(isinstance(one, Deferred) for one in gc.get_objects())

        found = []
        for _ in range(3):
            for call in (self.administration.volumes, self.administration.mounts):
                showing = Deferred.fromCoroutine(call(["db"]))
                self.world.clock.pump([2, 2])
                self.assertEqual(len(self.successResultOf(showing)), 1)
            del showing
            found.append(waiting())
        self.assertEqual(found[1], found[2])


class RestoreTests(AdminCase):
    """The way back from the trash."""

    def content(self, name: str) -> str:
        """Return what is in a volume's file."""
        return (self.world.root / name / "file").read_text()

    def test_same_name(self) -> None:
        """A volume comes back with its data and options, and its slot is gone."""
        self.removed("db", mode="750")
        self.do(self.administration.restore("db", ""))
        self.assertEqual(self.content("db"), "precious")
        self.assertEqual(self.service.about("db").to_json()["options"], {"mode": "0750"})
        self.assertEqual(list((self.world.root / ".trash").iterdir()), [])

    def test_clock_ahead(self) -> None:
        """Of two of a name the one removed last comes back, though the clock was ahead before."""
        ahead = timedelta(days=1)
        self.world.wall += ahead
        self.removed()
        self.world.wall -= ahead
        self.world.uptime += 3600
        self.do(self.service.create("db", {"mode": "0700"}))
        self.do(self.service.remove("db"))
        self.world.settle()
        self.do(self.administration.restore("db", ""))
        self.assertEqual(self.service.about("db").options, {"mode": "0700"})

    def test_labels(self) -> None:
        """Labels that the daemon was told come back with the volume, and outlast a restart."""
        labels = {"com.docker.compose.project": "shop"}
        self.do(self.service.create("db", {}))
        self.assertEqual(self.answered("Label", Name="db", Labels=labels)["Labels"], labels)
        self.start()
        self.do(self.service.remove("db"))
        self.world.settle()
        (one,) = self.answered("Trash")["Trash"]
        self.assertEqual(one["Labels"], labels)
        self.assertEqual(self.answered("Restore", Which="db")["Labels"], labels)
        self.start()
        self.assertEqual(self.service.about("db").labels, labels)
        self.do(self.service.remove("db"))
        self.do(self.service.create("db", {}))
        self.assertEqual(self.service.about("db").labels, {})

    def test_label_refused(self) -> None:
        """Labels that cannot be kept, or not written down, are refused, and change nothing."""
        self.do(self.service.create("db", {}))
        self.answered("Label", Name="db", Labels={"k": "v"})
        self.refused(400, "Label", Name="db", Labels={"k": "x" * 70_000})
        self.refused(400, "Label", Name="db", Labels={"k": 5})
        self.world.catalog.refuse = {"db"}
        self.assertIn("no space", self.refused(500, "Label", Name="db", Labels={}))
        self.assertEqual(self.service.about("db").labels, {"k": "v"})
        self.assertIn("no such volume", self.refused(500, "Label", Name="nix", Labels={}))

    def test_durable(self) -> None:
        """A volume that came back is there after a restart."""
        self.removed()
        self.do(self.administration.restore("db", "new"))
        self.start()
        self.assertEqual(self.administration.names(), ["new"])
        self.assertEqual(self.content("new"), "precious")

    def test_at_once(self) -> None:
        """A removal that the disk does not have yet is not done again to what came back."""
        self.do(self.service.create("db", {}))
        (self.world.root / "db/file").write_text("precious")
        self.do(self.service.remove("db"))
        self.do(self.administration.restore("db", ""))
        self.world.settle()
        self.start()
        self.assertEqual(self.content("db"), "precious")

    def test_several(self) -> None:
        """Of several with a name the last one comes back, and each one by its slot."""
        self.removed()
        self.removed()
        first, second = (str(one["Slot"]) for one in self.do(self.administration.trash()))
        found = self.do(self.administration.restore("db", ""))
        self.assertEqual((found["Slot"], found["Others"]), (second, [first]))
        found = self.do(self.administration.restore(first, "old"))
        self.assertEqual(self.administration.names(), ["db", "old"])

    def test_name_is_taken(self) -> None:
        """A volume that exists is left alone, and so is what is in the trash."""
        self.removed()
        self.do(self.service.create("db", {}))
        text = self.fails(ConflictError, self.administration.restore("db", ""))
        self.assertIn("exists already; give another name", text)
        self.assertEqual(self.world.trash(), ["db"])

    def test_in_the_way(self) -> None:
        """A directory that belongs to no volume is not replaced."""
        self.removed()
        (self.world.root / "db").mkdir()
        text = self.fails(VolumeError, self.administration.restore("db", ""))
        self.assertIn("is in the way", text)
        self.assertEqual(self.world.trash(), ["db"])

    def test_symbolic_link(self) -> None:
        """What an operator put a link in the place of is where the link leads: that is said."""
        elsewhere = self.world.base / "elsewhere"
        elsewhere.mkdir()
        self.do(self.service.create("db", {}))
        (self.world.root / "db").rmdir()
        (self.world.root / "db").symlink_to(elsewhere)
        self.do(self.service.remove("db"))
        text = self.fails(VolumeError, self.administration.restore("db", ""))
        self.assertIn(f"a symbolic link to {elsewhere}", text)
        self.assertIn(f"with -o mountpoint={elsewhere}", text)
        self.assertEqual(self.world.trash(), ["db"])
        self.do(self.administration.create("db", {"mountpoint": str(elsewhere)}, print))

    def test_journal_fails(self) -> None:
        """When the journal cannot be written the data is in the trash as before."""
        self.removed()
        self.world.catalog.refuse.add("db")
        self.assertIn("no space", self.fails(VolumeError, self.administration.restore("db", "")))
        self.assertEqual(self.world.trash(), ["db"])
        self.world.catalog.refuse.clear()
        self.do(self.administration.restore("db", ""))
        self.assertEqual(self.content("db"), "precious")

    def test_cut_short(self) -> None:
        """A restore that a crash cut short after the move is completed by the same call."""
        self.removed()
        (slot,) = (self.world.root / ".trash").iterdir()
        os.rename(slot / "db", self.world.root / "db")
        self.start()
        self.do(self.administration.restore("db", ""))
        self.assertEqual(self.content("db"), "precious")
        self.assertFalse(slot.exists())

    def test_without_manifest(self) -> None:
        """What an older version put into the trash comes back, without options."""
        self.removed("db", mode="750")
        (slot,) = (self.world.root / ".trash").iterdir()
        (slot / MANIFEST).unlink()
        self.do(self.administration.restore("db", ""))
        self.assertEqual(self.content("db"), "precious")

    def test_secret(self) -> None:
        """A secret in the options of what an older version removed is not listed."""
        self.removed()
        (slot,) = (self.world.root / ".trash").iterdir()
        manifest = json.loads((slot / MANIFEST).read_text())
        manifest["options"] = {"mode": "0750", "o": "username=u,password=hunter2"}
        (slot / MANIFEST).write_text(json.dumps(manifest))
        (found,) = self.do(self.administration.trash())
        self.assertEqual(found["Options"], {"mode": "0750", "o": "username=u,password=***"})

    def test_purge(self) -> None:
        """Only what is named, and old enough, is deleted; a name that is not there is refused."""
        self.removed("a")
        self.removed("b")
        said: list[object] = []
        self.fails(NoSuchVolumeError, self.administration.purge(["a", "c"], 0, said.append))
        self.assertEqual(self.world.trash(), ["a", "b"])
        self.do(self.administration.purge(["a"], 0, said.append))
        self.assertEqual(self.world.trash(), ["b"])

    def partly_deleted(self) -> Path:
        """Remove a volume, and let a purge die which has begun to delete it."""
        self.removed("db", mode="750")
        (slot,) = (self.world.root / ".trash").iterdir()
        return slot.rename(f"{slot}{DELETING}")

    def test_partly_deleted(self) -> None:
        """What a purge has begun to delete is shown as such, and not restored as if whole."""
        slot = self.partly_deleted()
        (shown,) = self.do(self.administration.trash())
        self.assertEqual((shown["Name"], shown["State"]), ("db", "partly deleted"))
        self.assertEqual(shown["Slot"], slot.name.removesuffix(DELETING))
        for which in ("db", str(shown["Slot"])):
            text = self.fails(VolumeError, self.administration.restore(which, ""))
            self.assertIn(f'trash restore --partial {shown["Slot"]}"', text)
        self.assertEqual(self.administration.names(), [])

    def test_partly_deleted_and_whole(self) -> None:
        """A name of which the last is partly deleted does not give an older one unasked."""
        self.removed("db")
        (older,) = (str(one["Slot"]) for one in self.do(self.administration.trash()))
        self.do(self.service.create("db", {}))
        self.do(self.service.remove("db"))
        self.world.settle()
        newer = max((self.world.root / ".trash").iterdir())
        newer.rename(f"{newer}{DELETING}")
        text = self.fails(VolumeError, self.administration.restore("db", ""))
        self.assertIn(f"whole are: {older}", text)
        self.do(self.administration.restore(older, ""))
        self.assertEqual(self.content("db"), "precious")

    def test_partial(self) -> None:
        """What is left comes back, with its options, when that is asked for."""
        slot = self.partly_deleted()
        self.do(self.administration.restore("db", "left", True))
        self.assertEqual(self.content("left"), "precious")
        self.assertEqual(self.service.about("left").to_json()["options"], {"mode": "0750"})
        self.assertFalse(slot.exists())

    def test_partial_cut_short(self) -> None:
        """A restore of what is left that a crash cut short is completed by the same call."""
        slot = self.partly_deleted()
        os.rename(slot / "db", self.world.root / "db")
        self.start()
        self.do(self.administration.restore("db", "", True))
        self.assertEqual(self.content("db"), "precious")
        self.assertFalse(slot.exists())

    def test_purge_ends(self) -> None:
        """A purge ends what an earlier one began, also where only newer ones are to stay."""
        self.partly_deleted()
        found = self.do(self.administration.purge([], 1e9, lambda fields: None))
        self.assertEqual([one["Name"] for one in found["Purged"]], ["db"])
        self.assertEqual(list((self.world.root / ".trash").iterdir()), [])

    def test_older_than(self) -> None:
        """What is younger than asked for by one of two clocks is kept, and that is said."""
        self.removed()
        (slot,) = self.trash.slots()
        self.world.wall += timedelta(days=2)
        report = self.do(self.administration.purge([], 86400, lambda fields: None))
        (why,) = (str(one["Why"]) for one in report["Kept"])
        self.assertIn("has run only 0 h 0 min since it was removed", why)
        self.assertIn(f'"exampledriver trash purge {slot.name}"', why)
        self.assertEqual(self.world.trash(), ["db"])
        self.world.uptime += 86400
        report = self.do(self.administration.purge([], 86400, lambda fields: None))
        self.assertEqual((len(report["Purged"]), report["Kept"]), (1, []))

    def test_purged_at(self) -> None:
        """The list says when something is deleted that the wall clock calls older than it is."""
        self.removed()
        self.world.wall += timedelta(days=10)
        (shown,) = self.do(self.administration.trash())
        self.assertEqual(shown["PurgedAt"], rfc3339(self.world.wall + timedelta(days=1)))

    def test_claimed(self) -> None:
        """What is being restored is not purged under it."""
        self.removed()
        (slot,) = (self.world.root / ".trash").iterdir()
        with self.trash.claimed(slot.name):
            found = self.do(self.administration.purge([], 0, lambda fields: None))
        self.assertEqual([one["Name"] for one in found["Kept"]], ["db"])
        self.assertEqual(self.world.trash(), ["db"])


class BringTests(AdminCase):
    """A directory of the host becomes a volume's."""

    def setUp(self) -> None:
        super().setUp()
        self.source = self.world.base / "source"
        (self.source / "sub").mkdir(parents=True)
        (self.source / "file").write_text("precious")
        os.link(self.source / "file", self.source / "sub/link")
        (self.source / "sub/symlink").symlink_to("/etc/passwd")

    def bring(self, move: bool, source: Path | None = None) -> object:
        """Begin to bring a directory."""
        path = str(source or self.source)
        return self.administration.bring("db", {}, path, move, lambda fields: None)

    def test_move(self) -> None:
        """Moved, it is where the volume is, and not where it was."""
        self.do(self.bring(True))
        self.assertEqual((self.world.root / "db/file").read_text(), "precious")
        self.assertFalse(self.source.exists())
        self.start()
        self.assertEqual(self.administration.names(), ["db"])

    def test_copy(self) -> None:
        """Copied, it is in both places, with its links and modes, and its time."""
        os.chmod(self.source, 0o751)
        self.do(self.bring(False))
        there = self.world.root / "db"
        self.assertEqual((self.source / "file").read_text(), "precious")
        self.assertEqual((there / "file").stat().st_nlink, 2)
        self.assertEqual(os.readlink(there / "sub/symlink"), "/etc/passwd")
        self.assertEqual(there.stat().st_mode, self.source.stat().st_mode)
        self.assertEqual(there.stat().st_mtime_ns, self.source.stat().st_mtime_ns)

    def test_copy_unanswered(self) -> None:
        """A copy that a crash left before the journal knew it is no bar to the same again."""
        copy("db", str(self.source), str(self.world.root / "db"), self.trash, Event())
        (self.source / "file").write_text("newer")
        self.do(self.bring(False))
        self.assertEqual((self.world.root / "db/file").read_text(), "newer")
        self.assertEqual(self.world.trash(), ["db"])
        notes = [path.name for path in self.world.root.iterdir() if path.name[0] == "."]
        self.assertEqual(notes, [".trash"])

    def test_copy_fails(self) -> None:
        """A copy that fails leaves nothing behind, and says what failed."""
        target = str(self.world.root / "db")
        asked = "db", "/nonexistent", target, self.trash, Event()
        text = str(self.assertRaises(VolumeError, copy, *asked))
        self.assertIn("/nonexistent", text)
        self.assertEqual([path.name for path in self.world.root.iterdir()], [])

    def test_places(self) -> None:
        """The driver's own directories and the kernel's are not brought, nor is a missing one."""
        for place in (self.world.root, self.world.base / "state", Path("/proc/self"), Path("/")):
            self.fails(InvalidOptionError, self.bring(True, place))
        self.assertIn("No such file", self.fails(VolumeError, self.bring(True, Path("/nix/x"))))

    def test_taken(self) -> None:
        """A name that is taken is refused before anything is touched."""
        self.do(self.service.create("db", {}))
        self.fails(ConflictError, self.bring(True))
        self.assertTrue(self.source.is_dir())
