"""What the kernel says of processes, read as bytes. Any room may ask; it imports none.

A process writes much of its ``/proc`` itself: its name may hold line breaks, parentheses and
bytes that are not UTF-8. Nothing here decodes a whole file or splits one at anything but
``\\n``, which is the only line break that the kernel escapes.
"""

from __future__ import annotations

import os

from attrs import frozen


@frozen
class Proc:
    """The directory ``/proc``; tests put another source in its place."""

    path: str = "/proc"

    def read(self, process: int | str, name: str) -> bytes:
        """Return a file of a process.

        :raises OSError: the process is gone, or this one may not read it.
        """
        # No pathlib here: it keeps a table of every part of every path, process ids too.
        with open(f"{self.path}/{process}/{name}", "rb") as file:
            return file.read()

    def link(self, process: int | str, name: str) -> str:
        """Return where a link of a process points to; nothing at that place is touched.

        :raises OSError: the process is gone, or this one may not read it.
        """
        return os.readlink(f"{self.path}/{process}/{name}")

    def processes(self) -> list[int]:
        """Return the ids of all processes."""
        return [int(entry) for entry in os.listdir(self.path) if entry.isdigit()]

    def has_our_root(self, process: int) -> bool:
        """Tell whether a process has the same root directory as this one."""
        try:
            return os.path.samestat(os.stat(f"{self.path}/{process}/root"), os.stat("/"))
        except OSError:
            return False


#: The processes of this host.
PROC = Proc()


def printable(text: object) -> str:
    """Return a text, which may come from outside, on one line that no terminal obeys.

    Control characters, line separators and bytes that are not UTF-8 appear as escapes.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in shown
    )


def command(pid: int, proc: Proc = PROC) -> str:
    """Return the name of a process, on one line, or ``gone``; proc_pid_comm(5)."""
    try:
        name = proc.read(pid, "comm")
    except OSError:
        return "gone"
    return printable(name.removesuffix(b"\n").decode("utf-8", "replace"))


def status(process: int | str, name: str, proc: Proc = PROC) -> list[str]:
    """Return the words of a field of ``/proc/PID/status``, or none; proc_pid_status(5).

    :raises OSError: the process is gone, or this one may not read it.
    """
    # The first line is the name that the process gave itself; no line feed is in it.
    for line in proc.read(process, "status").split(b"\n"):
        field, _, value = line.partition(b":")
        if field == name.encode("ascii"):
            return value.decode("ascii", "replace").split()
    return []
