"""Copies of a tree: data, owners, times, attributes, hard links and holes.

Data is shared with the source where the file system can (FICLONE on XFS and Btrfs)
and copied where it cannot. A copy of a tree that somebody writes to meanwhile is no
moment of it: each file is as it was when it was reached, and what was seen to change
is counted.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from attrs import define, field, frozen

from ...volumes.errors import VolumeError
from ..mounts import mounts_inside, named
from .files import copy_apart, copy_data
from .nodes import (
    Metadata,
    NewTree,
    Node,
    Parts,
    explained,
    node_at,
    open_file,
    walk,
)
from .progress import Progress
from .warnings import ATTRIBUTES, CLAMPED, Warnings

REFLINK, COPY = "reflink", "copy"


@frozen
class Copied:
    """What a copy came to.

    :ivar method: ``reflink`` if all data is shared, ``copy``, or another copier's.
    :ivar files: how many nodes that are no directories; None if nobody counted.
    :ivar size: bytes of data, without holes where it was copied; None if nobody counted.
    :ivar changed: how many nodes were seen to change or vanish meanwhile; 0 is exact.
    :ivar warnings: sentences about what the copy lacks or could not keep.
    """

    method: str
    files: int | None
    size: int | None
    changed: int = 0
    warnings: tuple[str, ...] = ()

    def described(self) -> str:
        """Return a text for people."""
        counted = f"{self.files} files, " if self.files is not None else ""
        counted += f"{self.size} bytes, " if self.size is not None else ""
        changed = f", {self.changed} seen to change" if self.changed else ""
        return "; ".join([f"{counted}by {self.method}{changed}", *self.warnings])


def check_no_mounts(source: Path) -> None:
    """Refuse a tree in which something is mounted: its copy would not be the volume's data.

    :raises VolumeError: the text says where.
    """
    real = os.path.realpath(source)
    mounted = [path for path in mounts_inside(real) if path != real]
    if mounted:
        raise VolumeError(f"{named(mounted)} is mounted inside; unmount that, then try again")


def copy_tree(source: Path, target: Path, progress: Progress, apart: bool = False) -> Copied:
    """Copy a tree, or a single file; the copy is whole when this returns, and not yet durable.

    :param apart: share nothing, so that source and copy have room of their own.
    :param target: it does not exist, or is an empty directory; its parent exists and nobody
        else can write there.
    :raises VolumeError: something could not be copied; the text names it. What was
        copied stays for the caller to clear.
    :raises StoppedError: the work was told to stop.
    """
    check_no_mounts(source)
    with explained("opening", source.parts):
        top = os.open(source, os.O_PATH | os.O_NOFOLLOW)
    try:
        with explained("opening", target.parent.parts):
            parent = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            copier = _Copier(parent, target.name, progress, apart)
            try:
                return copier.copy(top)
            finally:
                copier.tree.close()
        finally:
            os.close(parent)
    finally:
        os.close(top)


@define(eq=False)
class _Copier:
    """One copy. A node's new place is a name in an open directory of the target."""

    parent: int
    name: str
    progress: Progress
    apart: bool
    tree: NewTree = field(factory=NewTree, init=False)
    _directories: list[tuple[Parts, Metadata]] = field(factory=list, init=False)
    #: Where the first name of a file with several is, and how many are still to come.
    _links: dict[tuple[int, int], tuple[Parts, int]] = field(factory=dict, init=False)
    _share: bool = field(default=True, init=False)
    _shared_all: bool = field(default=True, init=False)
    _changed: int = field(default=0, init=False)
    _warnings: Warnings = field(factory=Warnings, init=False)

    def copy(self, top: int) -> Copied:
        files, size = self.progress.files, self.progress.size
        vanished: list[Parts] = []
        for node in walk(top, vanished):
            with explained("copying", node.parts):
                if node.kind == stat.S_IFDIR:
                    self._make_directory(node)
                else:
                    self._copy_node(node)
        # Inside out, and last: what is made in a directory changes its times and obeys its ACL.
        for parts, metadata in reversed(self._directories):
            with explained("copying", parts), node_at(*self._place(parts)) as made:
                self._apply(metadata, made, parts)
            self.progress.advance()
        return Copied(
            REFLINK if self._shared_all else COPY,
            self.progress.files - files,
            self.progress.size - size,
            self._changed + len(vanished),
            self._warnings.texts(),
        )

    def _apply(self, metadata: Metadata, made: int, parts: Parts) -> None:
        if not metadata.apply(made):
            self._warnings.add(CLAMPED, parts)
        if not metadata.all_xattrs:
            self._warnings.add(ATTRIBUTES, parts)

    def _place(self, parts: Parts) -> tuple[int, str]:
        """Return the open directory in which a node of the target is, and its name there."""
        return (self.tree.directory(parts[:-1]), parts[-1]) if parts else (self.parent, self.name)

    def _make_directory(self, node: Node) -> None:
        directory, name = self._place(node.parts)
        if node.parts:
            os.mkdir(name, 0o700, dir_fd=directory)
        else:
            self.tree.begin(directory, name)
        self._directories.append((node.parts, Metadata.of(node.fd, node.status)))
        self.progress.advance()

    def _copy_node(self, node: Node) -> None:
        if node.status.st_nlink > 1 and self._link(node):
            self.progress.advance(files=1)
            return
        directory, name = self._place(node.parts)
        if node.kind == stat.S_IFREG:
            self._copy_file(node, directory, name)
        elif node.kind == stat.S_IFLNK:
            os.symlink(os.readlink("", dir_fd=node.fd), name, dir_fd=directory)
        else:
            os.mknod(name, node.kind | 0o600, node.status.st_rdev, dir_fd=directory)
        with node_at(directory, name) as made:
            self._apply(Metadata.of(node.fd, node.status), made, node.parts)
        self.progress.advance(files=1)

    def _copy_file(self, node: Node, directory: int, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        target = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            source = open_file(node.fd)
            try:
                before = os.fstat(source)
                if not self._copy_data(source, target, before.st_size):
                    # An empty file tells nothing of what the file system can.
                    self._shared_all &= before.st_size == 0
                    self._share &= before.st_size == 0
                self._changed += is_changed(before, os.fstat(source))
            finally:
                os.close(source)
        finally:
            os.close(target)

    def _copy_data(self, source: int, target: int, size: int) -> bool:
        if self.apart:
            copy_apart(source, target, size, self.progress)
            return False
        return copy_data(source, target, size, self.progress, self._share)

    def _link(self, node: Node) -> bool:
        """Make a further name of what was copied before; note the place of a first one."""
        known = self._links.get(node.inode)
        if known is None:
            self._links[node.inode] = node.parts, node.status.st_nlink - 1
            return False
        first, left = known
        self.tree.link(first, node.parts)
        if left > 1:
            self._links[node.inode] = first, left - 1
        else:
            del self._links[node.inode]
        return True


def is_changed(before: os.stat_result, after: os.stat_result) -> bool:
    """Tell whether a file was written to between two looks."""
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) != (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
