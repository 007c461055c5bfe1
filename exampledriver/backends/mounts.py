"""What the kernel says of mounts: who has a directory in a mount namespace.

A container that uses a volume has a bind mount of the volume's directory in its
own mount namespace. Every line of ``/proc/PID/mountinfo`` (proc_pid_mountinfo(5))
says which directory of which file system is mounted; a line whose directory is the
volume's, or lies in it, is a use. That holds for every engine, counted or not.

Containers choose the paths in those lines. The kernel escapes blanks, tabs, line feeds and
backslashes in them and nothing else: every other byte, such as a carriage return, stands as it
is. A line that cannot be read ends no question: it counts as a use, and its process is named.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator

from attrs import frozen

from ..processes import PROC, Proc, command, printable

_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
#: What stands as an escape in mountinfo, with one kernel or another.
_ESCAPED = re.compile(rb"[ \t\n\\#]")

#: The separator before the type comes last: a line that was cut off has none.
_FIELDS = rb"([0-9]+) ([0-9]+) ([0-9]+:[0-9]+) ([^ \n]+) ([^ \n]+)(?= [^\n]* - )"
_LINE = re.compile(_FIELDS)
#: A line that is not one, with the line break before it.
_UNREADABLE = re.compile(rb"\n(?!%s)[^\n]" % _FIELDS)

#: What :func:`mounts_inside` returns for a line that cannot be read.
UNREADABLE = "a mount whose line in /proc/self/mountinfo cannot be read"

#: Errors of reading a process that say that it is gone (EINVAL: it is a zombie), or another
#: user's.
_NOT_SEEN = (errno.ENOENT, errno.ESRCH, errno.EINVAL, errno.EACCES, errno.EPERM)


@frozen
class Mount:
    """A line of mountinfo.

    :ivar device: the file system, as ``major:minor``; empty if the line cannot be read.
    :ivar root: the directory of that file system that is mounted.
    :ivar mountpoint: where it is mounted, as its namespace sees it.
    :ivar number: the mount's id.
    :ivar parent: the id of the mount on which it is mounted.
    :ivar rest: the other fields, as they are.
    """

    device: str
    root: str
    mountpoint: str
    number: str = ""
    parent: str = ""
    rest: bytes = b""

    def source(self) -> tuple[str, str]:
        """Return the file system's type, and what is mounted; either may be empty."""
        kind, _, words = self.rest.partition(b" - ")[2].partition(b" ")
        return unescape(kind), unescape(words.partition(b" ")[0])

    def peers(self, kind: str) -> set[str]:
        """Return the peer groups of a kind, ``shared`` or ``master``: mount_namespaces(7)."""
        words = self.rest.partition(b" - ")[0].decode("ascii", "replace").split(" ")
        return {word.partition(":")[2] for word in words if word.startswith(f"{kind}:")}


@frozen
class Holder:
    """A mount namespace in which a directory is mounted.

    :ivar pids: the processes in it.
    :ivar mountpoint: where, as they see it; empty if its line cannot be read, so that it may be
        that directory.
    :ivar here: it is the namespace of this process itself.
    """

    pids: tuple[int, ...]
    mountpoint: str
    here: bool

    def describe(self, proc: Proc = PROC) -> str:
        """Return a text for people, on one line."""
        where = f"at {printable(self.mountpoint)}"
        if not self.mountpoint:
            where = "which has a mount that cannot be read: look at /proc/PID/mountinfo"
        if self.here:
            return f"this host, {where.replace('PID', 'self')}"
        shown = ", ".join(f"{pid} ({command(pid, proc)})" for pid in self.pids[:5])
        more = f" and {len(self.pids) - 5} more" if len(self.pids) > 5 else ""
        return f"pid {shown}{more}, {where.replace('PID', str(self.pids[0]))}"


def unescape(text: bytes) -> str:
    """Return a field of mountinfo as the path that it stands for."""
    if b"\\" not in text:
        return os.fsdecode(text)
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), text))


def parse(mountinfo: bytes, device: str = "", part: bytes = b"") -> list[Mount]:
    """Read the text of a mountinfo file.

    If lines in it cannot be read, one mount without a device comes first for all of them.

    :param device: if given, the mounts of that file system only.
    :param part: bytes that are in a line that is wanted: a host may have thousands of others.
    """
    mounts = [Mount("", "", "")] if _UNREADABLE.search(b"\n" + mountinfo) else []
    wanted = device.encode("ascii")
    for line in mountinfo.split(b"\n"):
        if part not in line:
            continue
        if wanted and wanted not in line:
            continue
        found = _LINE.match(line)
        if found is None or (wanted and found[3] != wanted):
            continue
        mounts.append(
            Mount(
                found[3].decode("ascii"),
                unescape(found[4]),
                unescape(found[5]),
                found[1].decode("ascii"),
                found[2].decode("ascii"),
                line[found.end() + 1 :],
            )
        )
    return mounts


