"""What bash offers at the Tab key, from a real bash; the other scripts by what is in them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli import shells
from exampledriver.cli.completion import commands
from exampledriver.cli.main import parser
from tests.process import PATIENCE

#: Stands for the command: says what it was asked, and has two volumes.
_FAKE = """#!/bin/sh
echo "$@" >>"$ASKED"
case "$1 $2" in
"volume ls") printf 'db\\ndata\\n' ;;
"trash list") printf '20261124T152242.911546Z old\\n' ;;
esac
"""

_ASK = """
source "$SCRIPT"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_exampledriver
printf '%s\\n' "${COMPREPLY[@]}"
"""


class BashTests(SynchronousTestCase):
    """The script, sourced by bash."""

    def setUp(self) -> None:
        base = Path(os.path.abspath(self.mktemp()))
        base.mkdir()
        self.asked = base / "asked"
        script = base / "script"
        script.write_text(shells.bash(list(commands(parser()))))
        fake = base / "exampledriver"
        fake.write_text(_FAKE)
        fake.chmod(0o755)
        self.environment = {
            "PATH": f"{base}:{os.environ['PATH']}",
            "SCRIPT": str(script),
            "ASKED": str(self.asked),
        }

    def offered(self, *words: str) -> set[str]:
        """Return what is offered with the cursor at the end of the last word."""
        found = subprocess.run(
            ["bash", "-c", _ASK, "bash", "exampledriver", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual((found.returncode, found.stderr), (0, ""))
        return set(found.stdout.split())

    def test_commands(self) -> None:
        """Commands, those below them, and options are offered by what is typed of them."""
        self.assertLessEqual({"volume", "trash", "migrate", "journal"}, self.offered(""))
        self.assertEqual(self.offered("vol"), {"volume"})
        self.assertLessEqual({"ls", "rm", "release"}, self.offered("volume", ""))
        self.assertEqual(self.offered("volume", "release", "--i"), {"--id"})
        self.assertEqual(self.offered("migrate", "--from", "local"), {"local-persist"})
        self.assertEqual(self.offered("completion", "f"), {"fish"})

    def test_names(self) -> None:
        """Volumes' names and what is in the trash are asked of the daemon."""
        self.assertEqual(self.offered("volume", "rm", "d"), {"db", "data"})
        self.assertEqual(self.offered("volume", "rm", "db", "da"), {"data"})
        self.assertEqual(self.offered("trash", "restore", "o"), {"old"})
        for words in (["resize"], ["rollback"], ["snapshot-rm"], ["export"]):
            self.assertEqual(self.offered("volume", *words, "d"), {"db", "data"})
        self.assertIn("/etc/hosts", self.offered("volume", "export", "db", "/etc/host"))
        self.assertEqual(self.offered("volume", "create", ""), set())
        self.assertEqual(set(self.asked.read_text().splitlines()),
                         {"volume ls --quiet", "trash list --quiet"})  # fmt: skip

    def test_socket(self) -> None:
        """They are asked at the socket that the line names, in both ways to write it."""
        for words in (["--admin", "/x"], ["--admin", "=", "/x"], ["--admin=/x"]):
            self.assertEqual(self.offered("volume", "rm", *words, "da"), {"data"})
        self.assertEqual(set(self.asked.read_text().splitlines()),
                         {"volume ls --quiet --admin /x"})  # fmt: skip

    def test_value(self) -> None:
        """Where an option's value stands no name is offered."""
        self.assertEqual(self.offered("volume", "release", "--id", ""), set())


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
