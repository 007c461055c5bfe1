"""Snapshots, rollbacks, clones and archives: the command and the daemon, both real."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time

from exampledriver.backends.copying.archive import MANIFEST, Manifest
from exampledriver.backends.copying.fingerprints import fingerprint
from tests.admin.command import admin, done, loaded, refused
from tests.backends.forest import plant
from tests.process import PATIENCE, request_bytes, until

from .case import DaemonCase

#: How the name of what is being made ends.
STAGE = ".exampledriver-stage"


class CopiesCase(DaemonCase):
    """A daemon that runs, with a volume ``db`` that has all kinds of nodes."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.start()
        self.daemon.ok("Create", Name="db", Opts={"mode": "0750"})
        self.db = self.daemon.root / "db"
        shutil.rmtree(self.db)
        plant(self.db)
        self.whole = fingerprint(self.db)

    def left(self) -> set[str]:
        """Return what is in the root, but for what belongs there."""
        return set(os.listdir(self.daemon.root)) - {".lock", ".trash", ".snapshots"}


class SnapshotTests(CopiesCase):
    """volume snapshot, snapshots, rollback, snapshot-rm."""

    def test_rollback(self) -> None:
        """A volume has the data of its snapshot again, and what it had is in the trash."""
        found = admin(self.daemon, "volume", "snapshot", "db", "--label", "first")
        self.assertEqual((found.returncode, found.stdout), (0, "first\n"), found.stderr)
        self.assertRegex(found.stderr, r"by (copy|reflink), exact\n")
        self.assertRegex(done(self.daemon, "volume", "snapshot", "db"), r"^20\d{6}T\d{6}Z\n$")
        listed = loaded(self.daemon, "volume", "snapshots", "db", "--json")
        self.assertIn("first", [one["Label"] for one in listed])
        self.assertIn("exact", done(self.daemon, "volume", "snapshots", "db"))
        (self.db / "plain").write_text("ruined")
        self.assertEqual(done(self.daemon, "volume", "rollback", "db", "first"), "db\n")
        self.assertEqual(fingerprint(self.db), self.whole)
        done(self.daemon, "trash", "restore", "db", "--as", "ruined")
        self.assertEqual((self.daemon.root / "ruined/plain").read_text(), "ruined")
        done(self.daemon, "volume", "snapshot-rm", "db", "first")
        self.assertEqual(len(loaded(self.daemon, "volume", "snapshots", "db", "--json")), 1)

    def test_refused(self) -> None:
        """What cannot be says why: a missing one, a label twice, a volume in use, a kind."""
        done(self.daemon, "volume", "snapshot", "db", "--label", "first")
        for words, text in (
            (("snapshot", "nix"), "no such volume"),
            (("snapshots", "nix"), "no such volume"),
            (("snapshot", "db", "--label", "first"), "give another label"),
            (("snapshot", "db", "--label", "../x"), "label"),
            (("rollback", "db", "nix"), "it has: first"),
            (("snapshot-rm", "db", "nix"), "it has: first"),
        ):
            self.assertIn(text, refused(self.daemon, "volume", *words))
        self.daemon.ok("Mount", Name="db", ID="c1")
        text = refused(self.daemon, "volume", "rollback", "db", "first")
        self.assertIn("in use by an engine, which counts 1 mounts", text)
        found = admin(self.daemon, "volume", "snapshot", "db", "--label", "live")
        self.assertIn("file by file", found.stderr)
        self.daemon.ok("Create", Name="memory", Opts={"backend": "tmpfs", "size": "1M"})
        self.assertIn("in memory", refused(self.daemon, "volume", "snapshot", "memory"))

    def test_outlives(self) -> None:
        """Snapshots outlive their volume, and a clone brings its data back."""
        done(self.daemon, "volume", "snapshot", "db", "--label", "first")
        self.daemon.ok("Remove", Name="db")
        self.assertIn("first", done(self.daemon, "volume", "snapshots", "db"))
        self.daemon.ok("Create", Name="db", Opts={"from": "db@first"})
        self.assertEqual(fingerprint(self.db), self.whole)


