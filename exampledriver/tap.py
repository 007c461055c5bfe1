"""Where the parts are put together: the options of ``twistd exampledriver`` and its service."""

from __future__ import annotations

import os
import re
import signal
import stat
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python import usage

from .admin import AdminServer
from .backends.btrfs import BTRFS, BtrfsBackend
from .backends.directory import DirectoryBackend
from .backends.durable import make_directory, make_parents
from .backends.image import IMAGE, ImageBackend
from .backends.measuring import measure
from .backends.mount import MountBackend
from .backends.mounts import inside
from .backends.registry import Backends
from .backends.sharing import MOUNT
from .backends.tmpfs import TMPFS, TmpfsBackend
from .backends.trash import Trash
from .configuration import Configuration, load
from .daemon import memory
from .daemon.apart import Apart, Together
from .daemon.discovery import Announced, announced
from .daemon.listening import ListenError, UnixEndpoint
from .daemon.logs import FORMATS, LogOutput, parse_size
from .daemon.remote import TcpEndpoint, TlsEndpoint
from .daemon.runner import LogOptions, attach
from .daemon.service import DaemonService
from .daemon.signals import Signals, exit_with
from .daemon.systemd import Notifier, SystemdEndpoint
from .daemon.threads import DaemonThreads
from .journal import Journal, JournalError, Lock, open_journal
from .plugin import Plugin
from .settings import DEFAULTS, admin_socket, check_driver_name, parse_retention
from .volumes.administration import Administration
from .volumes.copies import Copies
from .volumes.health import HealthChecks, Threads
from .volumes.ledger import MountLedger
from .volumes.model import DIRECTORY, StoredVolume, Wanted
from .volumes.packed import Packer
from .volumes.purge import TrashPurger
from .volumes.removed import RemovedVolumes
from .volumes.scheduling import Scheduler
from .volumes.service import VolumeService
from .volumes.usage import MOST_HANGING, Usages
from .volumes.waiting import Waits

_log = Logger()

CheckedEndpoint = UnixEndpoint | SystemdEndpoint | TcpEndpoint | TlsEndpoint

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Threads for changes: so many volumes can hang before another one waits.
CHANGE_THREADS = 64
#: Threads for changes of volumes that are no directories, apart: programs are run for those, and
#: when all of their servers are dead, other volumes do not wait.
MOUNT_THREADS = 64
#: Threads for snapshots, rollbacks and archives, apart: they take long.
COPY_THREADS = 4
#: Seconds in which a request that is on its way at a stop still arrives.
LINGER = 0.3
#: Threads for looking at volumes, apart: a hanging look delays no change.
LOOK_THREADS = 8


class StartError(Exception):
    """The daemon cannot start; the text is one line that says why and what to do."""


