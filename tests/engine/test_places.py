"""Volumes whose directory is a mount, or was one, or becomes one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from exampledriver.backends.places import place
from tests.cli.doctor import examine, found
from tests.process import until

from .box import IMAGE, done, run
from .case import DockerCase, DriverCase
from .storage import make_file_system


class MountedCase(DriverCase):
    """A directory at which a test mounts something."""

    def setUp(self) -> None:
        super().setUp()
        self.over = self.daemon.base / "nfs"
        self.over.mkdir()
        self.addCleanup(run, "umount", "--lazy", str(self.over))

    def mount(self, *words: str, at: Path | None = None) -> None:
        """Mount something; a tmpfs if nothing is given."""
        target = at or self.over
        done("mount", *(words or ("-t", "tmpfs", "shares")), str(target))
        self.addCleanup(run, "umount", "--lazy", str(target))

    def refused(self, name: str) -> str:
        """Return the error of a Mount, which is in the volume's Health too."""
        status, answer = self.daemon.call("VolumeDriver.Mount", {"Name": name, "ID": "1"})
        self.assertEqual(status, 500, answer)
        error: str = answer["Err"]
        until(lambda: self.health(name) in error, "the health")
        return error

    def health(self, name: str) -> str:
        """Return what the last look has found."""
        health: str = self.daemon.ok("Get", Name=name)["Volume"]["Status"]["Health"]
        return health

    def admin(self, *words: str) -> str:
        """Run a command of the administrator."""
        return done(
            os.path.join(os.path.dirname(sys.executable), "exampledriver"),
            *words,
            f"--admin={self.daemon.base}/run/admin.sock",
        )


class NotMountedTests(DockerCase, MountedCase):
    """A real engine meets a directory whose file system is not mounted."""

    def test_life(self) -> None:
        """No container starts on it, doctor says why, and all goes on when it is mounted again."""
        self.mount()
        (self.over / "data").mkdir()
        self.create(f"mountpoint={self.over}/data")
        done("umount", str(self.over))
        (self.over / "data").mkdir()
        for start in (lambda: None, self.revive):
            start()
            text = self.error("run", "--rm", "--network=none", "-v", f"{self.name}:/d", IMAGE, "ls")
            self.assertIn("was on tmpfs shares /data, which is not mounted: mount it", text)
            until(
                lambda: self.inspect()["Status"]["Health"] in text,  # noqa: B023
                "the health",
            )
        finding = found(examine(self.daemon, "--docker=none"), "directories")
        self.assertIn("was on tmpfs shares /data", finding["what"])
        self.mount()
        (self.over / "data").mkdir()
        self.daemon.ok("Mount", Name=self.name, ID="1")
        self.daemon.ok("Unmount", Name=self.name, ID="1")

    def test_accept(self) -> None:
        """The operator says that the change is meant."""
        self.mount()
        self.create(f"mountpoint={self.over}")
        done("umount", str(self.over))
        self.assertIn(f'"exampledriver volume accept {self.name}"', self.refused(self.name))
        self.assertIn("was tmpfs shares /", self.admin("volume", "accept", self.name))
        self.daemon.ok("Mount", Name=self.name, ID="1")
        self.mount()
        self.assertIn("tmpfs shares / is mounted over it", self.refused(self.name))

    def test_over_a_volume(self) -> None:
        """A volume of the root that something is mounted over; accepted, it has to stay so."""
        self.create()
        place = self.daemon.root / self.name
        self.daemon.ok("Mount", Name=self.name, ID="1")
        self.daemon.ok("Unmount", Name=self.name, ID="1")
        self.mount(at=place)
        self.assertIn("tmpfs shares / is mounted over it: unmount that", self.refused(self.name))
        self.admin("volume", "accept", self.name)
        text = self.engine.sh(f"{self.name}:/data", "echo there > /data/file; cat /data/file")
        self.assertEqual(text, "there")
        done("umount", str(place))
        self.assertIn("which is not mounted", self.refused(self.name))
        self.assertEqual(list(place.iterdir()), [])


class IdentityTests(MountedCase):
    """What is noted outlives a reboot, and tells a file system from another one."""

    def check(self, mount: Callable[[], None], other: Callable[[], None]) -> None:
        """See that a volume goes with one mount, again and again, and not with the other."""
        mount()
        self.daemon.ok("Create", Name="db", Opts={"mountpoint": str(self.over)})
        before = place(str(self.over), "/")
        for _ in range(2):
            done("umount", str(self.over))
            self.assertIn(f"was on {before}, which is not mounted", self.refused("db"))
            mount()
            self.daemon.ok("Mount", Name="db", ID="1")
            self.daemon.kill()
            self.daemon.start()
        done("umount", str(self.over))
        other()
        self.assertIn(f"was on {before}, and is on", self.refused("db"))

    def image(self, kind: str, name: str) -> str:
        """Return a file with a file system."""
        path = self.daemon.base / name
        make_file_system(path, kind, 320 << 20)
        return str(path)

    def disk(self, kind: str) -> None:
        """Check a kind of file system, on another device each time."""
        mine, another = self.image(kind, "mine"), self.image(kind, "other")
        devices = [done("losetup", "--find", "--show", mine)]
        self.addCleanup(run, "losetup", "--detach", devices[0])

        def mount() -> None:
            # The next number each time, as disks have that are found in another order.
            device = done("losetup", "--find", "--show", mine)
            self.addCleanup(run, "losetup", "--detach", device)
            run("losetup", "--detach", devices.pop())
            devices.append(device)
            # Engines of other tests may have copies of the mount before, in their namespaces.
            self.mount(*(["-o", "nouuid"] if kind == "xfs" else []), device)

        self.check(mount, lambda: self.mount("-o", "loop", another))

    def test_ext4(self) -> None:
        """An ext4 is known by its UUID."""
        self.disk("ext4")

    def test_xfs(self) -> None:
        """So is an XFS."""
        self.disk("xfs")

    def test_btrfs(self) -> None:
        """So is a Btrfs."""
        self.disk("btrfs")

    def test_bind(self) -> None:
        """A directory that is bound is known by where it is, on the same disk as the empty one."""
        data, other = self.daemon.base / "data", self.daemon.base / "other"
        data.mkdir()
        other.mkdir()
        self.check(
            lambda: self.mount("--bind", str(data)), lambda: self.mount("--bind", str(other))
        )

    def test_tmpfs(self) -> None:
        """A file system without an identifier is known by its source."""
        self.check(lambda: self.mount(), lambda: self.mount("-t", "tmpfs", "other"))

    def test_overlay(self) -> None:
        """An overlay is one, too, and is not taken for what is below it."""
        # An overlay in an overlay is not possible.
        disk = self.daemon.base / "disk"
        disk.mkdir()
        self.mount(at=disk)
        for name in ("lower", "upper", "work"):
            (disk / name).mkdir()
        words = f"lowerdir={disk}/lower,upperdir={disk}/upper,workdir={disk}/work"
        self.check(
            lambda: self.mount("-t", "overlay", "-o", words, "layers"),
            lambda: self.mount("-t", "overlay", "-o", words, "others"),
        )
