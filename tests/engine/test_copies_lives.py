"""Lives of an image and a subvolume and their copies, with a real Docker Engine."""

from __future__ import annotations

from collections.abc import Mapping

from tests.admin.command import admin, done, refused
from tests.process import Daemon, until

from .box import done as program
from .kinds import KindCase
from .storage import enable_simple_quotas, loop_devices, make_file_system

#: Writes numbers one after the other, each durable before the next, and never an empty file.
WRITER = """
i=0
while :; do i=$((i+1)); echo $i > /data/next; sync; mv /data/next /data/number; sync; done
"""


class CopiesLifeCase(KindCase):
    """Copies while a container writes."""

    def lead(self, options: Mapping[str, str], method: str) -> None:
        """Lead a volume through all that copies can do."""
        self.make({**options})
        place = f"{self.name}:/data"
        self.engine.docker(
            "run", "-d", "--name", "writer", "--network=none", "--stop-signal=KILL", "-v", place,
            "busybox:local", "sh", "-c", WRITER,
        )  # fmt: skip

        def number() -> str:
            return self.engine.run("exec", "writer", "cat", "/data/number").stdout.strip()

        until(number, "the first number")
        before = int(number())
        found = admin(self.daemon, "volume", "snapshot", self.name, "--label", "live")
        self.assertIn(f"by {method}, crash-consistent", found.stderr)
        after = int(number() or before + 1)
        until(lambda: int(number() or 0) > after, "a writer that goes on")
        self.engine.docker("volume", "create", "-d", "x", "-o", f"from={self.name}", "clone")
        text = refused(self.daemon, "volume", "rollback", self.name, "live")
        self.assertIn("not rolled back, in use by", text)
        self.engine.docker("rm", "-f", "writer")
        last = int(self.engine.sh(place, "cat /data/number"))
        self.assertTrue(after < int(self.engine.sh("clone:/data", "cat /data/number")) <= last)
        done(self.daemon, "volume", "rollback", self.name, "live")
        kept = int(self.engine.sh(place, "cat /data/number"))
        self.assertTrue(before <= kept <= after, (before, kept, after))
        archive = str(self.daemon.base / "clone.tar")
        done(self.daemon, "volume", "export", "clone", archive)
        done(self.daemon, "volume", "import", "imported", archive)
        for name in ("clone", "imported"):
            self.assertLess(after, int(self.engine.sh(f"{name}:/data", "cat /data/number")))
        done(self.daemon, "volume", "snapshot-rm", self.name, "live")
        self.engine.docker("volume", "rm", self.name, "clone", "imported")
        self.assertEqual(self.daemon.names(), [])
        until(lambda: not self.mounted(), f"the end of {self.mounted()}")
        until(lambda: not loop_devices(self.daemon.root), "the end of the loop devices")


class ImageLifeTests(CopiesLifeCase):
    """Images."""

    def test_ext4(self) -> None:
        """An image with ext4 is copied while a container writes, and goes on."""
        self.lead({"backend": "image", "size": "32M"}, "copy")

    def test_xfs(self) -> None:
        """An image with XFS is copied while a container writes, and goes on."""
        self.lead({"backend": "image", "size": "300M", "fs": "xfs"}, "copy")


class SubvolumeLifeTests(CopiesLifeCase):
    """Subvolumes."""

    def prepare(self, daemon: Daemon) -> None:
        disk = daemon.base / "disk.img"
        make_file_system(disk, "btrfs", 512 << 20)
        program("mount", "-o", "loop", str(disk), str(daemon.root))
        program("mount", "--make-shared", str(daemon.root))
        daemon.root.chmod(0o710)

    def test_subvolume(self) -> None:
        """A subvolume is copied while a container writes, and goes on."""
        self.lead({"backend": "btrfs"}, "subvolume")
        shown = program("btrfs", "subvolume", "list", str(self.daemon.root))
        self.assertNotIn(".snapshots", shown)

    def test_inside(self) -> None:
        """Subvolumes that a container makes without a capability bar nothing and lose nothing.

        With simple quotas they count for the volume's size; the log says that it is not hard.
        """
        bound = enable_simple_quotas(self.daemon.root)
        if not bound:
            program("btrfs", "quota", "enable", str(self.daemon.root))
        self.make({"backend": "btrfs", "size": "20M"})
        self.assertIn("soft: programs that make subvolumes", self.inspect()["Status"]["SizeLimit"])
        self.assertIn("its size limit is soft", self.daemon.log())
        script = """
            btrfs subvolume create /data/inner && btrfs subvolume create /data/inner/deep
            echo precious > /data/inner/deep/file
            dd if=/dev/urandom of=/data/inner/big bs=1M count=64 conv=fsync
            ls -s /data/inner/big
            for place in /data/inner/deep /data/inner /data; do
                btrfs property set -t subvol $place ro true
            done
        """
        host = [word for place in ("usr", "lib", "lib64") for word in ("-v", f"/{place}:/{place}")]
        self.engine.docker(
            "run", "--network=none", "--cap-drop=ALL", *host, "-v", f"{self.name}:/data",
            "--name", "maker", "busybox:local", "sh", "-c", script,
        )  # fmt: skip
        self.engine.docker("rm", "maker")
        inner = self.daemon.root / self.name / "inner"
        self.assertEqual((inner / "big").stat().st_size < 20 << 20, bound)
        done(self.daemon, "volume", "snapshot", self.name, "--label", "first")
        done(self.daemon, "volume", "rollback", self.name, "first")
        found = self.engine.sh(f"{self.name}:/data", "cat /data/inner/deep/file")
        self.assertEqual(found, "precious")
        self.engine.docker("volume", "rm", self.name)
        for words in (
            ("trash", "purge", "--yes"),
            ("volume", "snapshot-rm", self.name, "first"),
        ):
            done(self.daemon, *words)
        self.assertEqual(list(self.daemon.root.glob(".trash/*")), [])
        left = program("btrfs", "subvolume", "list", str(self.daemon.root))
        self.assertEqual(left, "")
