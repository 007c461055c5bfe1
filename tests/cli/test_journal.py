"""The operator's journal commands on real directories."""

from __future__ import annotations

import os
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.main import main
from exampledriver.journal import Lock
from exampledriver.journal.files import RealFiles
from exampledriver.journal.log import JOURNAL, Log
from exampledriver.journal.records import DamagedError, scan
from exampledriver.journal.repair import repair
from tests.journal.crashfiles import Crash, CrashFiles


class JournalCommandTests(SynchronousTestCase):
    """exampledriver journal ACTION STATE."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp())
        self.state.mkdir()
        log = Log(RealFiles(str(self.state)))
        log.open()
        for name in ("a", "b", "c"):
            log.commit([(name, b'{"n":1}')])
        log.commit([("b", None)])
        self.path = self.state / JOURNAL

    def run_(self, action: str) -> tuple[int, str]:
        """Return a command's exit status and all that it printed."""
        out = StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            status = main(["journal", action, str(self.state)])
        return status, out.getvalue()

    def damage(self) -> bytes:
        """Damage the record of "a"; return the journal's bytes."""
        data = self.path.read_bytes().replace(b'"a"', b'"x"')
        self.path.write_bytes(data)
        return data

    def test_show(self) -> None:
        """Every record is shown with its byte and number, and nothing changes."""
        before = self.path.read_bytes()
        status, text = self.run_("show")
        self.assertEqual(status, 0)
        self.assertIn('2  ["put","a",{"n":1}]', text)
        self.assertIn('5  ["delete","b"]', text)
        self.assertEqual(self.path.read_bytes(), before)

    def test_show_secrets(self) -> None:
        """A secret in an option, which older versions let in, is not printed."""
        log = Log(RealFiles(str(self.state)))
        log.open()
        options = b'{"device":"//h/s","o":"username=u,password=hunter2"}'
        value = b'{"backend":"mount","created":"2026-01-01T00:00:00Z","options":%s}' % options
        log.commit([("old", value)])
        log.close()
        status, text = self.run_("show")
        self.assertEqual(status, 0)
        self.assertIn('"o":"username=u,password=***"}', text)
        self.assertNotIn("hunter2", text)
        self.path.write_bytes(self.path.read_bytes().replace(b'"old"', b'"odd"'))
        for action in ("show", "verify", "repair"):
            _, text = self.run_(action)
            self.assertNotIn("hunter2", text)

    def test_show_damage(self) -> None:
        """A record that cannot be read is shown where it is."""
        data = self.damage()
        status, text = self.run_("show")
        self.assertEqual(status, 1)
        offset = data.rindex(b"\n", 0, data.index(b'"x"')) + 1
        self.assertIn(f"{offset}        ?  NOT READABLE: b'", text)

    def test_verify(self) -> None:
        """A good journal and one with a torn tail are told apart; nothing changes."""
        self.assertEqual(self.run_("verify"), (0, f"{self.path}: good: 5 records, 2 entries\n"))
        with self.path.open("ab") as file:
            file.write(b"torn")
        status, text = self.run_("verify")
        self.assertEqual(status, 0)
        self.assertIn("last 4 bytes were torn", text)
        self.assertTrue(self.path.read_bytes().endswith(b"torn"))

    def test_verify_damage(self) -> None:
        """Damage is shown with its byte and the command that repairs it, and nothing changes."""
        data = self.damage()
        status, text = self.run_("verify")
        self.assertEqual(status, 1)
        self.assertIn("damaged at byte ", text)
        self.assertIn(f"exampledriver journal repair {self.state}", text)
        self.assertEqual(self.path.read_bytes(), data)

    def test_repair(self) -> None:
        """What can be read is saved and said; the damaged file is kept, byte for byte."""
        data = self.damage()
        status, text = self.run_("repair")
        self.assertEqual(status, 0)
        self.assertIn("saved 1 entries: c\n", text)
        self.assertIn("not saved, at byte ", text)
        self.assertIn("not saved: record 2\n", text)
        self.assertEqual(scan(self.path.read_bytes()).entries, {"c": b'{"n":1}'})
        (kept,) = self.state.glob("journal.damaged-*")
        self.assertEqual(kept.read_bytes(), data)
        self.assertEqual(self.run_("verify")[0], 0)

    def test_repair_of_a_good_one(self) -> None:
        """A journal that is not damaged is left alone."""
        before = self.path.read_bytes()
        status, text = self.run_("repair")
        self.assertEqual(status, 1)
        self.assertIn("nothing to repair", text)
        self.assertEqual(self.path.read_bytes(), before)

    def test_compact(self) -> None:
        """A compacted journal has the same map and less history."""
        entries = scan(self.path.read_bytes()).entries
        status, text = self.run_("compact")
        self.assertEqual(status, 0)
        self.assertIn("2 entries", text)
        found = scan(self.path.read_bytes())
        self.assertEqual((found.entries, found.records, found.clean), (entries, 3, True))

    def test_lock(self) -> None:
        """While a daemon holds the directory, every action is refused and says by whom."""
        lock = Lock.take(self.state / "lock")
        self.addCleanup(lock.release)
        for action in ("show", "verify", "repair", "compact"):
            status, text = self.run_(action)
            self.assertEqual(status, 1)
            self.assertIn(f"is in use by process {os.getpid()} (", text)

    def test_no_journal(self) -> None:
        """A directory without a journal is an error, and stays as it is."""
        self.path.unlink()
        status, text = self.run_("verify")
        self.assertEqual(status, 1)
        self.assertIn("there is no journal", text)
        self.assertEqual(list(self.state.iterdir()), [])


class RepairCrashTests(SynchronousTestCase):
    """A repair that a crash interrupts."""

    def test_every_step(self) -> None:
        """A crash at any step leaves the damaged journal or the repaired one, whole."""
        calls = 0
        for at in range(200):
            files = CrashFiles()
            log = Log(files)
            log.open()
            log.commit([("a", b"{}")])
            log.commit([("b", b"{}")])
            data = files.read(JOURNAL).replace(b'"a"', b'"x"')
            file = files.create(JOURNAL)
            file.write(data)
            file.sync()
            files.sync_directory()
            files.calls = 0
            files.plan = lambda call, files=files, at=at: (  # type: ignore[misc]
                ("before", "during", "after")[at % 3] if files.calls == at // 3 + 1 else None
            )
            try:
                repair(files)
            except Crash:
                left = files.after_crash(Random(at)).read(JOURNAL)
                if left != data:
                    self.assertEqual(scan(left).entries, {"b": b"{}"})
                else:
                    self.assertRaises(DamagedError, scan, left)
            else:
                calls = files.calls
                break
        self.assertGreater(calls, 8)
