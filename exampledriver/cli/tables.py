"""Tables, sizes and ages for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ..processes import printable

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; columns are as wide as they need to be, the last one is not padded."""
    texts = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )


def size(count: int) -> str:
    """Return a number of bytes in units of 1024, to three digits."""
    if count < 1024:
        return f"{count} B"
    number, power = float(count), 0
    while number >= 1023.5 and power < len(_UNITS):
        number, power = number / 1024, power + 1
    shown = f"{number:.0f}" if number >= 99.5 else f"{number:.3g}"
    return f"{shown} {_UNITS[power - 1]}"


def age(seconds: float) -> str:
    """Return a time span in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"


def since(moment: str | None, now: datetime | None = None) -> str:
    """Return how long ago a moment in RFC 3339 was, or in how long it will be."""
    if not moment:
        return "-"
    then = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    seconds = ((now or datetime.now(timezone.utc)) - then).total_seconds()
    return f"{age(seconds)} ago" if seconds >= 0 else f"in {age(-seconds)}"


def usage(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the bytes, the files and the age of a measure."""
    state = found.get("State", "")
    measured = f"{age(found['Age'])} ago" if "Age" in found else ""
    if state in ("being measured", "hanging"):
        measured = f"{measured}, {state}" if measured else state
    if "Bytes" not in found:
        return "-", "-", found.get("Trouble") or measured or "-"
    return size(found["Bytes"]), _count(found["Files"]), measured


def _count(files: int | None) -> str:
    return "-" if files is None else str(files)


def number(progress: Mapping[str, Any]) -> str:
    """Return how far a long work is, and how long it has taken for the present thing."""
    seconds = progress["Seconds"]
    took = f", {age(seconds)}" if seconds else ""
    return f"{progress['Done'] + 1} of {progress['Of']}{took}"


def show_json(found: object) -> None:
    """Print JSON for machines."""
    print(json.dumps(found, indent=2, ensure_ascii=True))


def note(text: str) -> None:
    """Tell people something beside the output."""
    print(printable(text), file=sys.stderr)


def confirmed(question: str) -> bool:
    """Ask on the terminal; without one the answer is no."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
