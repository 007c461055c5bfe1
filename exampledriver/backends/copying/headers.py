"""Writing the headers of an archive of :mod:`.archive`: ustar blocks, and PAX records before them.

Not :mod:`tarfile`'s own, which cannot write a record whose keyword is not UTF-8, as the name of
an extended attribute may be.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from typing import TypeAlias

from .archive import BLOCK

#: PAX records: keyword and value.
Records: TypeAlias = Mapping[bytes, bytes]

_NAME = 100
#: The largest numbers that fit the fields of a ustar header.
_MOST_ID, _MOST_SIZE = 0o7777777, 0o77777777777
#: Says that not all records are UTF-8; POSIX.1-2008.
_BINARY = (b"hdrcharset", b"BINARY")


def header(
    name: bytes,
    kind: bytes,
    size: int = 0,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    records: Records | None = None,
) -> bytes:
    """Return a member's header.

    :param kind: a type of :mod:`tarfile`.
    :param size: bytes of data that follow in the archive.
    :param records: further PAX records.
    """
    if kind == tarfile.DIRTYPE:
        name += b"/"
    found = dict(records or {})
    texts = {b"path": name, b"linkpath": link}
    found.update({k: v for k, v in texts.items() if len(v) > _NAME or not v.isascii()})
    numbers = {b"uid": (uid, _MOST_ID), b"gid": (gid, _MOST_ID), b"size": (size, _MOST_SIZE)}
    found.update({k: b"%d" % number for k, (number, most) in numbers.items() if number > most})
    if not all(map(_is_text, (*found, *found.values()))):
        found = {_BINARY[0]: _BINARY[1], **found}
    block = _block(name, kind, size, mode, uid, gid, link, device)
    if not found:
        return block
    content = b"".join(_record(keyword, value) for keyword, value in found.items())
    extended = _block(b"././@PaxHeader", tarfile.XHDTYPE, len(content), 0, 0, 0, b"", (0, 0))
    return extended + content + bytes(-len(content) % BLOCK) + block


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _record(keyword: bytes, value: bytes) -> bytes:
    """Return ``LENGTH KEYWORD=VALUE`` and a line break; the length counts itself."""
    rest = b" %s=%s\n" % (keyword, value)
    length = len(rest)
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d%s" % (length, rest)


def _block(
    name: bytes,
    kind: bytes,
    size: int,
    mode: int,
    uid: int,
    gid: int,
    link: bytes,
    device: tuple[int, int],
) -> bytes:
    def octal(number: int, most: int = _MOST_ID, digits: int = 7) -> bytes:
        return b"%0*o\0" % (digits, number if number <= most else 0)

    before = b"".join(
        [
            name[:_NAME].ljust(_NAME, b"\0"),
            *map(octal, (mode, uid, gid)),
            octal(size, _MOST_SIZE, 11),
            octal(0, _MOST_SIZE, 11),  # the time is a PAX record
        ]
    )
    after = b"".join(
        [
            kind,
            link[:_NAME].ljust(_NAME, b"\0"),
            b"ustar\x0000",
            bytes(64),  # names of owner and group
            *map(octal, device),
        ]
    )
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return (before + b"%06o\0 " % checksum + after).ljust(BLOCK, b"\0")
