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

The checksum of a file with holes is that of its data in the archive: the map of its holes, and
what is between them. Its line is a comment to sha256sum(1). So holes cost no time, however large.
In version 1, which is still read, it was that of the whole file with its zeros.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import field, frozen

from ...volumes.errors import VolumeError, quoted
from .nodes import MOST_XATTRS

FORMAT, VERSION = "exampledriver-volume", 2
#: The versions that are read.
READ = (1, VERSION)
MANIFEST, DATA, CHECKSUMS, SEAL = "exampledriver.json", "data", "checksums", "seal"
BLOCK = 512
#: The largest manifest that is read, in bytes.
MOST = 16 << 20
#: The largest PAX header that is read: all attributes that are copied of a node, and its names.
MOST_HEADER = MOST_XATTRS + (1 << 20)
#: The largest file, time in seconds, and user or group id of Linux.
MOST_SIZE, MOST_SECONDS, MOST_ID = 2**63 - 1, 2**63 - 1, 2**32 - 2
XATTR = b"SCHILY.xattr."
#: What the checksum of a file with holes begins with; sha256sum(1) skips the line.
HOLES = b"#holes "


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
    :ivar version: the archive's.
    """

    name: str
    backend: str = "directory"
    created: str = ""
    options: Mapping[str, str] = field(factory=dict)
    exported: str = ""
    owner: Mapping[str, int] = field(factory=dict)
    consistency: str = ""
    labels: Mapping[str, str] = field(factory=dict)
    version: int = VERSION

    def to_bytes(self) -> bytes:
        """Return the content of the first member."""
        value = {
            "format": FORMAT,
            "version": self.version,
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
        except json.JSONDecodeError as error:
            raise ArchiveError(f"{MANIFEST} is not JSON: {error}") from None
        except (ValueError, RecursionError):  # no Unicode, or a number or list without end
            raise ArchiveError(f"{MANIFEST} is not JSON that an export writes") from None
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ArchiveError(f"{MANIFEST} is not that of an exported volume")
        version = value.get("version")
        if type(version) is not int or version not in READ:
            raise ArchiveError(
                f"the archive has version {version!r:.40}, this exampledriver reads "
                f"{READ[0]} to {VERSION}: use a newer one"
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
            version,
        )


def _text(value: dict[str, Any], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str) or not _is_text(text):
        raise ArchiveError(f"{MANIFEST}: {key} is not a text")
    return text


def _is_text(text: str) -> bool:
    """Tell whether a text of a JSON is Unicode: it may have half a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _table(value: dict[str, Any], key: str, kind: type) -> dict[str, Any]:
    table = value.get(key)
    if (
        not isinstance(table, dict)
        or not all(type(item) is kind for item in table.values())
        or not all(_is_text(text) for pair in table.items() for text in map(str, pair))
    ):
        raise ArchiveError(f"{MANIFEST}: {key} is not a table of {kind.__name__}")
    return table


#: File names and names of attributes as they are on disk, any bytes, and as Python has them.
encode, decode = os.fsencode, os.fsdecode


def checksum_line(digest: hashlib._Hash, path: str, holes: bool) -> bytes:
    r"""Return a line of sha256sum(1): ``\`` and line breaks escaped, and said at its start.

    :param holes: the file has holes, and the digest is that of its map and data.
    """
    name = encode(path)
    plain = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if plain != name else b""
    found = digest.hexdigest().encode("ascii")
    return b"%s%s%s  %s\n" % (HOLES if holes else b"", mark, found, plain)


def xattr_key(name: str) -> bytes:
    """Return the PAX keyword of an attribute; GNU tar writes ``%`` and ``=`` the same way."""
    return XATTR + encode(name).replace(b"%", b"%25").replace(b"=", b"%3D")


def xattr_name(key: bytes) -> str:
    """Return the attribute of a keyword of :func:`xattr_key`."""
    return decode(key[len(XATTR) :].replace(b"%3D", b"=").replace(b"%25", b"%"))


def seconds(nanoseconds: int) -> bytes:
    """Return a time as PAX writes it, without loss."""
    sign, rest = (b"-", -nanoseconds) if nanoseconds < 0 else (b"", nanoseconds)
    return b"%s%d.%09d" % (sign, rest // 10**9, rest % 10**9)


def nanoseconds(text: bytes) -> int:
    """Read a time of :func:`seconds`.

    :raises ValueError: it is none that a Linux system can have.
    """
    found = re.fullmatch(rb"(-?)([0-9]{1,19})(?:\.([0-9]{1,9})[0-9]*)?", text)
    if found is None:
        raise ValueError(f"{quoted(decode(text))} is not a time")
    value = int(found[2]) * 10**9 + int((found[3] or b"0").ljust(9, b"0"))
    value = -value if found[1] else value
    if not -MOST_SECONDS - 1 <= value // 10**9 <= MOST_SECONDS:
        raise ValueError(f"{quoted(decode(text))} is not a time of 64 bits")
    return value
