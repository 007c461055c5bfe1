"""The durable map over its file: commits, failures, compaction (J1 to J8)."""

from __future__ import annotations

import errno
from random import Random

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.journal.interfaces import CatalogError
from exampledriver.journal.log import JOURNAL, KEPT, NEW, REPLACED, TORN, Log
from exampledriver.journal.records import DamagedError, JournalError, scan

from .crashfiles import CrashFiles, no_faults


def opened(files: CrashFiles, slack: int = 1 << 20) -> Log:
    """Return a log in `files`."""
    log = Log(files, slack)
    log.open()
    return log


def reread(files: CrashFiles) -> dict[str, bytes]:
    """Return what a start after a crash finds, the same whatever the crash keeps."""
    found = [opened(files.after_crash(Random(seed))).entries for seed in range(20)]
    assert all(entries == found[0] for entries in found), found
    return found[0]


class CommitTests(SynchronousTestCase):
    """A commit is durable or has not happened."""

    def test_durable(self) -> None:
        """What was committed is there after any crash (J1)."""
        files = CrashFiles()
        log = opened(files)
        log.commit([("a", b"{}"), ("b", b'{"x":1}')])
        log.commit([("a", None)])
        self.assertEqual(reread(files), {"b": b'{"x":1}'})
        self.assertEqual(log.entries, {"b": b'{"x":1}'})

    def test_one_sync_for_a_batch(self) -> None:
        """Many changes cost one write and one fdatasync (J5)."""
        files = CrashFiles()
        log = opened(files)
        calls: list[str] = []
        files.plan = calls.append
        log.commit([(f"k{n}", b"{}") for n in range(500)])
        self.assertEqual(calls, ["write", "sync"])

    def test_cost(self) -> None:
        """A change writes as much, and makes as many calls, into a large map as into none (J12)."""
        costs = []
        for size in (0, 20000):
            files = CrashFiles()
            log = opened(files)
            if size:
                log.commit([(f"k{n}", b"{}") for n in range(size)])
            calls: list[str] = []
            files.plan = calls.append
            before = files.used()
            log.commit([("new", b"{}")])
            log.step()
            costs.append((calls, files.used() - before - 2 * len(str(log._records))))
        self.assertEqual(costs[0][0], costs[1][0])
        self.assertAlmostEqual(costs[0][1], costs[1][1], delta=8)

    def test_first_start(self) -> None:
        """An empty directory becomes an empty journal, durably, before anything else."""
        files = CrashFiles()
        opened(files)
        self.assertEqual(files.after_crash(Random(0)).names(), {JOURNAL})

    def test_clean_close_once(self) -> None:
        """Starts and stops without a change do not make the file grow (J8)."""
        files = CrashFiles()
        opened(files).close()
        size = files.used()
        opened(files).close()
        self.assertEqual(files.used(), size)
        log = opened(files)
        log.commit([("a", b"{}")])
        log.close()
        self.assertTrue(scan(files.read(JOURNAL)).clean)


