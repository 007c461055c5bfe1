"""How the command ends."""

from __future__ import annotations

import socket
import sys
import threading
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli import completion
from exampledriver.cli.client import AdminError, Client
from exampledriver.cli.main import main
from exampledriver.cli.transfer import Transfer, _write_to, read_archive
from tests.process import remove_directory, short_directory


class MountsTests(SynchronousTestCase):
    """volume mounts."""

    def test_trouble(self) -> None:
        """Who holds a volume is shown where its server does not answer, too."""
        shown = {"Name": "v", "MountIDs": {"c1": 1}, "HeldBy": "pid 7", "Trouble": "no answer"}
        self.patch(Client, "ask", lambda *_: {"Volumes": [shown]})
        output = StringIO()
        self.patch(sys, "stdout", output)
        self.assertEqual(main(["volume", "mounts"]), 0)
        self.assertTrue(output.getvalue().endswith("pid 7; no answer\n"), output.getvalue())


class TransferTests(SynchronousTestCase):
    """The way of an archive."""

    def test_interrupted(self) -> None:
        """Where the command has closed its file, what still comes is nobody's."""
        base = short_directory()
        self.addCleanup(remove_directory, base)
        troubles: list[object] = []
        self.patch(threading, "excepthook", troubles.append)
        with (base / "a.tar").open("wb") as file:
            transfer = Transfer(base / "admin.sock", _write_to(file))
        with transfer, socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(str(base / transfer.channel))
            daemon.sendall(b"x")
            daemon.shutdown(socket.SHUT_WR)
            transfer.finish()
        self.assertEqual(troubles, [])

    def test_terminal(self) -> None:
        """An archive is not waited for from a terminal."""
        terminal = StringIO()
        self.patch(terminal, "isatty", lambda: True)
        self.patch(sys, "stdin", terminal)
        asked: list[str] = []
        error = self.assertRaises(AdminError, read_archive, Path("/x"), "-", asked.append)
        self.assertIn("give a FILE, or a pipe", str(error))
        self.assertEqual(asked, [])


class EndTests(SynchronousTestCase):
    """Its exit status, and what it says."""

    def test_interrupted(self) -> None:
        """Ctrl-C is one line, with what becomes of the work, and the status of shells."""
        errors = StringIO()
        self.patch(sys, "stderr", errors)
        for words, text in (([], ""), (["what was asked for goes on"], ": what was asked for")):

            def interrupted(*_: object, words: list[str] = words) -> int:
                raise KeyboardInterrupt(*words)

            self.patch(completion, "_show", interrupted)
            self.assertEqual(main(["completion", "bash"]), 130)
            self.assertEqual(errors.getvalue().count("\n"), 1)
            self.assertIn(f"exampledriver: interrupted{text}", errors.getvalue())
            errors.truncate(0)
            errors.seek(0)
