"""Reading the members of an archive of :mod:`.archive`, in one pass and bounded memory.

Nothing of it is believed: sizes have limits, headers checksums, and whatever this version
does not write is refused.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator
from tarfile import TarInfo

from attrs import define, field, frozen

from ...volumes.errors import quoted
from .archive import BLOCK, MOST, ArchiveError, Readable, decode, nanoseconds, xattr_name
from .progress import Progress

_READ = 1 << 20
_PAX = b"x"
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


@frozen
class Member:
    """A member's header.

    :ivar name: as it is written: ``data/a/b``.
    :ivar kind: a type of :mod:`tarfile`.
    :ivar size: bytes of its content, holes included.
    :ivar stored: bytes that follow in the archive, of content.
    :ivar pieces: start and length of what is stored; None for a file without holes.
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
    pieces: list[tuple[int, int]] | None


@define(eq=False)
class Members:
    """An archive's members, one after the other; each one's data is read before the next."""

    source: Readable
    progress: Progress
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
        records: dict[str, bytes] = {}
        info = self._header(block)
        if info.type == _PAX:
            records = self._records(info)
            info = self._header(self._take(BLOCK))
        try:
            return self._member(info, records)
        except ValueError as error:
            raise ArchiveError(f"member {quoted(info.name)}: {error}") from None

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
            data = self._take(min(self._left, _READ))
            self._left -= len(data)
            yield data

    def content(self) -> bytes:
        """Return all data of the last member, which is a small one.

        :raises ArchiveError: it is not small.
        """
        self._limit(self._left, self._last)
        return b"".join(self.data())

    def _limit(self, size: int, name: str) -> None:
        if not 0 <= size <= MOST:
            raise ArchiveError(f"member {quoted(name)}: {size} bytes are more than are read of it")

    def _header(self, block: bytes) -> TarInfo:
        try:
            return TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.TarError as error:
            if not self._last:
                raise ArchiveError(
                    f"this is no exported volume: {error}; one that is compressed is given through "
                    "a pipe, such as from zcat"
                ) from None
            where = f"behind {quoted(self._last)}"
            raise ArchiveError(f"the archive is damaged {where}: {error}") from None

    def _records(self, info: TarInfo) -> dict[str, bytes]:
        """Read a PAX header: ``LENGTH KEY=VALUE`` and a line break, many times."""
        self._limit(info.size, info.name)
        text = self._take(info.size)
        self._take(-info.size % BLOCK)
        found = {}
        position = 0
        while position < len(text):
            space = text.find(b" ", position, position + 20)
            number = text[position:space].decode("ascii", "replace") if space > 0 else ""
            end = position + int(number) if _NUMBER.fullmatch(number) else 0
            key, equals, value = text[space + 1 : end].partition(b"=")
            if not (space < end <= len(text)) or not equals or value[-1:] != b"\n":
                raise ArchiveError(f"the archive is damaged behind {quoted(self._last)}")
            found[decode(key)] = value[:-1]
            position = end
        return found

    def _member(self, info: TarInfo, records: dict[str, bytes]) -> Member:
        def number(key: str, default: int) -> int:
            text = decode(records[key]) if key in records else str(default)
            if not _NUMBER.fullmatch(text):
                raise ValueError(f"{key} is no number")
            return int(text)

        stored = number("size", info.size)
        name = decode(records["path"]) if "path" in records else info.name
        size, pieces = stored, None
        self._last, self._left, self._padding = name, stored, -stored % BLOCK
        if "GNU.sparse.name" in records:
            name = decode(records["GNU.sparse.name"])
            size = number("GNU.sparse.realsize", 0)
            self._last = name
            pieces = self._pieces(size)
        return Member(
            name=name.rstrip("/") if info.type == tarfile.DIRTYPE else name,
            kind=info.type,
            size=size,
            stored=self._left,
            mode=info.mode & 0o7777,
            uid=number("uid", info.uid),
            gid=number("gid", info.gid),
            mtime_ns=nanoseconds(decode(records.get("mtime", str(info.mtime).encode()))),
            link=decode(records["linkpath"]) if "linkpath" in records else info.linkname,
            device=(info.devmajor, info.devminor),
            xattrs={
                xattr_name(key): value
                for key, value in records.items()
                if key.startswith("SCHILY.xattr.")
            },
            pieces=pieces,
        )

    def _pieces(self, size: int) -> list[tuple[int, int]]:
        """Read the map of a file with holes: a count, and as many starts and lengths."""
        blocks: list[bytes] = []
        lines, needed = 0, 1
        while lines < needed:
            if len(blocks) * BLOCK >= MOST or self._left < BLOCK:
                raise ValueError("its map of holes is too long")
            blocks.append(self._take(BLOCK))
            self._left -= BLOCK
            lines += blocks[-1].count(b"\n")
            if len(blocks) == 1:
                count = re.match(rb"([0-9]{1,7})\n", blocks[0])
                needed = 1 + 2 * int(count[1]) if count else 0
        numbers = [decode(line) for line in b"".join(blocks).split(b"\n")[1:needed]]
        if not numbers or not all(map(_NUMBER.fullmatch, numbers)):
            raise ValueError("its map of holes is damaged")
        starts, lengths = map(int, numbers[::2]), map(int, numbers[1::2])
        pieces = list(zip(starts, lengths, strict=True))
        end = 0
        for start, length in pieces:
            if start < end:
                raise ValueError("its map of holes is out of order")
            end = start + length
        if end > size or sum(length for _, length in pieces) != self._left:
            raise ValueError("its map of holes does not fit its size")
        return pieces
