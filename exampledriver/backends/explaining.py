"""Errors of the file system and of programs, made into ones that say what was being done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..volumes.errors import VolumeError, advice, brief, quoted
from ..volumes.model import StoredVolume
from .commands import CommandError
from .mounts import Holder


@contextmanager
def explained(
    volume: StoredVolume, doing: str, advise: Callable[[OSError], str] = advice
) -> Iterator[None]:
    """Turn an error into one that names the volume and says what was being done.

    :param doing: to the volume's mountpoint, unless it names a path.
    :param advise: returns what to do about an error; without an answer, see :func:`.errors.advice`.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        denied = isinstance(error, PermissionError) and os.geteuid() != 0
        hint = (
            "; the daemon needs to be root for that" if denied else advise(error) or advice(error)
        )
        what = doing if "/" in doing else f"{doing} {brief(volume.mountpoint)}"
        raise VolumeError(f"volume {quoted(volume.name)}: {what}: {why}{hint}") from error
    except CommandError as error:
        why = str(error)
        if error.late:
            why = f"{error.program} has not ended in time{': ' if error.words else ''}{error.words}"
        raise VolumeError(f"volume {quoted(volume.name)}: {doing}: {why}") from error


def described(found: Sequence[Holder]) -> str:
    """Return who holds a volume, for people."""
    shown = "; ".join(holder.describe() for holder in found[:5])
    return shown + (f"; and {len(found) - 5} more" if len(found) > 5 else "")


def failures(
    work: Callable[[StoredVolume], None], volumes: Iterable[StoredVolume]
) -> dict[str, str]:
    """Do some work on each volume; return the names of those that failed, and why."""
    tried = ((volume.name, _why_not(work, volume)) for volume in volumes)
    return {name: why for name, why in tried if why}


def _why_not(work: Callable[[StoredVolume], None], volume: StoredVolume) -> str:
    try:
        work(volume)
    except VolumeError as error:
        return str(error)
    return ""
