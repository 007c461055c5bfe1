"""A real daemon in a process of its own, and a client for its socket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX
from socket import socket as Socket
from typing import Any

from attrs import define, field

#: How long anything may take before a test fails, in seconds; these machines are slow at times.
PATIENCE = 30.0

Answer = tuple[int, dict[str, Any]]


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition.

    :raises AssertionError: it was not met in time; the text says `what`.
    """
    limit = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.01)


class UnixConnection(HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("plugin", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = Socket(AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(os.fspath(self._path))


def request_bytes(call: str, message: object) -> bytes:
    """Return a request as Docker sends it."""
    body = b"" if message is None else json.dumps(message).encode("ascii") + b"\n"
    return (
        b"POST /%s HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: %d\r\n"
        b"Accept: application/vnd.docker.plugins.v1.2+json\r\n\r\n%s"
        % (call.encode("ascii"), len(body), body)
    )


def read_answer(connection: Socket, data: bytes = b"") -> Answer | None:
    """Read one answer from a connection; ``None`` if it was closed before its end.

    :param data: what has been read of it already.
    """
    while True:
        head, found, body = data.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            if len(body) >= length:
                return int(head.split(b" ")[1]), json.loads(body[:length])
        try:
            more = connection.recv(65536)
        except ConnectionResetError:
            return None
        if not more:
            return None
        data += more


@define(eq=False)
class Daemon:
    """A daemon below a directory of its own.

    :ivar options: further options of ``twistd exampledriver``.
    :ivar runner: what comes before them, after the name of the program.
    :ivar program: ``twistd`` or ``twist``.
    :ivar command: if given, the arguments of the program in place of all of these.
    :ivar prefix: what the program is started by, in the same process.
    :ivar descriptors: what the process inherits, besides its output.
    """

    base: Path
    options: Sequence[str] = ()
    program: str = "twistd"
    runner: Sequence[str] = ("-n", "--pidfile=", "exampledriver")
    command: Sequence[str] = ()
    prefix: Sequence[str] = ()
    descriptors: Sequence[int] = ()
    environment: Mapping[str, str] = field(factory=dict)
    socket: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.socket = self.base / "plugins/x.sock"

    @property
    def root(self) -> Path:
        """Where volumes live."""
        return self.base / "volumes"

    @property
    def state(self) -> Path:
        """Where the journal is."""
        return self.base / "state"

    def arguments(self) -> list[str]:
        """Return the command line."""
        program = os.path.join(os.path.dirname(sys.executable), self.program)
        if self.command:
            return [program, *self.command]
        places = {"root": self.root, "state": self.state, "runtime": self.base / "run"}
        return [
            program,
            *self.runner,
            *(f"--{option}={path}" for option, path in places.items()),
            f"--listen=unix:{self.socket}",
            *self.options,
        ]

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for anything."""
        self.process = subprocess.Popen(
            # The daemon does not outlive a runner that is killed.
            ["setpriv", "--pdeathsig", "KILL", *self.prefix, *self.arguments()],
            pass_fds=self.descriptors,
            cwd=self.base,
            stdin=subprocess.DEVNULL,
            stdout=(self.base / "log").open("ab"),
            stderr=(self.base / "err").open("ab"),
            env={**os.environ, **self.environment},
        )
        return self.process

    def start(self) -> None:
        """Start the process and wait until it answers."""
        process = self.spawn()
        until(lambda: self.answers() or process.poll() is not None, "an answer")
        assert process.poll() is None, self.log()

    def answers(self) -> bool:
        """Tell whether the daemon answers."""
        try:
            return self.call("Plugin.Activate", None)[0] == 200
        except OSError:
            return False

    def log(self) -> str:
        """Return what the daemon has written so far."""
        return "".join(
            path.read_text(errors="replace")
            for path in (self.base / "log", self.base / "err")
            if path.exists()
        )

    def dial(self) -> HTTPConnection:
        """Return a client that has not connected yet."""
        return UnixConnection(self.socket)

    def call(self, call: str, message: object) -> Answer:
        """Make one call on a connection of its own."""
        connection = self.dial()
        try:
            body = b"" if message is None else json.dumps(message).encode("ascii") + b"\n"
            connection.request("POST", "/" + call, body)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def ok(self, call: str, **message: object) -> dict[str, Any]:
        """Make a call that succeeds, and return its answer."""
        status, answer = self.call(f"VolumeDriver.{call}", message)
        assert status == 200 and not answer.get("Err"), answer
        return answer

    def names(self) -> list[str]:
        """Return the names of the volumes."""
        return [volume["Name"] for volume in self.ok("List")["Volumes"]]

    def connect(self) -> Socket:
        """Open a connection."""
        connection = Socket(AF_UNIX)
        connection.connect(os.fspath(self.socket))
        connection.settimeout(PATIENCE)
        return connection

    def signal(self, number: int) -> int:
        """Send a signal and wait for the process to end; return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End the process with SIGKILL."""
        self.signal(signal.SIGKILL)

    def stop(self) -> None:
        """End the process with SIGTERM."""
        self.signal(signal.SIGTERM)

    def close(self) -> None:
        """End the process, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()


def short_directory() -> Path:
    """Return a new directory whose path is short enough for sockets; remove it yourself."""
    return Path(tempfile.mkdtemp(prefix="xd-", dir="/tmp"))


def remove_directory(path: Path) -> None:
    """Remove a directory of :func:`short_directory`."""
    shutil.rmtree(path, ignore_errors=True)
