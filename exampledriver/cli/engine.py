"""Registering with Docker a volume that Docker has not created.

Docker knows the options and labels only of volumes that it created, and writes down the driver of
no other. While the driver is away, ``docker run -v NAME:`` makes an empty ``local`` volume in place
of a volume that Docker has not written down. So each command that makes a volume prints the
``docker volume create`` that makes Docker write it down, and does the same over the engine's API.

The command does this, never the daemon: an engine that waits for the driver must not be waited
for by the driver. Nothing here asks the engine for a single volume: that alone would make Docker
remember the volume without its options and labels until dockerd is restarted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import define, field, frozen

from ..plugin.redaction import HIDDEN
from ..settings import DEFAULTS
from .client import AdminError, Client
from .tables import note
from .unixhttp import Answer, DeadError, NoHTTPError, SilentError, ask

#: Where Docker's socket is, and the variable that says where else.
DEFAULT = "/var/run/docker.sock"
VARIABLE = "DOCKER_HOST"

#: Seconds of silence after which an engine is abandoned, and seconds for a whole answer. It asks
#: the driver meanwhile, whose disk may be slow.
SILENCE = 10.0
LIMIT = 20.0


#: Docker's own driver.
_LOCAL = "local"


class EngineError(Exception):
    """The engine cannot be asked, or refuses; the text says why."""


class UnansweredError(EngineError):
    """The engine does not answer: another question would wait for as long."""


def add_to(command: Any, registers: bool = True) -> None:
    """Add the options of a command that registers volumes with Docker, or asks for labels."""
    group = command.add_argument_group("Docker")
    group.add_argument(
        "--docker", default=os.environ.get(VARIABLE) or DEFAULT, metavar="SOCKET",
        help=f"the engine that uses the volume, PATH or unix://PATH (default: ${VARIABLE}, or "
        f"{DEFAULT})",
    )  # fmt: skip
    group.add_argument(
        "--driver", default="", metavar="NAME",
        help="what the engine calls this driver (default: as the daemon says); a managed plugin "
        "has another name",
    )  # fmt: skip
    what = "register the volume with Docker; print the command that does"
    group.add_argument(
        "--no-engine", action="store_true",
        help="do not " + (what if registers else "ask Docker for the volume's labels"),
    )  # fmt: skip


def add_labels(command: Any) -> None:
    """Add the option that gives a new volume labels."""
    command.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE",
        help="a label for Docker; repeatable",
    )  # fmt: skip


def socket_of(address: str) -> Path:
    """Return the UNIX socket that an address names.

    :raises EngineError: the address names something else.
    """
    scheme, _, path = address.rpartition("://")
    if scheme not in ("", "unix") or not path.startswith("/"):
        raise EngineError(
            f"{address}: only engines at a UNIX socket are supported; give --docker PATH"
        )
    return Path(path)


@frozen
class Engine:
    """An engine's API at a UNIX socket.

    :ivar address: as it was given: a path, or ``unix://`` and a path.
    """

    address: str

    def ask(self, method: str, target: str, body: object = None) -> Answer:
        """Make one request; return the answer, whatever its status.

        :raises EngineError: there is no answer.
        """
        socket = socket_of(self.address)
        data = b"" if body is None else json.dumps(body).encode("ascii")
        kind = "" if body is None else "application/json"
        try:
            return ask(socket, method, target, data, SILENCE, LIMIT, kind)
        except FileNotFoundError:
            raise EngineError(f"{socket}: there is no such socket") from None
        except (OSError, DeadError, SilentError, NoHTTPError) as error:
            text = getattr(error, "strerror", None) or error
            raise UnansweredError(f"{socket}: the engine does not answer: {text}") from None

    def volumes(self, drivers: Sequence[str], name: str = "") -> list[dict[str, Any]]:
        """Return what the engine knows of the volumes of some drivers, or of one of them.

        It asks those drivers for their lists, and remembers nothing by that.

        :raises EngineError: there is no answer, or no list.
        """
        filters: dict[str, list[str]] = {"driver": list(drivers)}
        if name:
            filters["name"] = [f"^{re.escape(name)}$"]
        answer = self.ask("GET", f"/volumes?filters={quote(json.dumps(filters))}")
        found = _object(answer)
        volumes = found.get("Volumes") or []
        if answer.status != 200 or not isinstance(volumes, list):
            raise EngineError(f"{self.address}: {_refusal(answer, found)}")
        return [volume for volume in volumes if isinstance(volume, dict)]

    def labels(self, driver: str, name: str) -> dict[str, str]:
        """Return a volume's labels; none if the engine does not know the volume.

        :raises EngineError: there is no answer.
        """
        found = self.volumes([driver], name)
        return labels_of(next((one for one in found if one.get("Name") == name), {}))

    def register(
        self, driver: str, name: str, options: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Make the engine write down a volume that it did not create.

        :raises EngineError: it did not; the text says why.
        """
        listed = self.volumes([driver, _LOCAL], name)
        seen = next((one for one in listed if one.get("Name") == name), None)
        if seen is None:
            # A Create would make a volume of that name in another daemon.
            raise EngineError(
                f'{self.address}: the engine lists no volume "{name}" of driver "{driver}": it '
                "uses another daemon, knows the driver by another name (give --driver), or has a "
                "volume of that name from another driver"
            )
        if seen.get("Driver") == _LOCAL:
            raise EngineError(
                f'{self.address}: the engine has a volume "{name}" of its driver "{_LOCAL}", which '
                "hides this one; remove that volume first"
            )
        if seen.get("Options") is not None or seen.get("Labels") is not None:
            return  # the engine created it
        fields = {
            "Name": name,
            "Driver": driver,
            "DriverOpts": dict(options),
            "Labels": dict(labels),
        }
        answer = self.ask("POST", "/volumes/create", fields)
        made = _object(answer)
        if answer.status not in (200, 201):
            raise EngineError(f"{self.address}: {_refusal(answer, made)}")
        if (made.get("Options") or {}, labels_of(made)) != (dict(options), dict(labels)):
            raise EngineError(
                f'{self.address}: the engine already remembers "{name}" without options and '
                "labels, and does not store them until dockerd is restarted; restart it first"
            )


