"""Records read many at once: the map is the same, and damage is found at the same byte."""

from __future__ import annotations

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.journal import records
from exampledriver.journal.live import Change, LiveMap, record_size
from exampledriver.journal.records import (
    DamagedError,
    Scan,
    encode_change,
    encode_header,
    encode_synced,
    scan,
)

KEYS = st.sampled_from([f"k{n}" for n in range(40)]) | st.text(max_size=3)
CHANGES = st.lists(
    st.tuples(KEYS, st.sampled_from([b"{}", b'{"a":"}],[\\"put\\",\\""}', b'{"n":1}', None])),
    max_size=60,
)


def journal(changes: list[Change], clean: bool = False) -> bytes:
    """Return a journal of these changes, each vouching for the one before it."""
    lines = [encode_change(n, n - 1, change) for n, change in enumerate(changes, 1)]
    end = encode_synced(len(changes) + 1) if clean else b""
    return encode_header(0) + b"".join(lines) + end


class BulkTests(SynchronousTestCase):
    """Blocks of any size, and none."""

    def found(self, data: bytes, block: int) -> Scan | int:
        """Return what is read in blocks of a size, or where there is damage."""
        self.patch(records, "BLOCK", block)
        try:
            return scan(data)
        except DamagedError as error:
            return error.offset

    @given(CHANGES, st.booleans(), st.none() | st.tuples(st.integers(0), st.integers(0, 7)))
    def test_same(self, changes: list[Change], clean: bool, flip: tuple[int, int] | None) -> None:
        """Whatever a journal holds, good or damaged, it is read as it is record by record."""
        data = bytearray(journal(changes, clean))
        if flip is not None:
            data[flip[0] % len(data)] ^= 1 << flip[1]
        expected = self.found(bytes(data), 1)
        for block in (100, 500, 1 << 16):
            found = self.found(bytes(data), block)
            self.assertEqual(found, expected)
            if isinstance(found, Scan) and isinstance(expected, Scan):
                self.assertEqual(list(found.entries.items()), list(expected.entries.items()))

    @given(CHANGES)
    def test_size(self, changes: list[Change]) -> None:
        """The map's size is that of its records, whatever was replaced and taken out."""
        found = scan(journal(changes))
        exact = sum(record_size(key, value) for key, value in found.entries.items())
        # A key that is written with escapes counts for as many bytes.
        escaped = sum(len(encode_change(1, 0, (key, b"{}"))) for key, _ in changes)
        plain = sum(len(encode_change(1, 0, ("x" * len(key), b"{}"))) for key, _ in changes)
        self.assertLessEqual(abs(found.live - exact), escaped - plain)

    def test_unknown_change(self) -> None:
        """A change that is not known is found at its byte, among many that are."""
        for at in (0, 1, 30, 98, 99):
            lines = [
                encode_change(n, n - 1, (f"k{n}", b"{}")).replace(b"put", b"set")
                if n == at + 1
                else encode_change(n, n - 1, (f"k{n}", b"{}"))
                for n in range(1, 101)
            ]
            text = lines[at][9:-1]
            lines[at] = b"%08x %s\n" % (crc32(text), text)
            data = encode_header(0) + b"".join(lines)
            error = self.assertRaises(DamagedError, scan, data)
            self.assertEqual(error.offset, len(encode_header(0)) + sum(map(len, lines[:at])))
            self.assertIn(f"record {at + 1} is whole", str(error))

    def test_calls(self) -> None:
        """Many new keys are put at once, not one by one."""
        single: list[str] = []
        self.patch(LiveMap, "replace", lambda live, key, value: single.append(key))
        scan(journal([(f"k{n}", b"{}") for n in range(5000)]))
        self.assertEqual(single, [])
