"""What the journal offers, and the few file operations that it needs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface

#: A value of the catalog: a JSON object.
Value = Mapping[str, object]


class CatalogError(Exception):
    """A change that has not become durable, and therefore has not happened."""


def _object(value: msgspec.Raw) -> bytes:
    text = bytes(value)
    if not text.startswith(b"{"):
        raise ValueError("a value is an object")
    return text


@frozen
class Codec:
    """How a catalog keeps values in memory; as it stands, as their JSON.

    :ivar kind: what :mod:`msgspec` reads a value as.
    :ivar pack: makes of that what is kept. What is packed can be written again with nothing
        lost; of a value with which that cannot be done it raises ``ValueError``, and its JSON is
        kept as it stands. Never ``bytes``, but for its JSON.
    :ivar unpack: returns the JSON, in ASCII and on one line, of a key and what was packed.
    """

    kind: Any = msgspec.Raw
    pack: Callable[[Any], object] = _object
    unpack: Callable[[str, Any], bytes] = lambda key, kept: bytes(kept)
    _decode: Callable[[bytes], Any] = field(init=False)

    @_decode.default
    def _decoder(self) -> Callable[[bytes], Any]:
        return msgspec.json.Decoder(self.kind).decode

    def read(self, value: bytes) -> object:
        """Return what is kept of a value's JSON."""
        try:
            return self.pack(self._decode(value))
        except (msgspec.MsgspecError, ValueError):
            return value

    def write(self, key: str, kept: object) -> bytes:
        """Return the JSON of what is kept."""
        return kept if isinstance(kept, bytes) else self.unpack(key, kept)


class ICatalog(Interface):
    """A durable map from keys to JSON objects.

    The journal is the embedded implementation; a distributed store can be another.
    """

    def entries() -> Iterable[tuple[str, Any]]:
        """Return keys and values as they are; read them before any change.

        A value is what the catalog's :class:`Codec` has packed, or else its :data:`Value`.
        """

    def put(key: str, value: Value) -> Deferred[None]:
        """Set `key`. Fires once that survives a power cut.

        Changes become durable in the order in which they were asked for.

        :raises CatalogError: by the Deferred; the change has not happened.
        """

    def delete(key: str) -> Deferred[None]:
        """Take `key` out; one that is not there is no error. Fires like :meth:`put`."""

    def post(key: str, value: Value) -> Deferred[None]:
        """Like :meth:`put`, from any thread, but wait for company: for :meth:`flush`, or
        :meth:`begin`, or the next change that does not wait.
        """

    def begin() -> None:
        """Begin with what was posted, unless that has been done."""

    def flush() -> None:
        """Do it in the calling thread, which has posted, unless another one is at it."""

    def close() -> Deferred[None]:
        """Make what was asked for durable, and let go of the files."""


class IFile(Interface):
    """A file opened for appending."""

    def write(data: bytes) -> None:
        """Append `data`.

        :raises OSError: any part of `data` may have been written.
        """

    def sync() -> None:
        """Make all that was written durable (fdatasync)."""

    def truncate(size: int) -> None:
        """Cut the file to `size` bytes, durably (ftruncate and fsync)."""

    def close() -> None:
        """Close the file; what was not synced may never reach the disk."""


class IFiles(Interface):
    """The files of one directory, by name.

    A name created, renamed or removed is durable after :meth:`sync_directory`.
    """

    path: str

    def names() -> set[str]:
        """Return the names of the directory's files."""

    def read(name: str) -> bytes:
        """Return a file's whole content.

        :raises FileNotFoundError: there is none.
        """

    def create(name: str) -> IFile:
        """Create a file of mode 0600, emptying one of that name that is there."""

    def append(name: str) -> IFile:
        """Open a file that exists, to append to it."""

    def rename(old: str, new: str) -> None:
        """Give a file another name, replacing a file of that name in one step."""

    def remove(name: str) -> None:
        """Remove a file."""

    def sync_directory() -> None:
        """Make the directory's names durable (fsync of the directory)."""

    def link(old: str, new: str) -> None:
        """Give a file a second name."""

    def is_current(name: str, file: IFile) -> bool:
        """Return whether an open file is the one that the next start would find as `name`."""

    def renew() -> None:
        """Go on in the directory that is at :attr:`path` now; make it if there is none.

        :raises OSError: this process cannot be its only writer, or another file system is there.
        """
