"""Spec files: where Docker is told to find a plugin, and whether what it sends is kept from others.

Nothing is connected to but UNIX sockets.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .findings import CannotLookError, Finding, Severity, quoted
from .installation import Installation
from .sockets import judge_socket, plugin_files

_FILES = ("CAFile", "CertFile", "KeyFile")


def specs(at: Installation) -> Iterator[Finding]:
    """Judge every ``.spec`` and ``.json`` of the plugin directories."""
    denied: list[Path] = []
    for file in plugin_files(at.plugin_dirs, denied):
        if file.path.suffix == ".sock":
            continue
        try:
            at.looking_at = str(file.path)
            address, tls = parse(file.path.suffix, file.path.read_bytes())
        except PermissionError:
            denied.append(file.path)
        except (OSError, ValueError) as error:
            yield _problem(
                f"{file.path} cannot be read as a plugin's spec: {error}",
                f"Docker cannot load the plugin {file.name}",
                f"rm {quoted(file.path)}   # or write it anew: one URL, such as unix:///run/x.sock",
            )
        else:
            yield from _judge(at, file.path, address, tls)
    if denied:
        paths = ", ".join(map(str, denied))
        raise CannotLookError(f"{paths}: permission denied: run doctor as root")


def parse(suffix: str, data: bytes) -> tuple[str, Mapping[str, Any] | None]:
    """Return the address that a spec gives, and its TLS settings by their names in lower case.

    :raises ValueError: it is none.
    """
    text = data.decode("utf-8").strip()
    tls: Mapping[str, Any] | None = None
    address: object = text
    if suffix == ".json":
        # Go takes a key in any case.
        fields = _lowered(json.loads(text))
        address = fields.get("addr")
        tls = _lowered(fields["tlsconfig"]) if fields.get("tlsconfig") is not None else None
    if not isinstance(address, str) or urlsplit(address).scheme not in (
        "unix",
        "tcp",
        "http",
        "https",
    ):
        raise ValueError(f"{str(address)[:80]!r} is no address: unix://, tcp://, http:// https://")
    return address, tls


def _lowered(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return {key.lower(): item for key, item in value.items()}


def _judge(
    at: Installation, path: Path, address: str, tls: Mapping[str, Any] | None
) -> Iterator[Finding]:
    scheme = urlsplit(address).scheme
    if scheme == "unix":
        yield from judge_socket(at, "specs", Path(address[7:]), f"the socket of {path}")
    elif scheme == "https":
        yield from _encrypted(path, tls or {})
    else:
        yield from _clear(path, address, tls or {})
    for key in _FILES:
        name = (tls or {}).get(key.lower())
        if isinstance(name, str) and name:
            yield from _named(at, path, key, Path(name))


def _clear(path: Path, address: str, tls: Mapping[str, Any]) -> Iterator[Finding]:
    scheme, host = urlsplit(address).scheme, urlsplit(address).hostname or ""
    if any(tls.values()):
        yield _problem(
            f"{path} has a TLSConfig and the address {address}",
            f"Docker uses TLS only with https://: with {scheme}:// everything is sent in the "
            "clear, and nobody is verified",
            f"sed -i 's#{scheme}://#https://#' {quoted(path)}",
        )
    elif _loopback(host):
        yield _problem(
            f"{path} names a port of this machine, {address}",
            "every local user and every container in the host's network can connect to it, and "
            "whoever talks to a volume plugin is as good as root",
            f"echo unix:///run/docker/plugins/{path.stem}.sock > "
            f"{quoted(path.with_suffix('.spec'))}"
            "   # and let it listen there",
            "note",
        )
    else:
        yield _problem(
            f"{path} names {address}, without TLS",
            "everybody on the way reads what is sent and can answer in the plugin's place, which "
            "decides what is mounted into containers",
            _tls_example(path, address),
        )


def _tls_example(path: Path, address: str) -> str:
    to = path.with_suffix(".json")
    spec = {
        "Addr": "https://" + address.partition("://")[2],
        "TLSConfig": {"CAFile": "/etc/docker/ca.pem", "CertFile": "cert.pem", "KeyFile": "key.pem"},
    }
    remove = "" if to == path else f"rm {quoted(path)}\n"
    return f"{remove}echo {quoted(json.dumps(spec))} > {quoted(to)}   # with your files"


def _encrypted(path: Path, tls: Mapping[str, Any]) -> Iterator[Finding]:
    if tls.get("insecureskipverify"):
        yield _problem(
            f"{path} has InsecureSkipVerify",
            "the plugin's certificate is not looked at: anybody on the way can answer in its place",
            'sed -i \'s#"InsecureSkipVerify": *true#"InsecureSkipVerify": false#I\' '
            f"{quoted(path)}",
        )
    if not tls.get("cafile"):
        needs = (
            f'add to the TLSConfig in {path}: "CAFile": "/etc/docker/ca.pem"'
            if path.suffix == ".json"
            else "a .spec cannot name a CA: write a .json in its place, with a TLSConfig and CAFile"
        )
        yield _problem(
            f"{path} has https:// without a CAFile",
            "without one Docker verifies nothing: anybody on the way can answer in the plugin's "
            "place",
            needs,
        )


def _named(at: Installation, spec: Path, key: str, path: Path) -> Iterator[Finding]:
    at.looking_at = str(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        yield _problem(
            f"{spec} names a {key} that is not there: {path}",
            "Docker cannot load the plugin",
            f"put the file there, or correct the path in {quoted(spec)}",
        )
        return
    if key == "KeyFile" and stat.S_IMODE(found.st_mode) & 0o077:
        yield _problem(
            f"the key {path} has mode {stat.S_IMODE(found.st_mode):04o}",
            "whoever reads it can pass for this engine, and so mount and remove every volume",
            f"chmod 0600 {quoted(path)}",
        )


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _problem(what: str, why: str, fix: str, severity: Severity = "problem") -> Finding:
    return Finding("specs", severity, what, why, fix)
