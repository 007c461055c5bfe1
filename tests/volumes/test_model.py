"""Names and options: what is refused, and how the error says so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.kinds import judge
from exampledriver.volumes.errors import InvalidNameError, InvalidOptionError, quoted
from exampledriver.volumes.model import MOST_LABELS, StoredVolume, check_labels, check_name

from .fixtures import NOON

BAD_NAMES = [
    "..", ".", "a/b", "/etc", "a\0b", "a\nb", "a\n", "", "a" * 256, ".trash", "-x", "a" * 4096,
    "ä", "aä", "a b", "_a", "a\u0660", "\ud800", "a%2fb", "a\\b",
]  # fmt: skip


class NameTests(SynchronousTestCase):
    """Docker checks no names; we do, before a path is built."""

    def test_good(self) -> None:
        """1 to 255 of Docker's own characters are a name."""
        for name in ("a", "0", "db", "a.b-c_d", "A" * 255, "0af" * 21):
            check_name(name)

    def test_bad(self) -> None:
        """Anything else is refused, with the rule in the error, on one short line."""
        for name in BAD_NAMES:
            error = self.assertRaises(InvalidNameError, check_name, name)
            self.assertIn("1 to 255 characters", str(error))
            self.assertLess(len(str(error)), 400)
            self.assertNotIn("\n", str(error))
            str(error).encode("utf-8")

    @given(st.text())
    def test_never_a_path(self, name: str) -> None:
        """What passes is a single path component of ASCII."""
        try:
            check_name(name)
        except InvalidNameError:
            return
        self.assertTrue(name.isascii() and "/" not in name and not name.startswith("."))

    def test_quoted(self) -> None:
        """A text from outside is shown on one line and cut."""
        self.assertEqual(quoted('a"\n'), '"a\\"\\n"')
        self.assertIn("(4096 characters)", quoted("x" * 4096))


class StoredTests(SynchronousTestCase):
    """A volume in the journal."""

    def test_round_trip(self) -> None:
        """What is written is read."""
        options = {"gid": "2", "mode": "0750", "mountpoint": "/data/db", "uid": "1"}
        volume = StoredVolume("db", "/data/db", NOON.replace(microsecond=0), options)
        self.assertEqual(StoredVolume.from_json("db", volume.to_json()), volume)

    def test_not_a_volume(self) -> None:
        """An entry that is no volume, or of a backend that is not known, is an error."""
        good = StoredVolume("db", "/data/db", NOON, {}).to_json()
        for key in ("mountpoint", "created", "options", "backend"):
            self.assertRaises(ValueError, StoredVolume.from_json, "db", {**good, key: 1})
        error = self.assertRaises(
            ValueError, StoredVolume.from_json, "db", {**good, "backend": "zfs"}, judge
        )
        self.assertIn('entry of volume "db" is not one of this version', str(error))
        self.assertIn("backend 'zfs' is not known", str(error))

    def test_newer_options(self) -> None:
        """An entry with an option of a newer version is an error that names it."""
        good = StoredVolume("db", "/data/db", NOON, {}).to_json()
        for options, text in (
            ({"colour": "red"}, 'option "colour" is not known'),
            ({"mode": 448}, "an option is not a text"),
            ({"mode": "rwx"}, "octal permissions"),
        ):
            error = self.assertRaises(
                ValueError, StoredVolume.from_json, "db", {**good, "options": options}, judge
            )
            self.assertIn(text, str(error))

    def test_bad_name(self) -> None:
        """An entry whose key can be no volume's name is an error."""
        good = StoredVolume("db", "/data/db", NOON, {}).to_json()
        self.assertRaises(ValueError, StoredVolume.from_json, "../db", good)

    def test_labels(self) -> None:
        """Labels are texts that a journal can hold, and not more than it is to hold."""
        self.assertEqual(check_labels("db", {"k": "\u00e9"}), {"k": "\u00e9"})
        for labels in ({"k": 5}, {5: "v"}, {"k": None}, {"k": "\ud800"}, {"\ud800": "v"}):
            self.assertRaises(InvalidOptionError, check_labels, "db", labels)
        most = {"k": "x" * (MOST_LABELS - 1)}
        self.assertEqual(check_labels("db", most), most)
        for labels in ({"k": "x" * MOST_LABELS}, {"kk": "x" * (MOST_LABELS - 1)}):
            self.assertRaises(InvalidOptionError, check_labels, "db", labels)

    def test_no_zone(self) -> None:
        """A time of creation without a zone is an error at the start, not one of every Get."""
        good = StoredVolume("db", "/data/db", NOON, {}).to_json()
        error = self.assertRaises(
            ValueError, StoredVolume.from_json, "db", {**good, "created": "2026-11-24T12:00:00"}
        )
        self.assertIn("has no time zone", str(error))
