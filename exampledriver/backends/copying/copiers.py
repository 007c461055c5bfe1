"""How a kind of storage copies a volume's data; each kind has a copier."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define
from zope.interface import Interface, implementer

from .progress import Progress
from .staging import Stage, remove_tree
from .trees import Copied, copy_tree

#: What a copy is of its source: all of it at one moment when nobody was at work in it; each
#: file at a moment of its own.
EXACT, FILE_BY_FILE = "exact", "file by file"


class ICopier(Interface):
    """A way to copy a volume's data. All methods block."""

    def copy(source: Path, target: Path, progress: Progress) -> Copied:
        """Copy what is at `source`; `target` does not exist, its parent does.

        A single rename can publish the target. It need not be durable yet: the caller syncs
        the file system.

        :raises VolumeError: it could not be done; what was made stays for :meth:`remove`.
        """

    def remove(path: Path) -> None:
        """Delete a tree, of this copier or plain, or one in which such are; a missing one too."""

    def identity(path: Path) -> str:
        """Return what names the directory at `path` alone on its file system, renamed or not."""

    def consistency(in_use: bool) -> str:
        """Say what a copy is that is made while its source is in use, or is not."""


@implementer(ICopier)
@define(eq=False)
class TreeCopier:
    """Copies node by node, sharing data where the file system can: any kind of storage."""

    def copy(self, source: Path, target: Path, progress: Progress) -> Copied:
        """Copy a directory or a file."""
        return copy_tree(source, target, progress)

    def remove(self, path: Path) -> None:
        """Delete a tree."""
        remove_tree(path)

    def identity(self, path: Path) -> str:
        """Return the inode's number."""
        return str(os.lstat(path).st_ino)

    def consistency(self, in_use: bool) -> str:
        """Say that a tree is read file by file."""
        return FILE_BY_FILE if in_use else EXACT


def duplicate(source: Path, final: Path, copier: ICopier, progress: Progress) -> Copied:
    """Copy a volume's data to a new place, which appears whole and durable, or not at all.

    :raises FileExistsError: something is at `final`.
    :raises VolumeError: it could not be done.
    :raises OSError: it could not be done.
    """
    with Stage(final, copier.remove) as stage:
        copied = copier.copy(source, stage.content, progress)
        stage.publish()
    return copied
