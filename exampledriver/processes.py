"""Who a process is, for people. Any room may ask; it imports none."""

from __future__ import annotations

from pathlib import Path


def command(pid: int) -> str:
    """Return the name of a process, on one line, or ``gone``; proc_pid_comm(5)."""
    try:
        name = Path("/proc", str(pid), "comm").read_text(errors="replace")
    except OSError:
        return "gone"
    # A process gives itself any name that it likes.
    return "".join(sign if sign.isprintable() else "?" for sign in name.removesuffix("\n"))
