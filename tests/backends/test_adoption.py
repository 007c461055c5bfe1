"""A new journal on a root that has volumes (J13)."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.adoption import first_entries
from exampledriver.volumes.model import StoredVolume

NOW = datetime(2026, 11, 30, tzinfo=timezone.utc)


class FirstEntriesTests(SynchronousTestCase):
    """What a journal begins with."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir()

    def test_new(self) -> None:
        """A root without volumes begins with an empty map; hidden and impossible names are none."""
        for name in (".trash", "lost+found"):
            (self.root / name).mkdir()
        self.assertEqual(first_entries(self.root, Path("/state"), False, NOW), {})

    def test_refused(self) -> None:
        """A directory or an image of a volume refuses the start, named, unless it is adopted."""
        (self.root / ".images").mkdir()
        (self.root / ".images/disk.img").touch()
        for number in range(6):
            (self.root / f"v{number}").mkdir()
        error = self.assertRaises(ValueError, first_entries, self.root, Path("/state"), False, NOW)
        self.assertIn(f"--root={self.root} has 7 volumes (disk, v0, v1, v2, v3, …)", str(error))

    def test_adopted(self) -> None:
        """What is adopted is a directory with data; no link, no file, no image's mountpoint."""
        for name in ("db", "empty", "disk"):
            (self.root / name).mkdir()
        (self.root / "db/file").touch()
        (self.root / "disk/lost+found").mkdir()
        (self.root / "link").symlink_to(self.root / "db")
        (self.root / "file").touch()
        (self.root / ".images").mkdir()
        (self.root / ".images/disk.img").touch()
        found = first_entries(self.root, Path("/state"), True, NOW)
        self.assertEqual(list(found), ["db"])
        self.assertEqual(
            StoredVolume.from_json("db", found["db"]),
            StoredVolume("db", str(self.root / "db"), NOW, {}),
        )