class TornTests(SynchronousTestCase):
    """A torn tail is cut off, kept, and said."""

    def torn(self, tail: bytes) -> CrashFiles:
        """Return files with a journal that holds "a" and has `tail` behind it."""
        files = CrashFiles()
        log = opened(files)
        log.commit([("a", b"{}")])
        files.append(JOURNAL).write(tail)
        return files

    def test_set_aside(self) -> None:
        """The tail is cut off the journal and kept beside it (J4)."""
        files = self.torn(b"torn!")
        log = opened(files)
        (kept,) = [name for name in files.names() if name.startswith(TORN)]
        self.assertEqual(files.read(kept), b"torn!")
        log.commit([("b", b"{}")])
        self.assertEqual(reread(files), {"a": b"{}", "b": b"{}"})

    def test_said(self) -> None:
        """The log says how many bytes were cut off and where they are."""
        files = self.torn(b"torn!")
        with capturedLogs() as events:
            opened(files)
        text = "\n".join(formatEvent(event) for event in events)
        self.assertIn("last 5 bytes", text)
        self.assertIn(f"{files.path}/{TORN}", text)

    def test_bounded(self) -> None:
        """The oldest torn tails go when there are too many (J8)."""
        files = self.torn(b"torn!")
        for number in range(KEPT + 3):
            files.create(f"{TORN}2020{number:02}").close()
        opened(files)
        kept = sorted(name for name in files.names() if name.startswith(TORN))
        self.assertEqual(len(kept), KEPT)
        self.assertNotIn(f"{TORN}202000", kept)

    def test_disk_full(self) -> None:
        """A tail that cannot be kept for want of space does not stop the start."""
        files = self.torn(b"torn!")
        files.space = files.used()
        self.assertEqual(opened(files).entries, {"a": b"{}"})

    def test_damage_names_file_and_command(self) -> None:
        """Damage stops the start; the error names file, byte and command, and nothing changes."""
        files = CrashFiles()
        log = opened(files)
        log.commit([("a", b"{}")])
        log.commit([("b", b"{}")])
        data = files.read(JOURNAL).replace(b'"a"', b'"x"')
        files.create(JOURNAL).write(data)
        error = self.assertRaises(JournalError, opened, files)
        self.assertIsInstance(error.__cause__, DamagedError)
        self.assertIn(f"{files.path}/{JOURNAL}: damaged at byte ", str(error))
        self.assertIn(f"exampledriver journal verify {files.path}", str(error))
        self.assertEqual(files.read(JOURNAL), data)


class NoSpaceTests(SynchronousTestCase):
    """A full disk fails the change and nothing else (J6)."""

    def test_no_space(self) -> None:
        """The change fails with a clear error, is in no later start, and works with space."""
        files = CrashFiles()
        log = opened(files)
        log.commit([("a", b"{}")])
        size = files.used()
        files.space = size + 50
        error = self.assertRaises(CatalogError, log.commit, [("b", b"{}"), ("c", b"{}")])
        self.assertIn("No space left on device", str(error))
        self.assertIn("free some space", str(error))
        self.assertEqual(files.used(), size)
        self.assertEqual(log.entries, {"a": b"{}"})
        self.assertEqual(reread(files), {"a": b"{}"})
        files.space = None
        log.commit([("d", b"{}")])
        self.assertEqual(reread(files), {"a": b"{}", "d": b"{}"})


class UntrustedTests(SynchronousTestCase):
    """After an I/O error the file is not trusted again (J7)."""

    def failing(self, call: str, times: int = 1) -> tuple[CrashFiles, Log]:
        """Return a log with "a" in it, whose next calls of one kind fail with EIO."""
        files = CrashFiles()
        log = opened(files)
        log.commit([("a", b"{}")])
        left = [errno.EIO] * times
        files.plan = lambda asked: left.pop() if asked == call and left else None
        return files, log

    def test_fresh_file(self) -> None:
        """The map goes to a fresh file; the failed change is in no later start."""
        for call in ("sync", "write"):
            files, log = self.failing(call)
            before = files._names[JOURNAL]
            self.assertRaises(CatalogError, log.commit, [("b", b"{}")])
            self.assertIsNot(files._names[JOURNAL], before)
            self.assertEqual(reread(files), {"a": b"{}"})
            log.commit([("c", b"{}")])
            self.assertEqual(reread(files), {"a": b"{}", "c": b"{}"})

    def test_changes_fail_until_a_fresh_file_is_durable(self) -> None:
        """While no fresh file can be written, changes fail; afterwards they work."""
        files, log = self.failing("sync", times=3)
        for _ in range(2):
            error = self.assertRaises(CatalogError, log.commit, [("b", b"{}")])
            self.assertIn("Input/output error", str(error))
            self.assertEqual(log.entries, {"a": b"{}"})
        log.commit([("c", b"{}")])
        self.assertEqual(reread(files), {"a": b"{}", "c": b"{}"})

    def test_doubtful(self) -> None:
        """A disk that takes a change only half and does not let go of it: the error says so."""
        files, log = self.failing("sync")
        failures = ["write", "truncate", "write"]
        files.plan = lambda call: (
            errno.EIO if failures and call == failures[0] and failures.pop(0) else None
        )
        error = self.assertRaises(CatalogError, log.commit, [("b", b"{}")])
        self.assertIn("may be there all the same", str(error))
        self.assertNotIn("nothing was changed", str(error))
        log.commit([("c", b"{}")])
        self.assertEqual(reread(files), {"a": b"{}", "c": b"{}"})
        self.assertFalse(log.doubtful)

    def test_directory_sync_fails(self) -> None:
        """A compaction whose rename may not be durable stops trusting both files."""
        files, log = self.failing("sync_directory")
        log.slack = -1000
        while log.step():
            pass
        log.commit([("c", b"{}")])
        self.assertEqual(reread(files), {"a": b"{}", "c": b"{}"})


