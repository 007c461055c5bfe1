"""The configuration file: which kinds of storage there are, their defaults, and where they may be.

TOML. Each mistake in it is an error at the start with the file, the line and the key::

    [backends]
    allowed = ["directory", "image"]
    default = "directory"

    [backends.directory]
    bases = ["/srv"]        # where mountpoint= may be

    [backends.image]        # options that are taken when they are not given
    size = "10G"
    fs = "ext4"

    [schedules.nightly]     # snapshots that are made by themselves
    every = "24h"
    keep = 7
    volumes = ["db", "web-*"]

    [trash]                 # delete the oldest of it while less of the root's disk is free
    purge-when-below = "5%"
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from attrs import define, field, frozen

from .backends.kinds import OPTIONS, PARSE, Choice, check
from .volumes import schedule
from .volumes.errors import InvalidOptionError
from .volumes.schedule import Schedule, ScheduleError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The tables.
_TABLES = ("backends", "schedules", "trash")

#: The key of the trash's table, and what its value is.
_BELOW = "purge-when-below"
_PERCENT = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,2})?)%", re.ASCII)

#: The kinds whose paths an operator can keep below some directories.
WITH_BASES = ("directory", "mount")

_HEADER = re.compile(r"\s*\[{1,2}\s*([^\]]+?)\s*\]{1,2}\s*(?:#.*)?")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_"'-]+)*)\s*=""")

#: Texts of values that make each option whole, so that a default can be judged by itself.
_COMPLETE: Mapping[str, Mapping[str, str]] = {
    "image": {"size": "1T"},
    "tmpfs": {"size": "1T"},
    "mount": {"type": "nfs", "device": "server:/path"},
}


class ConfigurationError(ValueError):
    """The file cannot be used; the text is one line that begins with its path."""


@frozen
class Configuration:
    """What the file says.

    :ivar choice: the kinds and their defaults.
    :ivar bases: for each kind the directories below which its paths have to be, if any.
    :ivar schedules: by which snapshots are made.
    :ivar purge_when_below: while less than this part of the root's file system is free, the
        oldest of the trash is deleted; 0 for never, below 1.
    """

    choice: Choice = field(factory=Choice)
    bases: Mapping[str, Sequence[Path]] = field(factory=dict)
    schedules: Sequence[Schedule] = ()
    purge_when_below: float = 0.0


def load(path: Path) -> Configuration:
    """Read and judge a file.

    :raises ConfigurationError: it cannot be read, or something in it cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{path}: {why}") from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = found[1] if found else str(text.count("\n") + 1)
        raise ConfigurationError(f"{path}:{line}: it is no TOML: {error}") from None
    return _Reader(path, _lines(text), content).read()


def _lines(text: str) -> Mapping[tuple[str, ...], int]:
    """Return the line of each table and key that begins a line of its own, by its path."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(line)
        key = None if header else _KEY.match(line)
        if header:
            table = _parts(header[1])
            lines.setdefault(table, number)
        elif key:
            lines.setdefault((*table, *_parts(key[1])), number)
    return lines


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


