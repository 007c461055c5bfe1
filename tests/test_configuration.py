"""The configuration file: what is read, and that each mistake is named with its line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.configuration import Configuration, ConfigurationError, load
from exampledriver.volumes.schedule import Schedule

GOOD = """
[backends]
allowed = ["directory", "image", "mount"]
default = "image"

[backends.directory]
bases = ["/srv"]
mode = "0750"

[backends.image]
size = "10G"
reserve = true
uid = 999

[backends.mount]
type = "nfs"
o = "soft"

[schedules.nightly]
every = "24h"
keep = 7
"""


class ConfigurationTests(SynchronousTestCase):
    """TOML, with line numbers."""

    def load(self, text: str) -> Configuration:
        """Read a text."""
        self.path = Path(self.mktemp())
        self.path.write_text(text)
        return load(self.path)

    def refused(self, text: str) -> str:
        """Return the error's text without the file's name."""
        error = self.assertRaises(ConfigurationError, self.load, text)
        self.assertTrue(str(error).startswith(f"{self.path}:"), str(error))
        return str(error).removeprefix(f"{self.path}:")

    def test_trash(self) -> None:
        """When the trash is purged for space is a part of the disk, and never, if left out."""
        self.assertEqual(self.load(GOOD).purge_when_below, 0)
        for text, part in (("5%", 0.05), ("12.5%", 0.125), ("0.5%", 0.005)):
            found = self.load(f'[trash]\npurge-when-below = "{text}"')
            self.assertAlmostEqual(found.purge_when_below, part)
        for value in ('"5"', "5", '"0%"', '"100%"', '"-5%"', '""', "true", '["5%"]'):
            text = self.refused(f"[trash]\npurge-when-below = {value}")
            self.assertIn("2: trash.purge-when-below: give a part of the file system", text)
        self.assertIn("2: trash.below: is not known", self.refused('[trash]\nbelow = "5%"'))
        self.assertIn("1: trash: is a table", self.refused('trash = "5%"'))

    def test_good(self) -> None:
        """The kinds, the default one, their options and bases; and the schedules."""
        found = self.load(GOOD)
        self.assertEqual(found.choice.allowed, ("directory", "image", "mount"))
        self.assertEqual(found.choice.default, "image")
        self.assertEqual(
            found.choice.defaults["image"], {"size": "10G", "reserve": "yes", "uid": "999"}
        )
        self.assertEqual(found.bases["directory"], (Path("/srv"),))
        self.assertEqual(found.schedules, (Schedule("nightly", timedelta(days=1), 7),))
        wanted = found.choice.parse("db", {"size": "1G"})
        self.assertEqual(
            wanted.options, {"fs": "ext4", "reserve": "yes", "size": "1G", "uid": "999"}
        )

    def test_empty(self) -> None:
        """An empty file is as none."""
        self.assertEqual(self.load("").choice, Configuration().choice)

    def test_mistakes(self) -> None:
        """Each mistake is named with its line and its key."""
        for text, error in (
            ("[backend]\n", "1: backend: is not known; known: backends, schedules"),
            ("\n[backends]\nallowed = []\n", "3: backends.allowed: give a list"),
            ('[backends]\nallowed = ["zfs"]\n', "2: backends.allowed: 'zfs' is not known"),
            ('[backends]\nallowed = [["image"]]\n', "2: backends.allowed: ['image'] is not known"),
            ('[backends]\nallowed = ["tmpfs"]\ndefault = "image"\n', "3: backends.default: give"),
            ("[backends.zfs]\n", "1: backends.zfs: is not known"),
            ("[backends]\nimage = 1\n", "2: backends.image: is a table"),
            ("[backends.image]\nsise = 1\n", "2: backends.image.sise: is no option of image"),
            ('[backends.image]\n\nsize = "x"\n', '3: backends.image.size: option size="x": give'),
            ('[backends.image]\nsize = "1M"\nfs = "xfs"\n', "2: backends.image.size: option size"),
            ("[backends.image]\nmode = 0o750\n", "2: backends.image.mode: write octal"),
            ("[backends.image]\nbases = ['/']\n", "2: backends.image.bases: is for directory and"),
            ("[backends.mount]\nbases = ['x']\n", "2: backends.mount.bases: 'x': give absolute"),
            ("[backends.directory]\nmountpoint = '/x'\n", "2: backends.directory.mountpoint: cann"),
            ("[backends.mount]\npassword = 'x'\n", "2: backends.mount.password: is no option"),
            (
                "[backends.mount]\no = 'password=x'\n",
                '2: backends.mount.o: option o has a secret in it ("password")',
            ),
            ("backends.tmpfs.size = 1.5\n", "1: backends.tmpfs.size: cannot be a default"),
            ("backends = {tmpfs = {size = 'x'}}\n", '1: backends.tmpfs.size: option size="x"'),
            ("schedules.a = 1\n", "1: schedules.a: is a table"),
            ("[schedules.a]\nkeep = 1\n", "1: schedules.a.every: give a number of m, h or d"),
            ("[schedules.a]\nevery = '0h'\n", "2: schedules.a.every: give a number of m, h or d"),
            ("[schedules.a]\nevery = '1h'\nkeep = 0\n", "3: schedules.a.keep: give how many"),
            ("[schedules.a]\nevery = '1h'\nat = 1\n", "3: schedules.a.at: is not known; known"),
            ("[schedules.a]\nevery='1h'\nkeep=1\nvolumes=[]\n", "4: schedules.a.volumes: give a"),
            ("schedules = {'a b' = {}}\n", "1: schedules.a b: a name has 1 to 64"),
            ("a = \n", "1: it is no TOML"),
            ("\n\n[a\n", "3: it is no TOML"),
        ):
            self.assertIn(error, self.refused(text))

    def test_file(self) -> None:
        """A file that cannot be read is an error that names it."""
        missing = Path(self.mktemp())
        error = self.assertRaises(ConfigurationError, load, missing)
        self.assertEqual(str(error), f"{missing}: No such file or directory")
        missing.write_bytes(b"\xff")
        self.assertIn("it is not UTF-8", str(self.assertRaises(ConfigurationError, load, missing)))
