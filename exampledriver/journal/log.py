"""The durable map: a journal file, appended to in batches, rewritten when it is mostly history.

Everything here blocks and belongs to one thread at a time. The order of the
steps is the promise (J1 to J8 in ``docs/journal.md``):

- *Commit*: write the batch, fdatasync, and only then change the map. A batch
  that fails has not happened: it is cut off the file, durably, before the error.
- *No space*: the file is cut back to its last durable record.
- *An I/O error*: what the page cache holds is unknown from then on, so the file
  is not trusted again. The map is written to a fresh file first; until that is
  durable, changes fail.
- *A journal that is not at its name any more* (deleted, moved, replaced) is found
  before an answer, at the latest after a second: the map is written to a fresh file there.
- *Compaction*: the map as it stands is written to ``journal.new``, a piece after
  each batch; then what changed meanwhile, fsync, rename, fsync of the directory.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

from attrs import define, field
from twisted.logger import Logger

from .interfaces import CatalogError, Codec, IFile, IFiles
from .live import PLAIN, Change, LiveMap, record_size
from .records import (
    DamagedError,
    JournalError,
    encode_change,
    encode_header,
    encode_synced,
    scan,
)

_log = Logger()

JOURNAL = "journal"
NEW = "journal.new"
TORN = "journal.torn-"
#: What another process put in the journal's place while the daemon ran.
REPLACED = "journal.replaced-"
#: How many files of one kind are kept for inspection; the oldest go first.
KEPT = 16
#: How much larger than twice the live map the file may grow, in bytes.
SLACK = 1 << 20
#: How many bytes a step of compaction writes, between two batches.
PIECE = 1 << 18
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@define(eq=False)
class _Rewrite:
    """A fresh journal on its way: ``journal.new`` until it is complete and durable.

    :ivar live: by how much the live map turned out to be larger than it was taken for, in bytes.
    """

    files: IFiles
    entries: list[tuple[str, Any]]
    codec: Codec
    file: IFile
    piece: int
    written: int = 0
    length: int = 0
    live: int = 0
    tail: list[Change] = field(factory=list)

    @classmethod
    def begin(cls, log: Log) -> _Rewrite:
        entries = list(log.entries.items())
        rewrite = cls(log.files, entries, log.codec, log.files.create(NEW), log.piece)
        rewrite.live = -log._live.size
        rewrite._write(encode_header(len(entries)))
        return rewrite

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self.length += len(data)

    def step(self) -> bool:
        """Write a piece of the map and sync it; return whether there is more."""
        lines: list[bytes] = []
        size = 0
        while size < self.piece and self.written < len(self.entries):
            key, kept = self.entries[self.written]
            self.written += 1
            value = self.codec.write(key, kept)
            line = encode_change(self.written, 0, (key, value))
            self.live += record_size(key, value)
            size += len(line)
            lines.append(line)
        self._write(b"".join(lines))
        self.file.sync()
        return self.written < len(self.entries)

    def complete(self) -> int:
        """Write what changed meanwhile, make the file durable; return how many records it has."""
        for number, change in enumerate(self.tail, self.written + 1):
            # The file gets its name only when this is durable: each record vouches
            # for the one before it.
            self._write(encode_change(number, number - 1, change))
        records = self.written + len(self.tail) + 1
        self._write(encode_synced(records))
        self.file.sync()
        return records

    def publish(self) -> None:
        """Take the journal's name, durably."""
        self.files.rename(NEW, JOURNAL)
        self.files.sync_directory()


