"""A durable map in a directory: an append-only text file, group commit, compaction.

It knows nothing of volumes. :func:`open_journal` gives a catalog; the format is
described in :mod:`exampledriver.journal.records`, the promises in
``docs/journal.md``.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.interfaces import IReactorFromThreads

from .catalog import Journal
from .files import RealFiles
from .interfaces import CatalogError, Codec, ICatalog, Value
from .live import PLAIN
from .lock import Lock
from .log import Log
from .records import JournalError

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


def open_journal(directory: Path, reactor: IReactorFromThreads, codec: Codec = PLAIN) -> Journal:
    """Open the journal in `directory`, which exists and is locked by this process.

    :param codec: how values are kept in memory.
    :raises JournalError: it is damaged, or of a newer version.
    :raises OSError: the directory cannot be read or written.
    """
    log = Log(RealFiles(str(directory)), codec=codec)
    log.open()
    return Journal(reactor, log)
