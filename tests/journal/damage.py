"""Every truncation and every bit flip of a small journal, and what a start makes of it.

``python -m tests.journal.damage`` prints the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from attrs import frozen

from exampledriver.journal.log import JOURNAL, Log
from exampledriver.journal.records import JournalError, scan

from .crashfiles import CrashFiles


@frozen
class Sample:
    """A journal with its history.

    :ivar data: its bytes.
    :ivar starts: where each line begins; the last one is the length.
    :ivar maps: the map after so many records.
    :ivar vouched: how many records something behind them, or the header, calls durable.
    """

    data: bytes
    starts: list[int]
    maps: list[dict[str, bytes]]
    vouched: int


def sample(clean: bool) -> Sample:
    """Return a journal of nine records: a compacted part, single changes, a batch of three.

    :param clean: it ends in a clean shutdown, a tenth record; otherwise in the batch.
    """
    files = CrashFiles()
    log = Log(files, slack=1 << 20)
    log.open()
    for name in ("a", "b", "c", "d"):
        log.commit([(name, b'{"n":1}')])
    log.commit([("b", None)])
    log.compact()
    log.commit([("e", b'{"n":2}')])
    log.commit([("a", None)])
    log.commit([("f", b"{}"), ("c", b'{"n":3}'), ("g", b"{}")])
    if clean:
        log.close()
    data = files.read(JOURNAL)
    starts = [0]
    while starts[-1] < len(data):
        starts.append(data.index(b"\n", starts[-1]) + 1)
    born = int(data.split(b" ")[2])
    header = b"exampledriver-journal 1 0 18e483cc\n"
    # Without the header's count, a prefix of the records is a journal of its own.
    maps = [scan(header + data[starts[1] : end]).entries for end in starts[1:]]
    records = len(maps) - 1
    return Sample(data, starts, maps, records - 1 if clean else max(born, records - 3))


def outcome(sample: Sample, data: bytes, record: int) -> str:
    """Classify what a start makes of `data`, of which everything before `record` is as it was.

    :param record: how many whole records are before the damage; -1 in the header.
    :return: ``clean``, ``torn`` or ``refused``; ``WRONG`` if an answered change could be
        lost without a word.
    """
    try:
        found = scan(data)
    except JournalError as error:
        offset = getattr(error, "offset", 0)
        return "refused" if offset == sample.starts[record + 1] else "WRONG"
    right = 0 <= record == found.records and found.entries == sample.maps[record]
    if not right:
        return "WRONG"
    return "clean" if found.length == len(data) else "torn"


def truncations(sample: Sample) -> Iterator[tuple[int, str]]:
    """Yield each length to which the journal can be cut, and the outcome."""
    for length in range(len(sample.data)):
        record = sum(start <= length for start in sample.starts) - 2
        yield length, outcome(sample, sample.data[:length], record)


def flips(sample: Sample) -> Iterator[tuple[int, int, str]]:
    """Yield each byte and bit of the journal, the record it is in, and the outcome."""
    for offset in range(len(sample.data)):
        record = sum(start <= offset for start in sample.starts) - 2
        for bit in range(8):
            data = bytearray(sample.data)
            data[offset] ^= 1 << bit
            yield offset, record, outcome(sample, bytes(data), record)


def table() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| journal | damage | where | clean | torn tail, set aside | refused | wrong |"
    yield "|---|---|---|---|---|---|---|"
    for name, clean in (("after a crash", False), ("after a clean shutdown", True)):
        journal = sample(clean)
        first, last = journal.starts[1], journal.starts[journal.vouched + 1]
        rows: dict[tuple[str, str], Counter[str]] = {}
        found = [("truncated", n, o) for n, o in truncations(journal)]
        found += [("bit flipped", n, o) for n, _, o in flips(journal)]
        for damage, offset, result in found:
            where = "header" if offset < first else "durable" if offset < last else "last batch"
            rows.setdefault((damage, where), Counter())[result] += 1
        for (damage, where), count in rows.items():
            numbers = " | ".join(str(count[r]) for r in ("clean", "torn", "refused", "WRONG"))
            yield f"| {name} | {damage} | {where} | {numbers} |"


if __name__ == "__main__":
    print("\n".join(table()))
