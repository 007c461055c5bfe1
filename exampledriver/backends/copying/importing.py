"""Making a tree of an exported volume, verified; the format is that of :mod:`.archive`.

An archive may come from anybody. Its names are only ever looked up below the new
tree, one by one and through no link, and everything in it is compared with its checksums
before the caller publishes the tree.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tarfile
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from attrs import define, field

from ...volumes.errors import quoted
from .archive import (
    CHECKSUMS,
    DATA,
    HOLES,
    MANIFEST,
    MOST,
    SEAL,
    ArchiveError,
    Manifest,
    Readable,
    checksum_line,
)
from .files import write_all
from .fingerprints import hash_zeros
from .members import Member, Members
from .nodes import DEEPEST, Metadata, NewTree, Parts, explained, node_at
from .progress import Progress
from .trees import Copied
from .warnings import CLAMPED, Warnings

_SPECIAL = {
    tarfile.FIFOTYPE: stat.S_IFIFO,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
}
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE)
#: What a member is, for error texts.
_KINDS = {
    tarfile.REGTYPE: "a file",
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.CHRTYPE: "a device node",
    tarfile.BLKTYPE: "a device node",
}


@define(eq=False)
class Import:
    """An archive that is being imported: first its manifest, then its tree.

    :ivar devices: make device nodes; root alone can.
    """

    source: Readable
    progress: Progress
    devices: bool = field(factory=lambda: os.geteuid() == 0)
    manifest: Manifest = field(init=False)
    _members: Members = field(init=False)
    _parent: int = field(default=-1, init=False)
    _name: str = field(default="", init=False)
    _tree: NewTree = field(factory=NewTree, init=False)
    _directories: list[tuple[Parts, Metadata]] = field(factory=list, init=False)
    _lines: IO[bytes] = field(init=False)
    _warnings: Warnings = field(factory=Warnings, init=False)

    @_members.default
    def _new_members(self) -> Members:
        return Members(self.source, self.progress)

    def read_manifest(self) -> Manifest:
        """Read the archive's beginning.

        :raises ArchiveError: it is no archive of a volume, or a newer version's.
        """
        member = self._members.next()
        if member is None or member.name != MANIFEST or member.kind != tarfile.REGTYPE:
            raise ArchiveError(
                f"this is no exported volume: its first member is not {MANIFEST}; give a file "
                "that was written by exampledriver volume export"
            )
        self.manifest = Manifest.from_bytes(self._members.content())
        return self.manifest

    def extract(self, target: Path, scratch: Path) -> Copied:
        """Make the tree and verify it; it is whole when this returns, and not yet durable.

        :param target: it does not exist, or is an empty directory; its parent exists and nobody
            else can write there.
        :param scratch: a directory whose file system has room for about 100 bytes a file.
        :raises ArchiveError: the archive is damaged, cut short or hostile; the text names the
            member. What was made stays for the caller to clear.
        :raises VolumeError: the file system refuses something; the text names it.
        :raises StoppedError: the work was told to stop.
        """
        self._members.scratch = scratch
        self._parent = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        self._name = target.name
        try:
            with TemporaryFile(dir=scratch) as self._lines:
                member = self._members.next()
                while member is not None and member.name != CHECKSUMS:
                    self._make(member)
                    member = self._members.next()
                if not self._tree.begun:
                    raise ArchiveError("the archive holds no data")
                self._verify(member)
            for parts, metadata in reversed(self._directories):
                with explained("importing", parts), node_at(*self._place(parts)) as node:
                    self._apply(metadata, node, parts)
                self.progress.advance()
        finally:
            os.close(self._parent)
            self._tree.close()
        files, size, warnings = self.progress.files, self.progress.size, self._warnings.texts()
        return Copied("tar", files, size, warnings=warnings)

    def _verify(self, member: Member | None) -> None:
        """Compare what was read with the checksums, and these with the seal."""
        if member is None:
            raise ArchiveError("the archive is cut short: it ends before its checksums")
        self._lines.seek(0)
        theirs = b""
        for data in self._members.data():
            *lines, theirs = (theirs + data).split(b"\n")
            for line in lines:
                self._compare(line + b"\n")
            if len(theirs) > MOST:
                raise ArchiveError(f"the archive is damaged: {CHECKSUMS} has a line without an end")
        if theirs or self._lines.readline():
            raise ArchiveError(
                "its checksums do not end where its files do: the archive is damaged"
            )
        seal = self._members.next()
        if seal is None or seal.name != SEAL:
            raise ArchiveError("the archive is cut short: it ends before its seal")
        expected = self._members.before
        if self._members.content() != expected.encode("ascii") + b"\n":
            raise ArchiveError(
                "the archive is damaged: its files are as they were, its seal says that a name, "
                "an owner or an attribute is not"
            )
        if self._members.next() is not None:
            raise ArchiveError("something follows the archive's seal")
        self._members.finish()

    def _compare(self, theirs: bytes) -> None:
        mine = self._lines.readline()
        if mine != theirs:
            line = (mine or theirs).removeprefix(HOLES)
            name = line[66:].decode("utf-8", "replace").rstrip("\n")
            raise ArchiveError(
                f"member {quoted(name)} is damaged: its checksum is not the archive's"
            )

    def _parts(self, name: str, what: str = "") -> Parts:
        """Return where a member belongs.

        :raises ArchiveError: that is not below ``data``.
        """
        first, *parts = name.split("/")
        if first != DATA or any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ArchiveError(
                f"member {quoted(name)}{what}: the name leads out of the volume: refused"
            )
        return tuple(parts)

    def _place(self, parts: Parts) -> tuple[int, str]:
        """Return the open directory in which a node is, and its name there."""
        if not parts:
            return self._parent, self._name
        if not self._tree.begun:
            raise ArchiveError(f"member {quoted('/'.join(parts))} comes before its directory")
        return self._tree.directory(parts[:-1]), parts[-1]

    def _make(self, member: Member) -> None:
        parts = self._parts(member.name)
        metadata = Metadata(
            member.mode,
            member.uid,
            member.gid,
            member.mtime_ns,
            member.mtime_ns,
            member.xattrs,
        )
        if not parts and member.kind != tarfile.DIRTYPE:
            kind = _KINDS.get(member.kind, f"of type {member.kind!r}")
            raise ArchiveError(
                f"member {quoted(member.name)} is {kind}: the root of a volume must be a directory"
            )
        if member.kind == tarfile.DIRTYPE and len(parts) > DEEPEST:
            raise ArchiveError(
                f"member {quoted(member.name)} is nested in more than {DEEPEST} directories, "
                "too deep for a snapshot"
            )
        if member.stored and member.kind != tarfile.REGTYPE:
            raise ArchiveError(f"member {quoted(member.name)} is not a regular file, but has data")
        with explained("importing", parts):
            directory, name = self._place(parts)
            if member.kind == tarfile.DIRTYPE:
                if parts:
                    os.mkdir(name, 0o700, dir_fd=directory)
                elif self._tree.begun:
                    raise ArchiveError(f"member {quoted(member.name)} comes twice")
                else:
                    self._tree.begin(directory, name)
                self._directories.append((parts, metadata))
                return
            if member.kind == tarfile.LNKTYPE:
                self._link(member, parts)
                self.progress.advance(files=1)
                return
            if member.kind == tarfile.REGTYPE:
                self._file(member, directory, name)
            elif member.kind == tarfile.SYMTYPE:
                os.symlink(member.link, name, dir_fd=directory)
            elif member.kind in _SPECIAL:
                self._special(member, directory, name)
            else:
                raise ArchiveError(
                    f"member {quoted(member.name)}: its type {member.kind!r} is not known"
                )
            with node_at(directory, name) as node:
                self._apply(metadata, node, parts)
        self.progress.advance(files=1)

    def _apply(self, metadata: Metadata, node: int, parts: Parts) -> None:
        if not metadata.apply(node):
            self._warnings.add(CLAMPED, parts)

    def _file(self, member: Member, directory: int, name: str) -> None:
        # The first version's checksum of a file with holes was that of all its zeros.
        with_zeros = self.manifest.version == 1 and member.pieces is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        file = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            os.ftruncate(file, member.size)
            zeros = hashlib.sha256()  # of a version 1
            position = start = length = 0
            pieces = iter([(0, member.size)] if member.pieces is None else member.pieces)
            for data in self._members.data():
                view = memoryview(data)
                while view:
                    if not length:
                        start, length = next(pieces)
                    piece = view[:length]
                    write_all(file, piece, start)
                    if with_zeros:
                        hash_zeros(zeros, start - position, self.progress)
                        zeros.update(piece)
                    position = start = start + len(piece)
                    length -= len(piece)
                    view = view[len(piece) :]
                self.progress.advance(size=len(data))
            if with_zeros:
                hash_zeros(zeros, member.size - position, self.progress)
        finally:
            os.close(file)
        holes = member.pieces is not None and not with_zeros
        total = zeros if with_zeros else self._members.content_digest
        self._lines.write(checksum_line(total, member.name, holes))

    def _link(self, member: Member, parts: Parts) -> None:
        first = self._parts(member.link, f" of {quoted(member.name)}")
        if not first:
            raise ArchiveError(f"member {quoted(member.name)} is a link to the volume itself")
        self._tree.link(first, parts)

    def _special(self, member: Member, directory: int, name: str) -> None:
        if member.kind in _DEVICES and not self.devices:
            raise ArchiveError(
                f"member {quoted(member.name)} is a device node: only root can import those"
            )
        kind = _SPECIAL[member.kind] | 0o600
        try:
            os.mknod(name, kind, os.makedev(*member.device), dir_fd=directory)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            major, minor = member.device
            raise ArchiveError(
                f"member {quoted(member.name)}: this file system cannot hold a device node "
                f"{major}:{minor}; import into another backend"
            ) from error
