"""Many records at once: a start reads a hundred thousand of them.

What is done for each record by itself in :mod:`exampledriver.journal.records` is done here
for some hundred with a few calls, in C. Where anything is out of the ordinary they are read
one by one.
"""

from __future__ import annotations

import sys
from array import array
from zlib import crc32

#: How many bytes are read at once, about.
BLOCK = 1 << 16


def read_lines(data: bytes, offset: int, end: int, first: int) -> list[bytes] | None:
    """Return the changes of the records from `offset` to `end`, as JSON.

    :param first: the sequence number that the first of them has.
    :return: ``None`` if any of them cannot be read.
    """
    lines = data[offset : end - 1].split(b"\n")
    sums = array("I", [crc32(line[9:]) for line in lines])
    if sys.byteorder == "little":
        sums.byteswap()
    try:
        words = zip(*[line.split(b" ", 3) for line in lines], strict=True)
        found, numbers, durable, changes = map(list, words)
    except ValueError:
        return None
    good = (
        # Each checksum has 8 digits: what is joined is equal only if each of them is.
        set(map(len, found)) == {8}
        and b"".join(found) == sums.tobytes().hex().encode("ascii")
        and numbers == [b"%d" % number for number in range(first, first + len(lines))]
        and all(map(bytes.isdigit, durable))
    )
    return changes if good else None
