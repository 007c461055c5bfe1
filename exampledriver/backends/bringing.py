"""Bringing a directory of the host into the root, where it becomes a volume's."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from threading import Event

import msgspec

from ..volumes.errors import BusyError, VolumeError, brief, quoted
from .copying import placing
from .copying.copiers import TreeCopier
from .copying.progress import Progress
from .copying.trees import Copied
from .durable import sync
from .explaining import described
from .mounts import holders, mount_id, mounts_inside, named
from .trash import Trash


def check_source(name: str, path: str, root: str, move: bool) -> str:
    """Return the real path of a directory that is to become the volume `name`.

    :param move: it is to be renamed into `root`, not copied.
    :raises VolumeError: it is none, or somebody uses it, or it cannot be renamed.
    """
    try:
        real = os.path.realpath(path, strict=True)
    except OSError as error:
        raise VolumeError(f"volume {quoted(name)}: {brief(path)}: {error.strerror}") from None
    if not os.path.isdir(real):
        raise VolumeError(f"volume {quoted(name)}: {brief(path)} is not a directory")
    found = holders(real)
    if found:
        raise BusyError(
            f"volume {quoted(name)}: {brief(path)} is in use by {described(found)}; stop the "
            "containers that use it first: what is written meanwhile would be torn"
        )
    inside = mounts_inside(real)
    if inside:
        raise BusyError(
            f"volume {quoted(name)}: {named(inside)} is mounted in {brief(path)}; unmount that "
            "first"
        )
    if move and _mount_id(real) != _mount_id(root):
        raise VolumeError(
            f"volume {quoted(name)}: {brief(path)} is on another file system or mount than "
            f"{root}: copy it"
        )
    return real


def _mount_id(path: str) -> bytes:
    """Return the number of the mount that a path lies in: only within one can be renamed."""
    fd = os.open(path, os.O_PATH)
    try:
        return mount_id(fd)
    finally:
        os.close(fd)


def move(name: str, source: str, target: str) -> None:
    """Rename a directory, durably.

    :param source: real and absolute; see :func:`check_source`.
    :raises VolumeError: something is at `target`, or it cannot be renamed; it is where it was.
    """
    _check_free(name, target)
    try:
        os.rename(source, target)
        for path in (target, source):
            sync(os.path.dirname(path))
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno == errno.EXDEV:
            why = "it is on another file system or mount than the root: copy it"
        raise VolumeError(
            f"volume {quoted(name)}: moving {brief(source)} to {target}: {why}"
        ) from error


def copy(name: str, source: str, target: str, trash: Trash, stop: Event) -> None:
    """Copy a directory with all that belongs to it, durably, and in one step for who looks.

    What is kept, and where data is shared, is :func:`.copying.trees.copy_tree`'s. What a crash
    left before the volume was known goes to the trash: see :mod:`.copying.placing`. Call
    :func:`forget_copy` when it is.

    :param stop: set it, and the copy ends.
    :raises VolumeError: something is at `target`, or it cannot be copied; nothing is left.
    """
    copier, progress = TreeCopier(), Progress(stop=stop)

    def fill(content: Path, scratch: Path) -> Copied:
        return copier.copy(Path(source), content, progress)

    about = {"name": name, "backend": "directory", "created": "", "options": {}}
    try:
        placing.place(name, Path(target), fill, msgspec.json.encode(about), trash, progress)
    except (OSError, VolumeError) as error:
        raise VolumeError(
            f"volume {quoted(name)}: copying {brief(source)} to {target}: {error}"
        ) from error


def forget_copy(target: str) -> None:
    """Take note that the volume of a :func:`copy` is known."""
    with suppress(OSError):  # the next start does it
        placing.forget(Path(target))


def delete_copy(target: str) -> None:
    """Delete what :func:`copy` has made, as far as that can be done."""
    with suppress(OSError):
        placing.take_back(Path(target))


def _check_free(name: str, target: str) -> None:
    if os.path.lexists(target):
        raise VolumeError(
            f"volume {quoted(name)}: {target} is in the way and belongs to no volume: move it "
            "away, or give another name"
        )
