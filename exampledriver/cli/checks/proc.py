"""Who a process is, as far as /proc says."""

from __future__ import annotations

import os
import re
from pathlib import Path

_PROC = Path("/proc")


def started(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # proc_pid_stat(5): the name, in parentheses, may hold anything; field 22 is the time.
    return int(stat.rpartition(")")[2].split()[19])


def user(pid: int) -> int | None:
    """Return the effective user id of a process."""
    try:
        status = (_PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return None
    found = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else None


def holds(pid: int, path: Path) -> bool:
    """Tell whether a process has a file open."""
    try:
        wanted = os.stat(path)
        fds = list(os.scandir(_PROC / str(pid) / "fd"))
    except OSError:
        return False
    return any(_is(fd.path, wanted) for fd in fds)


def _is(path: str, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), wanted)
    except OSError:  # closed meanwhile
        return False


def unit(pid: int) -> str:
    """Return the systemd service that a process belongs to, or an empty text."""
    try:
        groups = (_PROC / str(pid) / "cgroup").read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(r"/([^/\n]+\.service)$", groups, re.MULTILINE)
    return found[1] if found else ""
