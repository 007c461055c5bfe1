"""A gate before each file system: one that hangs takes a few threads, and none from the others."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

from attrs import define, field

from . import mounts, places

#: How many calls wait for one file system at once.
MOST = 4
#: After how many seconds without an answer further calls are refused: a disk that was asleep
#: takes up to 15 to spin up.
LIMIT = 20.0


class SilentError(OSError):
    """A file system has not answered for so long that no further call waits for it."""


@define(eq=False)
class Gate:
    """Lets calls that may hang pass, in the threads that make them.

    :ivar now: seconds that only grow.
    """

    now: Callable[[], float] = time.monotonic
    _changed: Condition = field(factory=Condition, init=False)
    #: When the calls in progress began, by the file system's mountpoint.
    _inside: dict[str, list[float]] = field(factory=dict, init=False)

    @contextmanager
    def passing(self, path: str) -> Iterator[None]:
        """Wait until few enough others wait for the file system of a path.

        :param path: absolute; only the kernel's list of mounts is asked about it.
        :raises SilentError: they wait for too long.
        """
        mount = mounts.around(path, mounts.here())
        key = mount.mountpoint if mount else path
        with self._changed:
            inside = self._inside.setdefault(key, [])
            while len(inside) >= MOST:
                waited = self.now() - min(inside)
                if waited > LIMIT:
                    text = f"{places.file_system(path)} has not answered for {waited:.0f} s"
                    raise SilentError(errno.ETIMEDOUT, text)
                self._changed.wait(1.0)
            began = self.now()
            inside.append(began)
        try:
            yield
        finally:
            with self._changed:
                inside.remove(began)
                self._changed.notify_all()
