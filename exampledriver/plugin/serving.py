"""A plugin as a service and as a program, with what makes the daemon a good process.

Sockets are 0600 unless asked otherwise and replace dead ones; a spec file is there only while
engines are served; a stop answers what has begun. All of it is ``exampledriver.daemon``'s.
This is the helper's only module that imports anything of the package beside it, and nothing
imports this one until a plugin is served.
"""

from __future__ import annotations

import argparse
import signal
import sys
from asyncio.events import _get_running_loop
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger, globalLogBeginner

from ..daemon.discovery import announced
from ..daemon.listening import ListenError, UnixEndpoint, check_distinct, endpoint_words
from ..daemon.logs import FORMATS, LogOutput
from ..daemon.remote import TlsEndpoint
from ..daemon.service import CannotStart, DaemonService, Step
from ..daemon.signals import Signals
from ..daemon.steady import use_steady_clock
from ..daemon.systemd import Notifier, SystemdEndpoint
from .app import check_reactor
from .errors import named
from .redaction import hidden_line
from .site import PluginSite

if TYPE_CHECKING:
    from .app import Plugin
    from .streaming import Streams

_log = Logger()

#: Seconds in which a request that is on its way at a stop still arrives.
LINGER = 0.3
#: Where engines look for sockets.
SOCKETS = "/run/docker/plugins"
#: The directories in which engines look for sockets and spec files.
ENGINES = (SOCKETS, "/var/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins")

PluginService: TypeAlias = DaemonService


@define(eq=False)
class _Server:
    """A site whose streams end when it is drained: nothing else ends one that follows a log."""

    site: PluginSite
    streams: Streams | None

    def drain(self) -> Deferred[None]:
        """End streams, and close connections as they become idle."""
        if self.streams is not None:
            self.streams.end()
        return self.site.drain()

    def abort(self) -> int:
        """Close all connections at once; return how many there were."""
        return self.site.abort()


def parse_endpoint(text: str) -> UnixEndpoint | SystemdEndpoint | TlsEndpoint:
    """Read ``unix:PATH[:mode=OCTAL]``, ``systemd:``, or ``ssl:`` with mutual TLS.

    :raises ValueError: it is none of these, or PATH is not absolute.
    """
    kind, *words = endpoint_words(text)
    if kind == "tcp":
        raise ValueError(
            f"{text}: tcp: is not offered: every user who can open the port would be as good as "
            "root; listen on unix:PATH, or on ssl: with the CA of its clients"
        )
    if kind == "ssl":
        return TlsEndpoint.parse(text)
    if kind == "systemd":
        return SystemdEndpoint.parse(text)
    if kind == "unix" and words and not words[0].removeprefix("address=").startswith("/"):
        raise ValueError(
            f"{text}: the path is relative; give an absolute one, such as unix:{SOCKETS}/NAME.sock"
        )
    return UnixEndpoint.parse(text)


def _check_place(what: str, directory: Path) -> None:
    """Go on if a directory is there, or is one of the engines', which are made.

    :raises ListenError: a mistyped path would be made.
    """
    if not directory.is_dir() and str(directory) not in ENGINES:
        raise ListenError(
            f"{what}: {directory} is no directory: correct it, or make it; only those of "
            f"engines are made here: {', '.join(ENGINES)}"
        )


@frozen
class _Words:
    """What texts call what they were given: the parameters, or the command line's options."""

    listen: str = "endpoints: "
    spec_dir: str = "spec_dir: "


def _targets(
    plugin: Plugin, endpoints: Sequence[str], spec_dir: str | Path | None, words: _Words
) -> list[Any]:
    """Return what is listened on.

    :raises ValueError: an endpoint is none, or is given twice, or a path is relative.
    :raises ListenError: a directory is not there, or a spec cannot be written.
    """
    texts = endpoints or [f"unix:{SOCKETS}/{plugin.name}.sock"]
    try:
        targets: list[Any] = [parse_endpoint(text) for text in texts]
        check_distinct(targets)
    except ValueError as error:
        raise ValueError(f"{words.listen}{error}") from None
    for text, target in zip(texts, targets, strict=True):
        if isinstance(target, UnixEndpoint):
            _check_place(f"{words.listen}{text}", target.path.parent)
    if spec_dir is not None:
        directory = Path(spec_dir)
        if not directory.is_absolute():
            raise ValueError(
                f"{words.spec_dir}{spec_dir}: the path is relative; give an absolute one, such as "
                "/etc/docker/plugins"
            )
        _check_place(f"{words.spec_dir}{spec_dir}", directory)
        targets = announced(directory, plugin.name, targets)
    return targets


def _check_types(endpoints: object, spec_dir: object, **steps: object) -> None:
    """Go on if what :func:`make_service` was given has the right types.

    :raises TypeError: it has not.
    """
    for endpoint in _each(endpoints):
        if not isinstance(endpoint, str):
            path = endpoint if isinstance(endpoint, Path) else f"{SOCKETS}/NAME.sock"
            raise TypeError(
                f"endpoints: {endpoint!r} is {named(endpoint)}; a str is expected, such as "
                f"'unix:{path}', or a list of them"
            )
    if not isinstance(spec_dir, (str, Path, NoneType)):
        raise TypeError(f"spec_dir: {spec_dir!r} is {named(spec_dir)}; a str or Path is expected")
    for name, given in steps.items():
        for step in _each(given):
            match step:
                case (str(), function) if callable(function):
                    continue
            raise TypeError(
                f"{name}: {step!r} is no step: a list of pairs is expected, each of what the log "
                "calls it and a function, such as ('closing the database', database.close)"
            )


