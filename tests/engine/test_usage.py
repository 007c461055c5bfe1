"""What volumes take that are mounted, and what they take when they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.admin.command import done, loaded

from .kinds import DaemonKindCase


class UsageTests(DaemonKindCase):
    """volume usage of each kind that mounts."""

    def usage(self, name: str) -> dict[str, Any]:
        """Return what a volume takes, measured now."""
        (found,) = loaded(self.daemon, "volume", "usage", "--fresh", "--json", name)
        self.assertEqual(found["State"], "measured")
        return dict(found)

    def mount(self, name: str) -> Path:
        """Mount a volume."""
        return Path(self.daemon.ok("Mount", Name=name, ID="c1")["Mountpoint"])

    def test_image(self) -> None:
        """An image is its file's blocks; mounted, what its file system says; in the trash too."""
        self.daemon.ok("Create", Name="db", Opts={"backend": "image", "size": "64M"})
        file = self.daemon.root / ".images/db.img"
        found = self.usage("db")
        self.assertEqual(found["Bytes"], file.stat().st_blocks * 512)
        self.assertEqual((found["Size"], found["Files"]), (64 << 20, None))
        before = found["Bytes"]
        place = self.mount("db")
        empty = self.usage("db")
        self.assertLess(32 << 20, empty["Size"])
        (place / "file").write_bytes(b"x" * (8 << 20))
        mounted = self.usage("db")
        self.assertEqual(mounted["Bytes"], empty["Bytes"] + (8 << 20))
        self.assertEqual(mounted["Files"], empty["Files"] + 1)
        self.daemon.ok("Unmount", Name="db", ID="c1")
        self.assertGreater(self.usage("db")["Bytes"], before + (7 << 20))
        self.assertIn("64 MiB", done(self.daemon, "volume", "usage", "db"))
        self.daemon.ok("Remove", Name="db")
        (removed,) = loaded(self.daemon, "trash", "list", "--json")
        self.assertGreater(removed["Usage"]["Bytes"], 7 << 20)

    def test_tmpfs(self) -> None:
        """A tmpfs takes memory while it is mounted, and nothing else."""
        self.daemon.ok("Create", Name="t", Opts={"backend": "tmpfs", "size": "4M"})
        self.assertEqual(self.usage("t")["Bytes"], 0)
        (self.mount("t") / "file").write_bytes(b"x" * (1 << 20))
        found = self.usage("t")
        self.assertEqual((found["Bytes"], found["Size"]), (1 << 20, 4 << 20))

    def test_mount(self) -> None:
        """What is at the other end of a mount is not known before it is mounted, and then it is."""
        there = self.daemon.base / "there"
        there.mkdir()
        (there / "file").write_bytes(b"x" * 100_000)
        options = {"backend": "mount", "type": "none", "o": "bind", "device": str(there)}
        self.daemon.ok("Create", Name="m", Opts=options)
        found = self.usage("m")
        self.assertNotIn("Bytes", found)
        self.assertEqual(found["Trouble"], "not known until it is mounted")
        self.assertIn("not known until it is mounted", done(self.daemon, "volume", "ls"))
        self.mount("m")
        # What was not known is not kept for an hour.
        found = loaded(self.daemon, "volume", "usage", "--json", "m")[0]
        self.assertGreaterEqual(found["Bytes"], 100_000)
        self.assertEqual(found["Files"], 1)
