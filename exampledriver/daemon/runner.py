"""Who runs the daemon, and where its log goes.

``twistd`` has its own ``--logfile``, which rotates every megabyte and keeps every old
file, and ``twist`` begins its log by itself. Here each of them gets the daemon's own log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.components import Componentized

from .logs import LogOutput

#: Where twistd logs when it goes to the background and is told nothing.
_TWISTD_LOG = "twistd.log"


@frozen
class LogOptions:
    """What was asked of the log.

    :ivar file: the daemon's own ``--log-file``, or an empty text.
    :ivar format: ``text`` or ``json``.
    :ivar rotate_size: in bytes; 0 for never.
    :ivar keep: how many old files.
    :ivar hide: returns a text without the secrets in it; see :class:`.LogOutput`.
    """

    file: str
    format: str
    rotate_size: int
    keep: int
    hide: Callable[[str], str] | None = None

    def output(self, runner: Mapping[str, Any] | None) -> LogOutput | None:
        """Return the daemon's log, or ``None`` where the runner's own is as good.

        :param runner: the options of ``twistd`` or ``twist``, if it was run by one of them.
        :raises ValueError: what was asked for cannot go together.
        """
        path = self.file
        if runner is None or "nodaemon" not in runner:
            # An application file, or twist: they log to standard output unless told otherwise.
            if self.format != "text" and not path:
                raise ValueError(
                    f"--log-format={self.format} without --log-file: only twistd's exampledriver "
                    "command can have it on standard output"
                )
            return self._to(path) if path else None
        if runner.get("syslog") or runner.get("logger"):
            if path or self.format != "text":
                raise ValueError(
                    "--log-file or --log-format, and another log of twistd's own: give one of them"
                )
            return None
        if path and runner.get("logfile"):
            raise ValueError("--log-file, and twistd's --logfile: give one of them")
        path = path or runner.get("logfile") or ""
        if not path and not runner["nodaemon"]:
            path = _TWISTD_LOG
        if path == "-" and not runner["nodaemon"]:
            raise ValueError("--log-file=-: a process in the background has no standard output")
        return self._to("" if path == "-" else path)

    def _to(self, path: str) -> LogOutput:
        place = Path(path).absolute() if path else None
        return LogOutput(self.format, place, self.rotate_size, self.keep, self.hide)


def attach(output: LogOutput | None, runner: Mapping[str, Any] | None, application: object) -> None:
    """Let an application log to `output`, if there is one."""
    if output is None:
        return
    if runner is not None and "nodaemon" not in runner:
        # twist never asks the application.
        globalLogPublisher.addObserver(output)
    elif isinstance(application, Componentized):
        application.setComponent(ILogObserver, output)
