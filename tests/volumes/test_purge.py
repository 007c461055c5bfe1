"""The trash and the task that empties it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from twisted.internet.defer import execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends import trash
from exampledriver.backends.mounts import Holder
from exampledriver.backends.trash import MANIFEST, Trash
from exampledriver.settings import parse_retention
from exampledriver.volumes.purge import TrashPurger


class RetentionTests(SynchronousTestCase):
    """--trash-retention."""

    def test_good(self) -> None:
        """Numbers of s, m, h and d, zero, and forever."""
        for text, seconds in (("0", 0), ("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800)):
            self.assertEqual(parse_retention(text), timedelta(seconds=seconds))
        self.assertIs(parse_retention("forever"), None)

    def test_bad(self) -> None:
        """Anything else is an error that says what is good."""
        for text in ("", "24", "-1h", "1w", "1.5h", "999999999d", "h", "\u0663h"):
            self.assertIn("24h", str(self.assertRaises(ValueError, parse_retention, text)))


class PurgeTests(SynchronousTestCase):
    """What is deleted for good, and when."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir()
        self.trash = Trash(self.root)
        self.clock = Clock()

    def removed(self, name: str, ago: timedelta = timedelta()) -> None:
        """Put a volume with a file into the trash, as if some time ago."""
        (self.root / name).mkdir()
        (self.root / name / "data").write_text("x")
        self.trash.put(self.root / name, b"{}")
        (slot,) = (path.parent for path in self.root.glob(f".trash/*/{name}"))
        moment = datetime.now(timezone.utc) - ago
        slot.rename(slot.with_name(moment.strftime("%Y%m%dT%H%M%S.%fZ")))

    def left(self) -> set[str]:
        """Return the names in the trash."""
        return {path.name for path in self.root.glob(".trash/*/*")} - {MANIFEST}

    def purger(self, retention: str) -> TrashPurger:
        """Return a purger that has been started."""
        purger = TrashPurger(self.trash, parse_retention(retention), execute, self.clock)
        purger.startService()
        self.addCleanup(purger.stopService)
        return purger

    def test_age(self) -> None:
        """What is older than the retention goes, at the start and every hour; nothing else."""
        self.removed("old", timedelta(hours=25))
        self.removed("young", timedelta(hours=23))
        self.purger("24h")
        self.assertEqual(self.left(), {"young"})
        self.removed("old2", timedelta(hours=25))
        self.clock.advance(3600)
        self.assertEqual(self.left(), {"young"})

    def test_at_once(self) -> None:
        """With a retention of zero a removed volume goes at once."""
        purger = self.purger("0")
        self.removed("a")
        purger.removed()
        self.assertEqual(self.left(), set())

    def test_forever(self) -> None:
        """With forever nothing goes."""
        self.removed("a", timedelta(days=5000))
        purger = self.purger("forever")
        purger.removed()
        self.clock.advance(100000)
        self.assertEqual(self.left(), {"a"})

    def test_only_ours(self) -> None:
        """What is not of the trash's own making stays; links are not followed."""
        precious = Path(self.mktemp())
        precious.mkdir()
        (precious / "data").write_text("x")
        self.removed("a", timedelta(hours=25))
        (slot,) = (path.parent for path in self.root.glob(".trash/*/a"))
        (slot / "a" / "link").symlink_to(precious.absolute())
        (self.root / ".trash" / "notes").mkdir()
        self.purger("24h")
        self.assertTrue((self.root / ".trash" / "notes").is_dir())
        self.assertFalse(slot.exists())
        self.assertTrue((precious / "data").exists())

    def test_mounted_elsewhere(self) -> None:
        """What somebody has mounted in another namespace is not deleted under them."""
        self.removed("a", timedelta(hours=25))
        holder = Holder((1,), "/data", False)
        self.patch(trash, "holders", lambda path: [holder] if ".trash/" in path else [])
        self.purger("24h")
        self.assertEqual(self.left(), {"a"})
        self.patch(trash, "holders", lambda path: [])
        self.clock.advance(3600)
        self.assertEqual(self.left(), set())

    def test_put_fails(self) -> None:
        """A directory that cannot be moved stays, and no empty slot is left."""
        self.assertRaises(FileNotFoundError, self.trash.put, self.root / "nosuch", b"{}")
        self.assertEqual(list((self.root / ".trash").iterdir()), [])
