"""Where the parts of the daemon are put together, as its options say."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from .admin import AdminServer
from .backends import remapping
from .backends.adoption import first_entries
from .backends.btrfs import BTRFS, BtrfsBackend
from .backends.directory import DirectoryBackend
from .backends.durable import make_directory, make_parents
from .backends.freezing import thaw_all
from .backends.image import ImageBackend
from .backends.imageoptions import IMAGE
from .backends.mount import MountBackend
from .backends.owned import DAEMON, Owner
from .backends.registry import Backends
from .backends.root import Root
from .backends.sharing import MOUNT
from .backends.tmpfs import TMPFS, TmpfsBackend
from .backends.trash import Trash
from .configuration import Configuration
from .daemon.apart import Apart, Together
from .daemon.discovery import Announced, announced
from .daemon.listening import UnixEndpoint
from .daemon.logs import LogOutput
from .daemon.runner import attach
from .daemon.service import DaemonService
from .daemon.signals import Signals, exit_with
from .daemon.systemd import Notifier
from .daemon.threads import DaemonThreads
from .journal import Journal, JournalError, Lock, open_journal
from .journal.log import JOURNAL
from .options import CheckedEndpoint, Options
from .plugin import Plugin
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
from .volumes.sweeping import Sweep
from .volumes.usage import MOST_HANGING, Usages
from .volumes.waiting import Waits

_log = Logger()

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Threads for changes: so many volumes can hang before another one waits.
CHANGE_THREADS = 64
#: Threads for changes of volumes that are not directories of the root, apart: programs are run for
#: those, or their servers may be dead, and other volumes do not wait.
MOUNT_THREADS = 64
#: Threads for snapshots and rollbacks, apart: they take long.
COPY_THREADS = 4
#: Threads for archives, apart: they take as long as who is at the other end, and keep nothing.
SEND_THREADS = 32
#: Seconds in which a request that is on its way at a stop still arrives.
LINGER = 0.3
#: Threads for looking at volumes, apart: a hanging look delays no change.
LOOK_THREADS = 32


class StartError(Exception):
    """The daemon cannot start; the text is one line that says why and what to do."""


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


def _known_as(name: str, endpoints: Sequence[object]) -> str:
    """Return what engines call the driver: a socket of a name is a driver of that name."""
    for endpoint in endpoints:
        if isinstance(endpoint, UnixEndpoint) and endpoint.path.suffix == ".sock":
            return endpoint.path.stem
    return name


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


def _open_ledger(runtime: Path, reactor: Any, lock: Lock) -> Journal:
    """Open the mount counts; counts are hints, so damage to them stops nothing."""
    try:
        return open_journal(runtime, reactor, lock=lock)
    except JournalError as error:
        aside = runtime / f"journal.damaged-{int(time.time())}"
        (runtime / "journal").rename(aside)
        _log.error(
            "the mount counts are lost, and begin anew: {error}; the damaged file is {aside}",
            error=error,
            aside=str(aside),
        )
        return open_journal(runtime, reactor, lock=lock)


def _open_log(log: LogOutput) -> None:
    try:
        log.open()
    except OSError as error:
        raise StartError(
            f"--log-file={log.path}: cannot be written by user {os.geteuid()}: {error.strerror}"
        ) from None


def _apart(quick: Threads, slow: Threads) -> Threads:
    """Return threads that run what is done outside the root's file system in `slow` ones."""
    kinds = StoredVolume, Wanted  # made once: each change comes by here, more than once

    def run(function: Callable[..., Any], *args: object) -> Deferred[Any]:
        for argument in args:
            if isinstance(argument, kinds) and (
                argument.backend != DIRECTORY or "mountpoint" in argument.options
            ):
                return slow(function, *args)
        return quick(function, *args)

    return run


def _root(options: Options) -> Root:
    """See which directory the root is, and that it is the one that is meant."""
    root, other = Root(options["root_path"], {TMPFS, MOUNT}), options["same-root"]
    try:
        if other and not os.path.samefile(root.path, other):
            raise StartError(
                f"--same-root={other}: another directory is at --root={root.path}: something is "
                "not mounted, or mounted over it"
            )
    except OSError as error:
        raise StartError(
            f"--same-root={other}: {error.strerror}; give another path of the root, or leave it out"
        ) from None
    return root


def _owner(ids: tuple[int, int] | None) -> Owner:
    """Return who owns new volumes: root in the containers of a remapped engine."""
    if ids is not None:
        return Owner(*ids)
    try:
        remap = remapping.configured()
        if not remap:
            return DAEMON
        owner = remapping.remapped_root(remap)
    except remapping.RemapError as error:
        _log.warn(
            "who is root in the engine's containers is not known, so new volumes belong to the "
            "daemon's user: {error}; give --owner=UID:GID",
            error=error,
        )
        return DAEMON
    _log.info(
        "new volumes belong to {uid}:{gid}, root in containers of userns-remap={remap}, unless "
        "their options say otherwise",
        uid=owner.uid,
        gid=owner.gid,
        remap=remap,
    )
    return owner


