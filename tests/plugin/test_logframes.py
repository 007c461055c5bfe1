"""The framing of log entries, against bytes that Go's protobuf writes."""

from __future__ import annotations

from contextlib import suppress as suppressed

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.logframes import (
    MAX_MESSAGE,
    Decoder,
    FrameError,
    LogEntry,
    Partial,
    decode,
    encode,
)

from .memory import UNHURRIED

#: An entry, and its message as docker/api/types/plugins/logdriver has it.
ENTRY = LogEntry("stdout", 1, b"hi", True, Partial("x", 2, True), (("a", "b"),))
MESSAGE = (
    b"\x0a\x06stdout\x10\x01\x1a\x02hi\x20\x01"
    b"\x2a\x07\x08\x01\x12\x01x\x18\x02\x32\x06\x0a\x01a\x12\x01b"
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
entries = st.builds(
    LogEntry,
    texts,
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.binary(max_size=200),
    st.booleans(),
    st.none() | st.builds(Partial, texts, st.integers(-(1 << 31), (1 << 31) - 1), st.booleans()),
    st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
)


class FrameTests(SynchronousTestCase):
    """Reading and writing."""

    def test_bytes(self) -> None:
        """An entry is a length of four bytes, the highest first, and its fields by number."""
        self.assertEqual(encode(ENTRY), len(MESSAGE).to_bytes(4, "big") + MESSAGE)
        self.assertEqual(decode(MESSAGE), ENTRY)

    def test_empty(self) -> None:
        """What is empty is left out, as protobuf does; an entry can be nothing but its length."""
        self.assertEqual(encode(LogEntry("", 0, b"")), bytes(4))
        self.assertEqual(decode(b""), LogEntry("", 0, b""))

    @UNHURRIED
    @given(st.lists(entries, max_size=5), st.integers(1, 50))
    def test_pieces(self, written: list[LogEntry], size: int) -> None:
        """What was written is read, in whatever pieces it comes."""
        data = b"".join(map(encode, written))
        decoder = Decoder()
        found: list[LogEntry] = []
        for place in range(0, len(data), size):
            found += decoder.feed(data[place : place + size])
        self.assertEqual(found, written)
        self.assertEqual(decoder.rest, 0)

    def test_newer(self) -> None:
        """Fields that are not known are passed over, of whichever kind."""
        newer = b"\x38\x05" + b"\x42\x01z" + b"\x49" + bytes(8) + b"\x55" + bytes(4)
        self.assertEqual(decode(newer + MESSAGE + newer), ENTRY)

    def test_no_text(self) -> None:
        """A source that is no UTF-8 is read all the same."""
        self.assertEqual(decode(b"\x0a\x01\xff").source, "\ufffd")

    @UNHURRIED
    @given(st.binary(max_size=100))
    def test_anything(self, data: bytes) -> None:
        """Whatever comes is an entry or a FrameError."""
        with suppressed(FrameError):
            decode(data)

    def test_bounded(self) -> None:
        """A length beyond all measure is an error before any of it is kept."""
        length = (MAX_MESSAGE + 1).to_bytes(4, "big")
        self.assertRaises(FrameError, list, Decoder().feed(length))
