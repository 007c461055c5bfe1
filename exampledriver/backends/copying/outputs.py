"""Files that appear whole: an archive has its name when all of it is there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ...volumes.errors import VolumeError
from ..durable import sync
from .staging import Stage
from .syscalls import UNSUPPORTED


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that gets its name, durably, when the context is left without an error.

    It has no name before (``O_TMPFILE``), so that no crash leaves a piece of it; where the file
    system cannot do that, it is made in a stage.

    :raises VolumeError: the name is taken.
    :raises OSError: it cannot be made.
    """
    try:
        fd = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except OSError as error:
        if error.errno not in (*UNSUPPORTED, errno.EISDIR):
            raise
        fd = -1
    if fd < 0:
        with _staged(path) as file:
            yield file
        return
    _check_free(path)
    with open(fd, "wb") as file:
        yield file
        file.flush()
        os.fsync(fd)
        try:
            # With a descriptor given, Python follows the link in /proc, as this must.
            os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
        except FileExistsError:
            raise _taken(path) from None
    sync(path.parent)


@contextmanager
def _staged(path: Path) -> Iterator[IO[bytes]]:
    _check_free(path)
    with Stage(path) as stage:
        with stage.content.open("xb") as file:
            yield file
        try:
            stage.publish()
        except FileExistsError:
            raise _taken(path) from None


def _check_free(path: Path) -> None:
    """Say at once what would be said at the end."""
    if os.path.lexists(path):
        raise _taken(path)


def _taken(path: Path) -> VolumeError:
    return VolumeError(f"{path} exists: give another file, or remove it first")
