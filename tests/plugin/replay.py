"""Recorded requests of real engines, byte for byte, and what an engine accepts as an answer.

A file in ``traces`` is what one engine sent to a plugin, in order: JSON lines
with the call's path and the raw request. The scenarios:

- ``s01_basic``: Docker; create, inspect, list and remove.
- ``s03_run``: Docker; containers with volumes.
- ``s04_copyup``: Docker; volumes that are filled from an image.
- ``s07_engine_restart``: Docker; the daemon stopped and killed with containers running.
- ``s40_podman``: Podman; all of that, and requests whose first recorded answer was a fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from exampledriver.plugin import PluginSite

from .memory import Client

#: All recordings.
TRACES = sorted((Path(__file__).parent / "traces").glob("*.jsonl"))

#: RFC 3339 with a zone, as Go reads it.
_RFC3339 = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?"
    r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
)


class Answered(Protocol):
    """An answer: its status, and its body read as JSON."""

    @property
    def status(self) -> int: ...
    @property
    def answer(self) -> Any: ...


class Exchange(NamedTuple):
    """A recorded request, and what a plugin answers to it today."""

    path: str
    request: Any
    status: int
    headers: dict[str, list[str]]
    answer: Any


def requests(file: Path) -> list[tuple[str, bytes]]:
    """Return the path and the bytes of each request in a recording."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [(row["path"], row["raw_request"].encode("utf-8")) for row in rows]


def replay(site_factory: Callable[[], PluginSite], file: Path) -> list[Exchange]:
    """Send what was recorded to a new plugin, on one connection, each after the last's answer.

    :param site_factory: makes the plugin; it must answer at once.
    :raises AssertionError: a request is not answered, or not with JSON of a stated
        length, or the connection is closed.
    """
    client = Client(site_factory())
    exchanges = []
    for path, request in requests(file):
        client.feed(request)
        responses = client.responses()
        assert len(responses) == 1, f"{len(responses)} answers to {request!r}"
        assert client.connected, f"the connection was closed after {request!r}"
        (response,) = responses
        body = request.partition(b"\r\n\r\n")[2]
        headers = {name: list(values) for name, values in response.headers.items()}
        message = json.loads(body) if body else None
        exchanges.append(Exchange(path, message, response.status, headers, response.answer))
    return exchanges


def acceptable(path: str, response: Answered) -> bool:
    """Return whether an engine can use an answer to this call."""
    return not complaint(path, response)


def complaint(path: str, response: Answered) -> str:
    """Return what is wrong with an answer to this call; nothing, if an engine can use it.

    Stricter than either engine alone: Docker honours an Err on 200, Podman does not.
    """
    answer = response.answer
    if not isinstance(answer, dict):
        return "no JSON object"
    error = answer.get("Err", "")
    if not isinstance(error, str):
        return "an Err that is no string"
    if response.status != 200:
        return "" if error else "a failure without Err"
    if error:
        return "an Err on a success"
    check = _CHECKS.get(path)
    return check(answer) if check else "a success of an unknown call"


def _nothing(answer: dict[str, Any]) -> str:
    return ""


def _activated(answer: dict[str, Any]) -> str:
    implements = answer.get("Implements")
    good = isinstance(implements, list) and "VolumeDriver" in implements
    return "" if good else "no VolumeDriver in Implements"


def _capabilities(answer: dict[str, Any]) -> str:
    capabilities = answer.get("Capabilities")
    good = isinstance(capabilities, dict) and capabilities.get("Scope") in ("local", "global")
    return "" if good else "no Scope that is local or global"


def _mounted(answer: dict[str, Any]) -> str:
    return _path(answer) or ("" if answer["Mountpoint"] else "an empty Mountpoint")


def _path(answer: dict[str, Any]) -> str:
    path = answer.get("Mountpoint")
    good = isinstance(path, str) and (path == "" or path.startswith("/"))
    return "" if good else "a Mountpoint that is no absolute path"


def _got(answer: dict[str, Any]) -> str:
    return _volume(answer.get("Volume"))


def _listed(answer: dict[str, Any]) -> str:
    volumes = answer.get("Volumes")
    if not isinstance(volumes, list):
        return "Volumes that are no list"
    return next(filter(None, map(_volume, volumes)), "")


def _volume(volume: object) -> str:
    if not isinstance(volume, dict):
        return "a Volume that is no object"
    name, created = volume.get("Name"), volume.get("CreatedAt", "2026-01-01T00:00:00Z")
    if not isinstance(name, str) or not name:
        return "a Volume without a Name"
    if not isinstance(created, str) or not _RFC3339.fullmatch(created):
        return "a CreatedAt that is not RFC 3339"
    if not isinstance(volume.get("Status", {}), dict):
        return "a Status that is no object"
    return _path({"Mountpoint": volume.get("Mountpoint", "")})


_CHECKS: dict[str, Callable[[dict[str, Any]], str]] = {
    "/Plugin.Activate": _activated,
    "/VolumeDriver.Capabilities": _capabilities,
    "/VolumeDriver.Create": _nothing,
    "/VolumeDriver.Remove": _nothing,
    "/VolumeDriver.Mount": _mounted,
    "/VolumeDriver.Unmount": _nothing,
    "/VolumeDriver.Path": _path,
    "/VolumeDriver.Get": _got,
    "/VolumeDriver.List": _listed,
}
