"""What a shell offers at the Tab key: the same for each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.completion import commands
from exampledriver.cli.main import parser
from exampledriver.cli.shells import Command

#: Stands for the command: says what it was asked, and has two volumes.
_FAKE = """#!/bin/sh
echo "$@" >>"$ASKED"
case "$1 $2" in
"volume ls") printf 'db\\ndata\\n' ;;
"trash list") printf '20261124T152242.911546Z old\\n' ;;
esac
"""


class CompletionSuite(SynchronousTestCase):
    """The script of one shell, in a real one.

    :ivar script: makes it.
    :ivar sockets: the ways to give an option's value that the shell's lines may have.
    """

    script: Callable[[list[Command]], str]
    sockets: Sequence[Sequence[str]] = (["--admin", "/x"], ["--admin=/x"])

    def setUp(self) -> None:
        base = self.base = Path(os.path.abspath(self.mktemp()))
        base.mkdir()
        self.asked = base / "asked"
        script = base / "script"
        script.write_text(type(self).script(list(commands(parser()))))
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
        raise NotImplementedError

    def test_commands(self) -> None:
        """Commands, those below them, and options are offered by what is typed of them."""
        self.assertLessEqual({"volume", "trash", "migrate", "journal"}, self.offered(""))
        self.assertEqual(self.offered("vol"), {"volume"})
        self.assertLessEqual({"ls", "rm", "release"}, self.offered("volume", ""))
        self.assertEqual(self.offered("volume", "release", "--i"), {"--id"})
        self.assertEqual(self.offered("migrate", "--from", "local"), {"local-persist"})
        self.assertEqual(self.offered("completion", "f"), {"fish"})
        (hosts,) = self.offered("volume", "export", "db", "/etc/host.c")
        self.assertTrue("/etc/host.conf".endswith(hosts))

    def test_names(self) -> None:
        """Volumes' names and what is in the trash are asked of the daemon."""
        self.assertEqual(self.offered("volume", "rm", "d"), {"db", "data"})
        self.assertEqual(self.offered("volume", "rm", "db", "da"), {"data"})
        self.assertEqual(self.offered("trash", "restore", "o"), {"old"})
        for words in (["resize"], ["rollback"], ["snapshot-rm"], ["export"]):
            self.assertEqual(self.offered("volume", *words, "d"), {"db", "data"})
        self.assertEqual(self.offered("volume", "create", ""), set())
        self.assertEqual(set(self.asked.read_text().splitlines()),
                         {"volume ls --quiet", "trash list --quiet"})  # fmt: skip

    def test_socket(self) -> None:
        """They are asked at the socket that the line names, in each way to write it."""
        for words in self.sockets:
            self.assertEqual(self.offered("volume", "rm", *words, "da"), {"data"})
        found = {line.replace("=", " ") for line in self.asked.read_text().splitlines()}
        self.assertEqual(found, {"volume ls --quiet --admin /x"})

    def test_value(self) -> None:
        """Where an option's value stands no name is offered."""
        self.assertEqual(self.offered("volume", "release", "--id", ""), set())
