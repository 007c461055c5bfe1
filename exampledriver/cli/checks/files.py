"""The driver's own files: their modes and owners, the space for them, and the journal."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ...backends.kinds import judge as judge_volume
from ...backends.measuring import weigh
from ...backends.mounts import around, here
from ...journal import JournalError
from ...journal.log import JOURNAL
from ...journal.repair import judge
from ...volumes.model import SETTLED, StoredVolume
from .findings import Finding, Severity, quoted
from .installation import Installation
from .proc import user

#: Less than this many bytes free is full, on file systems that are large enough for it.
_FULL = 64 << 20
#: For how many seconds it is looked how much the trash takes.
_LOOK = 10.0
#: Less than this part free is soon full, and full on small file systems.
_LITTLE = 0.05


def modes(at: Installation) -> Iterator[Finding]:
    """Judge who may read and write what."""
    pid = at.pid()
    owner = user(pid) if pid else None
    private = [at.state, at.runtime]
    for directory in private:
        yield from _private(at, directory, 0o700, owner)
        for name in sorted(os.listdir(directory)) if at.look(directory) else []:
            if name.startswith(JOURNAL) or name == "lock":
                yield from _private(at, directory / name, 0o600, owner)
    yield from _root(at, owner)
    yield from _socket(at, owner)
    for directory in at.plugin_dirs:
        yield from _plugin_directory(at, directory)
    at.exists("root", at.root)
    at.exists("state", at.state)


def _mode(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"


def _problem(what: str, why: str, fix: str, severity: Severity = "problem") -> Finding:
    return Finding("modes", severity, what, why, fix)


def _owned(path: Path, found: os.stat_result, owner: int | None) -> Iterator[Finding]:
    if owner is not None and found.st_uid != owner:
        yield _problem(
            f"{path} belongs to user {found.st_uid}, and the driver runs as user {owner}",
            "its owner can change it behind the driver's back, and the driver may be refused it",
            f"chown {owner} {quoted(path)}",
        )


def _private(at: Installation, path: Path, mode: int, owner: int | None) -> Iterator[Finding]:
    found = at.look(path)
    if found is None:
        return
    if stat.S_IMODE(found.st_mode) & ~mode & 0o7777:
        yield _problem(
            f"{path} has mode {_mode(found.st_mode)}, more than {mode:04o}",
            "other users can look at or change what says which volumes there are, or hold its "
            "lock so that the driver does not start",
            f"chmod {mode:04o} {quoted(path)}",
        )
    yield from _owned(path, found, owner)


def _root(at: Installation, owner: int | None) -> Iterator[Finding]:
    found = at.look(at.root)
    if found is None:
        return
    ways = filter(None, map(at.look, at.root.parents))
    if found.st_mode & 0o007 and all(way.st_mode & 0o001 for way in ways):
        yield _problem(
            f"{at.root} has mode {_mode(found.st_mode)}: it is open to other users",
            "a program with the setuid bit that root of a container puts into a volume could be "
            "run here by any local user, who is root then",
            f"chmod 0710 {quoted(at.root)}",
        )
    yield from _owned(at.root, found, owner)
    lock = at.root / ".lock"
    if at.look(lock):
        yield from _private(at, lock, 0o600, owner)


def _socket(at: Installation, owner: int | None) -> Iterator[Finding]:
    found = at.look(at.socket)
    if found is None or not stat.S_ISSOCK(found.st_mode):
        return
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o066:
        whom = "every user" if mode & 0o006 else f"the group {found.st_gid}"
        yield _problem(
            f"the socket {at.socket} has mode {mode:04o}: it is open to {whom}",
            "whoever talks to a volume plugin is as good as root: it makes directories anywhere",
            f"chmod 0600 {quoted(at.socket)}   # and start the driver without mode= in --listen",
            "problem" if mode & 0o006 else "note",
        )
    yield from _owned(at.socket, found, owner)


def _plugin_directory(at: Installation, path: Path) -> Iterator[Finding]:
    found = at.look(path)
    if found is not None and found.st_mode & 0o022 and stat.S_ISDIR(found.st_mode):
        yield _problem(
            f"the plugin directory {path} has mode {_mode(found.st_mode)}",
            "whoever can write there can put a plugin of their own in the place of any",
            f"chmod go-w {quoted(path)}",
        )


def disk(at: Installation) -> Iterator[Finding]:
    """Judge the space of the file systems that the driver writes to."""
    at.exists("root", at.root)
    at.exists("state", at.state)
    seen: dict[int, list[Path]] = {}
    for path in (at.root, at.state, at.runtime):
        found = at.look(path)
        if found is not None:
            seen.setdefault(found.st_dev, []).append(path)
    for paths in seen.values():
        at.looking_at = str(paths[0])
        space = os.statvfs(paths[0])
        full = list(judge_space(" and ".join(map(str, paths)), paths[0], space))
        yield from full
        if full and at.root in paths and at.look(at.root / ".trash"):
            yield from _removed(at, space)


def _removed(at: Installation, space: os.statvfs_result) -> Iterator[Finding]:
    """Say what the trash takes of a file system that is full, or soon is."""
    trash = at.root / ".trash"
    at.looking_at = str(trash)
    taken, whole = weigh(str(trash), _LOOK)
    size = space.f_blocks * space.f_frsize
    if all(entry.startswith(".") for entry in os.listdir(trash)):
        return
    most = ", most of the file system" if taken.bytes * 2 > size else ""
    yield Finding(
        "disk",
        "problem" if most else "note",
        f"{trash} takes {'' if whole else 'at least '}{taken.bytes >> 20} MiB{most}",
        "what was removed is kept until its retention ends, and takes the space until then",
        "exampledriver trash list\n"
        "exampledriver trash purge   # permanently deletes removed volumes\n"
        'purge-when-below = "5%"   # in [trash] of the configuration file: does that by itself',
    )


def judge_space(where: str, path: Path, space: os.statvfs_result) -> Iterator[Finding]:
    """Yield what is wrong with a file system.

    :param where: the directories on it, for people.
    """
    size, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    why = (
        "no volume can be created, removed or mounted until there is space for the journal; what "
        "was answered is safe"
    )
    more = (
        f"df -h {quoted(path)}   # make space, or move it to a larger file system\n"
        "exampledriver volume usage   # which volumes are the largest?"
    )
    shown = f"{free >> 20} MiB of {size >> 20} MiB are free"
    if space.f_flag & os.ST_RDONLY:
        yield Finding(
            "disk",
            "problem",
            f"{where}: the file system is read-only",
            "no volume can be created, removed or mounted; the kernel does that after an error "
            "of the disk",
            f"dmesg | tail   # why?\nmount -o remount,rw {quoted(_mountpoint(path))}",
        )
    elif size and free < min(_FULL, _LITTLE * size):
        yield Finding("disk", "problem", f"{where}: the file system is full: {shown}", why, more)
    elif size and free < _LITTLE * size:
        yield Finding("disk", "note", f"{where}: the file system is soon full: {shown}", why, more)
    if space.f_files and not space.f_favail:
        more = f"df -i {quoted(path)}   # remove files, or move it to another file system"
        yield Finding("disk", "problem", f"{where}: no inode is free", why, more)


def _mountpoint(path: Path) -> str:
    found = around(os.path.realpath(path), here())
    return found.mountpoint if found else str(path)


def journal(at: Installation) -> Iterator[Finding]:
    """Say whether the journals are whole."""
    yield from _state_journal(at)
    if at.look(at.runtime / JOURNAL) and (trouble := _trouble(at.read_journal(at.runtime))):
        yield Finding(
            "journal",
            "note",
            f"the mount counts, {at.runtime / JOURNAL}, are damaged: {trouble}",
            "a start sets them aside and begins anew: counts are hints, and no volume is lost",
            "nothing has to be done",
        )


def _trouble(data: bytes) -> str:
    try:
        return judge(data).trouble
    except JournalError as error:
        return str(error)


def _state_journal(at: Installation) -> Iterator[Finding]:
    path = at.state / JOURNAL
    stopped = "" if not at.pid() else "   # with the driver stopped"
    try:
        verdict = judge(at.read_journal(at.state))
    except JournalError as error:
        yield Finding(
            "journal",
            "problem",
            f"{path}: {error}",
            "the driver does not start, so that nothing is lost",
            "pip install --upgrade exampledriver",
        )
        return
    if verdict.trouble:
        yield Finding(
            "journal",
            "problem",
            f"{path}: {verdict.trouble}",
            "the driver does not start with it, so that nothing more is lost; one that runs has "
            "the volumes in memory",
            f"exampledriver journal repair {quoted(at.state)}{stopped}",
        )
    for name, value in verdict.entries.items():
        strange = _strange(name, value)
        if strange:
            yield Finding(
                "journal",
                "problem",
                f"{path}: {strange}",
                "this version of the driver does not start with it",
                "pip install --upgrade exampledriver   # the version that wrote it",
            )


def _strange(name: str, value: bytes) -> str:
    if name == SETTLED:
        return ""
    try:
        StoredVolume.from_json(name, json.loads(value), judge_volume)
    except ValueError as error:
        return str(error)
    return ""
