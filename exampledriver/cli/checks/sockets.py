"""The plugin directories: sockets that nobody or somebody deaf is behind, and names given twice."""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path

from attrs import frozen

from ...processes import command
from ..unixhttp import Answer, DeadError, NoHTTPError, SilentError, ask
from .findings import CannotLookError, Finding
from .installation import Installation

#: In Docker's order: of one name, the first that is found is used.
KINDS = (".sock", ".spec", ".json")


@frozen
class PluginFile:
    """A file by which Docker finds a plugin."""

    name: str
    path: Path


def plugin_files(directories: Sequence[Path], denied: list[Path]) -> list[PluginFile]:
    """Return what the plugin directories hold, in Docker's order.

    :param denied: gets the directories that may not be read.
    """
    found: list[tuple[bool, int, int, PluginFile]] = []
    for number, directory in enumerate(directories):
        for path in _files(directory, denied):
            if path.suffix in KINDS and (path.suffix != ".sock" or _is_socket(path)):
                kind = KINDS.index(path.suffix)
                found.append((kind > 0, number, kind, PluginFile(path.stem, path)))
    return [file for *_, file in sorted(found, key=lambda entry: entry[:3])]


def _files(directory: Path, denied: list[Path]) -> Iterator[Path]:
    """Yield ``DIR/X.*``, then ``DIR/X/X.*``."""
    for names in ("*.*", "*/*.*"):
        try:
            paths = sorted(Path(directory).glob(names)) if os.listdir(directory) else []
        except (FileNotFoundError, NotADirectoryError):
            return
        except PermissionError:
            denied.append(directory)
            return
        for path in paths:
            if path.parent == directory or path.stem == path.parent.name:
                yield path


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def activate(path: Path) -> Answer:
    """Make Docker's first call to a plugin; raises what :func:`ask` does."""
    return ask(path, "POST", "/Plugin.Activate")


def judge_socket(at: Installation, check: str, path: Path, said: str) -> Iterator[Finding]:
    """Yield what is wrong behind a socket.

    :param said: what the finding calls it.
    """
    ours = path == at.socket
    quoted = shlex.quote(str(path))
    try:
        answer = activate(path)
        implements = json.loads(answer.body).get("Implements")
        wrong = "" if answer.status == 200 and isinstance(implements, list) else "no Implements"
    except PermissionError:
        raise CannotLookError(f"{path}: permission denied: run doctor as root") from None
    except (FileNotFoundError, DeadError):
        start = f"{at.start_command()}\n" if ours else ""
        yield Finding(
            check,
            "problem",
            f"{said} is dead: nobody listens behind {path}",
            "Docker waits 15 s for it at every docker volume ls, and for each of its volumes "
            "when dockerd starts",
            f"{start}rm {quoted}   # if the plugin is not meant to run"
            + ("" if ours else "; else start it"),
        )
        return
    except SilentError as error:
        yield Finding(
            check,
            "problem",
            f"{said} is held by {_who(error.pid)}, which does not answer: {error}",
            "dockerd has no time limit for a plugin's activation: it hangs there, for ever when "
            "it starts",
            at.start_command().replace(" start ", " restart ", 1)
            if ours and at.systemd
            else _restart(error.pid, quoted),
        )
        return
    except (NoHTTPError, ValueError, AttributeError) as error:
        wrong = str(error)
    if wrong:
        yield Finding(
            check,
            "problem",
            f"{said} does not answer as a plugin does: {wrong}",
            "Docker tries for 15 s and then takes the driver for missing",
            f"ss -xlp src {quoted}   # shows whose it is; end that, then: rm {quoted}",
        )
    elif ours and "VolumeDriver" not in implements:
        yield Finding(
            check,
            "problem",
            f"{said} belongs to a plugin that is no volume driver: {implements}",
            "whoever asks for a volume of this driver is told that there is none",
            f"ss -xlp src {quoted}   # shows whose it is; end that\n{at.start_command()}",
        )


def _who(pid: int) -> str:
    return f"process {pid} ({command(pid)})" if pid else "a process that is not seen from here"


def _restart(pid: int, quoted: str) -> str:
    if pid > 1:
        return f"kill -9 {pid}; rm -f {quoted}   # then start the plugin again"
    return f"ss -xlp src {quoted}   # shows the service behind it: restart that"


def sockets(at: Installation) -> Iterator[Finding]:
    """Look behind every socket of the plugin directories, and behind the driver's own."""
    denied: list[Path] = []
    files = plugin_files(at.plugin_dirs, denied)
    if at.look(at.socket) is None:
        yield Finding(
            "sockets",
            "problem",
            f"nobody serves the driver {at.name}: there is no socket {at.socket}",
            "engines cannot mount its volumes, and a dockerd that starts now waits 15 s for each",
            at.start_command(),
        )
    paths = [file.path for file in files if file.path.suffix == ".sock"]
    if at.socket not in paths and at.look(at.socket):
        paths.append(at.socket)
    refused = [f"{path}: permission denied: run doctor as root" for path in denied]
    with ThreadPoolExecutor(8) as pool:
        looks = list(pool.map(partial(_collect, at), paths))
    for findings, error in looks:
        yield from findings
        refused += [error] if error else []
    for name, group in groupby(sorted(files, key=lambda file: file.name), lambda file: file.name):
        first, *others = group
        for other in others:
            yield Finding(
                "sockets",
                "problem",
                f"the plugin {name} is there twice: {first.path} and {other.path}",
                "Docker uses the first and never looks at the second, so one of two drivers, or "
                "of two ways to it, is ignored",
                f"rm {shlex.quote(str(other.path))}   # or the other, if that is the wrong one",
            )
    if refused:
        raise CannotLookError("; ".join(refused))


def _collect(at: Installation, path: Path) -> tuple[list[Finding], str]:
    try:
        return list(judge_socket(at, "sockets", path, f"the socket of {path.stem}")), ""
    except (CannotLookError, OSError) as error:
        return [], str(error)
