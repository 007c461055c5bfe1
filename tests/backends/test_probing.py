"""The program that sees whether a mounted file system can be read and written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends import probing


class ProbingTests(SynchronousTestCase):
    """A directory whose file system fails as the test says."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.place.mkdir()

    def fail(self, call: str, number: int) -> None:  # type: ignore[override]
        """Let a call of the kernel fail."""

        def failing(*args: object, **more: object) -> None:
            raise OSError(number, os.strerror(number))

        self.patch(os, call, failing)

    def test_good(self) -> None:
        """A directory that can be read and written is good, empty or not, and stays as it was."""
        probing.main(str(self.place), True)
        self.assertEqual(list(self.place.iterdir()), [])
        (self.place / "file").write_text("x")
        before = self.place.stat()
        probing.main(str(self.place), True)
        after = self.place.stat()
        self.assertEqual(os.listdir(self.place), ["file"])
        self.assertEqual(before.st_mtime_ns, after.st_mtime_ns)

    def test_reads_fail(self) -> None:
        """An error of reading the directory is one, though stat and statfs answer."""
        self.fail("scandir", errno.EIO)
        self.assertRaises(OSError, probing.main, str(self.place), False)

    def test_writes_fail(self) -> None:
        """So is one of writing, if that was asked for."""
        self.fail("fsync", errno.EIO)
        probing.main(str(self.place), False)
        error = self.assertRaises(OSError, probing.main, str(self.place), True)
        self.assertEqual(error.strerror, "Input/output error, when it was written to")

    def test_no_fault(self) -> None:
        """A full disk, a quota, and root that may not write there are not faults of the storage."""
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            self.fail("fsync", number)
            probing.main(str(self.place), True)
