"""Real file systems that are full: of the journal, through a real Docker Engine, and of the log."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from tests.admin import command
from tests.process import until

from .box import done, run
from .case import DockerCase, DriverCase


def _name(line: str) -> object:
    """Return the volume that a line of the log is about, or ``torn``."""
    try:
        return json.loads(line).get("name")
    except ValueError:
        return "torn"


def fill(file: Path) -> None:
    """Write a file until there is no space."""
    with file.open("wb", buffering=0) as opened, contextlib.suppress(OSError):
        while True:
            opened.write(b"x" * 4096)


def make_small(case: DriverCase, place: Path, size: str, mode: str) -> None:
    """Give a directory a small file system of its own, while the daemon does not use it."""
    done("mount", "-t", "tmpfs", "-o", f"size={size},mode={mode}", "tmpfs", str(place))
    case.addCleanup(run, "umount", "--lazy", str(place))


class FullLogTests(DriverCase):
    """A log file on a real file system that is full."""

    def setUp(self) -> None:
        super().setUp()
        self.logs = self.daemon.base / "logs"
        self.logs.mkdir()
        make_small(self, self.logs, "64k", "700")

    def names(self) -> list[object]:
        """Return the volumes that the lines of the log are about, the oldest first."""
        files = sorted(self.logs.iterdir(), reverse=True)
        return [_name(line) for file in files for line in file.read_text().splitlines()]

    def test_goes_on(self) -> None:
        """Changes go on; once there is space, lines are written again, each of them whole."""
        log = self.logs / "x.log"
        self.daemon.stop()
        self.daemon.options = [f"--log-file={log}", "--log-format=json", "--log-rotate-size=20k"]
        self.daemon.start()
        ballast = self.logs / "ballast"
        ballast.write_bytes(b"x" * 32768)
        # More lines than fit, with several rotations that cannot open their file.
        for number in range(400):
            self.daemon.ok("Create", Name=f"v{number}")
        self.assertGreaterEqual(sum(path.stat().st_size for path in self.logs.iterdir()), 60000)
        ballast.unlink()
        for old in self.logs.glob("x.log.*"):
            old.unlink()
        for number in range(40):
            self.daemon.ok("Create", Name=f"later{number}")
        # The line of a change is written after its answer.
        until(lambda: self.names()[-1:] == ["later39"], "the last line")
        names = self.names()
        self.assertEqual(names[-40:], [f"later{number}" for number in range(40)])
        self.assertLessEqual(names.count("torn"), 5)


class FullDiskTests(DockerCase):
    """J6: the change fails with a clear error, reads go on, and with space it succeeds."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.stop()
        make_small(self, self.daemon.state, "1m", "700")
        self.daemon.start()

    def test_full_disk(self) -> None:
        """A Create that does not fit, Gets that go on, and the next Create after space is freed."""
        self.create()
        ballast = self.daemon.state / "ballast"
        fill(ballast)
        # What is left of the journal's last page takes some small records yet.
        errors: list[str] = []

        def refused() -> bool:
            name = f"fill{len(errors)}"
            found = self.engine.run("volume", "create", "-d", "x", name)
            errors.append(found.stderr)
            return found.returncode != 0

        until(refused, "a full disk")
        self.assertIn("No space left on device", errors[-1])
        self.assertIn("nothing was changed: free some space on its file system", errors[-1])
        lost = f"fill{len(errors) - 1}"
        self.assertNotIn(lost, self.daemon.names())
        self.assertFalse((self.daemon.root / lost).exists())
        self.assertEqual(self.inspect()["Status"]["Health"], "ok")
        self.engine.sh(f"{self.name}:/data", "echo reads and mounts go on > /data/file")
        ballast.unlink()
        self.engine.docker("volume", "create", "-d", "x", lost)
        names = self.daemon.names()
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.daemon.names(), names)
        self.assertIn(lost, names)