def _each(given: object) -> Iterable[object]:
    """Return what is in a list; what is none, as the only one in it."""
    many = isinstance(given, Sequence) and not isinstance(given, (str, bytes))
    return cast("Sequence[object]", given) if many else [given]


def make_service(
    plugin: Plugin,
    reactor: Any,
    endpoints: str | Sequence[str] = (),
    *,
    spec_dir: str | Path | None = None,
    finish: Sequence[Step] = (),
    close: Sequence[Step] = (),
    signals: bool = True,
) -> DaemonService:
    """Return a service that listens, and stops in order; put it into an application, or start it.

    :param endpoints: where to listen, one or more; by default ``/run/docker/plugins/NAME.sock``.
        Paths are absolute. The directories of :data:`ENGINES` are made, others have to be there.
    :param spec_dir: write ``NAME.spec`` (or ``NAME.json``, with TLS) there while it listens.
    :param finish: what a stop waits for after the last answer: pairs of a name for the log, such
        as ``"closing the database"``, and a function.
    :param close: what a stop closes then, whatever has happened, in this order; such pairs too.
    :param signals: let a second SIGTERM hurry a stop, and SIGHUP and the SIGUSRs do nothing;
        not for a service that is a part of another program.
    :raises TypeError: something given is of the wrong type.
    :raises ValueError: an endpoint is none.
    :raises ListenError: an endpoint cannot be listened on.
    """
    check_reactor(reactor)
    _check_types(endpoints, spec_dir, finish=finish, close=close)
    texts = [endpoints] if isinstance(endpoints, str) and endpoints else endpoints
    targets = _targets(plugin, texts, spec_dir, _Words())
    return _service(plugin, reactor, targets, finish, close, signals)


def _service(
    plugin: Plugin,
    reactor: Any,
    targets: Sequence[Any],
    finish: Sequence[Step] = (),
    close: Sequence[Step] = (),
    signals: bool = True,
) -> DaemonService:
    for target in targets:
        target.check()
    site = plugin.make_site(reactor)
    site.linger = LINGER

    def state() -> str:
        return f"{plugin.wire.pending} changes under way, {len(site.channels)} connections"

    service = DaemonService(
        reactor,
        targets,
        site,
        _Server(site, plugin.wire.streams),
        before=[],
        finish=[("ending changes whose clients are gone", plugin.wire.when_idle), *finish],
        close=close,
        observers=[Notifier(reactor, state)],
        called=plugin.name,
    )
    if signals:

        def tell() -> None:
            _log.info("{state}", state=state())

        service.before = [Signals(reactor, dict.fromkeys(_TOLD, tell), service.hurry).install]
    return service


#: These would end the process; here they make it say how it is doing.
_TOLD: Sequence[int] = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def _options(plugin: Plugin, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"The Docker plugin {plugin.name}.")
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="ENDPOINT",
        help=f"unix:PATH[:mode=OCTAL], systemd: or ssl:…; may be repeated "
        f"[default: unix:{SOCKETS}/{plugin.name}.sock]",
    )
    parser.add_argument(
        "--spec-dir", metavar="DIR", help="write a spec file for engines there while it serves"
    )
    parser.add_argument("--log-format", choices=FORMATS, default="text")
    return parser.parse_args(argv)


def _install_asyncio(name: str) -> None:
    """Install the asyncio reactor, unless it is there.

    :raises SystemExit: another one is there.
    """
    from twisted.internet import asyncioreactor
    from twisted.internet.error import ReactorAlreadyInstalledError

    try:
        asyncioreactor.install()
    except ReactorAlreadyInstalledError:
        from twisted.internet import reactor

        if not isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
            raise SystemExit(
                f"{name}: something has imported twisted.internet.reactor, so that the asyncio "
                "reactor comes too late: import it inside the functions that need it"
            ) from None


def run(plugin: Plugin, argv: Sequence[str] | None = None, *, asyncio: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C, log to standard output, and exit.

    The exit status is 1 if it could not start, or a stop had to cut something.

    :param argv: options, in place of the command line's.
    :param asyncio: use Twisted's asyncio reactor, for drivers that await asyncio's futures.
    :raises SystemExit: always.
    """
    options = _options(plugin, argv)
    if _get_running_loop() is not None:
        raise SystemExit(
            f"{plugin.name}: run() is called while asyncio's loop turns: call it from a function "
            "that is no coroutine; with asyncio=True it turns the loop itself"
        )
    if asyncio:
        _install_asyncio(plugin.name)
    from twisted.internet import reactor

    use_steady_clock(reactor)
    output = LogOutput(options.log_format, None, 0, 1, hidden_line)
    output.open()
    globalLogBeginner.beginLoggingTo([output], redirectStandardIO=False)
    turning: Any = reactor
    for number in (signal.SIGTERM, signal.SIGINT):
        # From the socket on until the reactor runs, which then has handlers of its own.
        signal.signal(number, lambda *_: turning.callWhenRunning(turning.stop))
    try:
        words = _Words("--listen=", "--spec-dir=")
        service = _service(
            plugin, reactor, _targets(plugin, options.listen, options.spec_dir, words)
        )
        # Here, not in the reactor: what cannot listen must not run.
        service.startService()
    except (ListenError, ValueError, OSError) as error:
        raise SystemExit(f"{plugin.name}: {error}") from None
    turning.addSystemEventTrigger("before", "shutdown", service.stopService)
    turning.run()
    sys.exit(0 if service.complete else 1)


__all__ = ["CannotStart", "PluginService", "make_service", "parse_endpoint", "run"]
