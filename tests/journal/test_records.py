"""The journal's format: what is read, what is cut off, what is refused."""

from __future__ import annotations

import json
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.journal.live import Change
from exampledriver.journal.records import (
    DamagedError,
    NewerVersionError,
    Scan,
    encode_change,
    encode_header,
    encode_synced,
    encode_value,
    scan,
)

KEYS = st.text(max_size=5)
CHANGES = st.lists(
    st.tuples(KEYS, st.none() | st.dictionaries(st.text(), st.integers()).map(encode_value)),
    max_size=8,
)


FIRST: list[Change] = [("a", b"{}"), ("b", b"{}")]
SECOND: list[Change] = [("c", b"{}"), ("d", b"{}")]


def journal(*batches: list[Change], durable: int = 0) -> bytes:
    """Return a journal of these batches, each synced before the next."""
    lines = [encode_header(durable)]
    number = 0
    for batch in batches:
        synced = number
        for change in batch:
            number += 1
            lines.append(encode_change(number, synced, change))
    return b"".join(lines)


class FormatTests(SynchronousTestCase):
    """Reading what was written."""

    @given(st.lists(CHANGES, max_size=4))
    def test_round_trip(self, batches: list[list[Change]]) -> None:
        """The map that is read is the one that the changes make."""
        expected: dict[str, bytes] = {}
        for key, value in [change for batch in batches for change in batch]:
            expected.pop(key, None)
            if value is not None:
                expected[key] = value
        data = journal(*batches)
        found = scan(data)
        self.assertEqual(found.entries, expected)
        self.assertEqual(found.length, len(data))

    def test_text(self) -> None:
        """A record is one line of ASCII that a person can read (J10)."""
        value = encode_value({"b": "ä\n", "a": 1})
        self.assertEqual(
            encode_change(7, 5, ("db", value)).split(b" ", 1)[1],
            b'7 5 ["put","db",{"a":1,"b":"\\u00e4\\n"}]\n',
        )

    def test_values_are_kept(self) -> None:
        """A value is kept as its JSON, whatever characters its key has."""
        key = 'a "quoted" \\ ключ\n'
        found = scan(journal([(key, encode_value({"x": [1, {}]}))]))
        self.assertEqual(json.loads(found.entries[key]), {"x": [1, {}]})

    def test_clean(self) -> None:
        """A journal whose last record vouches for all of them is known to be clean."""
        data = journal([("a", b"{}")])
        self.assertFalse(scan(data).clean)
        self.assertTrue(scan(data + encode_synced(2)).clean)
        self.assertFalse(scan(data + encode_synced(2) + b"torn").clean)


class DamageTests(SynchronousTestCase):
    """What cannot be read is a torn tail only if nothing says that it was durable."""

    def lines(self) -> list[bytes]:
        """Return a header and four records in two batches."""
        return journal(FIRST, SECOND).splitlines(keepends=True)

    def test_torn_tail(self) -> None:
        """Anything behind the last readable record is cut off."""
        data = journal(FIRST)
        for tail in (b"x", b"\0" * 600, b"12345678 3 2 [", self.lines()[3][:-1]):
            self.assertEqual(scan(data + tail), Scan({"a": b"{}", "b": b"{}"}, 2, len(data), False))

    def test_torn_out_of_order(self) -> None:
        """A hole in the last batch is cut off with all behind it, readable or not."""
        lines = self.lines()
        lines[3] = b"\0" * len(lines[3])
        found = scan(b"".join(lines))
        self.assertEqual(set(found.entries), {"a", "b"})
        self.assertEqual(found.length, sum(map(len, lines[:3])))

    def test_damage_before_a_later_batch(self) -> None:
        """A record that a later one calls durable is never cut off (J4)."""
        for number in (1, 2):
            lines = self.lines()
            offset = sum(map(len, lines[:number]))
            lines[number] = lines[number].replace(b"put", b"pot")
            error = self.assertRaises(DamagedError, scan, b"".join(lines))
            self.assertEqual(error.offset, offset)
            self.assertIn(f"damaged at byte {offset}: record {number} ", str(error))

    def test_lost_record(self) -> None:
        """A record that is missing altogether is damage."""
        lines = self.lines()
        del lines[1]
        self.assertRaises(DamagedError, scan, b"".join(lines))

    def test_damage_before_a_clean_shutdown(self) -> None:
        """After a clean shutdown, damage in the last batch is known for what it is."""
        lines = [*self.lines(), encode_synced(5)]
        lines[4] = lines[4].replace(b"put", b"pot")
        self.assertRaises(DamagedError, scan, b"".join(lines))

    def test_damage_of_the_compacted_part(self) -> None:
        """The records that a file was born with are durable without any proof behind them."""
        lines = journal(FIRST, durable=2).splitlines(keepends=True)
        for kept in (b"".join(lines[:2]), b"".join(lines)[:-1], lines[0]):
            error = self.assertRaises(DamagedError, scan, kept)
            self.assertIn("born with", str(error))

    def test_header(self) -> None:
        """A header that cannot be read stops the start at byte 0, an empty file too."""
        for data in (b"", b"\n", b"hello\n", journal(FIRST)[1:], encode_header(0)[:-1]):
            self.assertEqual(self.assertRaises(DamagedError, scan, data).offset, 0)

    def test_unknown_change(self) -> None:
        """A whole record of a kind that is not known is damage, never a torn tail."""
        for change in (b'["rename","a","b"]', b"{}", b"[", b'["put","a"]', b'["put", "a", {}]'):
            text = b"1 0 " + change
            line = b"%08x %s\n" % (crc32(text), text)
            self.assertRaises(DamagedError, scan, encode_header(0) + line)

    def test_newer_version(self) -> None:
        """A version that is not known is refused by its name, whatever follows (J10)."""
        text = b"exampledriver-journal 2 something new"
        data = b"%s %08x\n\x00\x01binary" % (text, crc32(text))
        error = self.assertRaises(NewerVersionError, scan, data)
        self.assertIn("format 2 ", str(error))
        self.assertIn("format 1", str(error))
