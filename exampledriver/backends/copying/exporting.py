"""Writing a volume's tree as a stream; the format is that of :mod:`.archive`.

Memory does not grow with files or data: checksums wait in an unnamed file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from itertools import chain
from pathlib import Path
from tarfile import (
    BLKTYPE,
    CHRTYPE,
    DIRTYPE,
    FIFOTYPE,
    LNKTYPE,
    PAX_FORMAT,
    REGTYPE,
    SYMTYPE,
    TarInfo,
)
from tempfile import TemporaryFile
from typing import IO

from attrs import define, evolve, field

from ...volumes.errors import VolumeError, quoted
from .archive import (
    BLOCK,
    CHECKSUMS,
    DATA,
    MANIFEST,
    MOST_SEGMENTS,
    SEAL,
    Manifest,
    Writable,
    checksum_line,
    decode,
    seconds,
    xattr_key,
)
from .files import segments
from .nodes import Metadata, Node, Parts, explained, open_file, walk
from .progress import Progress
from .trees import Copied, check_no_mounts, is_changed

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
_READ = 1 << 20
_ZEROS = bytes(_READ)


def export_tree(
    source: Path, manifest: Manifest, output: Writable, progress: Progress, scratch: Path
) -> Copied:
    """Write a tree, its manifest first.

    :param manifest: its ``owner`` is filled in here.
    :param scratch: a directory whose file system has room for about 100 bytes a file.
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
            return _Writer(output, progress, lines).write(top, manifest)
    finally:
        os.close(top)


@define(eq=False)
class _Writer:
    output: Writable
    progress: Progress
    lines: IO[bytes]
    _digest: hashlib._Hash = field(factory=hashlib.sha256, init=False)
    _written: int = field(default=0, init=False)
    #: Where the first name of a file with several is, and how many are still to come.
    _links: dict[tuple[int, int], tuple[str, int]] = field(factory=dict, init=False)
    _changed: int = field(default=0, init=False)

    def write(self, top: int, manifest: Manifest) -> Copied:
        status = os.fstat(top)
        owner = {"gid": status.st_gid, "mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid}
        self._member(MANIFEST, evolve(manifest, owner=owner).to_bytes())
        vanished: list[Parts] = []
        for node in walk(top, vanished):
            self._node(node)
        self.lines.seek(0, os.SEEK_END)
        self._head(_plain(CHECKSUMS, self.lines.tell()))
        self.lines.seek(0)
        while data := self.lines.read(_READ):
            self._put(data)
        self._pad()
        self._member(SEAL, self._digest.hexdigest().encode("ascii") + b"\n")
        self._put(bytes(2 * BLOCK))
        self._put(bytes(-self._written % (20 * BLOCK)))
        return Copied("tar", self.progress.files, self.progress.size, self._changed + len(vanished))

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

    def _head(self, info: TarInfo) -> None:
        try:
            header = info.tobuf(PAX_FORMAT, "utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise VolumeError(
                f"reading {quoted(info.name)}: the name of one of its attributes is not UTF-8"
            ) from None
        self._put(header)

    def _member(self, name: str, content: bytes) -> None:
        self._head(_plain(name, len(content)))
        self._put(content)
        self._pad()

    def _node(self, node: Node) -> None:
        if node.kind == SKIPPED:
            return
        with explained("reading", node.parts):
            info = _described(node)
        if node.kind != stat.S_IFDIR and node.status.st_nlink > 1:
            first, left = self._links.pop(node.inode, ("", node.status.st_nlink))
            if left > 1:
                self._links[node.inode] = first or info.name, left - 1
            if first:
                info.type, info.linkname, info.pax_headers = LNKTYPE, first, {}
                self._head(info)
                self.progress.advance(files=1)
                return
        if node.kind == stat.S_IFREG:
            self._file(node, info)
        else:
            self._head(info)
        self.progress.advance(files=node.kind != stat.S_IFDIR)

    def _file(self, node: Node, info: TarInfo) -> None:
        with explained("reading", node.parts):
            file = open_file(node.fd)
        try:
            before = os.fstat(file)
            size, name = before.st_size, info.name
            with explained("reading", node.parts):
                pieces = _pieces(file, size)
            if pieces == [(0, size)] or not size:
                info.size = size
                self._head(info)
            else:
                # GNU's format 1.0: the map stands before the data, in blocks.
                listed = [*pieces, (size, 0)]
                text = "".join(f"{number}\n" for number in (len(listed), *chain(*listed)))
                table = text.encode("ascii")
                table += bytes(-len(table) % BLOCK)
                info.pax_headers = {
                    **info.pax_headers,
                    "GNU.sparse.major": "1",
                    "GNU.sparse.minor": "0",
                    "GNU.sparse.name": name,
                    "GNU.sparse.realsize": str(size),
                }
                info.name = f"GNUSparseFile.0/{name}"
                info.size = len(table) + sum(length for _, length in pieces)
                self._head(info)
                self._put(table)
            self.lines.write(checksum_line(self._data(file, node.parts, pieces, size), name))
            self._pad()
            self._changed += is_changed(before, os.fstat(file))
        finally:
            os.close(file)

    def _data(
        self, file: int, parts: Parts, pieces: list[tuple[int, int]], size: int
    ) -> hashlib._Hash:
        """Write a file's pieces; return the digest of its content."""
        total = hashlib.sha256()
        position = 0
        for start, length in [*pieces, (size, 0)]:
            while position < start:
                hole = memoryview(_ZEROS)[: start - position]
                total.update(hole)
                position += len(hole)
                self.progress.advance()
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
        return total


def _pieces(file: int, size: int) -> list[tuple[int, int]]:
    """Return start and length of what is stored of a file."""
    found: list[tuple[int, int]] = []
    for piece in segments(file, size):
        found.append(piece)
        if len(found) > MOST_SEGMENTS:
            return [(0, size)]
    return found


def _plain(name: str, size: int) -> TarInfo:
    info = TarInfo(name)
    info.size = size
    return info


def _described(node: Node) -> TarInfo:
    """Return a node's header, without size and links."""
    info = TarInfo("/".join((DATA, *node.parts)))
    info.type = _TYPES[node.kind]
    metadata = Metadata.of(node.fd, node.status)
    info.mode, info.uid, info.gid = metadata.mode, metadata.uid, metadata.gid
    info.pax_headers = {
        "mtime": seconds(metadata.mtime_ns),
        **{xattr_key(name): decode(value) for name, value in metadata.xattrs.items()},
    }
    if node.kind == stat.S_IFLNK:
        info.linkname = os.readlink("", dir_fd=node.fd)
    if node.kind in (stat.S_IFCHR, stat.S_IFBLK):
        info.devmajor = os.major(node.status.st_rdev)
        info.devminor = os.minor(node.status.st_rdev)
    return info