@define(eq=False)
class Log:
    """The map and its journal.

    :ivar slack: compaction begins at twice the live map's size plus this, in bytes.
    :ivar piece: how much of it is written between two batches, in bytes.
    :ivar codec: how values are kept in memory.
    :ivar doubtful: the disk took neither a change, nor its withdrawal, nor a fresh
        file: a crash now may bring the refused change back.
    """

    files: IFiles
    slack: int = SLACK
    piece: int = PIECE
    codec: Codec = PLAIN
    doubtful: bool = field(default=False, init=False)
    _file: IFile | None = field(default=None, init=False)
    _records: int = field(default=0, init=False)
    _length: int = field(default=0, init=False)
    _live: LiveMap = field(init=False)
    _rewrite: _Rewrite | None = field(default=None, init=False)
    _retry_at: int = field(default=0, init=False)
    _clean: bool = field(default=False, init=False)
    #: The file at the journal's name is not ours.
    _displaced: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with an empty map."""
        self._live = LiveMap(self.codec)

    @property
    def entries(self) -> dict[str, Any]:
        """The durable map, with what is kept of the values."""
        return self._live.entries

    def open(self, first: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Read the journal, or make the first one.

        :param first: the values, as JSON, with which the first one begins.
        :raises JournalError: it is damaged, or of a newer version.
        :raises OSError: the directory cannot be read or written.
        """
        names = self.files.names()
        if NEW in names:
            # A compaction that did not end; the journal it would have replaced is whole.
            self.files.remove(NEW)
        if JOURNAL not in names:
            self.begin({key: self.codec.read(value) for key, value in first.items()})
            return
        data = self.files.read(JOURNAL)
        try:
            found = scan(data, self.codec)
        except JournalError as error:
            hint = (
                f'; "exampledriver journal verify {self.files.path}" shows it'
                if isinstance(error, DamagedError)
                else ""
            )
            raise JournalError(f"{self.files.path}/{JOURNAL}: {error}{hint}") from error
        self._live.entries, self._live.size = found.entries, found.live
        self._records, self._length, self._clean = found.records, found.length, found.clean
        self._file = self.files.append(JOURNAL)
        if found.length < len(data):
            self._set_aside(names, data[found.length :])
            self._file.truncate(found.length)

    def begin(self, entries: dict[str, Any]) -> None:
        """Write a journal of `entries`, as they are kept, in the place of the one that is there.

        :raises OSError: it could not be done, and the one that was there is as it was.
        """
        self._live.entries, self._live.size = entries, 0
        self._write_fresh()

    def compact(self) -> None:
        """Rewrite the journal at once.

        :raises OSError: it could not be done, and the journal is as it was.
        """
        self._write_fresh()

    def _set_aside(self, names: set[str], tail: bytes) -> None:
        """Keep a torn tail beside the journal, and say so."""
        self._make_room(names, TORN)
        try:
            where = f"kept as {self.files.path}/{keep_beside(self.files, TORN, tail)}"
        except OSError as error:
            where = f"not kept ({error}); they begin with {tail[:200]!r}"
        _log.warn(
            "the journal's last {count} bytes were torn by a crash and are cut off; no change "
            "in them was ever answered; {where}",
            count=len(tail),
            where=where,
        )

    def _make_room(self, names: Iterable[str], prefix: str) -> None:
        """Remove the oldest of the files that are kept, so that one more may be."""
        kept = sorted(name for name in names if name.startswith(prefix))
        for name in kept[: max(0, len(kept) + 1 - KEPT)]:
            self.files.remove(name)

    def look(self) -> None:
        """Write a fresh journal if the one that is written is not at its name any more (J13)."""
        if self._file is not None and not self.files.is_current(JOURNAL, self._file):
            self._leave()

    def _leave(self) -> None:
        """Give up a file that is not at the journal's name, and go on with a fresh one there."""
        self._displaced = True
        self._heal(_gone())

    def commit(self, changes: Sequence[Change]) -> None:
        """Make `changes` durable, all of them or none.

        :raises CatalogError: none of them has happened.
        """
        self.look()
        if self._file is None:
            # An earlier I/O error: nothing is appended before the file is a new one.
            try:
                self._write_fresh()
            except OSError as error:
                raise self._failed(error) from error
            _log.info("a fresh journal was written; changes are accepted again")
        assert self._file is not None
        durable = self._records
        data = b"".join(
            encode_change(number, durable, change)
            for number, change in enumerate(changes, durable + 1)
        )
        try:
            self._file.write(data)
        except OSError as error:
            self._cut_back(error)
            raise self._failed(error) from error
        try:
            self._file.sync()
        except OSError as error:
            self._heal(error)
            raise self._failed(error) from error
        if not self.files.is_current(JOURNAL, self._file):
            # Without another look: should the file be back, it has what is refused here.
            self._leave()
            raise self._failed(_gone())
        self._records += len(changes)
        self._length += len(data)
        self._clean = False
        self._apply(changes)

    def _apply(self, changes: Sequence[Change]) -> None:
        for key, value in changes:
            self._live.replace(key, value)
        if self._rewrite is not None:
            self._rewrite.tail.extend(changes)

    def _cut_back(self, error: OSError) -> None:
        """After a failed write: cut the file back to its last durable record."""
        assert self._file is not None
        if error.errno not in _NO_SPACE:
            self._heal(error)
            return
        try:
            self._file.truncate(self._length)
        except OSError as worse:
            self._heal(worse)

    def _heal(self, error: OSError) -> None:
        """After an I/O error: give the file up, and try to go on with a fresh one."""
        _log.critical(
            "the journal {path} is no longer trusted: {error}",
            path=f"{self.files.path}/{JOURNAL}",
            error=error.strerror or error,
        )
        self._abandon_rewrite()
        if self._file is not None:
            # What is refused must not be in it, should a crash come before a fresh one.
            try:
                self._file.truncate(self._length)
            except OSError:
                self.doubtful = True
            _close_quietly(self._file)
            self._file = None
        try:
            self._write_fresh()
        except OSError as worse:
            _log.critical(
                "a fresh journal could not be written ({error}): changes fail until it can",
                error=worse.strerror or worse,
            )
        else:
            _log.info("a fresh journal was written, with all {n} entries", n=len(self.entries))

    def _failed(self, error: OSError) -> CatalogError:
        if self.doubtful:
            outcome = "nor taken back: after a crash the change may be there all the same"
        else:
            outcome = "nothing was changed"
        advice = (
            "free some space on its file system"
            if error.errno in _NO_SPACE
            else "see the plugin's log, check the disk"
        )
        return CatalogError(
            f"the journal in {self.files.path} could not be written: {error.strerror or error}; "
            f"{outcome}: {advice} and try again"
        )

    def _write_fresh(self) -> None:
        """Write the whole map to a fresh journal, at once."""
        self.files.renew()
        rewrite = _Rewrite.begin(self)
        try:
            while rewrite.step():
                pass
            records = rewrite.complete()
            if self._displaced:
                self._keep_replacement()
            rewrite.publish()
        except OSError:
            _close_quietly(rewrite.file)
            raise
        self._adopt(rewrite, records)

    def _keep_replacement(self) -> None:
        """Give what was put in the journal's place another name."""
        names = self.files.names()
        if JOURNAL in names:
            self._make_room(names, REPLACED)
            name = REPLACED + _timestamp()
            self.files.link(JOURNAL, name)
            _log.warn(
                "the file in the journal's place is kept as {path}/{name}",
                path=self.files.path,
                name=name,
            )

    def _adopt(self, rewrite: _Rewrite, records: int) -> None:
        if self._file is not None:
            _close_quietly(self._file)
        self._file, self._records, self._length = rewrite.file, records, rewrite.length
        # Values may have grown or shrunk since they were read, such as by another root.
        self._live.size += rewrite.live
        self._clean = True
        self.doubtful = self._displaced = False

    @property
    def _compaction_due(self) -> bool:
        limit = max(2 * max(self._live.size, 0) + self.slack, self._retry_at)
        return self._file is not None and self._length > limit

    @property
    def due(self) -> bool:
        """Whether there is something for :meth:`step` to do."""
        return self._rewrite is not None or self._compaction_due

    def step(self) -> bool:
        """Look, and do a piece of compaction if one is due; return whether there is more to do."""
        self.look()
        if not self.due:
            return False
        try:
            if self._rewrite is None:
                self._rewrite = _Rewrite.begin(self)
            if self._rewrite.step():
                return True
            records = self._rewrite.complete()
        except OSError as error:
            self._give_up_compaction(error)
            return False
        self._finish_compaction(self._rewrite, records)
        return False

    def _finish_compaction(self, rewrite: _Rewrite, records: int) -> None:
        try:
            rewrite.publish()
        except OSError as error:
            # Which of the two files a crash would leave is unknown: neither is appended to.
            self._heal(error)
            return
        before, self._rewrite = self._length, None
        self._adopt(rewrite, records)
        self._retry_at = 0
        _log.info(
            "the journal was compacted from {before} to {after} bytes",
            before=before,
            after=self._length,
        )

    def _give_up_compaction(self, error: OSError) -> None:
        """Go on with the journal as it is; try again when it has grown by as much again."""
        self._abandon_rewrite()
        self._retry_at = 2 * self._length
        _log.warn(
            "the journal could not be compacted: {error}; changes go on, and so does its growth: "
            "check the file system of {path}",
            error=error,
            path=self.files.path,
        )

    def _abandon_rewrite(self) -> None:
        if self._rewrite is not None:
            _close_quietly(self._rewrite.file)
            self._rewrite = None
        with suppress(OSError):  # the next rewrite, or the next start, removes it
            if NEW in self.files.names():
                self.files.remove(NEW)

    def close(self) -> None:
        """Say in the file that all of it is durable, and close it."""
        self._abandon_rewrite()
        self.look()
        if self._file is None:
            with suppress(OSError):  # the last chance of a map whose file was given up
                self._write_fresh()
        if self._file is None:
            return
        if not self._clean:
            with suppress(OSError):  # every answered change is durable without it
                self._file.write(encode_synced(self._records + 1))
                self._file.sync()
        _close_quietly(self._file)
        self._file = None


def keep_beside(files: IFiles, prefix: str, data: bytes) -> str:
    """Keep `data` durably in a file of its own, named `prefix` and the time; return its name.

    :raises OSError: it could not be kept.
    """
    name = prefix + _timestamp()
    file = files.create(name)
    try:
        file.write(data)
        file.sync()
    finally:
        file.close()
    files.sync_directory()
    return name


def _timestamp() -> str:
    return datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")


def _gone() -> OSError:
    return OSError(errno.ENOENT, "it was deleted, moved or replaced while the plugin ran")


def _close_quietly(file: IFile) -> None:
    with suppress(OSError):
        file.close()
