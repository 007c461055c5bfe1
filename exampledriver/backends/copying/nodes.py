"""Trees as they are on disk: walked without following a link, node by node.

The trees are volumes: whoever writes in them may put a symbolic link where a
directory was a moment ago. So no path below a root is ever handed to the kernel
whole. A directory is opened name by name from the root's descriptor; a node is
opened with ``O_PATH``, looked at, and only then read, so that no device or FIFO is
ever opened. A tree of any depth is walked with a handful of descriptors.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import define, field, frozen

from ...volumes.errors import VolumeError, quoted
from .syscalls import SUBVOLUME, subvolume_id

#: The names from a tree's root to a node; empty for the root itself.
Parts = tuple[str, ...]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NODE = os.O_PATH | os.O_NOFOLLOW
#: Attributes that belong to one inode or one file system, and are never copied.
_OWN = frozenset({"security.evm"})
#: Attributes that the target's system sets itself if it knows them; no loss if it does not.
_OPTIONAL = ("security.selinux", "system.nfs4_acl", "btrfs.")
#: How many directories below each other are copied: no path to one that lies deeper is short
#: enough for the kernel, and what is kept of each grows with its depth.
DEEPEST = 2048
#: How many bytes of attributes, names and values, are copied of one node.
MOST_XATTRS = 64 << 20
#: What an entry that vanished under the walk looks like.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)


def shown(parts: Sequence[str]) -> str:
    """Return the name of a node for error texts."""
    return quoted("/".join(parts) or ".")


@contextmanager
def explained(doing: str, parts: Sequence[str]) -> Iterator[None]:
    """Turn an error of the file system into one that says what was done to which node."""
    try:
        yield
    except OSError as error:
        hint = ""
        if isinstance(error, PermissionError) and os.geteuid() != 0:
            hint = "; the daemon needs to be root for that"
        why = error.strerror or str(error)
        raise VolumeError(f"{doing} {shown(parts)}: {why}{hint}") from error


def open_below(root: int, parts: Sequence[str]) -> int:
    """Open a directory below the directory `root`, whatever becomes of links on the way.

    :return: a descriptor that the caller closes.
    :raises OSError: a name on the way is missing or no directory; a link is no directory.
    """
    here = os.dup(root)
    for name in parts:
        try:
            below = os.open(name, _DIRECTORY, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here


@contextmanager
def directory_below(root: int, parts: Sequence[str]) -> Iterator[int]:
    """Open a directory as :func:`open_below`, and close it."""
    fd = open_below(root, parts)
    try:
        yield fd
    finally:
        os.close(fd)


@define(eq=False)
class NewTree:
    """The directories of a tree that is being made, which no other process uses.

    One after the other is open. The way to the next one begins at the last: what is near costs
    little, however deep it lies.
    """

    _here: int = field(default=-1, init=False)
    _parts: Parts = field(default=(), init=False)

    @property
    def begun(self) -> bool:
        """Whether there is a root."""
        return self._here >= 0

    def begin(self, parent: int, name: str) -> None:
        """Make the root, or use the empty directory that is there.

        :raises OSError: something else is there.
        """
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        self._here = os.open(name, _DIRECTORY, dir_fd=parent)
        if os.listdir(self._here):
            raise OSError(f"the target {name} is not empty")

    def directory(self, parts: Parts) -> int:
        """Return the directory `parts`, open until the next call.

        :raises OSError: it is not there.
        """
        if parts != self._parts:
            known = 0
            while known < min(len(self._parts), len(parts)) and self._parts[known] == parts[known]:
                known += 1
            way = [*[".."] * (len(self._parts) - known), *parts[known:]]
            fd = open_below(self._here, way)
            os.close(self._here)
            self._here, self._parts = fd, parts
        return self._here

    def link(self, first: Parts, other: Parts) -> None:
        """Make another name of a node; of a symbolic link, not of its target.

        :raises OSError: it could not be done.
        """
        beside = os.dup(self.directory(first[:-1]))
        try:
            here = self.directory(other[:-1])
            os.link(
                first[-1], other[-1], src_dir_fd=beside, dst_dir_fd=here, follow_symlinks=False
            )  # fmt: skip
        finally:
            os.close(beside)

    def close(self) -> None:
        """Close what is open."""
        if self.begun:
            os.close(self._here)
            self._here = -1


@contextmanager
def node_at(directory: int, name: str) -> Iterator[int]:
    """Open a node for its metadata, without any effect on it, and close it."""
    fd = os.open(name, _NODE, dir_fd=directory)
    try:
        yield fd
    finally:
        os.close(fd)


def handle(node: int) -> str:
    """Return a path that is the node itself, a symbolic link too; proc_pid_fd(5)."""
    return f"/proc/self/fd/{node}"


def identity(path: Path) -> str:
    """Return what names a file or directory alone on its file system, renamed or not."""
    status = os.lstat(path)
    if status.st_ino == SUBVOLUME and stat.S_ISDIR(status.st_mode):
        # Every subvolume's root has that number.
        fd = os.open(path, _DIRECTORY)
        try:
            return f"subvolume {subvolume_id(fd)}"
        except OSError:
            pass  # another file system
        finally:
            os.close(fd)
    return str(status.st_ino)


def open_file(node: int) -> int:
    """Open a regular file that was opened by :func:`node_at`, to read; its atime stays."""
    try:
        return os.open(handle(node), os.O_RDONLY | os.O_NOATIME)
    except PermissionError:  # O_NOATIME is for the owner and root
        return os.open(handle(node), os.O_RDONLY)


@frozen
class Metadata:
    """What a node has besides its data.

    :ivar mode: the permissions, 0 to 0o7777.
    :ivar atime_ns: nanoseconds since 1970, as `mtime_ns`.
    :ivar xattrs: extended attributes with their names, POSIX ACLs among them.
    :ivar all_xattrs: `xattrs` has all attributes of the node: no more than the kernel lists
        (64 KiB of names), and no more than :data:`MOST_XATTRS`.
    """

    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    xattrs: Mapping[str, bytes]
    all_xattrs: bool = True

    @classmethod
    def of(cls, node: int, status: os.stat_result) -> Metadata:
        """Read the metadata of an open node."""
        return cls(
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_atime_ns,
            status.st_mtime_ns,
            *read_xattrs(node),
        )

    def apply(self, node: int) -> bool:
        """Give an open node this metadata; return whether the file system can hold the mtime.

        :raises OSError: not all of it could be given.
        """
        path = handle(node)
        os.chown(path, self.uid, self.gid)
        # After chown, which takes setuid and capabilities away.
        if not stat.S_ISLNK(os.fstat(node).st_mode):
            os.chmod(path, self.mode)
        for name, value in self.xattrs.items():
            _set_xattr(path, name, value)
        os.utime(path, ns=(self.atime_ns, self.mtime_ns))
        # The kernel takes any time, and gives the nearest one that the file system can hold.
        return os.fstat(node).st_mtime_ns == self.mtime_ns


def read_xattrs(node: int) -> tuple[dict[str, bytes], bool]:
    """Return the extended attributes of an open node, and whether these are all of them."""
    path = handle(node)
    try:
        names = os.listxattr(path)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return {}, True
        if error.errno == errno.E2BIG:  # more names than the kernel lists
            return {}, False
        raise
    found: dict[str, bytes] = {}
    left = MOST_XATTRS
    for name in sorted(set(names) - _OWN):
        value = _get_xattr(path, name)
        if value is None:
            continue
        left -= len(name) + len(value)
        if left < 0:
            return found, False
        found[name] = value
    return found, True


def _get_xattr(path: str, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name)
    except OSError as error:
        if error.errno == errno.ENODATA:  # it went between the two calls
            return None
        raise


def _set_xattr(path: str, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if not name.startswith(_OPTIONAL):
            why = error.strerror
            if error.errno in (errno.ENOSPC, errno.E2BIG, errno.ERANGE):
                why = "this file system is full, or cannot hold so many attributes of one file"
            raise OSError(error.errno, f"attribute {quoted(name)}: {why}") from error


@frozen
class Node:
    """A node that the walk has come to.

    :ivar fd: open with ``O_PATH`` until the walk goes on.
    """

    parts: Parts
    fd: int
    status: os.stat_result
    kind: int = field(init=False)

    @kind.default
    def _kind(self) -> int:
        return stat.S_IFMT(self.status.st_mode)

    @property
    def inode(self) -> tuple[int, int]:
        """What hard links of one file share."""
        return self.status.st_dev, self.status.st_ino


def walk(top: int, vanished: list[Parts] | None = None) -> Iterator[Node]:
    """Yield a tree's nodes: the root, then what is in it; a directory before its content.

    A directory's other entries come right behind it, in the order of their names, and then
    its directories. What vanishes meanwhile is left out.

    :param top: the root, open with ``O_PATH``; a directory or anything else.
    :param vanished: what was left out is appended here.
    :raises VolumeError: a directory cannot be read, or lies deeper than :data:`DEEPEST`; the text
        names it.
    """
    status = os.fstat(top)
    if not stat.S_ISDIR(status.st_mode):
        yield Node((), top, status)
        return
    root = os.open(handle(top), os.O_RDONLY | os.O_DIRECTORY)
    try:
        pending: list[Parts] = [()]
        while pending:
            parts = pending.pop()
            with explained("reading directory", parts):
                try:
                    directory = open_below(root, parts)
                except OSError as error:
                    if not parts or error.errno not in GONE:
                        raise
                    _note(vanished, parts)
                    continue
                try:
                    names = sorted(os.listdir(directory))
                    yield Node(parts, directory, os.fstat(directory))
                    below = yield from _entries(directory, parts, names, vanished)
                finally:
                    os.close(directory)
            pending.extend(reversed(below))
    finally:
        os.close(root)


def _entries(
    directory: int, parts: Parts, names: list[str], vanished: list[Parts] | None
) -> Generator[Node, None, list[Parts]]:
    """Yield what is no directory; return the directories."""
    below: list[Parts] = []
    for name in names:
        try:
            fd = os.open(name, _NODE, dir_fd=directory)
        except FileNotFoundError:
            _note(vanished, (*parts, name))
            continue
        try:
            node = Node((*parts, name), fd, os.fstat(fd))
            if node.kind == stat.S_IFDIR:
                if len(node.parts) > DEEPEST:
                    raise VolumeError(
                        f"{shown(parts[:3])} has more than {DEEPEST} directories below each other: "
                        "it cannot be copied"
                    )
                below.append(node.parts)
            else:
                yield node
        finally:
            os.close(fd)
    return below


def _note(vanished: list[Parts] | None, parts: Parts) -> None:
    if vanished is not None:
        vanished.append(parts)
