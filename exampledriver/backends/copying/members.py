"""Reading the members of an archive of :mod:`.archive`, in one pass and bounded memory.

Nothing of it is believed: sizes have limits, headers checksums, and whatever this version
does not write is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tarfile
from collections.abc import Generator, Iterator
from pathlib import Path
from struct import Struct
from tarfile import TarInfo
from tempfile import SpooledTemporaryFile
from typing import IO

from attrs import define, field, frozen

from ...volumes.errors import quoted
from .archive import (
    BLOCK,
    MOST,
    MOST_HEADER,
    MOST_ID,
    MOST_SIZE,
    XATTR,
    ArchiveError,
    Readable,
    decode,
    encode,
    nanoseconds,
    xattr_name,
)
from .progress import Progress

_READ = 1 << 20
_PAX = b"x"
_NUMBER = re.compile(rb"[0-9]{1,19}")
_PIECE = Struct("=QQ")
#: The keywords of PAX records that are known, besides those of attributes.
_KEYWORDS = frozenset(
    (
        *(b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"hdrcharset"),
        *(b"GNU.sparse." + word for word in (b"major", b"minor", b"name", b"realsize")),
    )
)
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE)
#: The largest major and minor number of a device, in Linux.
_MOST_DEVICE = (0xFFF, 0xFFFFF)
#: The longest name of an attribute, and all names of a file's attributes, in bytes.
_MOST_NAME, _MOST_NAMES = 255, 1 << 16


@define(eq=False)
class Pieces:
    """Where the data of a file with holes is: the start and length of each piece, in order."""

    _file: IO[bytes]

    def add(self, start: int, length: int) -> None:
        """Add a piece."""
        self._file.write(_PIECE.pack(start, length))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the pieces."""
        self._file.seek(0)
        while data := self._file.read(_PIECE.size << 10):
            yield from _PIECE.iter_unpack(data)


@frozen
class Member:
    """A member's header.

    :ivar name: as it is written: ``data/a/b``.
    :ivar kind: a type of :mod:`tarfile`.
    :ivar size: bytes of its content, holes included.
    :ivar stored: bytes that follow in the archive, of content.
    :ivar pieces: what is stored; None for a file without holes.
    """

    name: str
    kind: bytes
    size: int
    stored: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    link: str
    device: tuple[int, int]
    xattrs: dict[str, bytes]
    pieces: Pieces | None


