"""Spec files: how engines find a plugin that has no socket in ``/run/docker/plugins``.

Docker looks for ``NAME.spec``, one URL and a newline, and then for ``NAME.json``, which can name
certificates, in ``/etc/docker/plugins`` and ``/usr/lib/docker/plugins``. It speaks TLS only with
``https://``: certificates beside a ``tcp://`` are passed over without a word, so none are written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from .listening import ListenError, UnixEndpoint
from .remote import TcpEndpoint, TlsEndpoint
from .service import Opened

_log = Logger()


@frozen
class EngineFiles:
    """What an engine needs for mutual TLS.

    :ivar ca: the CA of the server's certificate.
    :ivar certificate: the engine's own certificate, of the server's client CA.
    :ivar key: its key.
    """

    ca: Path
    certificate: Path
    key: Path

    def check(self) -> None:
        """Read and judge each of them.

        :raises ListenError: one is not as it must be.
        """
        from . import certificates

        certificates.load_authorities(self.ca, "the CA for engines (--spec-ca-file)")
        certificates.load_pair(self.certificate, self.key, "engine")


@frozen
class SpecFile:
    """One spec file, there only while engines are served.

    :ivar path: ``DIR/NAME.spec`` or ``DIR/NAME.json``.
    :ivar content: all of it.
    :ivar mode: its permissions.
    """

    path: Path
    content: bytes
    mode: int

    def check(self) -> None:
        """Make the directory, and see that no spec of another owner is there.

        A file that is byte for byte ours was left by SIGKILL.

        :raises ListenError: the directory cannot be made or written, or there is such a spec.
        """
        directory = self.path.parent
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        except OSError as error:
            raise ListenError(
                f"spec directory {directory}: cannot be made: {error.strerror}; run as root, or "
                "give a directory of your own"
            ) from None
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ListenError(
                f"spec directory {directory}: user {os.geteuid()} cannot write into it; run as "
                "root, or give a directory of your own"
            )
        for suffix in (".spec", ".json"):
            other = self.path.with_name(self.path.stem + suffix)
            if os.path.lexists(other) and not (other == self.path and self._ours()):
                raise ListenError(
                    f"{other}: is there already, with another content: another plugin has this "
                    "name, or a kill -9 of this driver left it, with other options than these; "
                    "if nothing listens where it points, remove it, else take another name"
                )

    def _ours(self) -> bool:
        try:
            return not self.path.is_symlink() and self.path.read_bytes() == self.content
        except OSError:
            return False

    def write(self) -> None:
        """Write it, whole or not at all, replacing nothing.

        :raises ListenError: it cannot be written, or one of another owner has appeared.
        """
        self.check()
        if self._ours():
            return
        new = self.path.with_name(f".{self.path.name}.new")
        try:
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.mode)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, self.mode)
                file.write(self.content)
                file.flush()
                os.fsync(descriptor)
            try:
                # Unlike a rename, a link never takes the place of a file that is there.
                os.link(new, self.path)
            finally:
                new.unlink(missing_ok=True)
            self._sync()
        except OSError as error:
            raise ListenError(f"{self.path}: cannot be written: {error.strerror}") from None

    def remove(self) -> None:
        """Remove it, if it is still ours."""
        if not self._ours():
            _log.warn("{path} is not as it was written: left as it is", path=str(self.path))
            return
        try:
            self.path.unlink()
            self._sync()
        except OSError as error:
            _log.error("{path}: cannot be removed: {error}", path=str(self.path), error=error)

    def _sync(self) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with suppress(OSError):  # a file system that cannot sync a directory
                os.fsync(directory)
        finally:
            os.close(directory)


class Target(Protocol):
    """An endpoint that engines can be told of."""

    def check(self) -> None:
        """Find out whether it can be listened on."""

    def listen(self, reactor: Any, factory: Factory[Any]) -> Opened:
        """Listen."""


@define(eq=False)
class Announced:
    """An endpoint that engines find by a spec, which is there only while it is listened on."""

    endpoint: Target
    spec: SpecFile

    def __str__(self) -> str:
        """Return the endpoint for people, with its spec."""
        return f"{self.endpoint}, for engines by {self.spec.path}"

    def check(self) -> None:
        """Find out whether it can be listened on, and the spec be written.

        :raises ListenError: it cannot.
        """
        self.endpoint.check()
        self.spec.check()

    def listen(self, reactor: Any, factory: Factory[Any]) -> _Found:
        """Listen, and write the spec.

        :raises ListenError: it cannot be done.
        """
        opened = self.endpoint.listen(reactor, factory)
        try:
            self.spec.write()
        except ListenError:
            opened.close()
            raise
        return _Found(opened, self.spec)


@define(eq=False)
class _Found:
    """An announced endpoint that is listened on."""

    opened: Opened
    spec: SpecFile

    def close(self) -> Deferred[Any]:
        """Remove the spec, and accept no more."""
        self.spec.remove()
        return self.opened.close()


def announced(
    directory: Path,
    name: str,
    endpoints: Sequence[Any],
    host: str | None = None,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> list[Any]:
    """Return the endpoints, one of them announced: ``ssl:``, else ``tcp:``, else ``unix:``.

    :param host: how engines reach an ``ssl:`` endpoint, if not by its own address.
    :param ca, certificate, key: what engines need for it; by default ``caCert`` and the
        ``cert.pem`` and ``key.pem`` beside it, as ``exampledriver certs`` makes them.
    :raises ListenError: there is no such endpoint, or what TLS needs is not as it must be.
    """
    for kind in (TlsEndpoint, TcpEndpoint, UnixEndpoint):
        for number, endpoint in enumerate(endpoints):
            if not isinstance(endpoint, kind):
                continue
            if isinstance(endpoint, TlsEndpoint):
                beside = endpoint.client_ca.parent
                files = EngineFiles(
                    ca or endpoint.client_ca,
                    certificate or beside / "cert.pem",
                    key or beside / "key.pem",
                )
                spec = _secure(directory, name, endpoint, host or endpoint.host, files)
            elif host or ca or certificate or key:
                raise ListenError(
                    "--spec-host, --spec-ca-file, --spec-cert-file and --spec-key-file are for "
                    "ssl:, and no --listen is ssl:"
                )
            else:
                spec = _plain(directory, name, endpoint)
            return [*endpoints[:number], Announced(endpoint, spec), *endpoints[number + 1 :]]
    raise ListenError(
        f"spec directory {directory}: nothing that is listened on has an address that a spec could "
        "name; add unix:PATH or ssl:"
    )


def _plain(directory: Path, name: str, endpoint: TcpEndpoint | UnixEndpoint) -> SpecFile:
    if isinstance(endpoint, TcpEndpoint):
        url = endpoint.url
    else:
        url = f"unix://{quote(str(endpoint.path))}"
    return SpecFile(directory / f"{name}.spec", f"{url}\n".encode("ascii"), 0o644)


def _secure(
    directory: Path, name: str, endpoint: TlsEndpoint, host: str, files: EngineFiles
) -> SpecFile:
    credentials = endpoint.credentials()
    from . import certificates

    certificates.check_host(credentials.chain[0], endpoint.certificate, host)
    files.check()
    certificates.check_trust(
        (endpoint.certificate, endpoint.private_key),
        endpoint.client_ca,
        (files.certificate, files.key),
        files.ca,
    )
    content = {
        "Name": name,
        "Addr": endpoint.url(host),
        "TLSConfig": {
            "InsecureSkipVerify": False,
            "CAFile": str(files.ca),
            "CertFile": str(files.certificate),
            "KeyFile": str(files.key),
        },
    }
    text = json.dumps(content, indent=2) + "\n"
    return SpecFile(directory / f"{name}.json", text.encode("ascii"), 0o600)
