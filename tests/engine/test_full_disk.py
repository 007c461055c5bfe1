"""Real file systems that are full: of the journal, through a real Docker Engine, and of the log."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from pathlib import Path

from tests.admin import command
from tests.process import until

from .box import IMAGE, done, run
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

    def test_remove(self) -> None:
        """A volume can be removed although the journal's disk is full, again and again."""
        names = [f"v{number}" for number in range(5)]
        for name in names:
            self.engine.docker("volume", "create", "-d", "x", name)
        fill(self.daemon.state / "ballast")
        for name in names:
            self.engine.docker("volume", "rm", name)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.daemon.names(), [])


class FullRootCase(DockerCase):
    """The volumes' own file system is full."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.stop()
        self.make_root()
        self.daemon.start()
        for name in ("va", "vb", "vc"):
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
        file = self.daemon.root / "vc/file"
        fill(file)
        return file

    def removed(self) -> list[str]:
        """Return the names of the removed volumes."""
        return [one["Name"] for one in command.loaded(self.daemon, "trash", "list", "--json")]


class FullRootTests(FullRootCase):
    """A tmpfs of 1 MiB."""

    def test_reserve(self) -> None:
        """A volume goes to the trash of a full disk, whole; the next one is refused with advice."""
        (self.daemon.root / "va/data").write_bytes(b"precious")
        file = self.fill()
        self.engine.docker("volume", "rm", "va")
        self.assertEqual(self.removed(), ["va"])
        error = self.error("volume", "rm", "vc")
        self.assertIn("No space left on device; free some space: ", error)
        self.assertIn("exampledriver trash purge", error)
        self.assertIn("exampledriver volume rm --now NAME", error)
        self.assertEqual(file.read_bytes().strip(b"x"), b"")
        command.done(self.daemon, "trash", "restore", "va")
        self.assertEqual((self.daemon.root / "va/data").read_bytes(), b"precious")
        (found,) = command.loaded(self.daemon, "volume", "inspect", "va")
        self.assertEqual(found["Options"], {"mode": "0750"})

    def test_now(self) -> None:
        """With an empty trash, and no reserve, a volume is removed without the trash."""
        self.fill()
        self.engine.docker("volume", "rm", "va")
        command.done(self.daemon, "trash", "purge", "--yes")
        spare = self.daemon.root / ".trash/.spare"
        for path in (spare / ".volume.json", spare):
            with contextlib.suppress(FileNotFoundError):
                path.unlink() if path.is_file() else path.rmdir()
        fill(self.daemon.root / "vb/file")
        error = self.error("volume", "rm", "vc")
        self.assertIn("free some space: the trash is empty; ", error)
        self.assertIn(
            "nothing was removed", command.refused(self.daemon, "volume", "rm", "--now", "vc")
        )
        command.done(self.daemon, "volume", "rm", "--now", "--yes", "vc")
        self.assertEqual((self.daemon.names(), self.removed()), (["vb"], []))
        until(lambda: not list(self.daemon.root.glob(".trash/[!.]*")), "its end")
        self.engine.docker("volume", "rm", "vb")
        self.assertEqual(self.removed(), ["vb"])

    def test_now_in_use(self) -> None:
        """What a container uses is not removed without the trash either."""
        container = self.engine.docker("run", "-d", "-v", "vc:/data", IMAGE, "sleep", "600")
        error = command.refused(self.daemon, "volume", "rm", "--now", "--yes", "vc")
        self.assertIn("in use by", error)
        self.engine.docker("rm", "-f", container)
        command.done(self.daemon, "volume", "rm", "--now", "--yes", "vc")

    def test_pressure(self) -> None:
        """With purge-when-below a full disk purges the oldest before their retention ends."""
        for name in ("va", "vb"):
            (self.daemon.root / name / "file").write_bytes(b"x" * (300 << 10))
            self.engine.docker("volume", "rm", name)
        config = self.daemon.base / "x.toml"
        config.write_text('[trash]\npurge-when-below = "40%"\n')
        self.daemon.options = [f"--config={config}", "--trash-retention=forever"]
        self.daemon.stop()
        self.daemon.start()
        until(lambda: self.removed() == ["vb"], "a purge of the oldest")
        self.assertRegex(self.daemon.log(), r"purged .* \(va\), removed .* ago: only .* was free")

    def test_doctor(self) -> None:
        """Doctor says that a full disk is mostly trash."""
        (self.daemon.root / "va/file").write_bytes(b"x" * (700 << 10))
        self.engine.docker("volume", "rm", "va")
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
                (self.daemon.root / f"vc/{number}").touch()
        return self.daemon.root / "vc/0"

    def test_reserve(self) -> None:
        """A volume goes to the trash without a free inode; a purge makes room for the next."""
        self.fill()
        self.engine.docker("volume", "rm", "va")
        self.assertIn("No space left on device", self.error("volume", "rm", "vb"))
        command.done(self.daemon, "volume", "rm", "--now", "--yes", "vb")
        self.assertEqual(self.removed(), ["va"])
        command.done(self.daemon, "trash", "purge", "--yes")
        self.engine.docker("volume", "rm", "vc")
        self.assertEqual(self.removed(), ["vc"])


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

    def fill(self) -> Path:
        """Take what a file gets, which is allocated late, and what a directory still gets."""
        file = super().fill()
        done("sync", "--file-system", str(file))
        with contextlib.suppress(OSError):
            for number in range(1000):
                file.with_name(f"directory{number}").mkdir()
        return file

    def test_reserve(self) -> None:
        """A volume goes to the trash of a full disk, and a purge makes room for the next one."""
        file = self.fill()
        self.engine.docker("volume", "rm", "va")
        self.assertEqual(self.removed(), ["va"])
        self.assertIn("No space left on device", self.error("volume", "rm", "vc"))
        self.assertEqual(file.read_bytes().strip(b"x"), b"")
        command.done(self.daemon, "trash", "purge", "--yes")
        self.engine.docker("volume", "rm", "vc")
        self.assertEqual(self.removed(), ["vc"])

    def test_immutable(self) -> None:
        """A purge that an immutable file stops says how to go on, and nothing looks whole."""
        for number in range(5):
            (self.daemon.root / f"va/{number}").write_text("x")
        done("chattr", "+i", str(self.daemon.root / "va/3"))
        self.engine.docker("volume", "rm", "va")
        error = command.refused(self.daemon, "trash", "purge", "--yes", "va")
        self.assertRegex(error, r"Operation not permitted: '.*\.deleting/va/3'; it is immutable")
        (one,) = command.loaded(self.daemon, "trash", "list", "--json")
        self.assertEqual((one["Name"], one["State"]), ("va", "partly deleted"))
        self.assertIn("is partly deleted", command.refused(self.daemon, "trash", "restore", "va"))
        found = re.search(r'"(chattr [^"]*)"', error)
        assert found is not None
        done(*found[1].split())
        command.done(self.daemon, "trash", "purge", "--yes", "va")
        self.assertEqual(self.removed(), [])

    def test_immutable_directory(self) -> None:
        """A volume that cannot be moved stays, and the error names chattr."""
        done("chattr", "+i", str(self.daemon.root / "va"))
        error = self.error("volume", "rm", "va")
        self.assertIn("as lsattr shows", error)
        self.assertIn(f"chattr -i -a {self.daemon.root / 'va'} ", error)
        done("chattr", "-i", str(self.daemon.root / "va"))
        self.engine.docker("volume", "rm", "va")


class FullTogetherTests(FullRootCase):
    """Volumes and journal on one file system, as they are if nothing else is said."""

    def make_root(self) -> None:
        """Mount one file system for both."""
        disk = self.daemon.base / "disk"
        disk.mkdir()
        make_small(self, disk, "1m", "700")
        for place, mode in ((self.daemon.root, 0o710), (self.daemon.state, 0o700)):
            part = disk / place.name
            part.mkdir(mode=mode)
            shutil.copytree(place, part, dirs_exist_ok=True)
            done("mount", "--bind", str(part), str(place))
            self.addCleanup(run, "umount", "--lazy", str(place))

    def test_way_back(self) -> None:
        """From a full disk the way back is what the errors say, through kills and restarts."""
        self.fill()
        self.engine.docker("volume", "rm", "va")
        self.revive()
        self.assertIn("exampledriver trash purge", self.error("volume", "rm", "vb"))
        command.done(self.daemon, "volume", "rm", "--now", "--yes", "vb")
        self.assertEqual((self.daemon.names(), self.removed()), (["vc"], ["va"]))
        command.done(self.daemon, "trash", "purge", "--yes")
        self.revive()
        self.engine.docker("volume", "rm", "vc")
        self.assertEqual((self.daemon.names(), self.removed()), ([], ["vc"]))