def _backends(options: Options, home: Root, trash: Trash) -> Backends:
    """Put the kinds of storage together."""
    configuration: Configuration = options["configuration"]
    root, state, runtime = (options[key + "_path"] for key in ("root", "state", "runtime"))
    private, bases = [state, runtime], configuration.bases
    owner = _owner(options["owner_ids"])
    directory = DirectoryBackend(
        root,
        private,
        trash,
        root_only=bool(options["root-only"]),
        bases=bases.get(DIRECTORY, ()),
        owner=owner,
    )
    return Backends(
        {
            DIRECTORY: directory,
            IMAGE: ImageBackend(root, trash, owner),
            TMPFS: TmpfsBackend(root, trash, owner),
            BTRFS: BtrfsBackend(directory),
            MOUNT: MountBackend(root, trash, private, bases.get(MOUNT, ())),
        },
        home,
        configuration.choice,
    )


def build(options: Options, reactor: Any) -> DaemonService:
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
        reactor.callWhenRunning(log.join, reactor)

    looks = DaemonThreads(reactor, "look", LOOK_THREADS)
    copying = DaemonThreads(reactor, "copy", COPY_THREADS)
    sending = DaemonThreads(reactor, "send", SEND_THREADS)
    deletions = DaemonThreads(reactor, "purge", 1)
    measurements = DaemonThreads(reactor, "usage", MOST_HANGING + 1)
    trash = Trash(root)
    backend = _backends(options, _root(options), trash)
    codec = Packer(backend.mountpoint, backend.judge).codec()
    first: Mapping[str, Mapping[str, object]] = {}
    if not os.path.lexists(state / JOURNAL):
        first = first_entries(root, state, bool(options["adopt"]), datetime.now(timezone.utc))
        for name in first:
            _log.warn("volume {name} is adopted: it is in the root, without options", name=name)
    journal = open_journal(state, reactor, codec, locks[0], first)
    changes = DaemonThreads(reactor, "change", CHANGE_THREADS, journal.flush)
    mounts = DaemonThreads(reactor, "mount", MOUNT_THREADS)
    passes = DaemonThreads(reactor, "settle", 1)
    counts = _open_ledger(runtime, reactor, locks[1])
    ledger = MountLedger(counts, BOOT_ID.read_text(encoding="ascii").strip())
    ledger.load()
    health = HealthChecks(backend, looks, reactor)
    changes_of = _apart(changes, mounts)
    purger = TrashPurger(
        trash,
        options["retention"],
        deletions,
        reactor,
        options["configuration"].purge_when_below,
        # Nothing in an empty root, which may be that of a file system that is not mounted.
        lambda: bool(volumes.count) and not volumes.root_trouble(),
    )
    volumes = VolumeService(
        journal,
        ledger,
        backend,
        health,
        changes_of,
        reactor,
        lambda: datetime.now(timezone.utc),
        purger.removed,
        passes,
    )
    waits = Waits(reactor)
    channels = admin_endpoint.path.parent if admin_endpoint else runtime
    copies = Copies(
        volumes, ledger, backend, trash, root, channels, copying, changes_of, sending, waits
    )
    volumes.clone_with(copies)
    copies.recover()
    volumes.load()
    copies.forget()
    scheduler = Scheduler(volumes, copies, options["configuration"].schedules, reactor)
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    plugin = Plugin(options["name"], [volumes], reactor)
    site = plugin.site()
    site.linger = LINGER
    usages = Usages(backend.measure, measurements, reactor)
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
    administration = Administration(
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
        _known_as(options["name"], endpoints),
        options["configuration"].choice.default,
    )
    trash.largest = administration.largest
    admin = AdminServer(administration, reactor, copies)
    admin_site = admin.site()

    sweep = Sweep(lambda: list(volumes.volumes), volumes.some, health, looks, reactor)

    def sign() -> None:
        # The process that took the locks may have been forked since.
        for lock in locks:
            lock.sign()

    def start_copies() -> None:
        copies.clear()
        scheduler.startService()
        sweep.start()
        # What takes long would outlast the stop: it is undone, and its clients are told.
        for stop in (scheduler.stopService, sweep.stop, copies.stop):
            reactor.addSystemEventTrigger("before", "shutdown", stop)

    def release() -> None:
        for pool in (changes, mounts, passes, looks, copying, sending, deletions, measurements):
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
        before=[
            sign,
            journal.watch,
            counts.watch,
            volumes.start,
            purger.startService,
            start_copies,
        ],
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
            # Copies that do not end in time; the next start may be far.
            ("thawing what is being copied", thaw_all),
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
