"""What bash offers at the Tab key, from a real bash; the scripts by what is in them."""

from __future__ import annotations

import subprocess

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli import shells
from exampledriver.cli.completion import commands
from exampledriver.cli.main import parser
from tests.process import PATIENCE

from . import completion_suite

_ASK = """
source "$SCRIPT"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_exampledriver
printf '%s\\n' "${COMPREPLY[@]}"
"""


class BashTests(completion_suite.CompletionSuite):
    """The script, sourced by bash."""

    script = staticmethod(shells.bash)
    sockets = (*completion_suite.CompletionSuite.sockets, ["--admin", "=", "/x"])

    def offered(self, *words: str) -> set[str]:
        found = subprocess.run(
            ["bash", "-c", _ASK, "bash", "exampledriver", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual((found.returncode, found.stderr), (0, ""))
        return set(found.stdout.split())


class ParserTests(SynchronousTestCase):
    """The description that all scripts are made of."""

    def test_every_command(self) -> None:
        """Each command and option of the parser is in each script."""
        found = list(commands(parser()))
        self.assertLessEqual({"volume ls", "trash purge", "migrate"}, {c.words for c in found})
        for script in (shells.zsh(found), shells.fish(found)):
            for command in found:
                for name, _ in command.commands:
                    self.assertIn(name, script)
                for option in command.options:
                    for flag in option.flags:
                        self.assertIn(flag.lstrip("-"), script)
