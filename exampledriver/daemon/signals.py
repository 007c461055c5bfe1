"""Signals: what each one means to the daemon, in the foreground or not, under any runner.

Left alone, SIGHUP, SIGUSR1 and SIGUSR2 end a process. The handlers are set before the
reactor runs and wait for it; SIGTERM and SIGINT are taken over from the reactor once it
does, so that a second one is heard and the exit status is the daemon's own.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from attrs import define, field
from twisted.logger import Logger

_log = Logger()

#: The exit status of a stop that had to cut something.
INCOMPLETE = 1


@define(eq=False)
class Signals:
    """The daemon's answer to signals.

    :ivar reactor: runs the actions, and is stopped by SIGTERM and SIGINT.
    :ivar actions: what a signal makes happen, in the reactor.
    :ivar hurry: called by SIGTERM and SIGINT from the second one on.
    """

    reactor: Any
    actions: Mapping[int, Callable[[], object]]
    hurry: Callable[[], object]
    _stopping: bool = field(default=False, init=False)

    def install(self) -> None:
        """Set the handlers."""
        for number, action in self.actions.items():
            self._handle(number, self._logged(number, action), signal.getsignal(number))
        self.reactor.callWhenRunning(self._take_over)

    def _take_over(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handle(number, self._stop)

    def _handle(self, number: int, action: Callable[[], object], before: Any = None) -> None:
        def handler(_: int, frame: FrameType | None) -> None:
            self.reactor.callFromThread(action)
            # twistd's own log file, run from an application file, rotates by a handler.
            if callable(before):
                before(number, frame)

        signal.signal(number, handler)

    def _logged(self, number: int, action: Callable[[], object]) -> Callable[[], object]:
        name = signal.Signals(number).name

        def run() -> None:
            try:
                action()
            except OSError as error:
                _log.error(
                    "{signal}: {path}: {why}; nothing has changed",
                    signal=name,
                    path=error.filename,
                    why=error.strerror,
                )
            except Exception:
                _log.failure("{signal} could not be obeyed", signal=name)

        return run

    def _stop(self) -> None:
        if self._stopping:
            self.hurry()
            return
        self._stopping = True
        self.reactor.stop()


def exit_with(complete: Callable[[], bool]) -> None:
    """Let the process's exit status say whether its last stop was complete.

    twistd decides the status without asking anybody; this is said at the very end, when
    all else has been closed.
    """

    def end() -> None:
        if not complete():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INCOMPLETE)

    atexit.register(end)
