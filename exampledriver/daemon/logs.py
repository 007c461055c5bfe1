"""Logs: one line an event, as text for people or as JSON for machines.

To standard output, or to a file that is rotated when it is large (a bounded number of
old ones is kept) and opened anew when somebody else has moved it. The lines of one turn of
the reactor, many under load, are written at once.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from string import Formatter
from threading import RLock, get_ident
from typing import Any, Protocol, TextIO

from attrs import define, field
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from zope.interface import implementer

from ..processes import printable

#: The permissions of a log file: its owner writes, its group (``adm`` on Debian) may read.
FILE_MODE = 0o640

#: systemd's levels for lines that go to the journal; sd-daemon(3).
_PRIORITY = {
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 2,
}
#: So many lines of one turn are written at once, and no more.
_MOST = 256
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_size(text: str) -> int:
    """Read a size in bytes, or with ``K``, ``M`` or ``G``; 0 means never to rotate.

    :raises ValueError: it is none.
    """
    match = re.fullmatch(r"([0-9]{1,9})([kmgKMG]?)", text)
    if not match:
        raise ValueError(
            f"--log-rotate-size={text}: give a number of bytes, such as 10M, or 0 for never"
        )
    return int(match[1]) * _UNITS[match[2].lower()]


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None).isoformat()


def _moment(event: LogEvent) -> str:
    moment: float = event.get("log_time", 0.0)
    return f"{_second(int(moment))}.{int(moment % 1 * 1000):03}Z"


def _traceback(event: LogEvent) -> str:
    if "log_traceback" in event:
        return str(event["log_traceback"])
    failure = event.get("log_failure")
    return failure.getTraceback().rstrip() if isinstance(failure, Failure) else ""


#: What Twisted's formatting knows beyond Python's: attributes, items and calls of a field.
_BEYOND = re.compile(r"[.\[()]")


@lru_cache(maxsize=256)
def _plain(template: str) -> bool:
    """Tell whether Python's own formatting, five times as fast, makes the same of a format."""
    try:
        return not any(
            _BEYOND.search(name or "") or "{" in (spec or "")
            for _, name, spec, _ in Formatter().parse(template)
        )
    except ValueError:
        return False


def _message(event: LogEvent) -> str:
    template = event.get("log_format")
    if isinstance(template, str) and _plain(template):
        try:
            return template.format_map(event)
        except Exception:  # as Twisted says it: a log line must not fail
            return formatEvent(event)
    return formatEvent(event)


def _lines(event: LogEvent) -> list[str]:
    """Return an event's message on one line, and the lines of its traceback."""
    text = _message(event).rstrip()
    if not text and "log_failure" not in event:
        return []
    return [printable(text), *(f"    {printable(line)}" for line in _traceback(event).splitlines())]


def as_text(event: LogEvent) -> str | None:
    """Return an event as a line for people; a traceback follows, indented."""
    lines = _lines(event)
    if not lines:
        return None
    level = event.get("log_level", LogLevel.info).name
    return f"{_moment(event)} {level:<5} " + "\n".join(lines) + "\n"


def as_journal(event: LogEvent) -> str | None:
    """Return an event as systemd's journal reads it: each line with its level, without a time."""
    priority = _PRIORITY.get(event.get("log_level", LogLevel.info), 6)
    return "".join(f"<{priority}>{line}\n" for line in _lines(event)) or None


def as_json(event: LogEvent) -> str | None:
    """Return an event as one JSON object a line.

    ``time`` (RFC 3339), ``level``, ``system`` and ``message``, then the fields of the event
    that are numbers, texts or maps of these; ``traceback`` where there is one.
    """
    shown: dict[str, object] = {
        "time": _moment(event),
        "level": event.get("log_level", LogLevel.info).name,
        "system": event.get("log_namespace", ""),
        "message": _message(event),
    }
    for key, value in event.items():
        if key.startswith("log_") or key in shown:
            continue
        if isinstance(value, (str, int, float, bool, Mapping)):
            shown[key] = value
    if "log_failure" in event:
        shown["traceback"] = _traceback(event)
    return json.dumps(shown, default=str) + "\n"


def without_secrets(event: LogEvent, hide: Callable[[str], str]) -> LogEvent:
    """Return an event whose texts, errors and traceback have gone through ``hide``."""
    hidden = dict(event)
    template = event.get("log_format")
    if isinstance(template, str) and "{" not in template:  # a whole text, as of an f-string
        hidden["log_format"] = hide(template)
    for key, value in event.items():
        if isinstance(value, BaseException) or (isinstance(value, Failure) and key[:4] != "log_"):
            hidden[key] = hide(str(getattr(value, "value", value)))
        elif isinstance(value, str) and (key[:4] != "log_" or key == "log_text"):
            hidden[key] = hide(value)
    if "log_failure" in event:
        hidden["log_traceback"] = _without_secrets(_traceback(event), hide)
    return hidden


def _without_secrets(traceback: str, hide: Callable[[str], str]) -> str:
    """Return a traceback whose errors have gone through ``hide``; code is left as it is."""
    lines: list[str] = []
    error: list[str] = []  # its text may have several lines, indented too
    code = False
    for line in traceback.splitlines():
        if not line.startswith(" "):
            code = line.startswith(("Traceback (", "--- <"))
        if not code:
            error.append(line)
            continue
        if error:
            lines.append(hide("\n".join(error)))
            error = []
        lines.append(line)
    return "\n".join([*lines, *([hide("\n".join(error))] if error else [])])


