"""Writing a volume's tree as a stream; the format is that of :mod:`.archive`.

Memory does not grow with files or data: checksums wait in an unnamed file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from tarfile import BLKTYPE, CHRTYPE, DIRTYPE, FIFOTYPE, LNKTYPE, REGTYPE, SYMTYPE
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, Any

from attrs import define, evolve, field

from .archive import (
    BLOCK,
    CHECKSUMS,
    DATA,
    MANIFEST,
    SEAL,
    Manifest,
    Writable,
    checksum_line,
    encode,
    seconds,
    xattr_key,
)
from .files import segments
from .headers import header
from .nodes import Metadata, Node, Parts, explained, open_file, walk
from .progress import Progress
from .trees import Copied, check_no_mounts, is_changed
from .warnings import ATTRIBUTES, SOCKETS, TIMES, Warnings

_TYPES = {
    stat.S_IFREG: REGTYPE,
    stat.S_IFDIR: DIRTYPE,
    stat.S_IFLNK: SYMTYPE,
    stat.S_IFIFO: FIFOTYPE,
    stat.S_IFCHR: CHRTYPE,
    stat.S_IFBLK: BLKTYPE,
}
#: tar knows no sockets; nobody listens at a copied one, and its owner makes it anew.
SKIPPED = stat.S_IFSOCK
#: The seconds that ext4 can hold, with inodes of 256 bytes.
_EXT4 = range(-(2**31), 2**34 - 2**31)
_READ = 1 << 20
_ZEROS = bytes(_READ)


def _fits_ext4(nanoseconds: int) -> bool:
    """Return whether ext4 can hold a time; in its first and its last second it has no fractions."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    return seconds in _EXT4 and not (fraction and seconds in (_EXT4[0], _EXT4[-1]))


def export_tree(
    source: Path, manifest: Manifest, output: Writable, progress: Progress, scratch: Path
) -> Copied:
    """Write a tree, its manifest first.

    :param manifest: its ``owner`` is filled in here.
    :param scratch: a directory whose file system has room for about 100 bytes a file, and 30 a
        piece of the file that has the most holes.
    :return: method ``tar``; sockets are left out and not counted.
    :raises VolumeError: something could not be read; the text names it.
    :raises OSError: something could not be written, such as ``BrokenPipeError``.
    :raises StoppedError: the work was told to stop.
    """
    check_no_mounts(source)
    with explained("opening", source.parts):
        top = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with TemporaryFile(dir=scratch) as lines:
            return _Writer(output, progress, lines, scratch).write(top, manifest)
    finally:
        os.close(top)


@define
class _Map:
    """Where the data of a file is: for each piece its start and length, as lines.

    It may be large: a file can have a hole behind each of its blocks.

    :ivar count: how many pieces there are, the one without length at the end included.
    :ivar stored: bytes in all of them.
    """

    lines: IO[bytes]
    count: int = 0
    stored: int = 0

    def add(self, start: int, length: int) -> None:
        self.lines.write(b"%d\n%d\n" % (start, length))
        self.count += 1
        self.stored += length

    def pieces(self) -> Iterator[tuple[int, int]]:
        self.lines.seek(0)
        for start in self.lines:
            yield int(start), int(self.lines.readline())