@define(eq=False)
class _Reader:
    path: Path
    lines: Mapping[tuple[str, ...], int]
    content: Mapping[str, Any]

    def refuse(self, why: str, *key: str) -> NoReturn:
        """Refuse the file for what a key of it says."""
        known = key
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known, 1)
        raise ConfigurationError(f"{self.path}:{line}: {'.'.join(key)}: {why}")

    def read(self) -> Configuration:
        """Judge all of it."""
        for key in self.content:
            if key not in _TABLES:
                self.refuse(f"is not known; known: {', '.join(_TABLES)}", key)
        backends = self._table("backends", default={})
        allowed = self._allowed(backends)
        default = backends.get("default", "directory" if "directory" in allowed else allowed[0])
        if default not in allowed:
            self.refuse(f"give one of {', '.join(allowed)}", "backends", "default")
        defaults: dict[str, Mapping[str, str]] = {}
        bases: dict[str, Sequence[Path]] = {}
        for kind in backends:
            if kind in ("allowed", "default"):
                continue
            if kind not in PARSE:
                known = ", ".join(sorted({"allowed", "default", *PARSE}))
                self.refuse(f"is not known; known: {known}", "backends", kind)
            table = self._table("backends", kind)
            bases[kind] = self._bases(kind, table)
            defaults[kind] = self._defaults(kind, table)
        choice = Choice(allowed, default, defaults)
        return Configuration(choice, bases, self._schedules(), self._below())

    def _below(self) -> float:
        table = self._table("trash", default={})
        for key in table:
            if key != _BELOW:
                self.refuse(f"is not known; known: {_BELOW}", "trash", key)
        if _BELOW not in table:
            return 0.0
        match = _PERCENT.fullmatch(str(table[_BELOW]))
        if match is None or not float(match[1]):
            self.refuse('give a part of the file system, such as "5%"', "trash", _BELOW)
        return float(match[1]) / 100

    def _schedules(self) -> Sequence[Schedule]:
        found = []
        for name, table in self._table("schedules", default={}).items():
            try:
                found.append(schedule.read(name, table))
            except ScheduleError as error:  # noqa: PERF203 the first one ends it
                self.refuse(str(error), "schedules", name, *([error.key] if error.key else []))
        return tuple(found)

    def _table(self, *key: str, default: Any = None) -> Mapping[str, Any]:
        found: Any = self.content
        for part in key:
            found = found.get(part, default)
        if not isinstance(found, dict):
            self.refuse("is a table: write it as [" + ".".join(key) + "]", *key)
        return found

    def _allowed(self, backends: Mapping[str, Any]) -> Sequence[str]:
        allowed = backends.get("allowed", list(PARSE))
        if not isinstance(allowed, list) or not allowed:
            self.refuse('give a list of names, such as ["directory"]', "backends", "allowed")
        for kind in allowed:
            if not isinstance(kind, str) or kind not in PARSE:
                known = ", ".join(sorted(PARSE))
                self.refuse(f"{kind!r} is not known; known: {known}", "backends", "allowed")
        return tuple(allowed)

    def _bases(self, kind: str, table: Mapping[str, Any]) -> Sequence[Path]:
        if "bases" not in table:
            return ()
        key = ("backends", kind, "bases")
        if kind not in WITH_BASES:
            self.refuse(f"is for {' and '.join(WITH_BASES)}", *key)
        bases = table["bases"]
        if not isinstance(bases, list) or not bases:
            self.refuse('give a list of directories, such as ["/srv"]', *key)
        for base in bases:
            if not (isinstance(base, str) and base.startswith("/")):
                self.refuse(f"{base!r}: give absolute paths", *key)
        return tuple(Path(base).resolve() for base in bases)

    def _defaults(self, kind: str, table: Mapping[str, Any]) -> Mapping[str, str]:
        defaults = {}
        for option, value in table.items():
            if option == "bases":
                continue
            key = ("backends", kind, option)
            if option not in OPTIONS[kind]:
                known = ", ".join(sorted(OPTIONS[kind]))
                self.refuse(f"is no option of {kind}; known: {known}", *key)
            if option in ("from", "mountpoint") or isinstance(value, dict | list | float):
                one = option in ("from", "mountpoint")
                what = "all volumes would be one" if one else "give a text"
                self.refuse(f"cannot be a default: {what}", *key)
            if isinstance(value, int) and not isinstance(value, bool) and option == "mode":
                self.refuse('write octal permissions as a text, such as "0750"', *key)
            defaults[option] = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        self._judge(kind, defaults)
        return defaults

    def _judge(self, kind: str, defaults: Mapping[str, str]) -> None:
        """Judge the defaults, one after the other: an error is then that of the last."""
        seen: dict[str, str] = {}
        # The type and the kind of file system say what others mean.
        for option in sorted(defaults, key=lambda option: option not in ("type", "fs")):
            seen[option] = defaults[option]
            complete = {**_COMPLETE.get(kind, {}), **seen}
            if "share" in seen:
                complete.pop("device", None)
            try:
                check("x", complete)
                PARSE[kind]("x", complete)
            except InvalidOptionError as error:
                why = str(error).removeprefix('volume "x": ')
                self.refuse(why, "backends", kind, option)