class DisplacedTests(SynchronousTestCase):
    """The journal that is written is the one that the next start finds (J13)."""

    def displaced(self, *steps: str) -> tuple[CrashFiles, Log]:
        """Return a log with "a" in it, and do something to its file.

        :param steps: ``remove``, or ``replace`` it by an older copy.
        """
        files = CrashFiles()
        log = opened(files)
        backup = files.read(JOURNAL)
        log.commit([("a", b"{}")])
        for step in steps:
            if step == "remove":
                files.remove(JOURNAL)
            else:
                copy = files.create("backup")
                copy.write(backup)
                copy.sync()
                files.rename("backup", JOURNAL)
            files.sync_directory()
        return files, log

    def test_next_change(self) -> None:
        """A change after the loss of the file is durable, and so is all before it."""
        for step in ("remove", "replace"):
            files, log = self.displaced(step)
            log.commit([("b", b"{}")])
            self.assertEqual(reread(files), {"a": b"{}", "b": b"{}"})

    def test_look(self) -> None:
        """A look finds the loss without a change; it is logged."""
        for step in ("remove", "replace"):
            files, log = self.displaced(step)
            with capturedLogs() as events:
                log.step()
            self.assertEqual(reread(files), {"a": b"{}"})
            text = "\n".join(formatEvent(event) for event in events)
            self.assertIn(f"{files.path}/{JOURNAL} is no longer trusted: it was deleted", text)
            self.assertIn("a fresh journal was written, with all 1 entries", text)

    def test_kept(self) -> None:
        """What took the journal's place is kept under another name, the newest 16 of it."""
        files, log = self.displaced()
        for number in range(KEPT + 3):
            file = files.create("other")
            file.write(b"precious %d" % number)
            files.rename("other", JOURNAL)
            log.look()
        kept = sorted(name for name in files.names() if name.startswith(REPLACED))
        self.assertEqual(
            [files.read(name) for name in kept], [b"precious %d" % n for n in range(3, KEPT + 3)]
        )
        self.assertEqual(reread(files), {"a": b"{}"})

    def test_during_the_sync(self) -> None:
        """A change whose file is lost before its answer has failed, now and after a restart."""
        files, log = self.displaced()

        def remove(call: str) -> None:
            if call == "sync":
                files.plan = no_faults
                files.remove(JOURNAL)

        files.plan = remove
        error = self.assertRaises(CatalogError, log.commit, [("b", b"{}")])
        self.assertIn("it was deleted, moved or replaced", str(error))
        self.assertIn("nothing was changed", str(error))
        self.assertEqual(reread(files), {"a": b"{}"})

    def test_back_at_once(self) -> None:
        """A file that is back after a change was refused for its loss has none of that."""
        files, log = self.displaced()
        there = iter([True, False])
        patch = self.patch(CrashFiles, "is_current", lambda *words: next(there, True))
        self.assertRaises(CatalogError, log.commit, [("b", b"{}")])
        patch.restore()
        for key in ("c", "d", "e"):
            log.commit([(key, b"{}")])
        self.assertEqual(reread(files), dict.fromkeys("acde", b"{}"))

    def test_another_file_system(self) -> None:
        """While a fresh file would be out of sight, changes fail and reads go on."""
        files, log = self.displaced("remove")
        files.elsewhere = True
        error = self.assertRaises(CatalogError, log.commit, [("b", b"{}")])
        self.assertIn("another file system is there", str(error))
        self.assertEqual(log.entries, {"a": b"{}"})
        files.elsewhere = False
        log.commit([("c", b"{}")])
        self.assertEqual(reread(files), {"a": b"{}", "c": b"{}"})

    def test_closed(self) -> None:
        """A file that is lost, and could not be written again at first, is written at the end."""
        files, log = self.displaced("remove")
        files.elsewhere = True
        log.look()
        files.elsewhere = False
        log.close()
        self.assertEqual(reread(files), {"a": b"{}"})
        self.assertTrue(scan(files.read(JOURNAL)).clean)

    def test_during_a_compaction(self) -> None:
        """A compaction does not replace what took the journal's place."""
        files, log = self.displaced()
        log.commit([("b", b"{}")])
        log.slack, log.piece = -1000, 1
        self.assertTrue(log.step())
        file = files.create("other")
        file.write(b"precious")
        files.rename("other", JOURNAL)
        while log.step():
            pass
        self.assertIn(b"precious", [files.read(name) for name in files.names()])
        self.assertEqual(reread(files), {"a": b"{}", "b": b"{}"})