class CloneTests(CopiesCase):
    """The option from."""

    def test_clone(self) -> None:
        """A clone is the volume's data; made again with the same options it is a success."""
        for _ in range(2):
            self.daemon.ok("Create", Name="copy", Opts={"from": "db"})
            self.daemon.stop()
            self.daemon.start()
        self.assertEqual(fingerprint(self.daemon.root / "copy"), self.whole)
        self.daemon.ok("Remove", Name="db")
        self.daemon.ok("Create", Name="copy", Opts={"from": "db"})
        self.assertEqual(self.left(), {"copy"})

    def test_owned(self) -> None:
        """Owner and mode are the source's, unless they are given."""
        self.daemon.ok("Create", Name="copy", Opts={"from": "db", "mode": "0700"})
        self.assertEqual((self.daemon.root / "copy").stat().st_mode & 0o7777, 0o700)

    def test_refused(self) -> None:
        """A source that is not there, or cannot be copied, is named, and nothing is left."""
        self.daemon.ok("Create", Name="memory", Opts={"backend": "tmpfs", "size": "1M"})
        before = self.left()
        for options, text in (
            ({"from": "nix"}, 'option from="nix": volume "nix": no such volume'),
            ({"from": "copy"}, "no such volume"),
            ({"from": "db@nix"}, 'has no snapshot "nix"'),
            ({"from": "a/b"}, "give the name of a volume, or NAME@SNAPSHOT"),
            ({"from": "memory"}, "in memory"),
            ({"from": "db", "size": "1G"}, 'option size="1G": the file system of '),
            ({"from": "db", "backend": "image"}, "a clone has its source's, which is directory"),
            ({"from": "db", "mountpoint": "/srv/x"}, "not together with mountpoint"),
        ):
            status, answer = self.daemon.call(
                "VolumeDriver.Create", {"Name": "copy", "Opts": options}
            )
            self.assertNotEqual(status, 200)
            self.assertIn(text, answer["Err"])
        (self.daemon.root / "copy").mkdir()
        status, answer = self.daemon.call(
            "VolumeDriver.Create", {"Name": "copy", "Opts": {"from": "db"}}
        )
        self.assertIn("is in the way", answer["Err"])
        self.assertEqual(self.left(), {*before, "copy"})


