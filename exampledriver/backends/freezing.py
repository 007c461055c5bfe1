"""Holding a mounted file system still while it is copied: FIFREEZE and FITHAW, as fsfreeze(8) does.

While it is frozen everything is on its device, reads go on, and writes wait. Whoever freezes
thaws; a process that is killed does not, so its successor does (:func:`thaw`).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..volumes.errors import BusyError, VolumeError

#: The numbers are the same on x86, ARM and RISC-V.
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878

#: What this process has frozen.
_here: set[str] = set()


@contextmanager
def frozen(place: str) -> Iterator[None]:
    """Freeze the file system that is mounted at a place, and thaw it whatever happens.

    It is seen that one is mounted there: the one around it has the copy, and the daemon's own
    files, and whoever freezes that waits for himself.

    :param place: absolute.
    :raises BusyError: somebody else has frozen it.
    :raises VolumeError: nothing is mounted there, or somebody else has thawed it meanwhile.
    :raises OSError: it cannot be frozen.
    """
    # As long as this is open it is not unmounted.
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.fstat(fd).st_dev == os.stat(os.path.dirname(place)).st_dev:
            raise VolumeError(f"{place} was unmounted by somebody else: try again")
        try:
            fcntl.ioctl(fd, _FIFREEZE, 0)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise OSError(error.errno, f"freezing: {error.strerror}", place) from error
            raise BusyError(
                f'{place} is frozen already, by somebody else: "fsfreeze --unfreeze {place}" ends '
                "that"
            ) from None
        _here.add(place)
        try:
            yield
        finally:
            _here.discard(place)
            with _torn(place):
                fcntl.ioctl(fd, _FITHAW, 0)
    finally:
        os.close(fd)


@contextmanager
def _torn(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise VolumeError(
            f"{place} was thawed by somebody else while it was copied: the copy is torn"
        ) from error


def thaw(place: str) -> bool:
    """Thaw what a killed process may have left frozen; return whether it was."""
    with suppress(OSError):
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _FITHAW, 0)
            return True
        finally:
            os.close(fd)
    return False


def thaw_all() -> None:
    """Thaw what this process, which ends, still has frozen: those copies are undone."""
    for place in list(_here):
        thaw(place)
