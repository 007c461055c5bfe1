"""A journal for its operator: every line as it is, and what can be saved of a damaged one."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen

from .interfaces import IFiles
from .live import LiveMap
from .log import JOURNAL, Log, keep_beside
from .records import DamagedError, JournalError, Record, read_line, scan

DAMAGED = "journal.damaged-"


@frozen
class Line:
    """A line of a journal behind its header.

    :ivar offset: where it begins, in bytes.
    :ivar text: its bytes, without the newline.
    :ivar record: what it says, or ``None`` if it cannot be read.
    """

    offset: int
    text: bytes
    record: Record | None


@frozen
class Verdict:
    """What a start would make of a journal.

    :ivar trouble: why it would refuse, or an empty text.
    :ivar torn: how many bytes it would cut off.
    :ivar records: how many records it would read.
    :ivar entries: the map that it would read.
    """

    trouble: str
    torn: int
    records: int
    entries: dict[str, bytes]


@frozen
class Salvage:
    """What can be saved of a journal, damaged or not.

    :ivar entries: the map that its readable records make.
    :ivar lost: the lines that cannot be read.
    :ivar gaps: the sequence numbers of records that are not there, as first and last.
    """

    entries: dict[str, bytes] = field(factory=dict)
    lost: list[Line] = field(factory=list)
    gaps: list[tuple[int, int]] = field(factory=list)


def lines(data: bytes) -> Iterator[Line]:
    """Yield every line behind the first one, readable or not."""
    offset = data.find(b"\n") + 1 or len(data)
    while offset < len(data):
        end = data.find(b"\n", offset)
        text = data[offset : end if end >= 0 else len(data)]
        # A last line without its newline was never finished.
        yield Line(offset, text, read_line(text) if end >= 0 else None)
        offset += len(text) + 1


def judge(data: bytes) -> Verdict:
    """Say what a start would make of the journal `data`.

    :raises NewerVersionError: another version wrote it.
    """
    try:
        found = scan(data)
    except DamagedError as error:
        return Verdict(str(error), 0, 0, {})
    return Verdict("", len(data) - found.length, found.records, found.entries)


def salvage(data: bytes) -> Salvage:
    """Read all that can be read, in its order.

    A deletion that is lost leaves its key; a put that is lost leaves an older value,
    or none.
    """
    saved = Salvage()
    live = LiveMap(entries=saved.entries)
    expected = 1
    for line in lines(data):
        if line.record is None or not live.apply([line.record.change]):
            saved.lost.append(line)
            continue
        if line.record.sequence > expected:
            saved.gaps.append((expected, line.record.sequence - 1))
        expected = line.record.sequence + 1
    return saved


def repair(files: IFiles) -> tuple[Salvage, str]:
    """Replace a damaged journal by what can be saved of it; keep the damaged one beside it.

    A crash at any step leaves the damaged journal or the new one in its place.

    :return: what was saved, and the name of the file that keeps the damaged journal.
    :raises NewerVersionError: another version wrote it; it is left alone.
    :raises JournalError: it is not damaged.
    :raises OSError: it could not be done.
    """
    data = files.read(JOURNAL)
    if not judge(data).trouble:
        raise JournalError("the journal is not damaged: there is nothing to repair")
    saved = salvage(data)
    kept = keep_beside(files, DAMAGED, data)
    log = Log(files)
    log.begin(saved.entries)
    log.close()
    return saved, kept
