"""How the command ends."""

from __future__ import annotations

import sys
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli import completion
from exampledriver.cli.client import Client
from exampledriver.cli.main import main


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