@define(eq=False)
class _Writer:
    output: Writable
    progress: Progress
    lines: IO[bytes]
    scratch: Path
    _digest: hashlib._Hash = field(factory=hashlib.sha256, init=False)
    _written: int = field(default=0, init=False)
    #: Where the first name of a file with several is, and how many are still to come.
    _links: dict[tuple[int, int], tuple[bytes, int]] = field(factory=dict, init=False)
    _changed: int = field(default=0, init=False)
    _warnings: Warnings = field(factory=Warnings, init=False)

    def write(self, top: int, manifest: Manifest) -> Copied:
        status = os.fstat(top)
        owner = {"gid": status.st_gid, "mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid}
        self._member(MANIFEST, evolve(manifest, owner=owner).to_bytes())
        vanished: list[Parts] = []
        for node in walk(top, vanished):
            self._node(node)
        self.lines.seek(0, os.SEEK_END)
        self._put(header(encode(CHECKSUMS), REGTYPE, self.lines.tell()))
        self.lines.seek(0)
        while data := self.lines.read(_READ):
            self._put(data)
        self._pad()
        self._member(SEAL, self._digest.hexdigest().encode("ascii") + b"\n")
        self._put(bytes(2 * BLOCK))
        self._put(bytes(-self._written % (20 * BLOCK)))
        return Copied(
            "tar",
            self.progress.files,
            self.progress.size,
            self._changed + len(vanished),
            self._warnings.texts(),
        )

    def _put(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._written += len(data)
        view = memoryview(data)
        while view:
            done = self.output.write(view)  # type: ignore[arg-type]
            view = view[len(view) if done is None else done :]
            self.progress.advance()

    def _pad(self) -> None:
        self._put(bytes(-self._written % BLOCK))

    def _member(self, name: str, content: bytes) -> None:
        self._put(header(encode(name), REGTYPE, len(content)))
        self._put(content)
        self._pad()

    def _node(self, node: Node) -> None:
        self.progress.advance()
        if node.kind == SKIPPED:
            self._warnings.add(SOCKETS, node.parts)
            return
        name = encode("/".join((DATA, *node.parts)))
        with explained("reading", node.parts):
            described = self._described(node)
        if node.kind != stat.S_IFDIR and node.status.st_nlink > 1:
            first, left = self._links.pop(node.inode, (b"", node.status.st_nlink))
            if left > 1:
                self._links[node.inode] = first or name, left - 1
            if first:
                about = {key: described[key] for key in ("mode", "uid", "gid")}
                self._put(header(name, LNKTYPE, link=first, **about))
                self.progress.advance(files=1)
                return
        if node.kind == stat.S_IFREG:
            self._file(node, name, described)
        else:
            self._put(header(name, _TYPES[node.kind], **described))
        self.progress.advance(files=node.kind != stat.S_IFDIR)

    def _described(self, node: Node) -> dict[str, Any]:
        """Return what a node's header says besides name, type and size."""
        metadata = Metadata.of(node.fd, node.status)
        if not _fits_ext4(metadata.mtime_ns):
            self._warnings.add(TIMES, node.parts)
        if not metadata.all_xattrs:
            self._warnings.add(ATTRIBUTES, node.parts)
        described = {
            "mode": metadata.mode,
            "uid": metadata.uid,
            "gid": metadata.gid,
            "records": {
                b"mtime": seconds(metadata.mtime_ns),
                **{xattr_key(name): value for name, value in metadata.xattrs.items()},
            },
        }
        if node.kind == stat.S_IFLNK:
            described["link"] = encode(os.readlink("", dir_fd=node.fd))
        if node.kind in (stat.S_IFCHR, stat.S_IFBLK):
            described["device"] = os.major(node.status.st_rdev), os.minor(node.status.st_rdev)
        return described

    def _file(self, node: Node, name: bytes, described: dict[str, Any]) -> None:
        with explained("reading", node.parts):
            file = open_file(node.fd)
        try:
            before = os.fstat(file)
            size = before.st_size
            total = hashlib.sha256()
            with SpooledTemporaryFile(_READ, dir=os.fspath(self.scratch)) as lines:
                found = _Map(lines)
                with explained("reading", node.parts):
                    for start, length in segments(file, size):
                        found.add(start, length)
                        self.progress.advance()
                whole = found.stored == size
                if whole:
                    self._put(header(name, REGTYPE, size, **described))
                else:
                    found.add(size, 0)
                    self._map(name, described, size, found, total)
                for start, length in found.pieces():
                    self._data(file, node.parts, start, length, total)
            self.lines.write(checksum_line(total, os.fsdecode(name), not whole))
            self._pad()
            self._changed += is_changed(before, os.fstat(file))
        finally:
            os.close(file)

    def _map(
        self,
        name: bytes,
        described: dict[str, Any],
        size: int,
        found: _Map,
        total: hashlib._Hash,
    ) -> None:
        """Write the header and the map of a file with holes: GNU's format 1.0.

        The map stands before the data, in blocks.
        """
        count = b"%d\n" % found.count
        length = len(count) + found.lines.tell()
        padding = bytes(-length % BLOCK)
        records = {
            **described["records"],
            b"GNU.sparse.major": b"1",
            b"GNU.sparse.minor": b"0",
            b"GNU.sparse.name": name,
            b"GNU.sparse.realsize": b"%d" % size,
        }
        stored = length + len(padding) + found.stored
        about = {**described, "records": records}
        self._put(header(b"GNUSparseFile.0/" + name, REGTYPE, stored, **about))
        found.lines.seek(0)
        data = count
        while data:
            total.update(data)
            self._put(data)
            data = found.lines.read(_READ)
        total.update(padding)
        self._put(padding)

    def _data(
        self, file: int, parts: Parts, position: int, length: int, total: hashlib._Hash
    ) -> None:
        """Write a piece of a file."""
        while length > 0:
            count = min(length, _READ)
            with explained("reading", parts):
                data = os.pread(file, count, position)
            # A file that has become shorter: its size is already written.
            data = data or _ZEROS[:count]
            total.update(data)
            self._put(data)
            position, length = position + len(data), length - len(data)
            self.progress.advance(size=len(data))
