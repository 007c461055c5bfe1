"""Long work: how far it is, and how it is told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

from attrs import define, field

from ...volumes.errors import VolumeError


class StoppedError(VolumeError):
    """The work was told to stop; nothing of it is left."""


@define(eq=False)
class Progress:
    """What a piece of work has done so far. Written by its thread, read by anybody.

    :ivar report: called in the working thread, at most every `interval` seconds.
    :ivar stop: set it, and the work ends with :class:`StoppedError` within some MiB.
    :ivar files: what has been done, everything in a tree counted; no directories.
    :ivar size: bytes of data that have been handled, without holes.
    """

    report: Callable[[Progress], object] | None = None
    interval: float = 0.5
    stop: Event = field(factory=Event)
    files: int = field(default=0, init=False)
    size: int = field(default=0, init=False)
    _reported: float = field(factory=time.monotonic, init=False)

    def advance(self, files: int = 0, size: int = 0) -> None:
        """Count what was done, and see whether to go on.

        :raises StoppedError: the work was told to stop.
        """
        self.files += files
        self.size += size
        if self.stop.is_set():
            raise StoppedError(
                f"stopped after {self.files} files and {self.size} bytes; nothing of it is left"
            )
        if self.report is not None:
            now = time.monotonic()
            if now - self._reported >= self.interval:
                self._reported = now
                self.report(self)