class Options(usage.Options):
    """The options of ``twistd exampledriver``."""

    longdesc = "A volume plugin for Docker Engine and Podman that never loses a volume."

    optParameters: ClassVar[Sequence[Sequence[object]]] = [
        [
            "name",
            None,
            DEFAULTS["name"],
            "The driver's name for engines (docker volume create -d).",
        ],
        ["root", None, DEFAULTS["root"], "Where volumes live, as DIR/VOLUME."],
        ["state", None, DEFAULTS["state"], "Where the journal is."],
        ["runtime", None, DEFAULTS["runtime"], "Where mounts are counted; dies with the boot."],
        ["admin", None, None, "The admin's socket, or none [default: admin.sock in runtime]."],
        [
            "trash-retention",
            None,
            DEFAULTS["trash-retention"],
            "How long removed volumes are kept: a number of s, m, h or d; 0; or forever.",
        ],
        ["config", None, None, "A file that says which backends there are, and their defaults."],
        ["log-file", None, "", "Where to log; - and the default are standard output."],
        ["log-format", None, "text", "text for people, or json: one object a line."],
        ["log-rotate-size", None, "10M", "At which size a log file is rotated; 0 for never."],
        ["log-keep", None, "10", "How many rotated log files are kept."],
        ["spec-dir", None, None, "Write NAME.spec, or NAME.json with ssl:, there for engines."],
        ["spec-host", None, None, "How engines reach ssl: [default: its interface]."],
        ["spec-ca-file", None, None, "The server's CA, for engines [default: caCert of ssl:]."],
        ["spec-cert-file", None, None, "The engine's certificate [default: cert.pem beside it]."],
        ["spec-key-file", None, None, "The engine's key [default: key.pem beside it]."],
    ]

    optFlags: ClassVar[Sequence[Sequence[object]]] = [
        ["insecure-tcp", None, "Let tcp: listen on loopback, in the clear."],
        ["root-only", None, "Refuse -o mountpoint=: all volumes live below the root."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Where to listen, as a Twisted server endpoint string; may be repeated.

        [default: unix:/run/docker/plugins/NAME.sock]
        """
        self["listen"].append(endpoint)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line; a mistake in it is one line and exit status 1."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"exampledriver: {error}") from None

    def postOptions(self) -> None:
        """Judge the values."""
        listen = self["listen"] or [f"unix:/run/docker/plugins/{self['name']}.sock"]
        try:
            check_driver_name(self["name"])
            self["endpoints"] = [_endpoint(text, bool(self["insecure-tcp"])) for text in listen]
            self["retention"] = parse_retention(self["trash-retention"])
            self["log"] = self._log_options().output(self.parent)
            config = self["config"]
            self["configuration"] = load(Path(config)) if config else Configuration()
        except ValueError as error:
            raise usage.UsageError(str(error)) from None
        self["admin_endpoint"] = _admin_endpoint(self["admin"], self["runtime"])
        also = [self["admin_endpoint"]] if self["admin_endpoint"] else []
        _check_distinct([*self["endpoints"], *also])
        for option in ("root", "state", "runtime"):
            # twistd changes its directory: a relative path is meant from here.
            self[option + "_path"] = Path(os.path.realpath(self[option]))
        _check_apart(self["root_path"], self["state_path"], self["runtime_path"])

    def _log_options(self) -> LogOptions:
        if self["log-format"] not in FORMATS:
            raise ValueError(f"--log-format={self['log-format']}: give text or json")
        keep = self["log-keep"]
        if not re.fullmatch("[1-9][0-9]{0,3}", keep):
            raise ValueError(f"--log-keep={keep}: give a number from 1 to 9999")
        size = parse_size(self["log-rotate-size"])
        return LogOptions(self["log-file"], self["log-format"], size, int(keep))


def _endpoint(text: str, insecure: bool) -> CheckedEndpoint:
    kind = text.partition(":")[0]
    if kind == "tcp":
        return TcpEndpoint.parse(text, insecure)
    if kind == "ssl":
        return TlsEndpoint.parse(text)
    return SystemdEndpoint.parse(text) if kind == "systemd" else UnixEndpoint.parse(text)


def _admin_endpoint(given: str | None, runtime: str) -> UnixEndpoint | None:
    if given == "none":
        return None
    path = Path(os.path.abspath(given)) if given else admin_socket(os.path.realpath(runtime))
    endpoint = UnixEndpoint(path)
    try:
        endpoint.check_path()
    except ValueError as error:
        raise usage.UsageError(f"--admin={path}: {error}, or give none") from None
    return endpoint


def _endpoints(options: Options) -> list[CheckedEndpoint | Announced]:
    """Return the endpoints; with ``--spec-dir``, engines are told of one of them."""
    words = ("spec-dir", "spec-ca-file", "spec-cert-file", "spec-key-file")
    paths = [Path(os.path.abspath(options[word])) if options[word] else None for word in words]
    directory, *files = paths
    if directory is not None:
        name, host = options["name"], options["spec-host"]
        return announced(directory, name, options["endpoints"], host, *files)
    for word in (*words[1:], "spec-host"):
        if options[word]:
            raise StartError(f"--{word}={options[word]} is of no use without --spec-dir")
    return list(options["endpoints"])


def _check_distinct(endpoints: Sequence[object]) -> None:
    names = [
        f"unix:{endpoint.real}" if isinstance(endpoint, UnixEndpoint) else str(endpoint)
        for endpoint in endpoints
    ]
    for name in names:
        if names.count(name) > 1:
            raise usage.UsageError(f"--listen={name} is given twice: once is enough")


def _check_apart(root: Path, state: Path, runtime: Path) -> None:
    for own, option in ((state, "state"), (runtime, "runtime")):
        if inside(str(own), str(root)) or inside(str(root), str(own)):
            raise usage.UsageError(
                f"--{option}={own} and --root={root}: one lies in the other; keep them apart"
            )
    if state == runtime:
        raise usage.UsageError(f"--state={state} and --runtime={runtime}: keep them apart")


def _check_ours(option: str, path: Path) -> None:
    """Refuse to take over a directory in which somebody else keeps something."""
    found = sorted(os.listdir(path))
    if found and not {"journal", "lock"} & set(found):
        raise StartError(
            f"--{option}={path}: something else is in it ({found[0]}): give a directory that is "
            "the driver's alone"
        )


def _check_closed(root: Path) -> None:
    """Warn of a root, not made by the daemon, into which every user can go."""
    mode = stat.S_IMODE(root.stat().st_mode)
    if mode & 0o007:
        _log.warn(
            "--root={root} has mode {mode:04o}: any user of this machine can run a setuid program "
            'that a container left in a volume; "chmod o= {root}" ends that',
            root=str(root),
            mode=mode,
        )


def _prepare(option: str, path: Path, mode: int, lock: str) -> Lock:
    """Make a directory of the daemon's own, see that it can be used, and lock it."""
    try:
        make_parents(path)
        if make_directory(path, mode, None, None):
            pass
        elif option == "root":
            _check_closed(path)
        else:
            _check_ours(option, path)
            path.chmod(mode)
        return Lock.take(path / lock)
    except OSError as error:
        raise StartError(
            f"--{option}={path}: cannot be used by user {os.geteuid()}: "
            f"{error.strerror or error}; run as root, or give a directory of your own"
        ) from None


def _open_ledger(runtime: Path, reactor: Any) -> Journal:
    """Open the mount counts; counts are hints, so damage to them stops nothing."""
    try:
        return open_journal(runtime, reactor)
    except JournalError as error:
        aside = runtime / f"journal.damaged-{int(time.time())}"
        (runtime / "journal").rename(aside)
        _log.error(
            "the mount counts are lost, and begin anew: {error}; the damaged file is {aside}",
            error=error,
            aside=str(aside),
        )
        return open_journal(runtime, reactor)


def _open_log(log: LogOutput) -> None:
    try:
        log.open()
    except OSError as error:
        raise StartError(
            f"--log-file={log.path}: cannot be written by user {os.geteuid()}: {error.strerror}"
        ) from None


def _apart(quick: Threads, slow: Threads) -> Threads:
    """Return threads that run what is done to volumes that are no directories in `slow` ones."""

    def run(function: Callable[..., Any], *args: object) -> Deferred[Any]:
        for argument in args:
            if isinstance(argument, StoredVolume | Wanted) and argument.backend != DIRECTORY:
                return slow(function, *args)
        return quick(function, *args)

    return run


def _backends(options: Options, trash: Trash) -> Backends:
    """Put the kinds of storage together."""
    configuration: Configuration = options["configuration"]
    root, state, runtime = (options[key + "_path"] for key in ("root", "state", "runtime"))
    private, bases = [state, runtime], configuration.bases
    directory = DirectoryBackend(
        root,
        private,
        trash,
        root_only=bool(options["root-only"]),
        bases=bases.get(DIRECTORY, ()),
    )
    return Backends(
        {
            DIRECTORY: directory,
            IMAGE: ImageBackend(root, trash),
            TMPFS: TmpfsBackend(root, trash),
            BTRFS: BtrfsBackend(directory),
            MOUNT: MountBackend(root, trash, private, bases.get(MOUNT, ())),
        },
        configuration.choice,
    )


def _build(options: Options, reactor: Any) -> DaemonService:
    """Put the parts together; nothing listens yet.

    :raises StartError, JournalError, ListenError, OSError, ValueError: it cannot be done.
    """
    root, state, runtime = (options[key + "_path"] for key in ("root", "state", "runtime"))
    log: LogOutput | None = options["log"]
    locks = [
        _prepare("state", state, 0o700, "lock"),
        _prepare("runtime", runtime, 0o700, "lock"),
        # As Docker's own: user-namespaced engines get in by the group, other users not at all.
        _prepare("root", root, 0o710, ".lock"),
    ]
    endpoints = _endpoints(options)
    admin_endpoint: UnixEndpoint | None = options["admin_endpoint"]
    for endpoint in [*endpoints, *([admin_endpoint] if admin_endpoint else [])]:
        endpoint.check()
    if log is not None:
        _open_log(log)

    changes = DaemonThreads(reactor, "change", CHANGE_THREADS)
    mounts = DaemonThreads(reactor, "mount", MOUNT_THREADS)
    looks = DaemonThreads(reactor, "look", LOOK_THREADS)
    copying = DaemonThreads(reactor, "copy", COPY_THREADS)
    deletions = DaemonThreads(reactor, "purge", 1)
    measurements = DaemonThreads(reactor, "usage", MOST_HANGING + 1)
    trash = Trash(root)
    backend = _backends(options, trash)
    journal = open_journal(state, reactor, Packer(backend.mountpoint, backend.judge).codec())
    counts = _open_ledger(runtime, reactor)
    ledger = MountLedger(counts, BOOT_ID.read_text(encoding="ascii").strip())
    ledger.load()
    health = HealthChecks(backend, looks, reactor)
    changes_of = _apart(changes, mounts)
    purger = TrashPurger(trash, options["retention"], deletions, reactor)
    volumes = VolumeService(
        journal,
        ledger,
        backend,
        health,
        changes_of,
        reactor,
        lambda: datetime.now(timezone.utc),
        purger.removed,
    )
    waits = Waits(reactor)
    channels = admin_endpoint.path.parent if admin_endpoint else runtime
    copies = Copies(volumes, ledger, backend, trash, root, channels, copying, waits)
    volumes.cloner = copies
    copies.recover()
    volumes.load()
    scheduler = Scheduler(volumes, copies, options["configuration"].schedules, reactor)
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    plugin = Plugin(options["name"], [volumes], reactor)
    site = plugin.site()
    site.linger = LINGER
    usages = Usages(measure, measurements, reactor)
    removed = RemovedVolumes(
        volumes,
        trash,
        usages,
        changes,
        deletions,
        waits,
        backend.data_path,
        volumes.now,
        options["retention"],
    )
    channels = admin_endpoint.path.parent if admin_endpoint else runtime
    admin = AdminServer(
        Administration(
            volumes,
            ledger,
            backend,
            health,
            usages,
            removed,
            root,
            changes,
            looks,
            waits,
            _version,
        ),
        reactor,
        copies,
    )
    admin_site = admin.site()

    def sign() -> None:
        # The process that took the locks may have been forked since.
        for lock in locks:
            lock.sign()

    def start_copies() -> None:
        copies.clear()
        scheduler.startService()
        # What takes long would outlast the stop: it is undone, and its clients are told.
        for stop in (scheduler.stopService, copies.stop):
            reactor.addSystemEventTrigger("before", "shutdown", stop)

    def release() -> None:
        for pool in (changes, mounts, looks, copying, deletions, measurements):
            pool.stop()
        for lock in locks:
            lock.release()

    def summary() -> str:
        mounted = ledger.volumes()
        return (
            f"{volumes.count} volumes, {len(mounted)} of them mounted, {plugin.wire.pending} "
            f"changes under way, {len(site.channels)} connections"
        )

    def tell_state() -> None:
        _log.info("{state}; started {since}", state=summary(), since=since)

    service = DaemonService(
        reactor,
        [*endpoints, *([Apart(admin_endpoint, admin_site)] if admin_endpoint else [])],
        site,
        Together([site, admin_site]),
        before=[sign, volumes.start, purger.startService, start_copies],
        finish=[
            ("ending changes whose clients are gone", plugin.wire.when_idle),
            ("ending the administrator's changes", admin.wire.when_idle),
            ("making them durable on the disk", volumes.settle),
        ],
        close=[
            ("stopping the purge", purger.stopService),
            ("stopping to measure", usages.stop),
            ("closing the mount counts", counts.close),
            ("closing the journal", journal.close),
            ("letting go", release),
        ],
        observers=[Notifier(reactor, summary)],
        attach=partial(attach, log, options.parent),
    )
    signals = Signals(
        reactor,
        {
            signal.SIGHUP: log.reopen if log else _nothing_to("open anew"),
            signal.SIGUSR1: log.rotate if log else _nothing_to("rotate"),
            signal.SIGUSR2: tell_state,
        },
        service.hurry,
    )
    service.before = [signals.install, *service.before]
    exit_with(lambda: service.complete)
    return service


def _version() -> str:
    # Imported when it is wanted: that is seldom, and takes a while.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("exampledriver")
    except PackageNotFoundError:
        return "not installed"


def _nothing_to(do: str) -> Callable[[], None]:
    return lambda: _log.info("there is no --log-file to {do}", do=do)


def makeService(options: Options) -> IService:
    """Make the daemon's service, or say in one line why not, and exit 1.

    It runs before twistd forks, so that whoever started the daemon reads the line.
    """
    from twisted.internet import reactor

    # Until the service runs nobody obeys these, and they would end the process. twistd's own
    # log file has a handler for SIGUSR1, which it sets only where there is none.
    for number in (signal.SIGHUP, signal.SIGUSR2, *((signal.SIGUSR1,) if options["log"] else ())):
        signal.signal(number, signal.SIG_IGN)
    try:
        with memory.loading():
            return _build(options, reactor)
    except (StartError, JournalError, ListenError, OSError, ValueError) as error:
        raise SystemExit(f"exampledriver: {error}") from None
