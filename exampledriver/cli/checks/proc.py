"""Who a process is, as far as /proc says."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...processes import PROC, Proc, status


def started(pid: int, proc: Proc = PROC) -> int | None:
    """Return when a process started, in clock ticks since the boot."""
    try:
        # proc_pid_stat(5): the name, in parentheses, may hold anything; field 22 is the time.
        words = proc.read(pid, "stat").rpartition(b")")[2].split()
    except OSError:
        return None
    return int(words[19]) if len(words) > 19 and words[19].isdigit() else None


def user(pid: int, proc: Proc = PROC) -> int | None:
    """Return the effective user id of a process."""
    try:
        words = status(pid, "Uid", proc)
    except OSError:
        return None
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else None


def holds(pid: int, path: Path) -> bool:
    """Tell whether a process has a file open."""
    try:
        wanted = os.stat(path)
        fds = list(os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return False
    return any(_is(fd.path, wanted) for fd in fds)


def _is(path: str, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), wanted)
    except OSError:  # closed meanwhile
        return False


def unit(pid: int, proc: Proc = PROC) -> str:
    """Return the systemd service that a process belongs to, or an empty text."""
    try:
        groups = proc.read(pid, "cgroup")
    except OSError:
        return ""
    # The kernel allows every byte but a line feed in the name of a group; systemd does not.
    found = re.search(rb"/([A-Za-z0-9:_.@\\-]+\.service)$", groups, re.MULTILINE)
    return found[1].decode("ascii") if found else ""