def labelled(
    client: Client, volume: Mapping[str, Any], labels: Mapping[str, str]
) -> Mapping[str, Any]:
    """Give a volume labels besides those that it has; return it with them.

    :raises AdminError: the daemon refuses.
    """
    if not labels:
        return volume
    fields = {"Name": volume["Name"], "Labels": {**volume.get("Labels", {}), **labels}}
    return {**volume, **client.ask("Label", fields)}


def labels_of(volume: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of a volume that an engine has described."""
    labels = volume.get("Labels")
    return {str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else {}


def _object(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(answer: Answer, found: Mapping[str, Any]) -> str:
    return f"the engine answered {answer.status}: {found.get('message') or 'no reason given'}"


def options_of(
    backend: str, options: Mapping[str, str], default: str = "directory"
) -> dict[str, str]:
    """Return the options of a Create that makes, or finds, a volume.

    :param default: the backend of a volume whose options name none.
    """
    return {**({} if backend == default else {"backend": backend}), **options}


def line(driver: str, name: str, options: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Return the command, for a shell, that registers a volume with Docker."""
    words = ["docker", "volume", "create", "-d", driver]
    for key, value in options.items():
        words += ["-o", f"{key}={value}"]
    for key, value in labels.items():
        words += ["--label", f"{key}={value}"]
    return " ".join(map(_quoted, [*words, name]))


def _quoted(word: str) -> str:
    """Quote a word for a shell; all of it can be printed on one line."""
    if word.isprintable():
        return shlex.quote(word)
    kept = (c if c.isprintable() and c not in "'\\" else _escaped(c) for c in word)
    return f"$'{''.join(kept)}'"


def _escaped(character: str) -> str:
    data = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\{byte:03o}" for byte in data)


@define(eq=False)
class Registering:
    """Registers with Docker the volumes that a command has made.

    An engine that has not answered once is not asked again.

    :ivar address: the engine's; empty for none.
    :ivar driver: what engines call this driver.
    :ivar default: the backend of a volume whose options name none.
    """

    address: str
    driver: str
    default: str
    _silent: UnansweredError | None = field(default=None, init=False)

    @classmethod
    def of(cls, options: argparse.Namespace, client: Client) -> Registering:
        """Read a command's options, and ask the daemon for its names.

        :raises AdminError: the daemon does not answer.
        """
        about = client.ask("About")
        address = "" if options.no_engine else options.docker
        # A daemon of an older version does not say it.
        driver = options.driver or about.get("Driver", DEFAULTS["name"])
        return cls(address, driver, about.get("DefaultBackend", "directory"))

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        """Give the engine.

        :raises EngineError: it does not answer.
        """
        if self._silent is not None:
            raise self._silent
        try:
            yield Engine(self.address)
        except UnansweredError as error:
            self._silent = error
            raise

    def keep_labels(self, client: Client, name: str) -> None:
        """Let the daemon keep the labels that Docker has for a volume: a driver is not given them.

        A failure of that does not make the command fail.
        """
        if not self.address:
            return
        try:
            if not socket_of(self.address).exists():
                return  # there is no Docker
            with self._engine() as engine:
                labels = engine.labels(self.driver, name)
            if labels:
                client.ask("Label", {"Name": name, "Labels": labels})
        except (AdminError, EngineError) as error:
            note(f"exampledriver: the labels of {name} in Docker are not kept: {error}")

    def register(self, volume: Mapping[str, Any]) -> dict[str, object]:
        """Register a volume; a failure of that does not make the command fail.

        :param volume: as the daemon describes it.
        :return: ``Registered``, ``Command`` and ``Why`` not.
        """
        name = volume["Name"]
        shown = options_of(volume["Backend"], volume["Options"], self.default)
        # A volume of an older version may have a secret in an option, which the daemon hides.
        options = {key: value for key, value in shown.items() if HIDDEN not in value}
        labels: dict[str, str] = volume.get("Labels") or {}
        why = "--no-engine"
        if self.address:
            try:
                with self._engine() as engine:
                    engine.register(self.driver, name, options, labels)
                why = ""
            except EngineError as error:
                why = str(error)
            except KeyboardInterrupt:
                # The volume is made: only the waiting ends.
                self._silent = UnansweredError(f"{self.address}: interrupted")
                why = str(self._silent)
        command = line(self.driver, name, options, labels)
        return {"Registered": not why, "Command": command, "Why": why}


def show(done: Mapping[str, Any]) -> None:
    """Tell people whether a volume was registered with Docker, and the command that does it."""
    if done["Registered"]:
        note(f"registered with Docker, as by: {done['Command']}")
    elif done["Why"] == "--no-engine":
        note(f"to register it with Docker: {done['Command']}")
    else:
        note(f"exampledriver: not registered with Docker: {done['Why']}; run: {done['Command']}")
