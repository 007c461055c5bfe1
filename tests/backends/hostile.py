"""Archives that no export writes, member by member, with checksums and a seal that are right."""

from __future__ import annotations

import hashlib
import tarfile
from typing import Any

from attrs import define, field

from exampledriver.backends.copying.archive import (
    BLOCK,
    CHECKSUMS,
    DATA,
    MANIFEST,
    SEAL,
    Manifest,
    checksum_line,
    decode,
)
from exampledriver.backends.copying.headers import header


def raw(block: bytes, **fields: bytes) -> bytes:
    """Return a ustar header with other bytes in some fields, and the checksum that it then has."""
    places = {"name": 0, "mode": 100, "uid": 108, "gid": 116, "size": 124, "mtime": 136,
              "kind": 156, "link": 157, "magic": 257, "major": 329, "minor": 337}  # fmt: skip
    changed = bytearray(block)
    for key, value in fields.items():
        changed[places[key] : places[key] + len(value)] = value
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed)
    return bytes(changed)


@define(eq=False)
class Builder:
    """An archive that is built."""

    _content: bytearray = field(factory=bytearray, init=False)
    _lines: bytearray = field(factory=bytearray, init=False)

    def manifest(self, content: bytes = Manifest("db").to_bytes()) -> Builder:
        """Add the manifest."""
        return self.add(header(MANIFEST.encode(), tarfile.REGTYPE, len(content)), content)

    def root(self, **more: Any) -> Builder:
        """Add the root directory."""
        return self.add(header(DATA.encode(), tarfile.DIRTYPE, mode=0o755, **more))

    def file(self, name: bytes, content: bytes = b"", holes: bool = False, **more: Any) -> Builder:
        """Add a file below the root, and its checksum."""
        head = header(b"data/" + name, tarfile.REGTYPE, len(content), **more)
        return self.add(head, content).line(name, content, holes)

    def line(self, name: bytes, content: bytes, holes: bool = False) -> Builder:
        """Add a file's checksum."""
        digest = hashlib.sha256(content)
        self._lines += checksum_line(digest, "data/" + decode(name), holes)
        return self

    def node(self, name: bytes, kind: bytes, **more: Any) -> Builder:
        """Add another node below the root."""
        return self.add(header(b"data/" + name, kind, **more))

    def sparse(
        self, name: bytes, table: bytes, content: bytes = b"", size: int = 10, **more: Any
    ) -> Builder:
        """Add a file with holes, with its map of holes."""
        stored = table + bytes(-len(table) % BLOCK) + content
        records = {
            b"GNU.sparse.major": b"1",
            b"GNU.sparse.minor": b"0",
            b"GNU.sparse.name": b"data/" + name,
            b"GNU.sparse.realsize": b"%d" % size,
            **more.pop("records", {}),
        }
        kind = more.pop("kind", tarfile.REGTYPE)
        self.add(header(b"data/x", kind, len(stored), records=records, **more), stored)
        return self.line(name, stored, True)

    def add(self, head: bytes, content: bytes = b"") -> Builder:
        """Add any bytes, and a content, which is padded."""
        self._content += head + content + bytes(-len(content) % BLOCK)
        return self

    def whole(self) -> bytes:
        """Return the archive, with checksums and seal."""
        lines = bytes(self._lines)
        self.add(header(CHECKSUMS.encode(), tarfile.REGTYPE, len(lines)), lines)
        seal = hashlib.sha256(self._content).hexdigest().encode() + b"\n"
        self.add(header(SEAL.encode(), tarfile.REGTYPE, len(seal)), seal)
        return bytes(self._content + bytes(2 * BLOCK))