class ArchiveTests(CopiesCase):
    """volume export, import."""

    def test_files(self) -> None:
        """What was exported comes back the same, with its options, from files that tar reads."""
        archive = self.base / "db.tar"
        done(self.daemon, "volume", "export", "db", str(archive))
        self.assertEqual(archive.stat().st_mode & 0o777, 0o600)
        with tarfile.open(archive) as tar:
            self.assertIn("data/plain", tar.getnames())
        self.assertEqual(done(self.daemon, "volume", "import", "new", str(archive)), "new\n")
        # Sockets are no archive's.
        self.assertEqual(fingerprint(self.daemon.root / "new"), self.whole)
        (shown,) = loaded(self.daemon, "volume", "inspect", "new")
        self.assertEqual(shown["Options"], {"mode": "0750"})
        self.assertIn("exists", refused(self.daemon, "volume", "export", "db", str(archive)))
        self.assertIn("exists", refused(self.daemon, "volume", "import", "new", str(archive)))
        self.assertEqual(os.listdir(self.base / "run").count("admin.sock"), 1)
        self.assertEqual([name for name in os.listdir(self.base / "run") if name[0] == "."], [])

    def command(self, *words: str) -> list[str]:
        """Return a command line."""
        program = os.path.join(os.path.dirname(sys.executable), "exampledriver")
        return [program, "volume", *words, "--admin", str(self.base / "run/admin.sock")]

    def test_pipe(self) -> None:
        """A snapshot goes through a pipe from one command to the other."""
        done(self.daemon, "volume", "snapshot", "db", "--label", "first")
        with subprocess.Popen(
            self.command("export", "db@first"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as export:
            subprocess.run(
                self.command("import", "new", "-"), stdin=export.stdout, check=True,
                capture_output=True, timeout=PATIENCE,
            )  # fmt: skip
        self.assertEqual(fingerprint(self.daemon.root / "new"), self.whole)

    def test_meanwhile(self) -> None:
        """While an export runs its volume is mounted within a second, and is not removed."""
        (self.db / "big").write_bytes(os.urandom(8 << 20))
        with subprocess.Popen(
            self.command("export", "db"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as export:
            assert export.stdout is not None and export.stderr is not None
            begin = export.stdout.read(512)  # and no more: it waits
            began = time.monotonic()
            for call in ("Mount", "Unmount"):
                self.daemon.ok(call, Name="db", ID="c1")
            for call in ("Get", "Path"):
                self.daemon.ok(call, Name="db")
            self.assertLess(time.monotonic() - began, 1)
            status, answer = self.daemon.call("VolumeDriver.Remove", {"Name": "db"})
            self.assertEqual(status, 500)
            self.assertIn("not removed, it is being copied", answer["Err"])
            whole = begin + export.stdout.read()
            self.assertIn(b", file by file\n", export.stderr.read())
        self.assertIn(b'"consistency": "exact when begun"', whole)
        self.daemon.ok("Remove", Name="db")

    def test_slow_readers(self) -> None:
        """However many exports are read slowly, no other copy waits for their readers."""
        (self.db / "big").write_bytes(os.urandom(8 << 20))
        self.daemon.ok("Create", Name="other")
        words = self.command("export", "db")
        began = time.monotonic()
        for _ in range(6):
            export = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.addCleanup(export.communicate)
            self.addCleanup(export.kill)
            assert export.stdout is not None
            export.stdout.read(512)  # and no more: it waits
        # A minute later they would be given up.
        self.assertLess(time.monotonic() - began, PATIENCE)
        for words in (["snapshot", "other", "--label", "a"], ["rollback", "other", "a"]):
            subprocess.run(self.command(*words), check=True, capture_output=True, timeout=10)
        self.daemon.ok("Mount", Name="other", ID="c1")

    def test_damaged(self) -> None:
        """An archive that is cut short or changed leaves no volume, and says what is wrong."""
        archive = self.base / "db.tar"
        done(self.daemon, "volume", "export", "db", str(archive))
        content = archive.read_bytes()
        before = self.left()
        middle = content.index(b"data/plain") + 512
        for wrong, text in (
            (content[: len(content) // 2], "cut short"),
            (content[:middle] + b"?" + content[middle + 1 :], "damaged"),
            (b"x" * 20_000, "import"),
        ):
            archive.write_bytes(wrong)
            self.assertIn(text, refused(self.daemon, "volume", "import", "new", str(archive)))
            self.assertEqual(self.left(), before)
        self.assertEqual(self.daemon.names(), ["db"])

    def test_root_is_a_link(self) -> None:
        """An archive whose root is a link to a directory of the host changes nothing there."""
        outside = self.base / "outside"
        outside.mkdir(mode=0o700)
        archive = self.base / "bad.tar"
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            manifest = tarfile.TarInfo(MANIFEST)
            content = Manifest("db").to_bytes()
            manifest.size = len(content)
            tar.addfile(manifest, io.BytesIO(content))
            root = tarfile.TarInfo("data")
            root.type, root.linkname = tarfile.SYMTYPE, str(outside)
            tar.addfile(root)
        before, left = os.lstat(outside), self.left()
        words = "volume", "import", "new", str(archive), "-o", "mode=0777", "-o", "uid=0"
        text = refused(self.daemon, *words)
        self.assertIn('member "data" is a symbolic link: the root of a volume must be', text)
        self.assertEqual(os.lstat(outside), before)
        self.assertEqual(self.left(), left)

    def test_interrupted(self) -> None:
        """An import whose command dies leaves nothing, nor does an export."""
        archive = self.base / "db.tar"
        done(self.daemon, "volume", "export", "db", str(archive))
        before = self.left()
        content = archive.read_bytes()
        importing = subprocess.Popen(
            self.command("import", "new"), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.addCleanup(importing.wait)
        assert importing.stdin is not None
        importing.stdin.write(content[: len(content) // 2])
        importing.stdin.flush()
        until(lambda: len(self.left()) > len(before), "the stage")
        importing.send_signal(signal.SIGKILL)
        importing.stdin.close()
        until(lambda: self.left() == before, "the stage's end")
        self.assertEqual(self.daemon.names(), ["db"])

    def test_stopped(self) -> None:
        """A daemon that is stopped ends an import in time, and leaves nothing."""
        before = self.left()
        archive = self.base / "db.tar"
        done(self.daemon, "volume", "export", "db", str(archive))
        importing = subprocess.Popen(
            self.command("import", "new"), stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.addCleanup(importing.communicate)
        assert importing.stdin is not None
        importing.stdin.write(archive.read_bytes()[:10240])
        importing.stdin.flush()
        until(lambda: len(self.left()) > len(before), "the stage")
        self.daemon.stop()
        self.assertEqual(self.left(), before)
        self.assertNotIn("Traceback", self.daemon.log())


class ScheduleTests(CopiesCase):
    """[schedules] of the configuration file."""

    def test_missed(self) -> None:
        """A snapshot that is long due is made at the start, once."""
        slot = self.daemon.root / ".trash/20260101T000000.000000Z"
        (slot / "old").mkdir(parents=True)
        about = {"name": "old", "backend": "directory", "created": "2026-01-01T00:00:00Z"}
        (slot / ".volume.json").write_text(json.dumps({**about, "options": {}}))
        done(self.daemon, "trash", "restore", "old")
        config = self.base / "x.toml"
        config.write_text('[schedules.daily]\nevery = "1d"\nkeep = 2\n')
        self.daemon.options = [f"--config={config}"]
        for _ in range(2):
            self.daemon.stop()
            self.daemon.start()
            until(lambda: self.labels("old"), "a snapshot")
            self.assertEqual(len(self.labels("old")), 1)
        self.assertEqual(self.labels("db"), [])

    def labels(self, name: str) -> list[str]:
        """Return the labels of a volume's snapshots."""
        found = loaded(self.daemon, "volume", "snapshots", name, "--json")
        return [one["Label"] for one in found]


class KillTests(CopiesCase):
    """SIGKILL of the daemon."""

    def kill(self, name: str, whole: bool) -> None:
        """Begin a clone, and kill the daemon in the midst of it, or when it is whole."""
        place = self.daemon.root / name

        def begun() -> bool:
            stages = [path for path in self.daemon.root.iterdir() if path.suffix == STAGE]
            return place.exists() or (not whole and bool(stages))

        connection = self.daemon.connect()
        self.addCleanup(connection.close)
        message = {"Name": name, "Opts": {"from": "db"}}
        connection.sendall(request_bytes("VolumeDriver.Create", message))
        until(begun, "the clone")
        self.daemon.kill()

    def test_killed(self) -> None:
        """A daemon killed while it clones leaves no half volume, and the same call completes it."""
        (self.db / "big").write_bytes(os.urandom(32 << 20))
        whole = fingerprint(self.db)
        for number in range(6):
            name = f"copy{number}"
            place = self.daemon.root / name
            self.kill(name, number % 2 == 1)
            if place.exists():
                self.assertEqual(fingerprint(place), whole)
            self.daemon.start()
            self.daemon.ok("Create", Name=name, Opts={"from": "db"})
            self.assertEqual(fingerprint(place), whole)
        until(lambda: not any(name[0] == "." for name in self.left()), "an end of what was left")

    def test_names(self) -> None:
        """Volumes and snapshots that are called as what is half made survive a start."""
        words = ("stage", "new", "sub", "unanswered", "rollback")
        names = [f"db.exampledriver-{word}" for word in words]
        for name in names:
            self.daemon.ok("Create", Name=name)
            (self.daemon.root / name / "data").write_text("precious")
            done(self.daemon, "volume", "snapshot", name, "--label", name)
        self.daemon.kill()
        # What is cleared last.
        left = self.daemon.root / f".snapshots/zz/.{'0' * 16}{STAGE}"
        left.mkdir(parents=True)
        self.daemon.start()
        until(lambda: not left.exists(), "an end of what was left")
        for name in names:
            self.assertEqual((self.daemon.root / name / "data").read_text(), "precious")
            kept = self.daemon.root / ".snapshots" / name / name / "data/data"
            self.assertEqual(kept.read_text(), "precious")
            self.daemon.ok("Mount", Name=name, ID="c1")

    def test_notes(self) -> None:
        """The note of a directory that a kill kept from appearing goes with the next start."""
        suffix = ".exampledriver-unanswered"
        notes = [self.daemon.root / f".{letter * 16}{suffix}" for letter in "abc"]
        for note, text in zip(notes, ('{"name": "never", "identity": ""}', "", "{"), strict=True):
            note.write_text(text)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.left(), {"db"})
