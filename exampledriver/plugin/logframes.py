"""Log entries as Docker frames them: a length of four bytes, and a protobuf message.

The message has few fields and has not changed but by adding; it is read and written here, so
that a plugin needs no protobuf library. What is not known is passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from attrs import define, field, frozen

#: The longest message that is read, in bytes. Docker cuts lines at 16 KiB.
MAX_MESSAGE = 1 << 20

_LENGTH = struct.Struct(">I")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class FrameError(Exception):
    """What came is no log entry; the text says why. The stream cannot be read any further."""


@frozen
class Partial:
    """Where an entry belongs in a line that was too long for one.

    :ivar id: of the line.
    :ivar ordinal: of the entry in it, from 1.
    :ivar last: it is the line's end.
    """

    id: str = ""
    ordinal: int = 0
    last: bool = False


@frozen
class LogEntry:
    """A line of a container's output, or a part of one.

    :ivar source: ``stdout`` or ``stderr``.
    :ivar time_nano: in nanoseconds since 1970.
    :ivar line: without its newline.
    :ivar partial: the line goes on in the next entry.
    :ivar partial_metadata: of such a line; ``None`` for a whole one, and from old engines.
    :ivar attributes: names and values, for ``docker logs --details``.
    """

    source: str
    time_nano: int
    line: bytes
    partial: bool = False
    partial_metadata: Partial | None = None
    attributes: Sequence[tuple[str, str]] = ()


def encode(entry: LogEntry) -> bytes:
    """Return an entry with its length before it."""
    parts = [
        _bytes(1, entry.source.encode("utf-8")),
        _number(2, entry.time_nano),
        _bytes(3, entry.line),
        _number(4, entry.partial),
    ]
    partial = entry.partial_metadata
    if partial is not None:
        inner = _number(1, partial.last) + _bytes(2, partial.id.encode("utf-8"))
        inner += _number(3, partial.ordinal)
        parts.append(_key(5, _BYTES) + _varint(len(inner)) + inner)
    for name, value in entry.attributes:
        inner = _bytes(1, name.encode("utf-8")) + _bytes(2, value.encode("utf-8"))
        parts.append(_key(6, _BYTES) + _varint(len(inner)) + inner)
    message = b"".join(parts)
    return _LENGTH.pack(len(message)) + message


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _number(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value) if value else b""


def _bytes(number: int, value: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(value)) + value if value else b""


@define
class _Reader:
    """Reads a protobuf message."""

    data: bytes
    place: int = 0

    def varint(self) -> int:
        found = shift = 0
        while True:
            if self.place >= len(self.data) or shift > 63:
                raise FrameError("a number in it has no end")
            byte = self.data[self.place]
            self.place += 1
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found & ((1 << 64) - 1)
            shift += 7

    def take(self, size: int) -> bytes:
        found = self.data[self.place : self.place + size]
        if len(found) < size:
            raise FrameError("it ends within a field")
        self.place += size
        return found

    def fields(self) -> Iterator[tuple[int, int | bytes]]:
        """Yield number and value of each field."""
        while self.place < len(self.data):
            key = self.varint()
            number, kind = key >> 3, key & 7
            if kind == _VARINT:
                yield number, self.varint()
            elif kind == _BYTES:
                yield number, self.take(self.varint())
            elif kind in (_FIXED64, _FIXED32):
                self.take(8 if kind == _FIXED64 else 4)
            else:
                raise FrameError(f"a field in it is of an unknown kind, {kind}")


def _text(value: int | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _signed(value: int | bytes | None, bits: int = 64) -> int:
    number = value if isinstance(value, int) else 0
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def decode(message: bytes) -> LogEntry:
    """Return the entry of a message, which comes without its length.

    :raises FrameError: it is none.
    """
    found: dict[int, int | bytes] = {}
    attributes = []
    for number, value in _Reader(message).fields():
        if number == 6 and isinstance(value, bytes):
            attribute = dict(_Reader(value).fields())
            attributes.append((_text(attribute.get(1)), _text(attribute.get(2))))
        else:
            found[number] = value
    line, inner = found.get(3, b""), found.get(5)
    partial = None
    if isinstance(inner, bytes):
        of = dict(_Reader(inner).fields())
        partial = Partial(_text(of.get(2)), _signed(of.get(3), 32), bool(of.get(1)))
    return LogEntry(
        _text(found.get(1)),
        _signed(found.get(2)),
        line if isinstance(line, bytes) else b"",
        bool(found.get(4)),
        partial,
        tuple(attributes),
    )


@define(eq=False)
class Decoder:
    """Puts entries together from pieces of a stream."""

    _data: bytearray = field(factory=bytearray, init=False)

    @property
    def rest(self) -> int:
        """How many bytes have come of an entry that has not come to its end."""
        return len(self._data)

    def feed(self, data: bytes) -> Iterator[LogEntry]:
        """Yield the entries that are whole now, each of them once.

        :raises FrameError: what came is no log entry.
        """
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            if length > MAX_MESSAGE:
                raise FrameError(f"its length is {length}, beyond {MAX_MESSAGE}")
            end = _LENGTH.size + length
            if len(self._data) < end:
                break
            message = bytes(self._data[_LENGTH.size : end])
            # Now, so that it is taken once, whatever is done with it.
            del self._data[:end]
            yield decode(message)
