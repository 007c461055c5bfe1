"""Lives of an image and a subvolume and their copies, with a real Docker Engine."""

from __future__ import annotations

from collections.abc import Mapping

from tests.admin.command import admin, done, refused
from tests.process import Daemon, until

from .box import done as program
from .kinds import KindCase
from .storage import loop_devices, make_file_system

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
