"""Docker Engine: volumes that it has taken for its own, and who is up first."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ...processes import command
from ..engine import line, options_of
from ..unixhttp import SILENCE, peer
from .findings import CannotLookError, Finding
from .installation import SERVICE, EngineSilentError, Installation
from .proc import started, unit

_DOCKER_PID = Path("/run/docker.pid")
_ENABLED = frozenset({"enabled", "enabled-runtime", "static", "generated", "linked", "alias"})

#: What ``systemctl show`` says of a unit.
Unit = Mapping[str, str]


def shadowed(at: Installation) -> Iterator[Finding]:
    """Find volumes of Docker's ``local`` driver that have the name of one of ours."""
    ours = at.volumes()
    try:
        found = _local_volumes(at, ours)
    except (ValueError, LookupError, TypeError) as error:
        raise CannotLookError(f"the engine at {at.docker} answers strangely: {error!r}") from None
    for name in sorted(ours.keys() & found.keys()):
        create = line(at.name, name, options_of(ours[name].backend, ours[name].options), {})
        docker = f"docker -H unix://{shlex.quote(str(at.docker))}"
        place, quoted = shlex.quote(found[name]), shlex.quote(name)
        yield Finding(
            "shadowed",
            "problem",
            f'volume "{name}": Docker has one of its local driver, which hides ours',
            "after one wrong answer, or while the driver was away, Docker forgot ours and made an "
            "empty one: containers use that, and what they write does not come to ours, "
            f"{ours[name].mountpoint}",
            f"{docker} ps -aq --filter volume={quoted}   # stop and remove these containers\n"
            f"cp -a {place} {quoted}.saved   # what was written to the wrong one\n"
            f"{docker} volume rm {quoted}\n"
            f"{docker} {create.removeprefix('docker ')}   # ours, with its data",
        )


def _local_volumes(at: Installation, ours: Iterable[str]) -> dict[str, str]:
    """Return the mountpoints of the local driver's volumes, at least of those with our names."""
    try:
        answer = at.engine("/volumes", driver="local")
    except EngineSilentError:
        # To answer that it asks every plugin, with 15 s for each dead socket. This it knows.
        home = Path(json.loads(at.engine("/info").body)["DockerRootDir"], "volumes")
        places = {name: home / name / "_data" for name in ours}
        return {name: str(path) for name, path in places.items() if at.look(path)}
    return {
        volume["Name"]: volume["Mountpoint"]
        for volume in json.loads(answer.body)["Volumes"] or []
        if volume["Driver"] == "local"
    }


def start_order(at: Installation) -> Iterator[Finding]:
    """Find out whether the driver is up before dockerd, now and after the next boot."""
    pid = at.pid()
    if at.systemd:
        service = unit(pid) or SERVICE
        socket = service.removesuffix(".service") + ".socket"
        yield from judge_units(service, _show(service), socket, _show(socket))
        return
    if not pid:
        raise CannotLookError(f"the driver does not run: {at.start_command()}")
    engine = _dockerd(at)
    mine, its = started(pid), started(engine)
    if mine is not None and its is not None and its < mine:
        yield Finding(
            "start-order",
            "note",
            f"dockerd (process {engine}) was started before the driver (process {pid})",
            "all is well now; but a dockerd that starts without the driver waits 15 s for each of "
            "its volumes and containers, and may forget them",
            "start the driver before dockerd at boot, and stop it after it",
        )


def _dockerd(at: Installation) -> int:
    assert at.docker is not None
    if not at.docker.exists():
        at.engine("/_ping")
    pid = peer(at.docker)
    if command(pid) != "dockerd":
        # Behind a socket that systemd made is systemd.
        text = _DOCKER_PID.read_bytes().strip() if _DOCKER_PID.exists() else b""
        pid = int(text) if text.isdigit() else 0
    if command(pid) != "dockerd":
        raise CannotLookError(f"behind {at.docker} is no dockerd that can be seen from here")
    return pid


def _show(name: str) -> Unit:
    """Ask systemd what it knows of a unit."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        raise CannotLookError("systemd runs, but there is no systemctl")
    words = [systemctl, "show", "--property=LoadState,UnitFileState,Before", "--", name]
    try:
        shown = subprocess.run(  # noqa: S603 no shell, and the name is behind --
            words, capture_output=True, timeout=SILENCE, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotLookError(f"systemctl show {name}: {error}") from None
    return read_unit(shown.stdout.decode("utf-8", "replace"))


def read_unit(text: str) -> Unit:
    """Read what ``systemctl show`` prints."""
    lines = (line.partition("=") for line in text.split("\n") if line)
    return {key: value for key, _, value in lines}


def judge_units(name: str, service: Unit, socket_name: str, socket: Unit) -> Iterator[Finding]:
    """Yield what is wrong with the units that start the driver."""
    # A socket of systemd's is there before any service that has the usual dependencies.
    if socket.get("UnitFileState") in _ENABLED and {"sockets.target", "docker.service"} & set(
        socket.get("Before", "").split()
    ):
        return
    why = (
        "a dockerd that starts without the driver waits 15 s for each of its volumes and "
        "containers, and may forget them"
    )
    quoted = shlex.quote(name)
    if service.get("LoadState") != "loaded":
        yield Finding(
            "start-order",
            "problem",
            f"systemd has neither {name} nor {socket_name}: nothing starts the driver at boot",
            why,
            "exampledriver install-systemd   # with the daemon's --name, --root and --state\n"
            f"systemctl daemon-reload\nsystemctl enable --now {shlex.quote(socket_name)} {quoted}",
        )
        return
    if service.get("UnitFileState") not in _ENABLED:
        yield Finding(
            "start-order",
            "problem",
            f"{name} is not enabled: nothing starts the driver at boot",
            why,
            f"systemctl enable {quoted}",
        )
    if "docker.service" not in service.get("Before", "").split():
        place = f"/etc/systemd/system/{quoted}.d"
        yield Finding(
            "start-order",
            "problem",
            f"{name} is not ordered before docker.service",
            why,
            f"mkdir -p {place}\n"
            f"printf '[Unit]\\nBefore=docker.service\\n' > {place}/before-docker.conf\n"
            "systemctl daemon-reload",
        )
