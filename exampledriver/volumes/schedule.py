"""When snapshots are made by themselves, as the configuration file says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import Any

from attrs import frozen

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}", re.ASCII)
_EVERY = re.compile(r"([0-9]{1,6})([mhd])", re.ASCII)
_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_MOST_KEPT = 10_000


class ScheduleError(ValueError):
    """A schedule cannot be used.

    :ivar key: which part of it, or empty.
    """

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key


@frozen
class Schedule:
    """One schedule.

    :ivar name: its snapshots' labels begin with it.
    :ivar keep: so many of its snapshots of each volume stay.
    :ivar volumes: patterns of names, as a shell's.
    """

    name: str
    every: timedelta
    keep: int
    volumes: Sequence[str] = ("*",)

    def covers(self, name: str) -> bool:
        """Tell whether a volume is one of its."""
        return any(fnmatchcase(name, pattern) for pattern in self.volumes)

    def label(self, moment: str) -> str:
        """Return the label of a snapshot.

        :param moment: such as ``20261124T120000Z``.
        """
        return f"{self.name}-{moment}"

    def moment(self, label: str) -> datetime | None:
        """Return when one of its snapshots was made, by its label; ``None`` if it is another."""
        match = re.fullmatch(re.escape(self.name) + r"-(\d{8}T\d{6}Z)", label, re.ASCII)
        try:
            found = datetime.strptime(match[1], "%Y%m%dT%H%M%SZ") if match else None
        except ValueError:  # somebody's own
            return None
        return found and found.replace(tzinfo=timezone.utc)

    def is_past(self, moment: datetime, now: datetime) -> bool:
        """Tell whether something was made then: not so of a clock that was far ahead."""
        return moment <= now + self.every


def read(name: str, table: Any) -> Schedule:
    """Read a table of the configuration file.

    :raises ScheduleError: it cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise ScheduleError("", "a name has 1 to 64 letters, digits, _ . and -")
    if not isinstance(table, Mapping):
        raise ScheduleError("", f"is a table: write it as [schedules.{name}]")
    known = ("every", "keep", "volumes")
    for key in table:
        if key not in known:
            raise ScheduleError(key, f"is not known; known: {', '.join(known)}")
    match = _EVERY.fullmatch(str(table.get("every", "")))
    if match is None or not int(match[1]):
        raise ScheduleError("every", 'give a number of m, h or d, such as "24h"')
    keep = table.get("keep")
    if not isinstance(keep, int) or isinstance(keep, bool) or not 1 <= keep <= _MOST_KEPT:
        raise ScheduleError("keep", f"give how many snapshots stay, from 1 to {_MOST_KEPT}")
    volumes = table.get("volumes", ["*"])
    texts = isinstance(volumes, list) and all(isinstance(text, str) and text for text in volumes)
    if not texts or not volumes:
        raise ScheduleError("volumes", 'give a list of names or patterns, such as ["db", "web-*"]')
    every = timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    return Schedule(name, every, keep, tuple(volumes))
