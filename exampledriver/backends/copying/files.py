"""The data of files: their holes, and how bytes get from one to another."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from .progress import Progress
from .syscalls import UNSUPPORTED, reflink

#: How many bytes are moved before a stop is looked for.
CHUNK = 8 << 20
#: What says that two files cannot share data; one of them, or the whole file system.
_NO_REFLINK = (*UNSUPPORTED, errno.EXDEV, errno.EPERM, errno.EBADF, errno.ETXTBSY)
_NO_COPY_RANGE = (*UNSUPPORTED, errno.EXDEV, errno.EPERM, errno.EBADF)


def segments(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of what is not a hole, in the first `size` bytes of a file."""
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole
                return
            if error.errno not in UNSUPPORTED:
                raise
            start, end = position, size
        if start >= size:
            return
        end = min(end, size)
        yield start, end - start
        position = end


def copy_data(source: int, target: int, size: int, progress: Progress, share: bool) -> bool:
    """Copy the first `size` bytes of a file to an empty one, holes as holes.

    :param share: try to share the data instead.
    :return: whether the data is shared; then it is the whole file, at one moment.
    :raises OSError: reading or writing failed.
    :raises StoppedError: the work was told to stop.
    """
    if share:
        try:
            reflink(source, target)
        except OSError as error:
            if error.errno not in _NO_REFLINK:
                raise
        else:
            progress.advance(size=size)
            return True
    os.ftruncate(target, size)
    for start, length in segments(source, size):
        _copy_range(source, target, start, length, progress)
    return False


def copy_apart(source: int, target: int, size: int, progress: Progress) -> None:
    """Copy as :func:`copy_data`, and share nothing, which some file systems do by themselves."""
    os.ftruncate(target, size)
    for start, length in segments(source, size):
        _copy_range(source, target, start, length, progress, in_kernel=False)


def _copy_range(
    source: int, target: int, start: int, length: int, progress: Progress, in_kernel: bool = True
) -> None:
    while length > 0:
        count = min(length, CHUNK)
        done = 0
        if in_kernel:
            try:
                done = os.copy_file_range(source, target, count, start, start)
            except OSError as error:
                if error.errno not in _NO_COPY_RANGE:
                    raise
        if done == 0:  # not here, or the file has become shorter
            in_kernel = False
            data = os.pread(source, min(count, 1 << 20), start)
            if not data:
                return
            write_all(target, data, start)
            done = len(data)
        start += done
        length -= done
        progress.advance(size=done)


def write_all(fd: int, data: bytes | memoryview, start: int) -> None:
    """Write all of `data` at a position of a file."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, start)
        view, start = view[done:], start + done
