"""What the tests of TLS are made of: certificates, and a daemon whose client speaks TLS."""

from __future__ import annotations

import socket
import ssl
from contextlib import redirect_stdout
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection, HTTPSConnection
from io import StringIO
from pathlib import Path
from typing import Any

from attrs import define, field

from exampledriver.cli.authority import CLIENT, SERVER, Authority, Pair
from exampledriver.cli.certs import make
from tests.process import PATIENCE, Daemon

#: Every certificate here is good for as long.
DAY = timedelta(days=1)


def now() -> datetime:
    """Return the time."""
    return datetime.now(timezone.utc)


def make_certs(directory: Path) -> Path:
    """Make what ``exampledriver certs`` makes; return the directory."""
    with redirect_stdout(StringIO()):
        assert make(directory, [], 30) == 0
    return directory


def write_pair(directory: Path, pair: Pair, name: str) -> tuple[Path, Path]:
    """Write ``NAME.pem`` and ``NAME-key.pem``; return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key = directory / f"{name}.pem", directory / f"{name}-key.pem"
    certificate.write_bytes(pair.certificate_pem)
    key.touch(0o600)
    key.write_bytes(pair.key_pem)
    return certificate, key


@define(eq=False)
class Certificates:
    """An authority below a directory, and whatever it is asked to issue."""

    directory: Path
    authority: Authority = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = Authority.make("test", now() - 30 * DAY, 60 * DAY)
        write_pair(self.directory, self.authority.pair, "ca")

    @property
    def ca(self) -> Path:
        """The certificate of the authority."""
        return self.directory / "ca.pem"

    def server(self, begin: timedelta = -DAY, life: timedelta = 2 * DAY) -> tuple[Path, Path]:
        """Issue a server's certificate that is good from `begin`, seen from now."""
        pair = self.authority.issue("server", ["127.0.0.1"], SERVER, now() + begin, life)
        return write_pair(self.directory, pair, "server")

    def client(self, begin: timedelta = -DAY, life: timedelta = 2 * DAY) -> tuple[Path, Path]:
        """Issue a client's certificate."""
        pair = self.authority.issue("client", ["client"], CLIENT, now() + begin, life)
        return write_pair(self.directory, pair, "client")


def free_port() -> int:
    """Return a port of loopback that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@define(eq=False)
class RemoteDaemon(Daemon):
    """A daemon that listens on loopback with mutual TLS, and nowhere else.

    :ivar certs: made by :func:`make_certs`.
    :ivar identity: the client's certificate and key, if it shows one.
    """

    certs: Path = Path()
    identity: tuple[Path, Path] | None = None
    port: int = field(factory=free_port)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.identity = (self.certs / "cert.pem", self.certs / "key.pem")

    @property
    def endpoint(self) -> str:
        """What the daemon listens on."""
        names = {"privateKey": "server-key.pem", "certKey": "server-cert.pem", "caCert": "ca.pem"}
        files = ":".join(f"{word}={self.certs / name}" for word, name in names.items())
        return f"ssl:{self.port}:interface=127.0.0.1:{files}"

    def arguments(self) -> list[str]:
        return [
            f"--listen={self.endpoint}" if word.startswith("--listen=unix:") else word
            for word in super().arguments()
        ]

    def context(self) -> ssl.SSLContext:
        """Return what the client demands and shows."""
        context = ssl.create_default_context(cafile=self.certs / "ca.pem")
        if self.identity:
            context.load_cert_chain(*self.identity)
        return context

    def dial(self) -> HTTPConnection:
        return HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=self.context())

    def connect(self, **options: Any) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        return self.context().wrap_socket(connection, server_hostname="127.0.0.1", **options)
