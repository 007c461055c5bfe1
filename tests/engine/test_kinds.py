"""Each kind of storage with a real Docker Engine, from its creation to its removal."""

from __future__ import annotations

import os

from exampledriver.cli.client import AdminError, Client
from tests.admin.command import done as admin_done
from tests.admin.command import refused
from tests.process import Daemon, until

from .box import done
from .kinds import KindCase
from .servers import Sshd
from .storage import make_file_system


class CopyUpTests(KindCase):
    """What the engine fills keeps the owner that the options ask for."""

    def owner(self, options: dict[str, str]) -> str:
        """Return a volume's owner and mode in a container, after the engine has filled it."""
        self.make({**options, "uid": "999", "gid": "998", "mode": "0700"})
        self.engine.docker("create", "-v", f"{self.name}:/data", "filled:local", "true")
        return self.engine.sh(f"{self.name}:/data", "stat -c '%u %g %a' /data; cat /data/sub/file")

    def test_image_owner(self) -> None:
        """A file system in a file."""
        found = self.owner({"backend": "image", "size": "16M"})
        self.assertEqual(found, "999 998 700\nfrom the image")


class LifeTests(KindCase):
    """Daemon and engine are killed while the volume is mounted; nothing is lost, nothing left."""

    def test_directory(self) -> None:
        """A directory."""
        self.life({"backend": "directory"})

    def test_tmpfs(self) -> None:
        """A tmpfs lives until the last Unmount; a count that leaked keeps it until its removal."""
        self.life({"backend": "tmpfs", "size": "8M"}, kept=False)

    def test_ext4(self) -> None:
        """An image with ext4."""
        self.life({"backend": "image", "size": "32M"})

    def test_xfs(self) -> None:
        """An image with XFS."""
        self.life({"backend": "image", "size": "300M", "fs": "xfs"})

    def test_btrfs_image(self) -> None:
        """An image with Btrfs."""
        self.life({"backend": "image", "size": "256M", "fs": "btrfs"})

    def test_bind(self) -> None:
        """A directory elsewhere, as Docker's local takes it; what is in it stays."""
        there = self.daemon.base / "there"
        there.mkdir()
        self.life({"backend": "mount", "type": "none", "o": "bind", "device": str(there)})
        self.assertEqual((there / "file").read_text(), "precious\n")

    def test_device(self) -> None:
        """ext4 on a loop device."""
        disk = self.daemon.base / "disk.img"
        make_file_system(disk, "ext4", 16 << 20)
        device = done("losetup", "--find", "--show", str(disk))
        self.addCleanup(done, "losetup", "--detach", device)
        self.life({"backend": "mount", "type": "ext4", "device": device})

    def test_overlay(self) -> None:
        """overlay, on a file system of its own."""
        disk = self.daemon.base / "disk"
        disk.mkdir()
        done("mount", "-t", "tmpfs", "none", str(disk))
        for name in ("lower", "upper", "work"):
            (disk / name).mkdir()
        words = f"lowerdir={disk}/lower,upperdir={disk}/upper,workdir={disk}/work"
        self.life({"backend": "mount", "type": "overlay", "device": "overlay", "o": words})
        self.assertEqual((disk / "upper/file").read_text(), "precious\n")

    def test_sshfs(self) -> None:
        """SSHFS against an sshd, with a key in a file and a subpath that is made."""
        server = Sshd(self.daemon.base / "ssh")
        self.addCleanup(server.down)
        server.up()
        self.life({"backend": "mount", **server.options(), "subpath": "deep/er"})
        self.assertEqual((server.served / "deep/er/file").read_text(), "precious\n")


