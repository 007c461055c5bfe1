"""The format of an exported volume: a tar file that any tar can read, and that proves itself.

::

    exampledriver.json   what the volume was: name, backend, options, when created and exported
    data/                the volume's directory, and all that is in it
    data/…
    checksums            one line for each regular file, as sha256sum(1) writes and checks them
    seal                 the SHA-256 of every byte before this member's header

It is a POSIX.1-2001 (PAX) archive: extended attributes are ``SCHILY.xattr.NAME`` records, ACLs
among them in the kernel's form; files with holes are GNU's sparse format 1.0; times are
to the nanosecond. GNU tar and bsdtar extract it. A reader needs no second pass and no memory
for the files; of directories and of files with several names it keeps a table.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import field, frozen

from ...volumes.errors import VolumeError

FORMAT, VERSION = "exampledriver-volume", 1
MANIFEST, DATA, CHECKSUMS, SEAL = "exampledriver.json", "data", "checksums", "seal"
BLOCK = 512
#: The largest manifest, PAX header or sparse map that is read, in bytes.
MOST = 16 << 20
#: A file in more pieces than this is stored whole: its map would not fit.
MOST_SEGMENTS = 200_000
XATTR = "SCHILY.xattr."


class ArchiveError(VolumeError):
    """An archive cannot be imported: damaged, cut short, hostile, or none of ours."""


class Writable(Protocol):
    """Where an archive is written: a file, a pipe, a socket."""

    def write(self, data: bytes, /) -> int | None:
        """Write some of `data`, and return how much; None is all of it."""


class Readable(Protocol):
    """Where an archive is read from."""

    def read(self, count: int, /) -> bytes:
        """Return 1 to `count` bytes, or none at the end."""


@frozen
class Manifest:
    """What an archive says of its volume.

    :ivar created: when the volume was made, in RFC 3339; of the journal.
    :ivar options: as they are stored, as texts.
    :ivar owner: the root's ``uid``, ``gid`` and ``mode``, for people: the headers rule.
    :ivar consistency: how the data was read; see docs/snapshots.md.
    :ivar labels: those that an engine had for the volume; archives of older versions have none.
    """

    name: str
    backend: str = "directory"
    created: str = ""
    options: Mapping[str, str] = field(factory=dict)
    exported: str = ""
    owner: Mapping[str, int] = field(factory=dict)
    consistency: str = ""
    labels: Mapping[str, str] = field(factory=dict)

    def to_bytes(self) -> bytes:
        """Return the content of the first member."""
        value = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "backend": self.backend,
            "created": self.created,
            "options": dict(self.options),
            "exported": self.exported,
            "owner": dict(self.owner),
            "consistency": self.consistency,
        }
        if self.labels:
            value["labels"] = dict(self.labels)
        return (json.dumps(value, indent=1) + "\n").encode("ascii")

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Read a content of :meth:`to_bytes`.

        :raises ArchiveError: it is none, or of a newer version.
        """
        try:
            value = json.loads(content)
        except ValueError as error:
            raise ArchiveError(f"{MANIFEST} is no JSON: {error}") from None
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ArchiveError(f"{MANIFEST} is not that of an exported volume")
        if value.get("version") != VERSION:
            raise ArchiveError(
                f"the archive has version {value.get('version')!r}, this exampledriver reads "
                f"{VERSION}: use a newer one"
            )
        return cls(
            _text(value, "name"),
            _text(value, "backend"),
            _text(value, "created"),
            _table(value, "options", str),
            _text(value, "exported"),
            _table(value, "owner", int),
            _text(value, "consistency"),
            _table(value, "labels", str) if "labels" in value else {},
        )


def _text(value: dict[str, Any], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise ArchiveError(f"{MANIFEST}: {key} is not a text")
    return text


def _table(value: dict[str, Any], key: str, kind: type) -> dict[str, Any]:
    table = value.get(key)
    if not isinstance(table, dict) or not all(type(item) is kind for item in table.values()):
        raise ArchiveError(f"{MANIFEST}: {key} is not a table of {kind.__name__}")
    return table


def encode(name: str) -> bytes:
    """Return a file name as it is on disk: any bytes."""
    return name.encode("utf-8", "surrogateescape")


def decode(name: bytes) -> str:
    """Return the file name of these bytes."""
    return name.decode("utf-8", "surrogateescape")


def checksum_line(digest: hashlib._Hash, path: str) -> bytes:
    r"""Return a line of sha256sum(1): ``\`` and line breaks escaped, and said at its start."""
    name = encode(path)
    plain = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if plain != name else b""
    return mark + digest.hexdigest().encode("ascii") + b"  " + plain + b"\n"


def xattr_key(name: str) -> str:
    """Return the PAX keyword of an attribute; GNU tar writes ``%`` and ``=`` the same way."""
    return XATTR + name.replace("%", "%25").replace("=", "%3D")


def xattr_name(key: str) -> str:
    """Return the attribute of a keyword of :func:`xattr_key`."""
    return re.sub("%3D", "=", key[len(XATTR) :]).replace("%25", "%")


def seconds(nanoseconds: int) -> str:
    """Return a time as PAX writes it, without loss."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    return f"{sign}{rest // 10**9}.{rest % 10**9:09d}"


def nanoseconds(text: str) -> int:
    """Read a time of :func:`seconds`.

    :raises ValueError: it is none.
    """
    found = re.fullmatch(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?\d*", text, re.ASCII)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    value = int(found[2]) * 10**9 + int((found[3] or "0").ljust(9, "0"))
    return -value if found[1] else value
