"""``exampledriver journal``: a journal in the hands of an operator.

Every action takes the lock of the state directory first, so that it never looks at
a journal that a daemon is writing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..journal import JournalError, Lock
from ..journal import repair as operator
from ..journal.files import RealFiles
from ..journal.log import JOURNAL, Log
from ..plugin.redaction import hidden, hidden_options

#: How much of a line that cannot be read is shown, in bytes.
_SHOWN = 100


@contextmanager
def _locked(state: str) -> Iterator[RealFiles]:
    """Hold the lock of a state directory that has a journal.

    :raises JournalError: a daemon holds it, or there is no journal.
    """
    directory = Path(state)
    if not (directory / JOURNAL).is_file():
        raise JournalError(f"{state}: there is no journal; name the daemon's --state directory")
    lock = Lock.take(directory / "lock")
    try:
        yield RealFiles(state)
    finally:
        lock.release()


def show(state: str) -> int:
    """Print every record."""
    with _locked(state) as files:
        data = files.read(JOURNAL)
    print(f"{'byte':>10} {'record':>8}  change")
    unreadable = 0
    for line in operator.lines(data):
        if line.record is None:
            unreadable += 1
            print(f"{line.offset:>10} {'?':>8}  NOT READABLE: {_readable(line.text)}")
        else:
            change = _hidden(line.record.change.decode("ascii", "backslashreplace"))
            print(f"{line.offset:>10} {line.record.sequence:>8}  {change}")
    return 1 if unreadable else 0


def _hidden(change: str) -> str:
    """Return a change without the secrets that older versions let into a volume's options."""
    found = json.loads(change)
    value = found[-1] if isinstance(found, list) else None
    options = value.get("options") if isinstance(value, dict) else None
    if isinstance(value, dict) and isinstance(options, dict):
        shown = hidden_options({str(key): str(text) for key, text in options.items()})
        if shown != options:
            return json.dumps([*found[:-1], {**value, "options": shown}], separators=(",", ":"))
    return change


def _readable(line: bytes) -> str:
    """Return the beginning of a line that cannot be read, without what may be a secret."""
    return hidden(repr(line), sentence=True)[:_SHOWN]


def verify(state: str) -> int:
    """Say what a start would make of the journal."""
    path = f"{state}/{JOURNAL}"
    with _locked(state) as files:
        verdict = operator.judge(files.read(JOURNAL))
    if verdict.trouble:
        print(f"{path}: {verdict.trouble}")
        print(f'"exampledriver journal repair {state}" saves what can be read, and keeps the file')
        return 1
    if verdict.torn:
        print(
            f"{path}: the last {verdict.torn} bytes were torn by a crash; they hold no answered "
            "change, and the next start sets them aside"
        )
    print(f"{path}: good: {verdict.records} records, {len(verdict.entries)} entries")
    return 0


def repair(state: str) -> int:
    """Save what can be read of a damaged journal."""
    with _locked(state) as files:
        saved, kept = operator.repair(files)
    print(f"saved {len(saved.entries)} entries: {', '.join(sorted(saved.entries)) or 'none'}")
    for line in saved.lost:
        print(f"not saved, at byte {line.offset}: {_readable(line.text)}")
    for first, last in saved.gaps:
        print(
            f"not saved: records {first} to {last}"
            if last > first
            else f"not saved: record {first}"
        )
    print(f"the damaged journal is kept as {state}/{kept}")
    print("a volume that is missing now: create it again, and its directory is adopted")
    return 0


def compact(state: str) -> int:
    """Rewrite the journal without its history."""
    with _locked(state) as files:
        before = len(files.read(JOURNAL))
        log = Log(files)
        log.open()
        log.compact()
        log.close()
        after = len(files.read(JOURNAL))
    print(f"{state}/{JOURNAL}: {before} bytes before, {after} after; {len(log.entries)} entries")
    return 0
