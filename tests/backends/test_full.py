"""A root whose file system is full: the slot in reserve, removals without the trash, advice."""

from __future__ import annotations

import errno
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from exampledriver.backends import trash
from exampledriver.backends.directory import DirectoryBackend
from exampledriver.backends.measuring import Measure, weigh
from exampledriver.backends.removed import removed
from exampledriver.backends.trash import MANIFEST, NOW, Trash
from exampledriver.volumes.errors import VolumeError
from exampledriver.volumes.model import StoredVolume
from tests.volumes.fixtures import NOON
from tests.volumes.test_purge import PurgeCase as Case

FULL = OSError(errno.ENOSPC, "No space left on device")


def space(free: float, inodes: float = 0.5) -> Any:
    """Return what statvfs(3) says of a file system of a GiB, of which a part is free."""
    return SimpleNamespace(
        f_frsize=4096,
        f_blocks=1 << 18,
        f_bavail=int((1 << 18) * free),
        f_files=1000,
        f_favail=int(1000 * inodes),
    )


class FullCase(Case):
    """A trash in which nothing can be made when the disk is full."""

    def fill_up(self) -> Any:
        """Let nothing new be made in the trash."""

        def full(*words: object) -> None:
            raise FULL

        return self.patch(Trash, "_slot", full)

    def names(self) -> set[str]:
        """Return the names of the removed volumes."""
        return {one.name for one in removed(self.trash)}


