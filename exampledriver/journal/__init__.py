"""A durable map in a directory: an append-only text file, group commit, compaction.

It knows nothing of volumes. :func:`open_journal` gives a catalog; the format is
described in :mod:`exampledriver.journal.records`, the promises in
``docs/journal.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from twisted.internet.interfaces import IReactorFromThreads

from .catalog import Journal
from .files import RealFiles
from .interfaces import CatalogError, Codec, ICatalog, Value
from .live import PLAIN
from .lock import Lock
from .log import Log
from .records import JournalError, encode_value

__all__ = [
    "CatalogError",
    "Codec",
    "ICatalog",
    "Journal",
    "JournalError",
    "Lock",
    "Value",
    "open_journal",
]


def open_journal(
    directory: Path,
    reactor: IReactorFromThreads,
    codec: Codec = PLAIN,
    lock: Lock | None = None,
    first: Mapping[str, Value] = MappingProxyType({}),
) -> Journal:
    """Open the journal in `directory`, which exists and is locked by this process.

    :param codec: how values are kept in memory.
    :param lock: the lock of `directory`.
    :param first: the map with which the journal begins if there is none.
    :raises JournalError: it is damaged, or of a newer version.
    :raises OSError: the directory cannot be read or written.
    """
    log = Log(RealFiles(str(directory), lock), codec=codec)
    log.open({key: encode_value(value) for key, value in first.items()})
    return Journal(reactor, log)