class _Stream(Protocol):
    """What lines are written to."""

    def write(self, data: str, /) -> object:
        """Write."""

    def flush(self) -> None:
        """Let nothing wait in this process."""


FORMATS: Mapping[str, Callable[[LogEvent], str | None]] = {"text": as_text, "json": as_json}


class LogFileOutput(LogFile):
    """Twisted's log file, made to go on after its disk was full.

    A rotation may then leave no file open, and a line may be written in part.
    """

    _torn = False

    def write(self, data: str) -> None:
        """Write a line.

        :raises OSError: it could not be written.
        """
        if self._file.closed:
            self._openFile()
        if self.shouldRotate():
            self.rotate()
        line = (b"\n" if self._torn else b"") + data.encode("utf-8")
        written = self._file.write(line)
        self.size += written
        self._torn = written < len(line)

    def rotate(self) -> None:
        """Number the old files and begin a new one, also where the present one was deleted."""
        if os.path.exists(self.path):
            super().rotate()
        else:
            self.reopen()

    def reopen(self) -> None:
        """Write to the file of this name from now on, and to the old one if there can be none."""
        old = self._file
        self._openFile()
        old.close()


@implementer(ILogObserver)
@define(eq=False)
class LogOutput:
    """Where log events go.

    :ivar format: ``text`` or ``json``.
    :ivar path: the log file, or ``None`` for standard output.
    :ivar rotate_size: at how many bytes the file is rotated; 0 for never.
    :ivar keep: how many rotated files are kept, 1 or more; older ones are deleted.
    :ivar hide: returns a text without the secrets in it. It is asked about what is worse than
        information; the text about a request has gone through it before.
    """

    format: str
    path: Path | None
    rotate_size: int
    keep: int
    hide: Callable[[str], str] | None = None
    _file: LogFileOutput | None = field(default=None, init=False)
    _stream: _Stream = field(init=False)
    _formatted: Callable[[LogEvent], str | None] = field(init=False)
    #: Events come from several threads.
    _lock: RLock = field(factory=RLock, init=False)
    #: The lines of this turn of the reactor, which runs in that thread.
    _waiting: list[str] = field(factory=list, init=False)
    #: The end of this turn is waited for.
    _due: bool = field(default=False, init=False)
    _reactor: Any = field(default=None, init=False)
    _thread: int = field(default=0, init=False)

    def open(self) -> None:
        """Open the output; before twistd puts a log in the place of standard output.

        :raises OSError: the file cannot be written.
        """
        self._formatted = FORMATS[self.format]
        if self.path is None:
            if self.format == "text" and _is_journal(sys.stdout):
                self._formatted = as_journal
            self._stream = sys.stdout
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        if self.path.exists() and not self.path.is_file():
            # /dev/null, /dev/stderr, a pipe: nothing to rotate, and not ours to change.
            self._stream = self.path.open("w", encoding="utf-8")
            return
        self._stream = self._file = LogFileOutput(
            self.path.name,
            str(self.path.parent),
            rotateLength=self.rotate_size or None,
            defaultMode=FILE_MODE,
            maxRotatedFiles=self.keep,
        )

    def join(self, reactor: Any) -> None:
        """From now on, write together what is told in one turn of a reactor, until it ends.

        It runs in this thread. What is worse than information, and what other threads tell, is
        written at once, after what came before it.
        """
        self._reactor, self._thread = reactor, get_ident()
        reactor.addSystemEventTrigger("after", "shutdown", self._leave)

    def _leave(self) -> None:
        self._reactor = None
        self._turned()

    def __call__(self, event: LogEvent) -> None:
        """Write an event."""
        if self.hide is not None and event.get("log_level") is not LogLevel.info:
            event = without_secrets(event, self.hide)
        text = self._formatted(event)
        if not text:
            return
        with self._lock:
            self._waiting.append(text)
            if (
                self._reactor is None
                or event.get("log_level") is not LogLevel.info
                or get_ident() != self._thread
                or len(self._waiting) >= _MOST
            ):
                self._flush()
            elif not self._due:
                self._due = True
                self._reactor.callLater(0, self._turned)

    def _turned(self) -> None:
        """Write the lines of a turn; those that cannot be written are lost, and no error."""
        self._due = False
        with self._lock, suppress(OSError):
            self._flush()

    def _flush(self) -> None:
        lines, self._waiting = self._waiting, []
        if lines:
            self._stream.write("".join(lines))
            self._stream.flush()

    def reopen(self) -> None:
        """Write to the file of that name from now on: somebody may have moved the old one.

        :raises OSError: it cannot be opened; the old one is still written to.
        """
        if self._file is not None:
            with self._lock:
                self._turned()
                self._file.reopen()

    def rotate(self) -> None:
        """Begin a new file and number the old ones.

        :raises OSError: it cannot be done.
        """
        if self._file is not None:
            with self._lock:
                self._turned()
                self._file.rotate()


def _is_journal(stream: TextIO) -> bool:
    """Tell whether a stream goes to systemd's journal; ``JOURNAL_STREAM`` of systemd.exec(5)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
