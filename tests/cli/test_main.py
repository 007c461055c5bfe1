"""How the command ends."""

from __future__ import annotations

import sys
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli import completion
from exampledriver.cli.main import main


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
