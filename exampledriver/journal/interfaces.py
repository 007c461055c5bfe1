"""What the journal offers, and the few file operations that it needs for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twisted.internet.defer import Deferred
from zope.interface import Interface

#: A value of the catalog: a JSON object.
Value = Mapping[str, object]


class CatalogError(Exception):
    """A change that has not become durable, and therefore has not happened."""


class ICatalog(Interface):
    """A durable map from keys to JSON objects.

    The journal is the embedded implementation; a distributed store can be another.
    """

    def entries() -> Iterable[tuple[str, Value]]:
        """Return keys and values as they are, decoded one by one; read them before any change."""

    def put(key: str, value: Value) -> Deferred[None]:
        """Set `key`. Fires once that survives a power cut.

        Changes become durable in the order in which they were asked for.

        :raises CatalogError: by the Deferred; the change has not happened.
        """

    def delete(key: str) -> Deferred[None]:
        """Take `key` out; one that is not there is no error. Fires like :meth:`put`."""

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
