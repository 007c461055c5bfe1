"""What twistd calls: the options of ``twistd exampledriver``, and its service."""

from __future__ import annotations

import signal

from twisted.application.service import IService

from .daemon import memory
from .daemon.steady import use_steady_clock
from .options import Options as Options


def makeService(options: Options) -> IService:
    """Make the daemon's service, or say in one line why not, and exit 1.

    It runs before twistd forks, so that whoever started the daemon reads the line.
    """
    from twisted.internet import reactor

    use_steady_clock(reactor)
    # Until the service runs nobody obeys these, and they would end the process. twistd's own
    # log file has a handler for SIGUSR1, which it sets only where there is none.
    for number in (signal.SIGHUP, signal.SIGUSR2, *((signal.SIGUSR1,) if options["log"] else ())):
        signal.signal(number, signal.SIG_IGN)
    with memory.loading():
        # What is imported here stays as well, and is a good part of a start.
        from .building import StartError, build
        from .daemon.listening import ListenError
        from .journal import JournalError

        try:
            return build(options, reactor)
        except (StartError, JournalError, ListenError, OSError, ValueError) as error:
            raise SystemExit(f"exampledriver: {error}") from None
