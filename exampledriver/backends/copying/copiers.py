"""How a kind of storage copies a volume's data; each volume has a copier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from attrs import define
from zope.interface import Interface, implementer

from .progress import Progress
from .staging import Stage
from .trees import Copied, copy_tree

#: What a copy is of its source: the same, when nobody was at work in it; all of it at one
#: moment, as after a power cut; or each file at a moment of its own.
EXACT, CRASH_CONSISTENT, FILE_BY_FILE = "exact", "crash-consistent", "file by file"
#: Each subvolume in it as it was at a moment of its own.
ONE_BY_ONE = "subvolume by subvolume"


class ICopier(Interface):
    """A way to copy the data of one volume. All methods block.

    What they make does not exist before, in a directory in which nobody else is, and a single
    rename can publish it. It need not be durable: the caller syncs the file system. What was
    made stays for the caller to clear when they raise VolumeError or OSError.
    """

    def copy(source: Path, target: Path, progress: Progress) -> Copied:
        """Make a copy that is only kept: a snapshot."""

    def clone(source: Path, target: Path, progress: Progress, new: bool) -> Copied:
        """Make the data of the volume, as its options are, of other data of its kind.

        :param new: it is another volume than the one that the data is of.
        """

    def reading(source: Path) -> AbstractContextManager[Path]:
        """Give the directory tree that is in the volume's data, or in a copy of it."""

    def filling(target: Path) -> AbstractContextManager[Path]:
        """Make new data of the volume, and give its empty directory to be filled."""

    def consistency(in_use: bool) -> str:
        """Say what a copy is that is made while its source is in use, or is not."""

    def consistency_read(in_use: bool) -> str:
        """Say what is read while the volume is in use, or is not."""


@implementer(ICopier)
@define(eq=False)
class TreeCopier:
    """Copies node by node, sharing data where the file system can: directories."""

    def copy(self, source: Path, target: Path, progress: Progress) -> Copied:
        """Copy a directory or a file."""
        return copy_tree(source, target, progress)

    def clone(self, source: Path, target: Path, progress: Progress, new: bool) -> Copied:
        """Copy a directory or a file."""
        return copy_tree(source, target, progress)

    @contextmanager
    def reading(self, source: Path) -> Iterator[Path]:
        """Give the directory."""
        yield source

    @contextmanager
    def filling(self, target: Path) -> Iterator[Path]:
        """Give the directory, which the first that is put there makes."""
        yield target

    def consistency(self, in_use: bool) -> str:
        """Say that a tree is read file by file."""
        return FILE_BY_FILE if in_use else EXACT

    def consistency_read(self, in_use: bool) -> str:
        """Say that a tree is read file by file."""
        return FILE_BY_FILE if in_use else EXACT


def duplicate(source: Path, final: Path, copier: ICopier, progress: Progress) -> Copied:
    """Make a volume's data of a copy of it, which appears whole and durable, or not at all.

    :raises FileExistsError: something is at `final`.
    :raises VolumeError: it could not be done.
    :raises OSError: it could not be done.
    """
    with Stage(final) as stage:
        copied: Copied = copier.clone(source, stage.content, progress, False)
        stage.publish(progress)
    return copied
