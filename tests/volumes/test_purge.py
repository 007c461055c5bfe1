"""The trash and the task that empties it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.internet.defer import execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends import ages, trash
from exampledriver.backends.mounts import Holder
from exampledriver.backends.removed import removed
from exampledriver.backends.trash import DELETING, MANIFEST, Trash, free_slot_name
from exampledriver.settings import parse_retention
from exampledriver.volumes.purge import TrashPurger
from tests.volumes.fixtures import NOON


class RetentionTests(SynchronousTestCase):
    """--trash-retention."""

    def test_good(self) -> None:
        """Numbers of s, m, h and d, zero, and forever."""
        for text, seconds in (("0", 0), ("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800)):
            self.assertEqual(parse_retention(text), timedelta(seconds=seconds))
        self.assertIs(parse_retention("forever"), None)

    def test_bad(self) -> None:
        """Anything else is an error that says what is good."""
        for text in ("", "24", "-1h", "1w", "1.5h", "999999999d", "h", "\u0663h"):
            self.assertIn("24h", str(self.assertRaises(ValueError, parse_retention, text)))


class PurgeCase(SynchronousTestCase):
    """A trash with clocks of its own."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir()
        self.clock = Clock()
        self.boot, self.rest = "boot-1", timedelta()
        self.wall = NOON
        self.trash = self.new_trash()

    def new_trash(self) -> Trash:
        """Return the trash, as a daemon that has just started."""
        return Trash(self.root, now=lambda: self.wall, uptime=self.uptime)

    def uptime(self) -> tuple[str, float]:
        """Return the boot, and its seconds."""
        return self.boot, self.rest.total_seconds()

    def pass_time(self, passed: timedelta) -> None:
        """Let time pass, of which all clocks know."""
        self.wall += passed
        self.rest += passed
        self.clock.advance(passed.total_seconds())

    def removed(self, name: str) -> None:
        """Put a volume with a file into the trash."""
        (self.root / name).mkdir()
        (self.root / name / "data").write_text("x")
        self.trash.put(self.root / name, b"{}")

    def left(self) -> set[str]:
        """Return the names in the trash."""
        return {path.name for path in self.root.glob(".trash/*/*")} - {MANIFEST}

    def purger(self, retention: str) -> TrashPurger:
        """Return a purger that has been started."""
        purger = TrashPurger(self.trash, parse_retention(retention), execute, self.clock)
        purger.startService()
        self.addCleanup(purger.stopService)
        return purger