class FullRootCase(DockerCase):
    """The volumes' own file system is full."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.stop()
        self.make_root()
        self.daemon.start()
        for name in ("a", "b", "c"):
            self.engine.docker("volume", "create", "-d", "x", "-o", "mode=0750", name)
        # A start with volumes puts a slot in reserve.
        self.daemon.stop()
        self.daemon.start()
        until((self.daemon.root / ".trash/.spare/.volume.json").exists, "the reserve")

    def make_root(self) -> None:
        """Give the root a small file system of its own."""
        make_small(self, self.daemon.root, "1m", "710")

    def fill(self) -> Path:
        """Leave no space; return the file that takes it."""
        file = self.daemon.root / "c/file"
        fill(file)
        return file

    def removed(self) -> list[str]:
        """Return the names of the removed volumes."""
        return [one["Name"] for one in command.loaded(self.daemon, "trash", "list", "--json")]


class FullRootTests(FullRootCase):
    """A tmpfs of 1 MiB."""

    def test_reserve(self) -> None:
        """A volume goes to the trash of a full disk, whole; the next one is refused with advice."""
        (self.daemon.root / "a/data").write_bytes(b"precious")
        file = self.fill()
        self.engine.docker("volume", "rm", "a")
        self.assertEqual(self.removed(), ["a"])
        error = self.error("volume", "rm", "c")
        self.assertIn("No space left on device; free some space: ", error)
        self.assertIn("exampledriver trash purge", error)
        self.assertIn("exampledriver volume rm --now NAME", error)
        self.assertEqual(file.read_bytes().strip(b"x"), b"")
        command.done(self.daemon, "trash", "restore", "a")
        self.assertEqual((self.daemon.root / "a/data").read_bytes(), b"precious")
        (found,) = command.loaded(self.daemon, "volume", "inspect", "a")
        self.assertEqual(found["Options"], {"mode": "0750"})

    def test_now(self) -> None:
        """With an empty trash, and no reserve, a volume is removed without the trash."""
        self.fill()
        self.engine.docker("volume", "rm", "a")
        command.done(self.daemon, "trash", "purge", "--yes")
        spare = self.daemon.root / ".trash/.spare"
        for path in (spare / ".volume.json", spare):
            with contextlib.suppress(FileNotFoundError):
                path.unlink() if path.is_file() else path.rmdir()
        fill(self.daemon.root / "b/file")
        error = self.error("volume", "rm", "c")
        self.assertIn("free some space: the trash is empty; ", error)
        self.assertIn(
            "nothing was removed", command.refused(self.daemon, "volume", "rm", "--now", "c")
        )
        command.done(self.daemon, "volume", "rm", "--now", "--yes", "c")
        self.assertEqual((self.daemon.names(), self.removed()), (["b"], []))
        until(lambda: not list(self.daemon.root.glob(".trash/[!.]*")), "its end")
        self.engine.docker("volume", "rm", "b")
        self.assertEqual(self.removed(), ["b"])

    def test_now_in_use(self) -> None:
        """What a container uses is not removed without the trash either."""
        container = self.engine.docker("run", "-d", "-v", "c:/data", "busybox", "sleep", "600")
        error = command.refused(self.daemon, "volume", "rm", "--now", "--yes", "c")
        self.assertIn("in use by", error)
        self.engine.docker("rm", "-f", container)
        command.done(self.daemon, "volume", "rm", "--now", "--yes", "c")

    def test_pressure(self) -> None:
        """With purge-when-below a full disk purges the oldest before their retention ends."""
        for name in ("a", "b"):
            (self.daemon.root / name / "file").write_bytes(b"x" * (300 << 10))
            self.engine.docker("volume", "rm", name)
        config = self.daemon.base / "x.toml"
        config.write_text('[trash]\npurge-when-below = "40%"\n')
        self.daemon.options = [f"--config={config}", "--trash-retention=forever"]
        self.daemon.stop()
        self.daemon.start()
        until(lambda: self.removed() == ["b"], "a purge of the oldest")
        self.assertRegex(self.daemon.log(), r"purged .* \(a\), removed .* ago: only .* was free")

    def test_doctor(self) -> None:
        """Doctor says that a full disk is mostly trash."""
        (self.daemon.root / "a/file").write_bytes(b"x" * (700 << 10))
        self.engine.docker("volume", "rm", "a")
        self.fill()
        places = [
            f"--{word}={self.daemon.base / place}"
            for word, place in (
                ("root", "volumes"),
                ("state", "state"),
                ("runtime", "run"),
            )
        ]
        found = command.admin(self.daemon, "doctor", "--json", "--docker=none", *places)
        (one,) = [
            finding
            for finding in json.loads(found.stdout)["findings"]
            if "/.trash takes" in finding["what"]
        ]
        self.assertEqual(one["severity"], "problem")
        self.assertIn("most of the file system", one["what"])
        self.assertIn("exampledriver trash purge", one["fix"])


class NoInodesTests(FullRootCase):
    """A tmpfs that has space, and no inode."""

    def make_root(self) -> None:
        """Mount one with few inodes."""
        make_small(self, self.daemon.root, "1m,nr_inodes=64", "710")

    def fill(self) -> Path:
        """Take all inodes."""
        with contextlib.suppress(OSError):
            for number in range(1000):
                (self.daemon.root / f"c/{number}").touch()
        return self.daemon.root / "c/0"

    def test_reserve(self) -> None:
        """A volume goes to the trash without a free inode; a purge makes room for the next."""
        self.fill()
        self.engine.docker("volume", "rm", "a")
        self.assertIn("No space left on device", self.error("volume", "rm", "b"))
        command.done(self.daemon, "volume", "rm", "--now", "--yes", "b")
        self.assertEqual(self.removed(), ["a"])
        command.done(self.daemon, "trash", "purge", "--yes")
        self.engine.docker("volume", "rm", "c")
        self.assertEqual(self.removed(), ["c"])


class FullExt4Tests(FullRootCase):
    """An ext4 of 1 MiB, of which root has no part for itself."""

    def make_root(self) -> None:
        """Mount a file system in a file."""
        image = self.daemon.base / "root.img"
        image.touch()
        os.truncate(image, 1 << 20)
        done("mkfs.ext4", "-q", "-m", "0", str(image))
        done("mount", "-o", "loop", str(image), str(self.daemon.root))
        self.addCleanup(run, "umount", "--lazy", str(self.daemon.root))

    def test_reserve(self) -> None:
        """A volume goes to the trash of a full disk, and a purge makes room for the next one."""
        file = self.fill()
        self.engine.docker("volume", "rm", "a")
        self.assertEqual(self.removed(), ["a"])
        self.assertIn("No space left on device", self.error("volume", "rm", "c"))
        self.assertEqual(file.read_bytes().strip(b"x"), b"")
        command.done(self.daemon, "trash", "purge", "--yes")
        self.engine.docker("volume", "rm", "c")
        self.assertEqual(self.removed(), ["c"])

    def test_immutable(self) -> None:
        """A purge that an immutable file stops says how to go on, and nothing looks whole."""
        for number in range(5):
            (self.daemon.root / f"a/{number}").write_text("x")
        done("chattr", "+i", str(self.daemon.root / "a/3"))
        self.engine.docker("volume", "rm", "a")
        error = command.refused(self.daemon, "trash", "purge", "--yes", "a")
        self.assertRegex(error, r"Operation not permitted: '.*\.deleting/a/3'; it is immutable")
        (one,) = command.loaded(self.daemon, "trash", "list", "--json")
        self.assertEqual((one["Name"], one["State"]), ("a", "partly deleted"))
        self.assertIn("is partly deleted", command.refused(self.daemon, "trash", "restore", "a"))
        found = re.search(r'"(chattr [^"]*)"', error)
        assert found is not None
        done(*found[1].split())
        command.done(self.daemon, "trash", "purge", "--yes", "a")
        self.assertEqual(self.removed(), [])

    def test_immutable_directory(self) -> None:
        """A volume that cannot be moved stays, and the error names chattr."""
        done("chattr", "+i", str(self.daemon.root / "a"))
        error = self.error("volume", "rm", "a")
        self.assertIn("as lsattr shows", error)
        self.assertIn(f"chattr -i -a {self.daemon.root / 'a'} ", error)
        done("chattr", "-i", str(self.daemon.root / "a"))
        self.engine.docker("volume", "rm", "a")
