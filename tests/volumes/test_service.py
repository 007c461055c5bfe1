"""The volume service over real directories: what happens, in which order, and what is left."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from exampledriver.backends.mounts import Holder
from exampledriver.backends.removed import removed
from exampledriver.backends.trash import NOW
from exampledriver.plugin import BadRequest, IVolumeDriver
from exampledriver.volumes.errors import (
    BusyError,
    ConflictError,
    InvalidNameError,
    NoSuchVolumeError,
    VolumeError,
)

from .case import ServiceCase, hang_at
from .fixtures import NOON, listed
from .test_model import BAD_NAMES


class CreateTests(ServiceCase):
    """Create."""

    def test_interface(self) -> None:
        """The service is a volume driver for the helper."""
        verifyObject(IVolumeDriver, self.service)

    def test_directory(self) -> None:
        """A volume is a directory of its name under the root, 0755 unless asked otherwise."""
        self.do(self.service.create("db", {}))
        path = self.world.root / "db"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o755)
        self.assertEqual(self.service.path("db"), str(path))
        self.assertEqual(self.service.get("db").created, NOON.replace(microsecond=0))

    def test_survives(self) -> None:
        """A volume that was created is there after a restart, with options and time."""
        self.do(self.service.create("db", {"mode": "0700"}))
        before = self.service.get("db")
        after = self.world.start().get("db")
        self.assertEqual((after.name, after.mountpoint), (before.name, before.mountpoint))
        self.assertEqual(after.created, before.created)
        self.assertEqual(after.status["Options"], {"mode": "0700"})

    def test_mode_and_owner(self) -> None:
        """Mode, owner and group are applied whatever the umask."""
        uid, gid = (1234, 2345) if os.geteuid() == 0 else (os.getuid(), os.getgid())
        old = os.umask(0o077)
        try:
            options = {"mode": "2775", "uid": str(uid), "gid": str(gid)}
            self.do(self.service.create("db", options))
        finally:
            os.umask(old)
        found = (self.world.root / "db").stat()
        self.assertEqual(
            (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid), (0o2775, uid, gid)
        )

    def test_again(self) -> None:
        """The same Create again succeeds; with other options it fails and names the difference."""
        self.do(self.service.create("db", {"mode": "0700"}))
        self.do(self.service.create("db", {"mode": "700"}))
        text = self.fails(ConflictError, self.service.create("db", {"mode": "0750"}))
        self.assertIn("mode is 0700, asked for is 0750", text)
        self.assertEqual(len(self.world.catalog.history), 1)

    def test_adopts(self) -> None:
        """A directory that is there is adopted with its content; mode and owner stay."""
        path = self.world.root / "db"
        path.mkdir(mode=0o700)
        (path / "data").write_text("kept")
        self.do(self.service.create("db", {"mode": "0777"}))
        self.assertEqual((path / "data").read_text(), "kept")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o700)

    def test_bad_names(self) -> None:
        """A bad name is refused by every call, and nothing is made anywhere."""
        before = sorted(self.world.base.rglob("*"))
        for name in BAD_NAMES:
            for call in (
                self.service.create(name, {}),
                self.service.remove(name),
                self.service.mount(name, "id"),
                self.service.unmount(name, "id"),
            ):
                self.fails(InvalidNameError, call)
            self.assertRaises(InvalidNameError, self.service.get, name)
            self.assertRaises(InvalidNameError, self.service.path, name)
        self.assertEqual(sorted(self.world.base.rglob("*")), before)
        self.assertEqual(self.world.catalog.history, [])

    def test_something_else_is_there(self) -> None:
        """A file or a symbolic link in the directory's place is refused and left alone."""
        (self.world.root / "file").write_text("x")
        (self.world.root / "link").symlink_to("/etc")
        self.assertIn("not a directory", self.fails(VolumeError, self.service.create("file", {})))
        self.assertIn("symbolic link", self.fails(VolumeError, self.service.create("link", {})))
        self.assertEqual(self.names(), [])

    def test_journal_fails(self) -> None:
        """A Create that cannot be journalled leaves no volume and no directory (J2)."""
        self.world.catalog.refuse.add("db")
        self.assertIn("free some", self.fails(VolumeError, self.service.create("db", {})))
        self.assertFalse((self.world.root / "db").exists())
        self.assertEqual(self.names(), [])
        self.assertEqual(listed(self.world.start()), [])

    def test_journal_fails_for_an_adopted_one(self) -> None:
        """A directory that was there before a failed Create stays."""
        (self.world.root / "db").mkdir()
        self.world.catalog.refuse.add("db")
        self.fails(VolumeError, self.service.create("db", {}))
        self.assertTrue((self.world.root / "db").is_dir())

    def test_not_before_the_journal(self) -> None:
        """A volume is published and answered only when it is durable (J1)."""
        self.world.catalog.held = []
        create = Deferred.fromCoroutine(self.service.create("db", {}))
        self.assertNoResult(create)
        self.assertRaises(NoSuchVolumeError, self.service.get, "db")
        self.world.catalog.release()
        self.successResultOf(create)
        self.service.get("db")

    def test_same_name_at_once(self) -> None:
        """Creates of one name at once make one volume, and all succeed."""
        self.world.catalog.held = []
        creates = [Deferred.fromCoroutine(self.service.create("db", {})) for _ in range(20)]
        self.world.catalog.release()
        for create in creates:
            self.successResultOf(create)
        self.assertEqual(len(self.world.catalog.history), 1)

    def test_crash_before_the_journal(self) -> None:
        """A directory that a crash left without an entry is adopted by the same call again."""
        self.world.catalog.held = []
        Deferred.fromCoroutine(self.service.create("db", {"mode": "0700"}))
        self.world.catalog.held = None
        self.service = self.world.start()
        self.assertEqual(self.names(), [])
        self.do(self.service.create("db", {"mode": "0700"}))
        self.assertEqual(stat.S_IMODE((self.world.root / "db").stat().st_mode), 0o700)