class PurgeTests(PurgeCase):
    """What is deleted for good, and when."""

    def test_age(self) -> None:
        """What is older than the retention goes, at the start and every hour; nothing else."""
        self.removed("old")
        self.pass_time(timedelta(hours=2))
        self.removed("young")
        self.pass_time(timedelta(hours=23))
        self.purger("24h")
        self.assertEqual(self.left(), {"young"})
        self.pass_time(timedelta(hours=1))
        self.assertEqual(self.left(), set())

    def test_at_once(self) -> None:
        """With a retention of zero a removed volume goes at once."""
        purger = self.purger("0")
        self.removed("a")
        purger.removed()
        self.assertEqual(self.left(), set())

    def test_forever(self) -> None:
        """With forever nothing goes."""
        self.removed("a")
        purger = self.purger("forever")
        purger.removed()
        self.pass_time(timedelta(days=500))
        self.assertEqual(self.left(), {"a"})

    def test_only_ours(self) -> None:
        """What is not of the trash's own making stays; links are not followed."""
        precious = Path(self.mktemp())
        precious.mkdir()
        (precious / "data").write_text("x")
        self.removed("a")
        self.pass_time(timedelta(hours=25))
        (slot,) = (path.parent for path in self.root.glob(".trash/*/a"))
        (slot / "a" / "link").symlink_to(precious.absolute())
        (self.root / ".trash" / "notes").mkdir()
        self.purger("24h")
        self.assertTrue((self.root / ".trash" / "notes").is_dir())
        self.assertFalse(slot.exists())
        self.assertTrue((precious / "data").exists())

    def test_mounted_elsewhere(self) -> None:
        """What somebody has mounted in another namespace is not deleted under them."""
        self.removed("a")
        self.pass_time(timedelta(hours=25))
        holder = Holder((1,), "/data", False)
        self.patch(trash, "holders", lambda path: [holder] if ".trash/" in path else [])
        self.purger("24h")
        self.assertEqual(self.left(), {"a"})
        self.patch(trash, "holders", lambda path: [])
        self.clock.advance(3600)
        self.assertEqual(self.left(), set())

    def test_put_fails(self) -> None:
        """A directory that cannot be moved stays, and no empty slot is left."""
        self.assertRaises(FileNotFoundError, self.trash.put, self.root / "nosuch", b"{}")
        self.assertEqual(self.trash.slots(), [])

    def fail_to_delete(self, error: BaseException) -> Any:
        """Let the deletion of every file fail."""
        return self.patch(os, "unlink", _raising(error))

    def test_marked_first(self) -> None:
        """A slot is marked durably as being deleted before its first file goes."""
        self.removed("a")
        self.removed("b")
        calls: list[str] = []
        unlink, rename, fsync = os.unlink, os.rename, os.fsync

        def note_unlink(path: str, *, dir_fd: int | None = None) -> None:
            calls.append("unlink")
            unlink(path, dir_fd=dir_fd)

        def note_rename(old: Path, new: Path) -> None:
            calls.append(f"rename {Path(new).suffix}")
            rename(old, new)

        def note_fsync(fd: int) -> None:
            calls.append(f"fsync {os.path.basename(os.readlink(f'/proc/self/fd/{fd}'))}")
            fsync(fd)

        self.trash.sync()
        for name, wrapper in (("unlink", note_unlink), ("rename", note_rename)):
            self.patch(os, name, wrapper)
        self.patch(os, "fsync", note_fsync)
        self.assertEqual(self.trash.purge(timedelta()), 2)
        marked = [f"rename {DELETING}", f"rename {DELETING}", "fsync .trash"]
        self.assertEqual(calls[:4], [*marked, "unlink"])

    def test_not_durable_yet(self) -> None:
        """A removal that the disk may not have is made durable before its files go."""
        self.removed("a")
        (slot,) = self.root.glob(".trash/*")
        self.trash._unsynced.add(slot.name)
        synced: list[bool] = []
        self.patch(Trash, "sync", lambda trash: synced.append(slot.exists()))
        self.trash.purge(timedelta())
        self.assertEqual(synced, [True])

    def killed(self) -> None:
        """Let the process die before a purge deletes its first file."""
        patch = self.fail_to_delete(KeyboardInterrupt())
        self.assertRaises(KeyboardInterrupt, self.trash.purge, timedelta())
        patch.restore()
        self.trash = self.new_trash()

    def test_cut_short(self) -> None:
        """What a purge has begun to delete says so, and the next purge ends it."""
        self.removed("a")
        self.killed()
        (one,) = removed(self.trash)
        self.assertEqual((one.name, one.partial, one.there), ("a", True, True))
        self.assertTrue(Path(one.place, MANIFEST).exists())
        self.assertEqual(self.trash.purge(timedelta(days=1000)), 1)
        self.assertEqual(self.trash.slots(), [])

    def test_by_name(self) -> None:
        """A slot has one name for people, whether its deletion has begun or not."""
        self.removed("a")
        (whole,) = removed(self.trash)
        self.killed()
        (partial,) = removed(self.trash)
        self.assertEqual(whole.slot, partial.slot)
        (done,) = self.trash.purge_slots([whole.slot])
        self.assertEqual((done.volumes, done.why), (1, ""))
        self.assertEqual(self.trash.slots(), [])

    def test_same_name(self) -> None:
        """A slot gets no name that one has which is being deleted."""
        self.removed("a")
        (slot,) = self.trash.slots()
        self.killed()
        self.assertNotEqual(free_slot_name(self.trash.path, slot.at), slot.name)

    def test_older_versions(self) -> None:
        """A slot without a manifest is marked as well, and one that is empty goes."""
        for name in ("20260101T000000.000000Z", f"20260101T000000.000001Z{DELETING}"):
            (self.trash.path / name).mkdir(parents=True)
        (self.trash.path / "20260101T000000.000000Z/a").mkdir()
        (self.trash.path / "20260101T000000.000000Z/a/file").write_text("x")
        self.killed()
        (one,) = removed(self.trash)
        self.assertEqual((one.name, one.partial, one.options), ("a", True, {}))
        self.trash.purge(timedelta())
        self.assertEqual(self.trash.slots(), [])

    def test_immutable(self) -> None:
        """A file that root may not delete is named, and so is the command that changes that."""
        self.removed("a")
        self.patch(os, "geteuid", lambda: 0)
        patch = self.fail_to_delete(PermissionError(errno.EPERM, "Not permitted", "data"))
        (slot,) = self.trash.slots()
        (done,) = self.trash.purge_slots([slot.name])
        self.assertEqual(done.volumes, 0)
        self.assertIn(f"{slot.path}{DELETING}/a/data", done.why)
        self.assertIn(f'"chattr -R -i -a {slot.path}{DELETING}"', done.why)
        patch.restore()
        self.assertEqual(self.trash.purge(timedelta()), 1)

    def test_no_mark(self) -> None:
        """Nothing is deleted of a slot that cannot be marked, or not durably."""
        self.removed("a")
        self.trash.sync()
        for name in ("rename", "fsync"):
            denied = PermissionError(errno.EPERM, "Not permitted")
            patch = self.patch(os, name, _raising(denied))
            (done,) = self.trash.purge_slots([slot.name for slot in self.trash.slots()])
            patch.restore()
            self.assertIn("Not permitted", done.why)
            self.assertEqual(len(list(self.root.glob(".trash/*/a/data"))), 1)