def here(proc: Proc = PROC) -> list[Mount]:
    """Return the mounts of this process's namespace that can be read."""
    return [mount for mount in parse(proc.read("self", "mountinfo")) if mount.device]


def around(path: str, mounts: list[Mount]) -> Mount | None:
    """Return the mount that a path lies in, what is mounted at it included.

    :param path: real and absolute.
    :param mounts: those of this process's namespace; ``None`` is returned if none of them is.
    """
    found = None
    for mount in mounts:
        # Of several mounts at one place the last is the visible one.
        if not (mount.device and inside(path, mount.mountpoint)):
            continue
        if found is None or len(mount.mountpoint) >= len(found.mountpoint):
            found = mount
    return found


def inside(path: str, parent: str) -> bool:
    """Tell whether `path` is `parent` or lies below it; both absolute and normal."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def _below(path: str, old: str, new: str) -> str:
    """Return `path`, which lies in `old`, with `new` in the place of `old`."""
    # Two slashes at the beginning would stay two; three become one.
    return os.path.normpath("//" + new + "/" + path[len(old) :])


def mounts_inside(path: str, proc: Proc = PROC) -> list[str]:
    """Return the mountpoints of this namespace at or below `path`.

    A line that cannot be read may be one of them: then :data:`UNREADABLE` is among them.
    """
    part = _ESCAPED.split(os.fsencode(path))[-1]
    found = parse(proc.read("self", "mountinfo"), part=part)
    places = [mount.mountpoint if mount.device else UNREADABLE for mount in found]
    return [place for place in places if place == UNREADABLE or inside(place, path)]


def mount_id(fd: int) -> bytes:
    """Return what names the mount that an open file lies in; one file system may have several."""
    lines = PROC.read("self", f"fdinfo/{fd}").split(b"\n")
    return next((line for line in lines if line.startswith(b"mnt_id:")), b"")


def named(places: Iterable[str]) -> str:
    """Return mountpoints for people, on one line."""
    return ", ".join(map(printable, places))


def _views(me: str, own: bytes, proc: Proc) -> Iterator[tuple[str, list[int], bytes | None]]:
    """Yield each mount namespace's name, processes of it, and its mounts as these see them.

    A process sees the mounts below its root directory only, so those of a namespace that have
    another root than the others are asked as well. The mounts are ``None`` where they cannot be
    read although there are processes.

    :param me: the namespace whose mountinfo `own` is.
    """
    groups: dict[tuple[str, str], list[int]] = {(me, ""): []}
    for pid in proc.processes():
        try:
            namespace = proc.link(pid, "ns/mnt")
            root = "" if namespace == me else proc.link(pid, "root")
        except OSError:  # gone, or another user's
            continue
        groups.setdefault((namespace, root), []).append(pid)
    for (namespace, _), pids in groups.items():
        if namespace == me:
            yield namespace, pids, own
            continue
        trouble = False
        for pid in pids:
            try:
                yield namespace, pids, proc.read(pid, "mountinfo")
                break
            except OSError as error:
                # Out of memory or descriptors: that says nothing of the mounts.
                trouble = trouble or error.errno not in _NOT_SEEN
        else:
            if trouble:
                yield namespace, pids, None


def holders(path: str, proc: Proc = PROC) -> list[Holder]:
    """Return who has the directory `path` (real, absolute), or one in it, mounted.

    The mounts through which `path` itself is reached are no use of it, neither here
    nor in a namespace that has the same root directory (a service with private
    mounts). A line that cannot be read counts as a use. Processes that this one may not look at
    are not seen: run as root.
    """
    me = proc.link("self", "ns/mnt")
    # Read once: a host may have thousands of mounts.
    ours = proc.read("self", "mountinfo")
    own = around(path, parse(ours))
    if own is None:  # the line of its own mount cannot be read
        return [Holder((os.getpid(),), "", True)]
    in_filesystem = _below(path, own.mountpoint, own.root)
    found: list[Holder] = []
    for namespace, pids, mountinfo in _views(me, ours, proc):
        for mount in [Mount("", "", "")] if mountinfo is None else parse(mountinfo, own.device):
            if mount.device:
                if not inside(mount.root, in_filesystem):
                    continue
                seen_at = _below(mount.root, in_filesystem, path)
                if mount.mountpoint == seen_at and proc.has_our_root(pids[0]):
                    continue
            found.append(Holder(tuple(pids), mount.mountpoint, namespace == me))
    return found
