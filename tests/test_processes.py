"""Who a process is."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.processes import command

#: Gives itself a name of two lines, says so, and waits to be ended.
_RENAMED = """
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"two\\nlines")
print(flush=True)
sys.stdin.read()
"""


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
        self.assertEqual(name, "two?lines")
