r"""The journal's format, as pure functions between bytes and records.

A journal is a text file of lines that each end in a newline. The first line is
its header, every other line a record::

    exampledriver-journal 1 2 8ee0b0b4
    5b1c1f1e 1 0 ["put","db",{"created":"2026-11-24T08:00:00Z"}]
    0a6f6d33 2 0 ["put","web",{"created":"2026-11-24T08:00:01Z"}]
    9d2b7c55 3 2 ["delete","web"]

The header says: the format's version; how many of the records that follow were
durable before the file got its name; the CRC-32 of the line up to there.

A record says: the CRC-32 of the rest of the line (8 lower-case hex digits); its
sequence number, which counts the file's records from 1; the sequence number up
to which all records *were known to be durable when this one was written*; the
change, as JSON in ASCII: ``["put", key, object]``, ``["delete", key]``, or
``["synced"]``, which changes nothing and says that all records before it are
durable; a clean shutdown and a compaction end with it.

Why the third field: after a crash the records of the last batch may be cut
short, torn, or there in part (a disk does not keep the order of writes between
two syncs). None of them was answered, so the tail from the first unreadable
record on is cut off. But the same look has a record that rotted on the disk, and
cutting there would lose answered changes. The two are told apart by what comes
behind: a later record that calls the unreadable one durable proves that it was,
and then nothing is cut and the start stops. The header's count does the same for
the records that a compaction wrote.

What remains undecidable is damage in the very last batch after a crash: nothing
behind it proves that it was durable. It is treated as torn, because refusing
would turn every power cut during a write into a daemon that does not start; it
is set aside and said. After a clean shutdown even that is told apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from zlib import crc32

from attrs import field, frozen

from .bulk import BLOCK, read_lines
from .interfaces import Codec, Value
from .live import PLAIN, Change, LiveMap

MAGIC = b"exampledriver-journal"
VERSION = 1
#: How a record begins, wherever that is.
_RECORD = re.compile(rb"(?=[0-9a-f]{8} [0-9]+ [0-9]+ \[)")
_SYNCED = b'["synced"]'


class JournalError(Exception):
    """The journal cannot be used as it is; the text says why and what to do."""


class DamagedError(JournalError):
    """Bytes that were durable cannot be read.

    :ivar offset: where in the file, in bytes.
    """

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(f"damaged at byte {offset}: {why}")
        self.offset = offset


class NewerVersionError(JournalError):
    """The journal was written by a newer version of this program."""


@frozen
class Record:
    """A record as it was read.

    :ivar sequence: its number in its file.
    :ivar durable: the number up to which it vouches for the records before it.
    :ivar change: JSON.
    """

    sequence: int
    durable: int
    change: bytes


@frozen
class Scan:
    """What a journal holds.

    :ivar entries: the live map, with what is kept of the values.
    :ivar records: how many records it has: the last one's sequence number.
    :ivar length: how many bytes are good; what is behind them is a torn tail.
    :ivar clean: the last record says that everything before it is durable.
    :ivar live: how many bytes the records of the live map have, about.
    """

    entries: dict[str, Any]
    records: int
    length: int
    clean: bool
    live: int = field(default=0, eq=False)


def encode_value(value: Value) -> bytes:
    """Return `value` as JSON in ASCII, on one line."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False).encode("ascii")


def encode_header(durable: int) -> bytes:
    """Return the header line of a file that is born with `durable` records."""
    text = b"%s %d %d" % (MAGIC, VERSION, durable)
    return b"%s %08x\n" % (text, crc32(text))


def _line(sequence: int, durable: int, change: bytes) -> bytes:
    text = b"%d %d %s" % (sequence, durable, change)
    return b"%08x %s\n" % (crc32(text), text)


def encode_change(sequence: int, durable: int, change: Change) -> bytes:
    """Return the line of one change."""
    key, value = change
    name = json.dumps(key).encode("ascii")
    if value is None:
        return _line(sequence, durable, b'["delete",%s]' % name)
    return _line(sequence, durable, b'["put",%s,%s]' % (name, value))


