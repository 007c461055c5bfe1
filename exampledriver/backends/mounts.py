"""What the kernel says of mounts: who has a directory in a mount namespace.

A container that uses a volume has a bind mount of the volume's directory in its
own mount namespace. Every line of ``/proc/PID/mountinfo`` (proc_pid_mountinfo(5))
says which directory of which file system is mounted; a line whose directory is the
volume's, or lies in it, is a use. That holds for every engine, counted or not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from attrs import frozen

from ..processes import command

_ESCAPE = re.compile(rb"\\([0-7]{3})")
#: What stands as an escape in mountinfo, with one kernel or another.
_ESCAPED = re.compile(rb"[ \t\n\\#]")


@frozen
class Mount:
    """A line of mountinfo.

    :ivar device: the file system, as ``major:minor``.
    :ivar root: the directory of that file system that is mounted.
    :ivar mountpoint: where it is mounted, as its namespace sees it.
    """

    device: str
    root: str
    mountpoint: str


@frozen
class Holder:
    """A mount namespace in which a directory is mounted.

    :ivar pids: the processes in it.
    :ivar mountpoint: where, as they see it.
    :ivar here: it is the namespace of this process itself.
    """

    pids: tuple[int, ...]
    mountpoint: str
    here: bool

    def describe(self) -> str:
        """Return a text for people."""
        if self.here:
            return f"this host, at {self.mountpoint}"
        shown = ", ".join(f"{pid} ({command(pid)})" for pid in self.pids[:5])
        more = f" and {len(self.pids) - 5} more" if len(self.pids) > 5 else ""
        return f"pid {shown}{more}, at {self.mountpoint}"


def unescape(text: bytes) -> str:
    """Return a field of mountinfo as the path that it stands for."""
    if b"\\" not in text:
        return os.fsdecode(text)
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), text))


def parse(mountinfo: bytes, device: str = "", part: bytes = b"") -> list[Mount]:
    """Read the text of a mountinfo file.

    :param device: if given, the mounts of that file system only.
    :param part: bytes that are in a line that is wanted: a host may have thousands of others.
    """
    mounts = []
    wanted = device.encode("ascii")
    for line in mountinfo.splitlines():
        if part not in line:
            continue
        words = line.split(b" ", 5)
        if wanted and words[2] != wanted:
            continue
        mounts.append(Mount(words[2].decode("ascii"), unescape(words[3]), unescape(words[4])))
    return mounts


def _mountinfo(process: int | str) -> bytes:
    # No pathlib here: it keeps a table of every part of every path, process ids too.
    with open(f"/proc/{process}/mountinfo", "rb") as file:
        return file.read()


def here() -> list[Mount]:
    """Return the mounts of this process's namespace."""
    return parse(_mountinfo("self"))


def inside(path: str, parent: str) -> bool:
    """Tell whether `path` is `parent` or lies below it; both absolute and normal."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def _below(path: str, old: str, new: str) -> str:
    """Return `path`, which lies in `old`, with `new` in the place of `old`."""
    # Two slashes at the beginning would stay two; three become one.
    return os.path.normpath("//" + new + "/" + path[len(old) :])


def mounts_inside(path: str) -> list[str]:
    """Return the mountpoints of this namespace at or below `path`."""
    part = _ESCAPED.split(os.fsencode(path))[-1]
    found = parse(_mountinfo("self"), part=part)
    return [mount.mountpoint for mount in found if inside(mount.mountpoint, path)]


def _namespaces(me: str, own: bytes) -> Iterator[tuple[str, list[int], bytes]]:
    """Yield each mount namespace's name, its processes and its mountinfo.

    :param me: the namespace whose mountinfo `own` is.
    """
    groups: dict[str, list[int]] = {}
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for entry in os.listdir(proc):
            if entry.isdigit():
                try:
                    namespace = os.readlink(entry + "/ns/mnt", dir_fd=proc)
                except OSError:  # gone, or another user's
                    continue
                groups.setdefault(namespace, []).append(int(entry))
    finally:
        os.close(proc)
    for namespace, pids in groups.items():
        if namespace == me:
            yield namespace, pids, own
            continue
        for pid in pids:
            try:
                yield namespace, pids, _mountinfo(pid)
            except OSError:
                continue
            break


def _same_root(pid: int) -> bool:
    """Tell whether a process has the same root directory as this one."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/"))
    except OSError:
        return False


def holders(path: str) -> list[Holder]:
    """Return who has the directory `path` (real, absolute), or one in it, mounted.

    The mounts through which `path` itself is reached are no use of it, neither here
    nor in a namespace that has the same root directory (a service with private
    mounts). Processes that this one may not look at are not seen: run as root.
    """
    me = os.readlink("/proc/self/ns/mnt")
    # Read once: a host may have thousands of mounts.
    ours = _mountinfo("self")
    over = [mount for mount in parse(ours) if inside(path, mount.mountpoint)]
    longest = max(len(mount.mountpoint) for mount in over)
    # Of several mounts at one place the last is the visible one.
    own = [mount for mount in over if len(mount.mountpoint) == longest][-1]
    in_filesystem = _below(path, own.mountpoint, own.root)
    found: list[Holder] = []
    for namespace, pids, mountinfo in _namespaces(me, ours):
        for mount in parse(mountinfo, own.device):
            if not inside(mount.root, in_filesystem):
                continue
            seen_at = _below(mount.root, in_filesystem, path)
            if mount.mountpoint == seen_at and _same_root(pids[0]):
                continue
            found.append(Holder(tuple(pids), mount.mountpoint, namespace == me))
    return found