class ClockTests(PurgeCase):
    """The wall clock may be set at any time; what is in the trash is kept all the same."""

    def due(self, retention: str = "24h") -> set[str]:
        """Return what a purge leaves, of a daemon that has just started."""
        self.trash = self.new_trash()
        self.trash.purge(parse_retention(retention) or timedelta())
        return self.left()

    def test_jumps_ahead(self) -> None:
        """A clock that is two days ahead deletes nothing that was removed a minute ago."""
        self.removed("a")
        purger = self.purger("24h")
        self.wall += timedelta(days=2)
        self.clock.advance(3600)
        self.assertEqual(self.left(), {"a"})
        purger.stopService()
        self.assertEqual(self.due(), {"a"})
        # Nor when it is put right, nor before the retention has passed.
        self.wall -= timedelta(days=2)
        self.pass_time(timedelta(hours=23))
        self.assertEqual(self.due(), {"a"})
        self.pass_time(timedelta(hours=1))
        self.assertEqual(self.due(), set())

    def test_jumps_back(self) -> None:
        """A clock that is set back keeps nothing beyond the retention from then, and says so."""
        self.wall += timedelta(days=3650)
        self.removed("a")
        self.wall -= timedelta(days=3650)
        self.assertEqual(self.due(), {"a"})
        self.pass_time(timedelta(hours=23))
        self.assertEqual(self.due(), {"a"})
        self.pass_time(timedelta(hours=1))
        self.assertEqual(self.due(), set())

    def test_back_and_ahead(self) -> None:
        """A clock that begins in 1970 and is then put right deletes nothing."""
        self.removed("a")
        self.wall -= timedelta(days=20000)
        self.assertEqual(self.due(), {"a"})
        self.wall += timedelta(days=20000)
        self.assertEqual(self.due(), {"a"})

    def test_reboot(self) -> None:
        """A boot goes on with what was counted before; a machine that is off counts nothing."""
        self.removed("a")
        self.trash.count()
        self.pass_time(timedelta(hours=20))
        self.assertEqual(self.due(), {"a"})
        self.boot, self.rest = "boot-2", timedelta(seconds=30)
        self.wall += timedelta(days=30)
        self.assertEqual(self.due(), {"a"})
        self.pass_time(timedelta(hours=3))
        self.assertEqual(self.due(), {"a"})
        self.pass_time(timedelta(hours=1))
        self.assertEqual(self.due(), set())

    def test_restart(self) -> None:
        """While only the daemon is down, time is counted."""
        self.removed("a")
        self.assertEqual(self.due(), {"a"})
        self.pass_time(timedelta(hours=25))
        self.assertEqual(self.due(), set())

    def test_counted_all_the_time(self) -> None:
        """What passes between two purges is kept for the next boot, within minutes."""
        self.removed("a")
        self.purger("24h")
        for _ in range(59):
            self.pass_time(timedelta(minutes=1))
        self.boot, self.rest = "boot-2", timedelta()
        self.trash = self.new_trash()
        (one,) = removed(self.trash)
        self.assertGreater(one.age, timedelta(minutes=45))

    def test_older_versions(self) -> None:
        """What an older version removed is kept for the retention from the first start of this."""
        (self.trash.path / "20200101T000000.000000Z/a").mkdir(parents=True)
        self.assertEqual(self.due(), {"a"})
        self.pass_time(timedelta(hours=23))
        self.assertEqual(self.due(), {"a"})
        self.pass_time(timedelta(hours=1))
        self.assertEqual(self.due(), set())

    def test_lost_note(self) -> None:
        """Without the note of what was counted, or with a damaged one, nothing goes early."""
        self.removed("a")
        note = self.trash.path / ".ages.json"
        for damage in ("", "{", '{"boot": "x"}', None):
            self.pass_time(timedelta(hours=23))
            self.assertEqual(self.due(), {"a"})
            note.unlink() if damage is None else note.write_text(damage)
        self.assertEqual(self.due(), {"a"})

    def test_no_space(self) -> None:
        """A note that cannot be written changes nothing until the next start."""
        self.removed("a")
        self.patch(ages, "sync", _raising(OSError(errno.ENOSPC, "No space")))
        self.trash.count()
        self.pass_time(timedelta(hours=24))
        self.trash.purge(timedelta(hours=24))
        self.assertEqual(self.left(), set())

    def test_cut_short_restore(self) -> None:
        """What a restore that was cut short needs is kept for the retention from then on."""
        self.removed("a")
        self.trash.count()
        self.pass_time(timedelta(hours=30))
        (one,) = removed(self.trash)
        os.rename(one.path, self.root / "a")
        self.assertEqual(self.due(), set())
        self.assertEqual([slot.name for slot in self.trash.slots()], [one.slot])
        self.pass_time(timedelta(hours=24))
        self.due()
        self.assertEqual(self.trash.slots(), [])


def _raising(error: BaseException) -> Callable[..., None]:
    def fail(*words: object, **options: object) -> None:
        raise error

    return fail