class MountpointTests(ServiceCase):
    """The option mountpoint."""

    def create(self, path: object) -> Any:
        """Return a Create with that mountpoint."""
        return self.service.create("db", {"mountpoint": str(path)})

    def test_made_and_kept(self) -> None:
        """A missing directory is made, its parents too, and never deleted."""
        path = self.world.base / "elsewhere/deep/db"
        self.do(self.create(path))
        self.assertEqual(self.service.path("db"), str(path))
        (path / "data").write_text("kept")
        self.do(self.service.remove("db"))
        self.assertEqual((path / "data").read_text(), "kept")
        self.assertEqual(self.world.trash(), [])
        self.assertEqual(listed(self.world.start()), [])

    def test_refused(self) -> None:
        """Places of the kernel, of the boot and of the driver are refused, by any way to them."""
        links = self.world.base / "links"
        links.mkdir()
        (links / "run").symlink_to("/run")
        shared = Path("/dev/shm", f"xd-{os.getpid()}-{self.world.base.parent.name}")
        (links / "state").symlink_to(self.world.base / "state")
        for path in (
            "/", "//", "/proc", "/proc/self", "/sys/fs", shared, "/run", "/run/x",
            "/tmp/../run/x", links / "run" / "x", links / "state" / "x",
            self.world.base / "state", self.world.base / "run/x", self.world.base,
            self.world.root, self.world.root / "db", self.world.root / ".trash" / "x",
        ):  # fmt: skip
            text = self.fails(BadRequest, self.create(path))
            self.assertIn("option mountpoint=", text)
        self.assertEqual(self.names(), [])
        self.assertFalse(shared.exists())

    def test_symbolic_link(self) -> None:
        """Symbolic links are resolved once, at creation, and stored resolved."""
        real, link = self.world.base / "real", self.world.base / "link"
        real.mkdir()
        link.symlink_to(real)
        self.do(self.create(link / "db"))
        self.assertEqual(self.service.path("db"), str(real / "db"))
        self.do(self.create(real / "db"))
        self.assertEqual(self.service.get("db").status["Options"], {"mountpoint": str(real / "db")})

    def test_turned_into_a_link(self) -> None:
        """A directory that became a symbolic link is not mounted, and Get says why."""
        path = self.world.base / "data"
        self.do(self.create(path))
        path.rmdir()
        path.symlink_to("/etc")
        self.assertIn("symbolic link", self.fails(VolumeError, self.service.mount("db", "id")))