class BtrfsLifeTests(KindCase):
    """A root that is Btrfs."""

    def prepare(self, daemon: Daemon) -> None:
        disk = daemon.base / "disk.img"
        make_file_system(disk, "btrfs", 256 << 20)
        done("mount", "-o", "loop", str(disk), str(daemon.root))
        done("mount", "--make-shared", str(daemon.root))
        done("btrfs", "quota", "enable", str(daemon.root))
        daemon.root.chmod(0o710)

    def nothing_left(self) -> None:
        self.assertEqual(self.mounted(), [])
        self.assertEqual(self.daemon.names(), [])

    def test_btrfs(self) -> None:
        """A subvolume with a size and compression; beyond its size a container gets EDQUOT."""
        self.life({"backend": "btrfs", "size": "20M", "compression": "zstd"})
        self.make({"backend": "btrfs", "size": "20M"})
        script = "dd if=/dev/urandom of=/data/f bs=1M count=40 2>&1 && sync"
        found = self.engine.run(
            "run", "--rm", "--network=none", "-v", f"{self.name}:/data", "busybox:local",
            "sh", "-c", script,
        )  # fmt: skip
        self.assertIn("quota exceeded", found.stdout)


class LimitTests(KindCase):
    """Sizes."""

    def test_full(self) -> None:
        """A container that writes past its image gets ENOSPC, the host does not."""
        self.make({"backend": "image", "size": "32M"})
        host = os.statvfs(self.daemon.base)
        before = host.f_bavail * host.f_frsize
        script = "dd if=/dev/zero of=/data/f bs=1M count=64 2>&1; stat -c %s /data/f"
        text = self.engine.sh(f"{self.name}:/data", script)
        self.assertIn("No space left on device", text)
        self.assertLess(int(text.split()[-1]), 32 << 20)
        host = os.statvfs(self.daemon.base)
        # Others are at work on this machine.
        self.assertGreater(host.f_bavail * host.f_frsize, before - (512 << 20))
        self.assertLess(self.image().st_blocks * 512, (32 << 20) + 4096)
        self.engine.sh(f"{self.name}:/data", "rm /data/f; echo small > /data/g")
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "cat /data/g"), "small")
        self.assertLess(self.image().st_blocks * 512, 24 << 20, "deleted data is given back")

    def image(self) -> os.stat_result:
        """Return what the image's file is like."""
        return (self.daemon.root / ".images" / f"{self.name}.img").stat()

    def test_copy_up(self) -> None:
        """The engine fills a new image with what is at its place, and gives it its owner."""
        self.make({"backend": "image", "size": "32M"})
        self.engine.background(self.name, f"{self.name}:/data", "filled:local")
        text = self.engine.docker("exec", self.name, "sh", "-c", "cat /data/sub/file; ls /data")
        self.assertEqual(text.split("\n"), ["from the image", "sub"])
        self.engine.docker("rm", "-f", self.name)
        self.assertEqual(self.mounted(), [])

    def test_tmpfs(self) -> None:
        """A tmpfs ends at its size, and is gone with the last Unmount."""
        self.make({"backend": "tmpfs", "size": "4M", "mode": "1777", "uid": "12"})
        script = "stat -c '%a %u' /data; dd if=/dev/zero of=/data/f bs=1M count=8 2>&1"
        found = self.engine.run(
            "run", "--rm", "--network=none", "-v", f"{self.name}:/data", "busybox:local",
            "sh", "-c", script,
        )  # fmt: skip
        self.assertIn("1777 12", found.stdout)
        self.assertIn("No space left on device", found.stdout)
        self.assertEqual(self.mounted(), [])
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "ls /data"), "")

    def test_shared(self) -> None:
        """Two containers share a tmpfs; it stays until the second has ended."""
        self.make({"backend": "tmpfs", "size": "4M"})
        for name in ("one", "two"):
            self.engine.background(name, f"{self.name}:/data")
        self.engine.docker("exec", "one", "sh", "-c", "echo shared > /data/file")
        self.engine.docker("rm", "-f", "one")
        self.assertEqual(self.engine.docker("exec", "two", "cat", "/data/file"), "shared")
        self.assertIn("in use", self.error("volume", "rm", self.name))
        self.engine.docker("rm", "-f", "two")
        self.assertEqual(self.mounted(), [])


