"""Who a process is."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.checks import proc
from exampledriver.processes import command, status
from tests.backends.proc import MemoryProc

#: Gives itself a name of two lines, says so, and waits to be ended.
_RENAMED = """
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"two\\nlines")
print(flush=True)
sys.stdin.read()
"""

#: Gives itself a name that looks like a line of /proc/PID/status.
_FORGED = _RENAMED.replace("two\\nlines", ") \\rUid: 7 7")


class CommandTests(SynchronousTestCase):
    """A process's name."""

    def test_gone(self) -> None:
        """A process that is gone is said to be gone."""
        self.assertEqual(command(2**22 + 1), "gone")

    def test_one_line(self) -> None:
        """A name with a line break does not break the line in which it is told."""
        with subprocess.Popen(
            [sys.executable, "-c", _RENAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            name = command(child.pid)
            child.communicate()
        self.assertEqual(name, "two\\nlines")


class NameTests(SynchronousTestCase):
    """What a process says of itself changes nothing of what the kernel says of it."""

    def test_forged(self) -> None:
        """A name with a line break that the kernel does not escape forges no other line."""
        with subprocess.Popen(
            [sys.executable, "-c", _FORGED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            found, time = proc.user(child.pid), proc.started(child.pid)
            shown = command(child.pid)
            child.communicate()
        self.assertEqual(found, os.geteuid())
        self.assertIsNotNone(time)
        self.assertEqual(shown, ") \\rUid: 7 7")

    def test_status(self) -> None:
        """A field of a process's status is found by its name, and may be missing."""
        files: dict[tuple[int | str, str], bytes | int] = {
            (7, "status"): b"Name:\t\xff\rUid:\t1\nUid:\t5\t6\t7\t8\nCapEff:\t00ff\n"
        }
        there = MemoryProc(files=files)
        self.assertEqual(status(7, "Uid", there), ["5", "6", "7", "8"])
        self.assertEqual(status(7, "CapEff", there), ["00ff"])
        self.assertEqual(status(7, "Umask", there), [])
        self.assertRaises(OSError, status, 8, "Uid", there)

    def test_short(self) -> None:
        """Empty files are not an error."""
        names = ("stat", "status", "cgroup", "comm")
        for text in (b"", b"\n", b"7 (a", b"Uid:", b"Uid:\t\xb2 \xb2"):
            there = MemoryProc(files={(7, name): text for name in names})
            self.assertIsNone(proc.started(7, there))
            self.assertIsNone(proc.user(7, there))
            self.assertEqual(proc.unit(7, there), "")

    def test_unit(self) -> None:
        """A service is found whatever bytes its groups' names have."""
        text = b"0::/system.slice/\xff\r/x.service/a@b.service\n"
        self.assertEqual(proc.unit(7, MemoryProc(files={(7, "cgroup"): text})), "a@b.service")
