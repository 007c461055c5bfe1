"""One writer for a directory (J9). That it survives daemonising is a functional test."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.journal import JournalError, Lock


class LockTests(SynchronousTestCase):
    """A lock file."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_second(self) -> None:
        """The second one is refused, and told who holds the lock."""
        lock = Lock.take(self.path)
        error = self.assertRaises(JournalError, Lock.take, self.path)
        self.assertIn(f"in use by process {os.getpid()} (", str(error))
        lock.release()
        Lock.take(self.path).release()

    def test_mode(self) -> None:
        """The lock file is the owner's alone (J11)."""
        Lock.take(self.path).release()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_holder_unknown(self) -> None:
        """A lock file without a process id still makes a whole sentence."""
        lock = Lock.take(self.path)
        self.path.write_text("")
        error = self.assertRaises(JournalError, Lock.take, self.path)
        self.assertIn("in use by another process: ", str(error))
        lock.release()

    def test_deleted(self) -> None:
        """A deleted lock file locks nothing: it is noticed, and taken again if it is free."""
        lock = Lock.take(self.path)
        self.assertTrue(lock.is_in_place())
        self.path.unlink()
        self.assertFalse(lock.is_in_place())
        other = Lock.take(self.path)
        self.assertRaises(JournalError, lock.renew)
        other.release()
        lock.renew()
        self.assertTrue(lock.is_in_place())
        self.assertRaises(JournalError, Lock.take, self.path)
        lock.release()