class SpareTests(FullCase):
    """The slot that is kept ready."""

    def test_used(self) -> None:
        """On a full disk a removal takes the slot in reserve, with all that is to be known."""
        self.trash.reserve()
        self.fill_up()
        (self.root / "a").mkdir()
        manifest = json.dumps({"name": "a", "options": {"mode": "0750"}}).encode()
        self.trash.put(self.root / "a", manifest)
        self.trash.sync()
        (one,) = removed(self.trash)
        self.assertEqual((one.name, one.options), ("a", {"mode": "0750"}))
        self.assertEqual(set(os.listdir(one.place)), {MANIFEST, "a"})

    def test_once(self) -> None:
        """The reserve is for one removal; the next one is refused, and the data where it was."""
        self.trash.reserve()
        self.fill_up()
        self.removed("a")
        self.assertRaises(OSError, self.removed, "b")
        self.assertTrue((self.root / "b/data").exists())
        self.assertEqual(self.names(), {"a"})

    def test_other_errors(self) -> None:
        """For no other error than that of a full disk the reserve is used."""
        self.trash.reserve()

        def broken(*words: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        self.patch(Trash, "_slot", broken)
        self.assertRaises(OSError, self.removed, "a")
        self.assertTrue((self.trash.path / ".spare").is_dir())

    def test_replenished(self) -> None:
        """It is made again when there is space, and a half made one is completed."""
        self.trash.reserve()
        patch = self.fill_up()
        self.removed("a")
        patch.restore()
        for damage in (lambda: None, lambda: os.truncate(self.spare / MANIFEST, 5)):
            damage()
            self.trash.reserve()
            self.assertEqual((self.spare / MANIFEST).stat().st_size, 4096)
            self.assertGreater((self.spare / MANIFEST).stat().st_blocks, 0)

    @property
    def spare(self) -> Path:
        return self.trash.path / ".spare"

    def test_not_a_volume(self) -> None:
        """The reserve is nothing that was removed, and no purge deletes it."""
        self.trash.reserve()
        self.assertEqual((removed(self.trash), self.trash.slots()), ([], []))
        self.trash.purge(timedelta())
        self.assertTrue(self.spare.is_dir())

    def test_no_space_for_it(self) -> None:
        """Where there is no space for a reserve nothing of it is left, and all else goes on."""
        write = os.fsync

        def full(fd: int) -> None:
            raise FULL

        self.patch(os, "fsync", full)
        self.trash.reserve()
        self.patch(os, "fsync", write)
        self.assertEqual(os.listdir(self.trash.path), [])
        self.removed("a")
        self.assertEqual(self.names(), {"a"})

    def test_place_given_up(self) -> None:
        """A reserve whose place in the directory is gone, and cannot be had again, is kept."""
        self.trash.reserve()
        self.trash._spare.give_way()
        opened = os.open

        def full(path: Any, *words: Any, **options: Any) -> int:
            if os.path.basename(path).startswith(".spare-"):
                raise FULL
            return opened(path, *words, **options)

        patch = self.patch(os, "open", full)
        self.trash.reserve()
        patch.restore()
        self.fill_up()
        self.removed("a")
        self.assertEqual(self.left(), {"a"})

    def test_crash(self) -> None:
        """A crash while the reserve is taken leaves a reserve, and the volume where it was."""
        self.trash.reserve()
        self.fill_up()
        rename = os.rename

        def crash(old: Path, new: Path) -> None:
            raise KeyboardInterrupt

        patch = self.patch(os, "rename", crash)
        self.assertRaises(KeyboardInterrupt, self.removed, "a")
        patch.restore()
        self.assertIs(os.rename, rename)
        self.assertTrue((self.root / "a/data").exists())
        self.trash = self.new_trash()
        self.trash.reserve()
        self.fill_up()
        (self.root / "b").mkdir()
        self.trash.put(self.root / "b", b'{"name": "b"}')
        self.assertEqual(self.names(), {"b"})

    def test_mark(self) -> None:
        """A purge on a disk that has no place for a new name gives up the one in reserve."""
        self.trash.reserve()
        self.removed("a")
        rename = os.rename

        def full(old: Path, new: Path) -> None:
            if any(name.startswith(".spare-") for name in os.listdir(self.trash.path)):
                raise FULL
            rename(old, new)

        self.trash.sync()
        self.patch(os, "rename", full)
        self.assertEqual(self.trash.purge_slots([s.name for s in self.trash.slots()])[0].why, "")
        self.assertEqual(self.trash.slots(), [])


class NowTests(FullCase):
    """Removals without the trash."""

    def remove_now(self, name: str = "a") -> None:
        """Remove a volume with a file."""
        (self.root / name).mkdir()
        (self.root / name / "data").write_text("x")
        self.trash.put_now(self.root / name)

    def test_nothing_made(self) -> None:
        """Nothing is made for it, and what it leaves is deleted, by the next start if need be."""
        self.trash.prepare()
        self.fill_up()
        self.remove_now()
        self.assertFalse((self.root / "a").exists())
        self.assertEqual((self.names(), self.left()), (set(), {"data"}))
        self.trash = self.new_trash()
        self.trash.finish()
        self.assertEqual(self.left(), set())
        self.assertEqual(self.trash.slots(), [])

    def test_forever(self) -> None:
        """It is deleted even if the trash keeps everything forever."""
        self.removed("kept")
        self.remove_now()
        self.purger("forever")
        self.assertEqual(self.left(), {"kept"})

    def test_said_once(self) -> None:
        """The log says why something cannot be deleted, and not every minute."""
        self.remove_now()
        lines: list[str] = []
        self.patch(trash._log, "warn", lambda text, **fields: lines.append(text.format(**fields)))

        def denied(*words: object, **options: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted", "data")

        patch = self.patch(os, "unlink", denied)
        for _ in range(3):
            self.trash.finish()
        patch.restore()
        self.assertEqual(len(lines), 1)
        self.assertIn(f"{NOW}/data", lines[0])
        self.trash.finish()
        self.assertEqual(self.trash.slots(), [])

    def test_purge(self) -> None:
        """Any purge deletes it, whatever its age."""
        self.remove_now()
        self.assertEqual(self.trash.purge(timedelta(days=1000)), 1)
        self.assertEqual(self.trash.slots(), [])

    def test_durable_first(self) -> None:
        """Before its files go the disk has that it was moved."""
        self.remove_now()
        synced: list[bool] = []
        self.patch(Trash, "sync", lambda trash: synced.append(bool(self.left())))
        self.trash.finish()
        self.assertEqual(synced, [True])

    def test_file(self) -> None:
        """What is a file, as an image, is deleted as well."""
        (self.root / "image").write_text("x")
        self.trash.put_now(self.root / "image")
        self.assertEqual([slot.path.suffix for slot in self.trash.slots()], [NOW])
        self.trash.finish()
        self.assertEqual(self.trash.slots(), [])


class AdviceTests(FullCase):
    """What an error on a full disk advises."""

    def refused(self) -> str:
        """Return the error of a removal that finds no space."""
        backend = DirectoryBackend(self.root.resolve(), [], self.trash)
        volume = StoredVolume("full", str(self.root.resolve() / "full"), NOON, {})
        (self.root / "full").mkdir(exist_ok=True)
        self.fill_up()
        return str(self.assertRaises(VolumeError, backend.remove, volume))

    def test_empty(self) -> None:
        """With an empty trash no purge is advised, but a removal without it."""
        text = self.refused()
        self.assertIn("No space left on device; free some space: the trash is empty;", text)
        self.assertNotIn("trash purge", text)
        self.assertIn('"exampledriver volume rm --now NAME"', text)

    def test_trash(self) -> None:
        """What the trash takes is said, and that it is most of the disk."""
        self.removed("a")
        self.patch(trash, "weigh", lambda *words: (Measure(700 << 20, 1), False))
        self.patch(os, "statvfs", lambda path: space(0))
        text = self.refused()
        self.assertIn('"exampledriver trash purge" permanently deletes', text)
        self.assertIn("removed volumes (1, at least 700 MiB, most of the file system)", text)

    def test_largest(self) -> None:
        """The largest volumes that were measured are named."""
        self.trash.largest = lambda: [("db", 5 << 30), ("www", 1 << 30), ("x", 1), ("y", 0)]
        self.assertIn("the largest volumes (db 5120 MiB, www 1024 MiB, x 0 MiB),", self.refused())

    def test_immutable(self) -> None:
        """A directory that cannot be moved for an attribute is answered with chattr."""
        self.patch(os, "geteuid", lambda: 0)
        advice = self.trash.advice(PermissionError(errno.EPERM, "Operation not permitted"))
        self.assertIn("as lsattr shows", advice)

    def test_weigh(self) -> None:
        """What something takes is known as far as the time goes."""
        self.removed("a")
        whole, done = weigh(str(self.trash.path.resolve()), 10)
        self.assertEqual((done, whole.files), (True, 4))
        part, done = weigh(str(self.trash.path.resolve()), -1)
        self.assertFalse(done)
        self.assertLess(part.bytes, whole.bytes)
        self.assertEqual(weigh("/nonexistent", 1), (Measure(0, 0), True))


class PressureTests(FullCase):
    """purge-when-below."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("a", "b", "c"):
            self.removed(name)
            self.pass_time(timedelta(minutes=1))
        self.free = 0.01
        self.patch(os, "statvfs", lambda path: space(self.free))
        self.taken = Measure(30 << 20, 1)
        self.patch(trash, "weigh", lambda *words: (self.taken, True))

    def test_oldest_first(self) -> None:
        """The oldest go, and no more than are needed, though the disk shows that later."""
        # A GiB, of which 1 % is free, and each volume takes 3 %.
        self.assertEqual(self.trash.relieve(0.05), 2)
        self.assertEqual(self.names(), {"c"})
        self.assertEqual(self.trash.relieve(0.009), 0)

    def test_again(self) -> None:
        """What has freed nothing in the end lets the next one go a minute later."""
        self.taken = Measure(1 << 30, 1)
        for left in ({"b", "c"}, {"c"}, set()):
            self.trash.relieve(0.05)
            self.assertEqual(self.names(), left)

    def test_not_weighed(self) -> None:
        """What takes too long to be weighed may have been enough: the next goes a minute later."""
        self.patch(trash, "weigh", lambda *words: (Measure(1, 1), False))
        for left in ({"b", "c"}, {"c"}):
            self.assertEqual(self.trash.relieve(0.05), 1)
            self.assertEqual(self.names(), left)

    def test_cut_short_restore(self) -> None:
        """What a restore that was cut short needs frees nothing, and stays."""
        one = removed(self.trash)[0]
        os.rename(one.path, self.root / "back")
        self.assertEqual(self.trash.relieve(0.05), 2)
        self.assertEqual([slot.name for slot in self.trash.slots()], [one.slot])

    def test_gone(self) -> None:
        """A slot that a restore takes away meanwhile keeps nothing from the others."""
        slots = self.trash.slots()
        shutil.rmtree(slots[0].path)
        self.patch(Trash, "slots", lambda trash: slots)
        self.assertEqual(self.trash.relieve(0.05), 2)

    def test_enough(self) -> None:
        """Where enough is free nothing goes."""
        self.free = 0.051
        self.assertEqual(self.trash.relieve(0.05), 0)

    def test_inodes(self) -> None:
        """A disk without free inodes is full as well."""
        self.patch(os, "statvfs", lambda path: space(0.5, 0.001))
        self.taken = Measure(1, 100)
        self.assertEqual(self.trash.relieve(0.05), 1)
        self.assertEqual(self.names(), {"b", "c"})

    def test_begun_first(self) -> None:
        """What a purge has begun to delete goes before what is whole."""
        newest = self.trash.slots()[-1]
        newest.path.rename(f"{newest.path}.deleting")
        self.taken = Measure(1 << 30, 1)
        self.trash.relieve(0.05)
        self.assertEqual(self.names(), {"a", "b"})

    def test_clock(self) -> None:
        """Which one is the oldest does not depend on a clock that was set."""
        self.wall -= timedelta(days=400)
        self.removed("d")
        self.wall += timedelta(days=400)
        self.taken = Measure(1 << 30, 1)
        self.trash.relieve(0.05)
        self.assertEqual(self.names(), {"b", "c", "d"})

    def test_clock_ahead(self) -> None:
        """What was removed while the clock was ahead is no younger than it is."""
        self.wall += timedelta(days=400)
        self.removed("d")
        self.wall -= timedelta(days=400)
        self.pass_time(timedelta(hours=1))
        self.removed("e")
        self.pass_time(timedelta(minutes=1))
        self.taken = Measure(1 << 30, 1)
        for _ in range(4):
            self.trash.relieve(0.05)
        self.assertEqual(self.names(), {"e"})

    def test_older_versions(self) -> None:
        """Of what an older version removed, which is all of one age, the oldest go first, too."""
        tick = timedelta(microseconds=10)

        def uptime() -> tuple[str, float]:
            self.rest += tick
            return self.boot, self.rest.total_seconds()

        self.trash = Trash(self.root, now=lambda: self.wall, uptime=uptime)
        self.trash.count()
        self.pass_time(timedelta(days=30))
        # A look that is slower than the first.
        tick *= 9
        self.taken = Measure(1 << 30, 1)
        for left in ({"b", "c"}, {"c"}, set()):
            self.trash.relieve(0.05)
            self.assertEqual(self.names(), left)

    def test_said(self) -> None:
        """The log names each of them, and why."""
        lines: list[str] = []
        self.patch(trash._log, "info", lambda text, **fields: lines.append(text.format(**fields)))
        self.trash.relieve(0.05)
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], r"\(a\), removed 0:03:00 ago: only 1.0 % of .* was free")

    def test_only_if_asked(self) -> None:
        """Without the option a full disk deletes nothing; with it, within a minute."""
        purger = self.purger("forever")
        self.clock.advance(60)
        self.assertEqual(self.names(), {"a", "b", "c"})
        purger.below = 0.05
        self.clock.advance(60)
        self.assertEqual(self.names(), {"c"})
