"""Small JSON files that lie beside a volume's data and say what it is."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: More than any note has, in bytes.
_MOST = 1 << 20


def write_note(path: Path, value: Mapping[str, object]) -> None:
    """Write a note, durably but for its name: sync the directory.

    :raises OSError: it could not be done.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:
        file.write((json.dumps(value, indent=1) + "\n").encode("ascii"))
        file.flush()
        os.fsync(fd)


def read_note(path: Path) -> dict[str, Any] | None:
    """Read a note; None if there is none, or a crash cut it off.

    :raises OSError: it cannot be read, and may be there.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        content = file.read(_MOST)
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def text(note: Mapping[str, object], key: str) -> str:
    """Return a text of a note; empty if it has none."""
    value = note.get(key)
    return value if isinstance(value, str) else ""


def number(note: Mapping[str, object], key: str) -> int | None:
    """Return a number of a note; None if it has none."""
    value = note.get(key)
    return value if isinstance(value, int) else None