class UncountedTests(KindCase):
    """What a start finds mounted."""

    def test_uncounted(self) -> None:
        """A volume that is mounted and not counted is unmounted by the next start."""
        self.make({"backend": "image", "size": "32M"})
        self.engine.background(self.name, f"{self.name}:/data")
        self.engine.docker("exec", self.name, "sh", "-c", "echo precious > /data/file")
        self.daemon.kill()
        (self.daemon.base / "run/journal").unlink()
        self.daemon.start()
        self.nothing_mounted_here()
        # The container has its own mount, and goes on; another one gets the same file system.
        read = self.engine.sh(f"{self.name}:/data", "cat /data/file; echo more > /data/other")
        self.assertEqual(read, "precious")
        self.assertEqual(self.engine.docker("exec", self.name, "cat", "/data/other"), "more")
        self.engine.docker("rm", "-f", self.name)
        self.engine.docker("volume", "rm", self.name)
        self.nothing_left()

    def nothing_mounted_here(self) -> None:
        """Wait until nothing is mounted."""
        until(lambda: not self.mounted(), "the unmount")

    def test_remounted(self) -> None:
        """A volume that is counted and was unmounted by somebody is mounted again on demand."""
        self.make({"backend": "image", "size": "32M"})
        self.engine.background(self.name, f"{self.name}:/data")
        self.engine.docker("exec", self.name, "sh", "-c", "echo precious > /data/file")
        done("umount", str(self.daemon.root / self.name))
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "cat /data/file"), "precious")
        self.engine.docker("rm", "-f", self.name)
        self.engine.docker("volume", "rm", self.name)
        self.nothing_left()


class AdminTests(KindCase):
    """The admin's command and the kinds."""

    def test_resize(self) -> None:
        """A volume grows under its container; what was too much then fits."""
        self.make({"backend": "image", "size": "300M", "fs": "xfs"})
        self.engine.background(self.name, f"{self.name}:/data")
        fill = ("exec", self.name, "dd", "if=/dev/zero", "of=/data/f", "bs=1M", "count=400")
        self.assertIn("No space left on device", self.engine.run(*fill).stderr)
        self.assertEqual(
            admin_done(self.daemon, "volume", "resize", self.name, "512M"), f"{self.name}: 512M\n"
        )
        self.assertEqual(self.engine.run(*fill).returncode, 0)
        self.assertEqual(self.inspect()["Status"]["Options"]["size"], "512M")
        self.revive()
        self.assertEqual(self.inspect()["Status"]["Options"]["size"], "512M")
        self.engine.docker("rm", "-f", self.name)
        text = refused(self.daemon, "volume", "resize", self.name, "400M")
        self.assertIn("an image can only grow", text)

    def test_restored(self) -> None:
        """An image comes back from the trash with its data, under another name too."""
        self.make({"backend": "image", "size": "32M"})
        self.engine.sh(f"{self.name}:/data", "echo precious > /data/file")
        self.engine.docker("volume", "rm", self.name)
        admin_done(self.daemon, "trash", "restore", self.name, "--as", "other")
        self.assertEqual(self.engine.sh("other:/data", "cat /data/file"), "precious")
        self.assertEqual(self.daemon.names(), ["other"])

    def test_brought(self) -> None:
        """What is brought becomes a directory, and nothing else."""
        place = self.daemon.base / "there"
        place.mkdir()
        message = {
            "Name": self.name,
            "Opts": {"backend": "image", "size": "32M"},
            "Source": str(place),
            "Move": False,
        }
        client = Client(self.daemon.base / "run/admin.sock")
        error = self.assertRaises(AdminError, client.ask, "Bring", message, lambda progress: None)
        self.assertIn("a directory cannot become a volume of backend image", str(error))
        self.assertTrue(place.is_dir())
        self.assertEqual(os.listdir(self.daemon.root), [".lock"])
