"""Asking the daemon over the administrator's socket."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from attrs import frozen

from ..settings import DEFAULTS, admin_socket
from .unixhttp import LARGEST, Connection

#: Seconds of silence after which the daemon is given up; a change may wait for a slow disk.
SILENCE = 120.0

#: The calls that the daemon undoes when their client goes: they copy a volume's data.
_UNDONE = frozenset(("Snapshot", "Rollback", "Export", "Import", "Create", "Bring"))

#: Where the socket is, if no option says it.
VARIABLE = "EXAMPLEDRIVER_ADMIN"


class AdminError(Exception):
    """The daemon cannot be asked, or refuses; the text says why and what to do."""


class UnreachableError(AdminError):
    """The daemon does not answer: no use in asking it something else."""


def add_socket(command: argparse.ArgumentParser) -> None:
    """Add the option that names the socket."""
    command.add_argument(
        "--admin",
        type=absolute,
        default=os.environ.get(VARIABLE) or admin_socket(DEFAULTS["runtime"]),
        metavar="SOCKET",
        help=f"the daemon's admin socket (default: ${VARIABLE}, or "
        f"{admin_socket(DEFAULTS['runtime'])})",
    )


def pairs(words: list[str], option: str = "--opt") -> dict[str, str]:
    """Read ``KEY=VALUE`` options.

    :raises AdminError: one is none, or comes twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise AdminError(f"{option} {word}: give KEY=VALUE")
        if key in found:
            raise AdminError(f"{option} {word}: {key} is given twice")
        found[key] = value
    return found


def absolute(text: str) -> Path:
    """Return the path that is meant from here: the daemon is elsewhere."""
    return Path(os.path.abspath(text))


@frozen
class Client:
    """A client of one daemon.

    :ivar socket: the administrator's.
    """

    socket: Path

    def ask(
        self,
        call: str,
        fields: Mapping[str, object] | None = None,
        progress: Callable[[Mapping[str, Any]], None] = lambda fields: None,
    ) -> dict[str, Any]:
        """Make one call and return its answer.

        :param call: such as ``Volumes``.
        :param progress: told how far a long work is.
        :raises UnreachableError: nobody answers.
        :raises AdminError: it is refused.
        """
        connection = Connection(self.socket, SILENCE)
        try:
            with closing(connection):
                self._connect(connection)
                body = json.dumps(fields or {}).encode("utf-8")
                connection.request("POST", f"/Admin.{call}", body)
                answer = connection.getresponse()
                found = _last(answer, progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"the daemon's work {_ends(call)}") from None
        except TimeoutError:
            raise UnreachableError(
                f"{self.socket}: process {connection.pid} has not answered for {SILENCE:.0f} s; "
                f"its work {_ends(call)}"
            ) from None
        except (OSError, HTTPException, ValueError) as error:
            raise UnreachableError(
                f"{self.socket}: the answer was cut off ({type(error).__name__}: {error}); if the "
                "daemon was stopped, start it and look how far it came"
            ) from None
        if answer.status == 404:
            raise AdminError(
                f"{self.socket}: knows no Admin.{call}: it is another socket than the admin's, "
                "such as an engine's (give admin.sock), or the daemon is of an older version: "
                "start it anew"
            )
        if found.get("Err") or answer.status != 200:
            raise AdminError(str(found.get("Err") or f"{self.socket}: HTTP {answer.status}"))
        found.pop("Err", None)
        return found

    def _connect(self, connection: Connection) -> None:
        try:
            connection.connect()
        except FileNotFoundError:
            raise UnreachableError(f"{self.socket}: there is no such socket: {_START}") from None
        except ConnectionRefusedError:
            what = "no daemon listens there" if self.socket.is_socket() else "is no socket"
            raise UnreachableError(f"{self.socket}: {what}: {_START}") from None
        except PermissionError:
            raise UnreachableError(f"{self.socket}: permission denied: run this as root") from None
        except OSError as error:
            why = error.strerror or error
            raise UnreachableError(f"{self.socket}: {why}: {_START}") from None


_START = (
    'start the daemon ("systemctl start exampledriver"), or name its socket with --admin (the '
    "daemon's --admin, or admin.sock in its --runtime directory)"
)


def _ends(call: str) -> str:
    """Return what becomes of a call when its client goes."""
    return "is undone unless it has finished" if call in _UNDONE else "goes on"


def _last(answer: HTTPResponse, progress: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    while True:
        line = answer.readline(LARGEST)
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
        if "Progress" not in found:
            return found
        progress(found["Progress"])
