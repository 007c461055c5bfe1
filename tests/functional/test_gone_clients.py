"""Long jobs whose client goes: they end, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from exampledriver.backends.copying.fingerprints import fingerprint
from tests.admin.command import done
from tests.backends.forest import plant
from tests.process import PATIENCE, request_bytes, until

from .case import DaemonCase

#: An application file with which copies take long while there is a certain file, a quarter of a
#: second for each node; deletions do not.
SLOW = """
import os, sys, time
from twisted.application.service import Application
from exampledriver.backends.copying.progress import Progress
from exampledriver.tap import Options, makeService

quick = Progress.advance

def slow(self, files=0, size=0):
    if os.path.exists(os.environ["SLOW"]):
        if not sys._getframe(1).f_code.co_filename.endswith("removing.py"):
            open(os.environ["BEGUN"], "a").close()
            time.sleep(0.25)
    return quick(self, files, size)

Progress.advance = slow
options = Options()
options.parseOptions(os.environ["OPTIONS"].split())
application = Application("slow")
makeService(options).setServiceParent(application)
"""
#: Seconds within which a job ends; the docs say 2, and this machine may have much else to do.
SOON = 5.0


class GoneTests(DaemonCase):
    """A daemon in which copies take at least a quarter of a minute."""

    def setUp(self) -> None:
        super().setUp()
        tac = self.base / "slow.tac"
        tac.write_text(SLOW)
        self.switch, self.begun = self.base / "slow", self.base / "begun"
        self.daemon.command = ()
        words = [word for word in self.daemon.arguments() if word.startswith("--")]
        self.daemon.environment = {
            "SLOW": str(self.switch),
            "BEGUN": str(self.begun),
            "OPTIONS": " ".join(words).removeprefix("--pidfile= "),
        }
        self.daemon.command = ["-n", "--pidfile=", "-y", str(tac)]
        self.daemon.start()
        self.daemon.ok("Create", Name="db")
        plant(self.daemon.root / "db" / "data")
        self.whole = fingerprint(self.daemon.root / "db")
        self.archive = self.base / "db.tar"
        done(self.daemon, "volume", "export", "db", str(self.archive))
        done(self.daemon, "volume", "snapshot", "db", "--label", "first")
        self.before = self.entries()
        self.switch.touch()

    def entries(self) -> set[str]:
        """Return what is in the root and in the directories of the driver there."""
        root = self.daemon.root
        return {
            str(path.relative_to(root))
            for place in (root, root / ".snapshots/db", root / ".trash")
            for path in place.glob("*")
        } - {".trash"}

    def ends(self, began: float) -> None:
        """Wait for the job's end: nothing of it is left, and the volume can be removed."""
        until(lambda: self.entries() == self.before, "the job's end")
        until(lambda: self.removed("db"), "a Remove")
        self.assertLess(time.monotonic() - began, SOON)
        self.switch.unlink()
        self.assertEqual(self.daemon.names(), [])
        done(self.daemon, "trash", "restore", "db")
        self.assertEqual(fingerprint(self.daemon.root / "db"), self.whole)

    def removed(self, name: str) -> bool:
        """Try to remove a volume."""
        return self.daemon.call("VolumeDriver.Remove", {"Name": name})[0] == 200

    def interrupt(self, *words: str) -> str:
        """Begin a command, interrupt it, and return what it says."""
        program = os.path.join(os.path.dirname(sys.executable), "exampledriver")
        with subprocess.Popen(
            [program, *words, "--admin", str(self.base / "run/admin.sock")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            until(self.begun.exists, "the job's beginning")
            command.send_signal(signal.SIGINT)
            began = time.monotonic()
            _, text = command.communicate(timeout=PATIENCE)
        self.ends(began)
        return text

    def test_snapshot(self) -> None:
        """A snapshot ends with its command, which says so."""
        self.assertIn("is undone", self.interrupt("volume", "snapshot", "db", "--label", "x"))

    def test_rollback(self) -> None:
        """A rollback ends with its command; the volume has what it had."""
        self.assertIn("is undone", self.interrupt("volume", "rollback", "db", "first"))

    def test_export(self) -> None:
        """An export ends with its command."""
        text = self.interrupt("volume", "export", "db", str(self.base / "other.tar"))
        self.assertIn("is undone", text)
        self.assertFalse((self.base / "other.tar").exists())

    def test_import(self) -> None:
        """An import ends with its command."""
        self.assertIn("is undone", self.interrupt("volume", "import", "new", str(self.archive)))

    def test_clone(self) -> None:
        """A clone that an administrator makes ends with the command."""
        self.assertIn("is undone", self.interrupt("volume", "create", "-o", "from=db", "new"))

    def test_bring(self) -> None:
        """A copy of a directory of the host, as a migration makes it, ends with its client."""
        source = self.base / "source"
        plant(source)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.base / "run/admin.sock"))
            fields = {"Name": "new", "Opts": {}, "Source": str(source), "Move": False}
            client.sendall(request_bytes("Admin.Bring", fields))
            until(self.begun.exists, "the job's beginning")
        self.ends(time.monotonic())

    def test_engine(self) -> None:
        """A clone that an engine asks for goes on when that gives up: asked again, it is there."""
        connection = self.daemon.connect()
        fields = {"Name": "new", "Opts": {"from": "db"}}
        connection.sendall(request_bytes("VolumeDriver.Create", fields))
        until(self.begun.exists, "the job's beginning")
        connection.close()
        self.switch.unlink()
        until(lambda: "new" in self.daemon.names(), "the clone")
        self.assertEqual(fingerprint(self.daemon.root / "new"), self.whole)


class HugeTests(DaemonCase):
    """A file of 15 TiB in which there is nothing; ext4 can hold none larger than 16."""

    def test_huge(self) -> None:
        """Its export, import, snapshot, clone and rollback take no longer than any other's."""
        self.daemon.start()
        self.daemon.ok("Create", Name="db")
        size = 15 << 40
        with (self.daemon.root / "db/huge").open("wb") as file:
            file.truncate(size)
        archive = self.base / "db.tar"
        done(self.daemon, "volume", "export", "db", str(archive))
        done(self.daemon, "volume", "import", "new", str(archive))
        done(self.daemon, "volume", "snapshot", "db", "--label", "first")
        done(self.daemon, "volume", "rollback", "db", "first")
        self.daemon.ok("Create", Name="copy", Opts={"from": "db"})
        self.assertLess(archive.stat().st_size, 100_000)
        for name in ("db", "new", "copy"):
            self.assertEqual((self.daemon.root / name / "huge").stat().st_size, size)
            self.daemon.ok("Remove", Name=name)
        self.assertEqual(list(Path(self.daemon.root).glob(".*.exampledriver-*")), [])
