"""The options of ``twistd exampledriver``, and what is judged of them before anything is made."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TypeAlias

from twisted.python import usage

from .backends.mounts import inside
from .configuration import Configuration, load
from .daemon.listening import UnixEndpoint, check_distinct
from .daemon.logs import FORMATS, LogOutput, parse_size
from .daemon.remote import TcpEndpoint, TlsEndpoint
from .daemon.runner import LogOptions
from .daemon.systemd import SystemdEndpoint
from .plugin.redaction import hidden_line
from .settings import DEFAULTS, admin_socket, check_driver_name, parse_retention

CheckedEndpoint: TypeAlias = UnixEndpoint | SystemdEndpoint | TcpEndpoint | TlsEndpoint

#: The id that chown(2) takes for none.
_NO_ID = (1 << 32) - 1


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
        ["same-root", None, None, "Do not start unless this is the same directory as the root."],
        ["state", None, DEFAULTS["state"], "Where the journal is."],
        ["runtime", None, DEFAULTS["runtime"], "Where mounts are counted; dies with the boot."],
        ["admin", None, None, "The admin's socket, or none [default: admin.sock in runtime]."],
        [
            "trash-retention",
            None,
            DEFAULTS["trash-retention"],
            "How long removed volumes are kept: a number of s, m, h or d; 0; or forever.",
        ],
        [
            "owner",
            None,
            None,
            "Who owns new volumes, UID:GID [default: root of the engine's userns-remap, or 0:0].",
        ],
        ["config", None, None, "A file that says which backends there are, and their defaults."],
        ["log-file", None, "", "Where to log; - and the default are standard output."],
        ["log-format", None, "text", "text for people, or json: one object a line."],
        ["log-rotate-size", None, None, "When a log file is rotated; 0: never. [default: 10M]"],
        ["log-keep", None, None, "How many rotated log files are kept. [default: 10]"],
        ["spec-dir", None, None, "Write NAME.spec, or NAME.json with ssl:, there for engines."],
        ["spec-host", None, None, "How engines reach ssl: [default: its interface]."],
        ["spec-ca-file", None, None, "The server's CA, for engines [default: caCert of ssl:]."],
        ["spec-cert-file", None, None, "The engine's certificate [default: cert.pem beside it]."],
        ["spec-key-file", None, None, "The engine's key [default: key.pem beside it]."],
    ]

    optFlags: ClassVar[Sequence[Sequence[object]]] = [
        ["insecure-tcp", None, "Let tcp: listen on loopback, in the clear."],
        ["adopt", None, "If there is no journal, make each directory in the root a volume."],
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
            self["owner_ids"] = _ids(self["owner"]) if self["owner"] else None
            self["retention"] = parse_retention(self["trash-retention"])
            if self["insecure-tcp"] and not any(text.startswith("tcp:") for text in listen):
                raise ValueError("--insecure-tcp is of no use without --listen=tcp:")
            self["log"] = self._log_output()
            config = self["config"]
            self["configuration"] = load(Path(config)) if config else Configuration()
        except ValueError as error:
            raise usage.UsageError(str(error)) from None
        self["admin_endpoint"] = _admin_endpoint(self["admin"], self["runtime"])
        also = [self["admin_endpoint"]] if self["admin_endpoint"] else []
        try:
            check_distinct([*self["endpoints"], *also])
        except ValueError as error:
            raise usage.UsageError(f"--listen={error}") from None
        # twistd changes its directory: a relative path is meant from here.
        for option in ("root", "state", "runtime"):
            self[option + "_path"] = Path(os.path.realpath(self[option]))
        if self["same-root"]:
            self["same-root"] = os.path.realpath(self["same-root"])
        _check_apart(self["root_path"], self["state_path"], self["runtime_path"])

    def _log_output(self) -> LogOutput | None:
        if self["log-format"] not in FORMATS:
            raise ValueError(f"--log-format={self['log-format']}: give text or json")
        keep = self["log-keep"] or "10"
        if not re.fullmatch("[1-9][0-9]{0,3}", keep):
            raise ValueError(f"--log-keep={keep}: give a number from 1 to 9999")
        size = parse_size(self["log-rotate-size"] or "10M")
        options = LogOptions(self["log-file"], self["log-format"], size, int(keep), hidden_line)
        log = options.output(self.parent)
        for word in ("log-keep", "log-rotate-size"):
            if self[word] is not None and (log is None or log.path is None):
                raise ValueError(f"--{word}={self[word]} is of no use without --log-file")
        return log


def _endpoint(text: str, insecure: bool) -> CheckedEndpoint:
    try:
        return _parsed(text, insecure)
    except ValueError as error:
        raise ValueError(f"--listen={error}") from None


def _parsed(text: str, insecure: bool) -> CheckedEndpoint:
    kind = text.partition(":")[0]
    if kind == "tcp":
        return TcpEndpoint.parse(text, insecure)
    if kind == "ssl":
        return TlsEndpoint.parse(text)
    return SystemdEndpoint.parse(text) if kind == "systemd" else UnixEndpoint.parse(text)


def _ids(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,10}):([0-9]{1,10})", text, re.ASCII)
    uid, gid = (int(number) for number in found.groups()) if found else (_NO_ID, _NO_ID)
    if max(uid, gid) >= _NO_ID:
        raise ValueError(f"--owner={text}: give UID:GID, numbers from 0 to {_NO_ID - 1}")
    return uid, gid


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


def _check_apart(root: Path, state: Path, runtime: Path) -> None:
    for own, option in ((state, "state"), (runtime, "runtime")):
        if inside(str(own), str(root)) or inside(str(root), str(own)):
            raise usage.UsageError(
                f"--{option}={own} and --root={root}: one lies in the other; keep them apart"
            )
    if state == runtime:
        raise usage.UsageError(f"--state={state} and --runtime={runtime}: keep them apart")