def encode_synced(sequence: int) -> bytes:
    """Return the line that says that everything before it is durable."""
    return _line(sequence, sequence - 1, _SYNCED)


def scan(data: bytes, codec: Codec = PLAIN) -> Scan:
    """Read a whole journal.

    :param codec: how values are kept.
    :raises NewerVersionError: another version wrote it.
    :raises DamagedError: the header, or a record that was durable, cannot be read.
    """
    end = data.find(b"\n") + 1
    durable = _read_header(data[:end])
    live = LiveMap(codec)
    records, offset, last = 0, end, b""
    for changes, end in _runs(data, offset):
        known = live.apply(changes)
        if known < len(changes):
            for _ in range(known):
                offset = data.find(b"\n", offset) + 1
            raise DamagedError(
                offset, f"record {records + known + 1} is whole, but its change is not known"
            )
        records, offset, last = records + len(changes), end, changes[-1]
    for later, proof in _proofs(data, offset):
        if proof > records:
            raise DamagedError(
                offset,
                f"record {records + 1} cannot be read, and the record at byte {later} "
                "says that it was durable",
            )
    if durable > records:
        raise DamagedError(
            offset,
            f"record {records + 1} of the {durable} that the file was born with cannot be read",
        )
    clean = offset == len(data) and last == _SYNCED
    return Scan(live.entries, records, offset, clean, live.size)


def _runs(data: bytes, offset: int) -> Iterator[tuple[list[bytes], int]]:
    """Yield the changes of a journal's records, some at a time, and where these records end.

    The first record that cannot be read ends it.
    """
    records, singly = 0, offset
    while offset < len(data):
        changes = None
        if offset >= singly:
            end = data.rfind(b"\n", offset, offset + BLOCK) + 1
            changes = read_lines(data, offset, end, records + 1) if end else None
        if changes is None:
            singly = max(singly, offset + BLOCK)
            end = data.find(b"\n", offset) + 1
            record = read_line(data[offset : end - 1]) if end else None
            if record is None or record.sequence != records + 1:
                return
            changes = [record.change]
        records += len(changes)
        offset = end
        yield changes, end


def _read_header(line: bytes) -> int:
    words = line.rstrip(b"\n").split(b" ")
    if words[0] != MAGIC or len(words) < 2:
        raise DamagedError(0, "this is not a journal's first line")
    # The version comes before the checksum: a newer one may have another.
    if words[1].isdigit() and words[1] != b"%d" % VERSION and _crc_matches(line):
        raise NewerVersionError(
            f"format {int(words[1])} was written by another version of exampledriver; this one "
            f"reads format {VERSION}: install the newer version again"
        )
    if len(words) == 4 and words[2].isdigit() and line == encode_header(int(words[2])):
        return int(words[2])
    raise DamagedError(0, "the header's checksum does not match it")


def _crc_matches(line: bytes) -> bool:
    """Tell whether a header line ends in its own checksum, of whatever version it is."""
    text, _, crc = line.rstrip(b"\n").rpartition(b" ")
    return crc == b"%08x" % crc32(text)


def read_line(line: bytes) -> Record | None:
    """Return the record of a line without its newline, or ``None`` if it cannot be read."""
    words = line.split(b" ", 3)
    if len(words) != 4 or words[0] != b"%08x" % crc32(line[9:]):
        return None
    if not (words[1].isdigit() and words[2].isdigit()):
        return None
    return Record(int(words[1]), int(words[2]), words[3])


def _proofs(data: bytes, offset: int) -> Iterator[tuple[int, int]]:
    """Yield, for each readable record from `offset` on, where it is and what it proves durable.

    A record is looked for anywhere, not only behind a newline: a newline may be what
    was damaged.
    """
    for match in _RECORD.finditer(data, offset):
        end = data.find(b"\n", match.start())
        record = read_line(data[match.start() : end]) if end >= 0 else None
        if record is not None:
            yield match.start(), record.durable