@define(eq=False)
class Members:
    """An archive's members, one after the other; each one's data is read before the next.

    :ivar scratch: a directory for maps of holes that are too large for memory.
    :ivar content_digest: of the last member's data that has been read, as it is stored.
    """

    source: Readable
    progress: Progress
    scratch: Path | None = None
    content_digest: hashlib._Hash = field(factory=hashlib.sha256, init=False)
    #: Of every byte before the header that is being read.
    _digest: hashlib._Hash = field(factory=hashlib.sha256, init=False)
    _last: str = field(default="", init=False)
    _left: int = field(default=0, init=False)
    _padding: int = field(default=0, init=False)
    #: The SHA-256 of everything before the last member.
    before: str = field(default="", init=False)

    def _take(self, count: int) -> bytes:
        pieces = []
        while count > 0:
            data = self.source.read(min(count, _READ))
            if not data:
                where = f"behind {quoted(self._last)}" if self._last else "at its start"
                raise ArchiveError(f"the archive is cut short {where}: export it again")
            self._digest.update(data)
            pieces.append(data)
            count -= len(data)
            self.progress.advance()
        return b"".join(pieces)

    def next(self) -> Member | None:
        """Read the next header; None at the archive's end.

        :raises ArchiveError: it is damaged, or none of ours.
        """
        assert not self._left, "the last member's data has not been read"
        if self._take(self._padding).strip(b"\0"):
            raise ArchiveError(f"the archive is damaged behind {quoted(self._last)}")
        self._padding = 0
        self.before = self._digest.hexdigest()
        block = self._take(BLOCK)
        if block == bytes(BLOCK):
            return None
        records: dict[bytes, bytes] = {}
        info = self._header(block)
        if info.type == _PAX:
            records = self._records(info)
            info = self._header(self._take(BLOCK))
        try:
            return self._member(info, records)
        except ValueError as error:
            raise ArchiveError(f"member {quoted(self._last)}: {error}") from None

    def finish(self) -> None:
        """Read to the end of the stream, so that its writer is not cut off.

        :raises ArchiveError: something follows the archive.
        """
        while data := self.source.read(_READ):
            if data.strip(b"\0"):
                raise ArchiveError("something follows the archive's end: it is not one archive")
            self.progress.advance()

    def data(self) -> Iterator[bytes]:
        """Yield the stored data of the last member."""
        while self._left > 0:
            yield self._stored(min(self._left, _READ))

    def _stored(self, count: int) -> bytes:
        """Read stored data of the last member."""
        data = self._take(count)
        self._left -= count
        self.content_digest.update(data)
        return data

    def content(self) -> bytes:
        """Return all data of the last member, which is a small one.

        :raises ArchiveError: it is not small.
        """
        self._limit(self._left, self._last, MOST)
        return b"".join(self.data())

    def _limit(self, size: int, name: str, most: int) -> None:
        if not 0 <= size <= most:
            raise ArchiveError(f"member {quoted(name)}: {size} bytes are more than are read of it")

    def _header(self, block: bytes) -> TarInfo:
        try:
            return TarInfo.frombuf(block, sys.getfilesystemencoding(), "surrogateescape")
        except tarfile.TarError as error:
            if not self._last:
                raise ArchiveError(
                    f"this is no exported volume: {error}; one that is compressed is given through "
                    "a pipe, such as from zcat"
                ) from None
            where = f"behind {quoted(self._last)}"
            raise ArchiveError(f"the archive is damaged {where}: {error}") from None

    def _records(self, info: TarInfo) -> dict[bytes, bytes]:
        """Read a PAX header: ``LENGTH KEY=VALUE`` and a line break, many times."""
        self._limit(info.size, info.name, MOST_HEADER)
        text = self._take(info.size)
        self._take(-info.size % BLOCK)
        found = {}
        position = names = 0
        while position < len(text):
            space = text.find(b" ", position, position + 20)
            number = text[position:space] if space > 0 else b""
            end = position + int(number) if _NUMBER.fullmatch(number) else 0
            key, equals, value = text[space + 1 : end].partition(b"=")
            if not (space < end <= len(text)) or not equals or value[-1:] != b"\n":
                raise ArchiveError(f"the archive is damaged behind {quoted(self._last)}")
            if key not in _KEYWORDS and not key.startswith(XATTR):
                raise ArchiveError(
                    f"the member behind {quoted(self._last)} has a PAX record "
                    f"{quoted(decode(key))}, which no export writes"
                )
            if key.startswith(XATTR):
                names += len(xattr_name(key)) + 1
                if names > _MOST_NAMES:
                    raise ArchiveError(
                        f"the member behind {quoted(self._last)} has more attributes than a file "
                        "can have"
                    )
            found[key] = value[:-1]
            position = end
        return found

    def _member(self, info: TarInfo, records: dict[bytes, bytes]) -> Member:
        def number(key: bytes, default: int, most: int) -> int:
            text = records.get(key, b"%d" % default)
            if not _NUMBER.fullmatch(text) or int(text) > most:
                raise ValueError(f"{decode(key)} {quoted(decode(text))} is not from 0 to {most}")
            return int(text)

        def text(key: bytes, default: str) -> str:
            return decode(records[key]) if key in records else default

        name = self._last = text(b"path", info.name)
        stored = number(b"size", info.size, MOST_SIZE)
        size, pieces = stored, None
        self._left, self._padding = stored, -stored % BLOCK
        self.content_digest = hashlib.sha256()
        if b"GNU.sparse.name" in records:
            name = self._last = text(b"GNU.sparse.name", "")
            size = number(b"GNU.sparse.realsize", -1, MOST_SIZE)
            version = records.get(b"GNU.sparse.major"), records.get(b"GNU.sparse.minor")
            if version != (b"1", b"0") or info.type != tarfile.REGTYPE:
                raise ValueError("its map of holes is not of GNU's sparse format 1.0")
            pieces = self._pieces(size)
        return Member(
            name=_whole(name.rstrip("/") if info.type == tarfile.DIRTYPE else name, "its name"),
            kind=info.type,
            size=size,
            stored=self._left,
            mode=info.mode & 0o7777,
            uid=number(b"uid", info.uid, MOST_ID),
            gid=number(b"gid", info.gid, MOST_ID),
            mtime_ns=nanoseconds(records.get(b"mtime", b"%d" % info.mtime)),
            link=_whole(text(b"linkpath", info.linkname), "its link"),
            device=_device(info) if info.type in _DEVICES else (0, 0),
            xattrs={
                _attribute(key): value for key, value in records.items() if key.startswith(XATTR)
            },
            pieces=pieces,
        )

    def _pieces(self, size: int) -> Pieces:
        """Read the map of a file with holes: a count, and as many starts and lengths."""
        scratch = None if self.scratch is None else os.fspath(self.scratch)
        pieces = Pieces(SpooledTemporaryFile(_READ, dir=scratch))  # noqa: SIM115 (as the member)
        numbers = self._map_numbers()
        end = total = 0
        for _ in range(next(numbers)):
            start, length = next(numbers), next(numbers)
            if start < end:
                raise ValueError("its map of holes is out of order")
            end = start + length
            total += length
            if end > size:
                break
            if length:
                pieces.add(start, length)
        numbers.close()
        if end > size or total != self._left:
            raise ValueError("its map of holes does not fit its size")
        return pieces

    def _map_numbers(self) -> Generator[int, None, None]:
        """Yield the numbers of a map of holes, a line each; it fills whole blocks."""
        rest = b""
        while self._left >= BLOCK:
            *lines, rest = (rest + self._stored(BLOCK)).split(b"\n")
            for line in lines:
                if not _NUMBER.fullmatch(line):
                    raise ValueError("its map of holes is damaged")
                yield int(line)
            if len(rest) > BLOCK:
                break
        raise ValueError("its map of holes is too long")


def _whole(text: str, what: str) -> str:
    if "\0" in text:
        raise ValueError(f"{what} {quoted(text)} contains a zero byte")
    return text


def _attribute(key: bytes) -> str:
    name = xattr_name(key)
    if not 1 <= len(encode(name)) <= _MOST_NAME:
        raise ValueError(f"its attribute name {quoted(name)} is not 1 to 255 bytes long")
    return _whole(name, "the name of its attribute")


def _device(info: TarInfo) -> tuple[int, int]:
    device = info.devmajor, info.devminor
    if not all(0 <= number <= most for number, most in zip(device, _MOST_DEVICE, strict=True)):
        raise ValueError(f"its device number {device[0]}:{device[1]} is not one of Linux")
    return device
