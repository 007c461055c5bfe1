"""The daemon's settings: what they are when nothing is said, and what they may be.

The daemon and the operator's commands share them; this module imports no other.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

DEFAULTS = {
    "name": "exampledriver",
    "root": "/var/lib/exampledriver/volumes",
    "state": "/var/lib/exampledriver/state",
    "runtime": "/run/exampledriver",
    "trash-retention": "24h",
}

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Retentions beyond this are "forever": timedelta ends at 999,999,999 days.
_LONGEST_DAYS = 36500


def admin_socket(runtime: str) -> Path:
    """Return where the administrator's socket is, unless another place is given."""
    return Path(runtime, "admin.sock")


def check_driver_name(name: str) -> None:
    """Judge the driver's name, which is a part of a socket's path.

    :raises ValueError: it cannot be one.
    """
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}", name):
        raise ValueError(
            f"--name={name}: needs 1 to 63 letters, digits, _ . and -, the first a letter or digit"
        )


def parse_retention(text: str) -> timedelta | None:
    """Read ``24h``, ``7d``, ``30m``, ``90s``, ``0`` or ``forever`` (which is ``None``).

    :raises ValueError: it is none of these.
    """
    if text == "forever":
        return None
    if text == "0":
        return timedelta()
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match:
        retention = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
        if retention.days <= _LONGEST_DAYS:
            return retention
    raise ValueError(
        f"--trash-retention={text!r}: give a number of s, m, h or d (such as 24h, at most "
        f"{_LONGEST_DAYS}d), 0 for at once, or forever"
    )