class RemoveTests(ServiceCase):
    """Remove."""

    def setUp(self) -> None:
        super().setUp()
        self.do(self.service.create("db", {"mode": "0700"}))
        (self.world.root / "db" / "data").write_text("precious")

    def test_trash(self) -> None:
        """The data goes to the trash under its name, and the name is free."""
        self.do(self.service.remove("db"))
        self.assertFalse((self.world.root / "db").exists())
        (kept,) = self.world.root.glob(".trash/*/db/data")
        self.assertEqual(kept.read_text(), "precious")
        self.assertEqual(stat.S_IMODE((self.world.root / ".trash").stat().st_mode), 0o700)
        self.assertRaises(NoSuchVolumeError, self.service.get, "db")
        self.assertEqual(self.world.purged, 1)
        manifest = json.loads((kept.parents[1] / ".volume.json").read_text())
        self.assertEqual((manifest["name"], manifest["options"]), ("db", {"mode": "0700"}))

    def test_same_name_again(self) -> None:
        """A name that comes again is a new, empty volume; the trash keeps both."""
        self.do(self.service.remove("db"))
        self.do(self.service.create("db", {}))
        self.assertEqual(list((self.world.root / "db").iterdir()), [])
        self.do(self.service.remove("db"))
        self.assertEqual(self.world.trash(), ["db", "db"])

    def test_longest_name(self) -> None:
        """A name of 255 characters fits into the trash."""
        self.do(self.service.create("x" * 255, {}))
        self.do(self.service.remove("x" * 255))
        self.assertEqual(self.world.trash(), ["x" * 255])

    def test_unknown(self) -> None:
        """Removing what does not exist succeeds, and touches nothing that lies there."""
        (self.world.root / "stray").mkdir()
        self.do(self.service.remove("stray"))
        self.assertTrue((self.world.root / "stray").is_dir())

    def test_missing_directory(self) -> None:
        """A volume whose directory is gone can be removed."""
        (self.world.root / "db" / "data").unlink()
        (self.world.root / "db").rmdir()
        self.do(self.service.remove("db"))
        self.assertEqual(self.names(), [])

    def test_in_use(self) -> None:
        """What the kernel says is in use is refused with who uses it, and stays as it is."""
        self.world.holders = [Holder((os.getpid(),), "/data", False)]
        text = self.fails(BusyError, self.service.remove("db"))
        self.assertIn(f"in use by pid {os.getpid()} (", text)
        self.assertTrue((self.world.root / "db" / "data").exists())
        self.assertEqual(self.names(), ["db"])

    def test_count_alone(self) -> None:
        """A count alone refuses nothing; it goes with the volume."""
        self.do(self.service.mount("db", "leaked"))
        self.do(self.service.remove("db"))
        self.do(self.service.create("db", {}))
        self.assertEqual(self.service.get("db").status["Mounts"], 0)
        self.assertEqual(self.world.counts.durable, {})

    def test_journal_fails(self) -> None:
        """A Remove that cannot be journalled has not happened (J2)."""
        self.world.catalog.refuse.add("db")
        self.fails(VolumeError, self.service.remove("db"))
        self.assertTrue((self.world.root / "db" / "data").exists())
        self.service.get("db")
        self.world.start().get("db")

    def move_fails(self) -> None:
        """Put a file where the trash would be."""
        (self.world.root / ".trash").write_text("in the way")

    def test_move_fails(self) -> None:
        """A Remove whose data cannot be moved has not happened, now and after a restart (J2)."""
        self.move_fails()
        self.assertIn("moving to the trash", self.fails(VolumeError, self.service.remove("db")))
        self.service.get("db")
        self.assertNotIn("removing", self.world.catalog.durable["db"])
        self.world.start().get("db")

    def test_move_and_journal_fail(self) -> None:
        """... and if the journal cannot be told, the error says what the next start does."""
        self.move_fails()
        self.world.catalog.held = []
        remove = Deferred.fromCoroutine(self.service.remove("db"))
        self.world.catalog.refuse.add("db")
        self.world.catalog.held.pop()()
        text = str(self.failureResultOf(remove, VolumeError).value)
        self.assertIn("the next start removes the volume, its data into the trash", text)
        self.service.get("db")

    def test_crash_after_the_journal(self) -> None:
        """A removal that the journal has is completed by the next start, into the trash."""
        self.service = self.world.start(threads=hang_at("remove"))
        Deferred.fromCoroutine(self.service.remove("db"))
        self.assertIn("removing", self.world.catalog.durable["db"])
        self.assertTrue((self.world.root / "db").exists())
        self.assertEqual(listed(self.world.start()), [])
        self.assertEqual(self.world.trash(), ["db"])
        self.assertNotIn("db", self.world.catalog.durable)

    def bare(self) -> list[str]:
        """Return what was removed without the trash, and is to be deleted."""
        return [path.name for path in self.world.root.glob(f".trash/*{NOW}/*")]

    def test_now(self) -> None:
        """Without the trash the data is moved in one step, where it can only be deleted."""
        self.do(self.service.remove("db", now=True))
        self.assertEqual((self.names(), self.bare()), ([], ["data"]))
        self.assertEqual(removed(self.world.new_trash()), [])
        self.world.settle()
        self.assertNotIn("db", self.world.catalog.durable)

    def test_now_in_use(self) -> None:
        """What is in use is refused without the trash as well."""
        self.world.holders = [Holder((os.getpid(),), "/data", False)]
        self.fails(BusyError, self.service.remove("db", now=True))
        self.assertTrue((self.world.root / "db/data").exists())

    def test_now_journal_fails(self) -> None:
        """A removal without the trash that cannot be journalled has not happened (J2)."""
        self.world.catalog.refuse.add("db")
        self.fails(VolumeError, self.service.remove("db", now=True))
        self.assertTrue((self.world.root / "db/data").exists())
        self.world.start().get("db")

    def test_now_move_fails(self) -> None:
        """A removal without the trash that cannot move the data has not happened (J2)."""
        self.move_fails()
        self.fails(VolumeError, self.service.remove("db", now=True))
        self.assertTrue((self.world.root / "db/data").exists())
        self.assertNotIn("removing", self.world.catalog.durable["db"])

    def test_now_crash_before_the_move(self) -> None:
        """Cut off before the move, it is completed by the next start, into the trash."""
        self.service = self.world.start(threads=hang_at("remove"))
        Deferred.fromCoroutine(self.service.remove("db", now=True))
        self.assertIn("removing", self.world.catalog.durable["db"])
        self.assertEqual(listed(self.world.start()), [])
        self.assertEqual((self.world.trash(), self.bare()), (["db"], []))

    def test_now_crash_after_the_move(self) -> None:
        """Cut off after the move, it is done, and the name is free."""
        self.do(self.service.remove("db", now=True))
        self.assertIn("removing", self.world.catalog.durable["db"])
        service = self.world.start()
        self.assertEqual((listed(service), self.bare()), ([], ["data"]))
        self.do(service.create("db", {}))
        self.assertEqual(list((self.world.root / "db").iterdir()), [])

    def test_name_again_before_the_move_is_durable(self) -> None:
        """A name comes again only when its removal is durable on the disk.

        A crash that undoes the move would show the old data in the new volume.
        """
        synced: list[str] = []
        fsync = os.fsync

        def note(fd: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{fd}"))
            fsync(fd)

        self.patch(os, "fsync", note)
        self.do(self.service.remove("db"))
        self.assertEqual(synced, [])
        self.do(self.service.create("db", {}))
        self.assertIn(str(self.world.root), synced)
        self.assertIn(str(self.world.root / ".trash"), synced)
        self.assertEqual(self.world.start().get("db").status["Options"], {})