class CompactionTests(SynchronousTestCase):
    """The file's size follows the live map (J8)."""

    def test_bounded(self) -> None:
        """Any number of changes of a small map leaves a small file."""
        files = CrashFiles()
        log = opened(files, slack=2000)
        for number in range(2000):
            log.commit([("a", b'{"n":%d}' % number)])
            while log.step():
                pass
            self.assertLess(files.used(), 3000)
        self.assertEqual(reread(files), {"a": b'{"n":1999}'})

    def test_service_goes_on(self) -> None:
        """Changes are committed between the steps of a compaction, and are in its result."""
        files = CrashFiles()
        log = opened(files, slack=0)
        big = b'{"pad":"%s"}' % (b"x" * 5000)
        for _ in range(3):
            log.commit([(f"k{n}", big) for n in range(200)])
        steps = 0
        while log.step():
            steps += 1
            log.commit([(f"during{steps}", b"{}"), ("k0", None)])
            self.assertIn(NEW, files.names())
        self.assertGreater(steps, 2)
        self.assertNotIn(NEW, files.names())
        expected = {f"during{n}" for n in range(1, steps + 1)} | {f"k{n}" for n in range(1, 200)}
        self.assertEqual(set(reread(files)), expected)
        self.assertLess(files.used(), 210 * 5100)

    def test_leftover(self) -> None:
        """What an interrupted compaction left is removed at the start."""
        files = CrashFiles()
        opened(files).commit([("a", b"{}")])
        files.create(NEW).write(b"half")
        self.assertEqual(opened(files).entries, {"a": b"{}"})
        self.assertNotIn(NEW, files.names())

    def test_no_space_for_it(self) -> None:
        """A compaction that does not fit fails no change, and is tried again later."""
        files = CrashFiles()
        log = opened(files, slack=0)
        for number in range(200):
            log.commit([("a", b'{"n":%d}' % number)])
        files.space = files.used() + 80
        self.assertFalse(log.step())
        self.assertNotIn(NEW, files.names())
        log.commit([("b", b"{}")])
        files.space = None
        size = files.used()
        for number in range(2000):
            log.commit([("a", b'{"n":%d}' % number)])
            while log.step():
                pass
        self.assertLess(files.used(), size)
        self.assertEqual(reread(files), {"a": b'{"n":1999}', "b": b"{}"})
