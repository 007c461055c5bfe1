"""Reading the values of options: each text becomes the one text that stands for its value.

A reader takes what the user gave and returns its canonical text, or raises
:class:`ValueError` with the rule that it breaks. What a volume keeps, shows and is
compared by are canonical texts, so ``0750`` and ``750`` are the same mode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from ..plugin.redaction import hidden_option
from .errors import InvalidOptionError, brief, quoted, quoted_option

#: Reads one value: returns its canonical text, or raises ValueError with the rule.
Reader: TypeAlias = Callable[[str], str]

#: The largest user or group id; the one above it means "leave as it is" to chown(2).
_MAX_ID = 2**32 - 2

_SIZE = re.compile(r"([0-9]{1,15})([KMGTP]?)(?:iB|B)?", re.ASCII | re.IGNORECASE)
_UNITS = "KMGTP"
#: The largest file of every file system that is used here, in bytes.
_MAX_SIZE = 2**50
_SOURCE = re.compile(
    r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}(@[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127})?", re.ASCII
)
_TIME = re.compile(r"([0-9]{1,6})(s|m)?", re.ASCII)


def canonical(
    name: str, backend: str, given: Mapping[str, str], known: Mapping[str, Reader]
) -> dict[str, str]:
    """Return the canonical texts of the options of a Create, by name.

    :param known: the options that there are.
    :raises InvalidOptionError: one is not known or malformed; the text names it.
    """
    for key in given:
        if key not in known:
            of = "" if backend == "directory" else f" of backend {backend}"
            raise InvalidOptionError(
                f"volume {quoted(name)}: option {quoted(key)} is not known{of}; "
                f"known: {', '.join(sorted(known))}"
            )
    return {key: read(name, key, given[key], known[key]) for key in sorted(given)}


def read(name: str, key: str, value: str, reader: Reader) -> str:
    """Read one value.

    :raises InvalidOptionError: it cannot be used; the text says why.
    """
    try:
        return reader(value)
    except ValueError as error:
        raise bad(name, key, value, str(error)) from None


def bad(name: str, key: str, value: str, rule: str) -> InvalidOptionError:
    """Return the error that names an option, its value and the rule."""
    return InvalidOptionError(
        f"volume {quoted(name)}: option {brief(key)}={quoted_option(key, value)}: {rule}"
    )


def missing(name: str, backend: str, key: str, rule: str) -> InvalidOptionError:
    """Return the error that names an option which is needed."""
    return InvalidOptionError(
        f"volume {quoted(name)}: backend {backend} needs option {quoted(key)}: {rule}"
    )


def identity(value: str) -> str:
    """Read a user or group id."""
    if not re.fullmatch(r"[0-9]{1,10}", value, re.ASCII) or int(value) > _MAX_ID:
        raise ValueError(f"give a number from 0 to {_MAX_ID}")
    return str(int(value))


def mode(value: str) -> str:
    """Read octal permissions."""
    if not re.fullmatch(r"[0-7]{1,5}", value, re.ASCII) or int(value, 8) > 0o7777:
        raise ValueError("give octal permissions from 0 to 7777, such as 0750")
    return f"{int(value, 8):04o}"


def path(value: str) -> str:
    """Read an absolute path."""
    if not value.startswith("/"):
        raise ValueError("give an absolute path")
    return _writable(value, "the path")


def _writable(value: str, what: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not UTF-8") from None
    if "\0" in value or "\n" in value:
        raise ValueError(f"{what} has a {'NUL' if chr(0) in value else 'newline'} character")
    return value


def text(value: str) -> str:
    """Read a text that a program is given as one argument."""
    if not value:
        raise ValueError("it is empty")
    return _writable(value, "the text")


def relative(value: str) -> str:
    """Read a path below something: normal, and never upwards."""
    parts = [part for part in _writable(value, "the path").split("/") if part not in ("", ".")]
    if value.startswith("/") or not parts or ".." in parts:
        raise ValueError("give a path below the mounted file system, such as a/b, without ..")
    return "/".join(parts)


def size(value: str) -> str:
    """Read a size; units are powers of 1024, as in Docker: 10G, 512MiB and 1024 bytes."""
    match = _SIZE.fullmatch(value)
    number = 0
    if match:
        letter = match[2].upper()
        number = int(match[1]) * 1024 ** (_UNITS.index(letter) + 1 if letter else 0)
    if not 0 < number <= _MAX_SIZE:
        raise ValueError("give a size from 1 to 1024T, such as 512M or 10G (powers of 1024)")
    return size_text(number)


def size_text(number: int) -> str:
    """Return the canonical text of a number of bytes."""
    for power in range(len(_UNITS), 0, -1):
        if number % 1024**power == 0:
            return f"{number // 1024**power}{_UNITS[power - 1]}"
    return str(number)


def size_bytes(text: str) -> int:
    """Return the bytes of a canonical size."""
    letter = text[-1]
    if letter.isdigit():
        return int(text)
    scale: int = 1024 ** (_UNITS.index(letter) + 1)
    return int(text[:-1]) * scale


def duration(shortest: int, longest: int) -> Reader:
    """Return the reader of a time in seconds (``30``, ``30s``) or minutes (``1m``)."""

    def reader(value: str) -> str:
        match = _TIME.fullmatch(value)
        seconds = int(match[1]) * (60 if match[2] == "m" else 1) if match else 0
        if not shortest <= seconds <= longest:
            raise ValueError(f"give a time from {shortest}s to {longest}s, such as 30s")
        return f"{seconds}s"

    return reader


def source(value: str) -> str:
    """Read what is to be copied: a volume, or one of its snapshots."""
    if not _SOURCE.fullmatch(value):
        raise ValueError("give the name of a volume, or NAME@SNAPSHOT")
    return value


def choice(*values: str) -> Reader:
    """Return the reader of one of some words."""

    def reader(value: str) -> str:
        if value not in values:
            raise ValueError(f"give one of {', '.join(values)}")
        return value

    return reader


def yes_no(value: str) -> str:
    """Read a switch."""
    if value.lower() in ("yes", "true", "on", "1"):
        return "yes"
    if value.lower() in ("no", "false", "off", "0"):
        return "no"
    raise ValueError("give yes or no")


def difference(
    mine: Mapping[str, str], its: Mapping[str, str], keys: Iterable[str] | None = None
) -> str:
    """Say how the options `its` differ from `mine`, or return an empty string."""
    return "; ".join(
        f"{brief(key)} is {_brief(key, mine, 'not set')}, "
        f"asked for is {_brief(key, its, 'nothing')}"
        for key in sorted(mine.keys() | its.keys() if keys is None else keys)
        if mine.get(key) != its.get(key)
    )


def _brief(key: str, options: Mapping[str, str], missing: str) -> str:
    """Return an option's value for an error, or what is said where there is none."""
    return brief(hidden_option(key, options[key])) if key in options else missing
