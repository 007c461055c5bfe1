"""TCP for engines that a UNIX socket does not reach: with mutual TLS, or in the clear on loopback.

Whoever can open a volume plugin's port is as good as root. So ``ssl:`` is not offered without
the CA whose clients are let in, and ``tcp:`` only on loopback and when it was asked for twice.
What needs the extra is in modules that are imported only for ``ssl:``.
"""

from __future__ import annotations

import os
import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory

from .accepting import RestingPort
from .listening import ListenError, Listening, endpoint_words

if TYPE_CHECKING:
    from .tls import Credentials

#: How to get what ``ssl:`` needs.
EXTRA = "pip install 'exampledriver[tls]'"
#: Every address, of IPv4 and of both.
_ANY = ("0.0.0.0", "::")  # noqa: S104 (compared with, not bound)


def _read(text: str, known: tuple[str, ...]) -> tuple[int, str, int, dict[str, str]]:
    """Read ``KIND:PORT[:interface=ADDR][:backlog=N]`` and what else is known.

    :return: port, interface, backlog, and the other arguments.
    :raises ValueError: it is no such thing.
    """
    kind, *words = endpoint_words(text)
    form = f"{kind}:PORT:interface=ADDR"
    if not words:
        raise ValueError(f"{text}: give {form}")
    port = words[0].removeprefix("port=")
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError(f"{text}: {port!r} is not a port from 1 to 65535; give {form}")
    given = dict(word.partition("=")[::2] for word in words[1:])
    interface, backlog = given.pop("interface", ""), given.pop("backlog", "1024")
    others = {name: given.pop(name) for name in known if name in given}
    if given:
        raise ValueError(
            f"{text}: {', '.join(given)} is not known; known: "
            f"{', '.join(sorted(('backlog', 'interface', *known)))}; a colon in a value is "
            "written \\:"
        )
    if not re.fullmatch("[1-9][0-9]{0,4}", backlog):
        raise ValueError(f"{text}: backlog is a number from 1 to 99999")
    if interface:
        _address(text, interface)
    return int(port), interface, int(backlog), others


def _address(text: str, interface: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(interface)
    except ValueError:
        raise ValueError(
            f"{text}: interface={interface} is not an IP address; give one, such as "
            r"127.0.0.1 or \:\:1"
        ) from None


def _free(interface: str, port: int, name: str) -> None:
    """See that an address can be listened on.

    :raises ListenError: it cannot.
    """
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((interface, port))
    except OSError as error:
        raise ListenError(
            f"{name}: {error.strerror}; stop what listens there, or give an address of this "
            "machine and a port that is free"
        ) from None


def _listen(reactor: Any, endpoint: TcpEndpoint | TlsEndpoint, factory: Factory[Any]) -> Listening:
    try:
        port = RestingPort(endpoint.port, factory, endpoint.backlog, endpoint.interface, reactor)
        port.startListening()
    except CannotListenError as error:
        raise ListenError(f"{endpoint}: {error}") from None
    return Listening(port)


def _name(host: str, port: int) -> str:
    """Return host and port as URLs have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@frozen
class TcpEndpoint:
    """A TCP port on loopback, in the clear.

    :ivar interface: a loopback address.
    :ivar backlog: how many connections may wait to be accepted.
    """

    port: int
    interface: str
    backlog: int = 1024

    @classmethod
    def parse(cls, text: str, insecure: bool = False) -> TcpEndpoint:
        """Read ``tcp:PORT:interface=ADDR[:backlog=N]``.

        :param insecure: whether ``--insecure-tcp`` was given.
        :raises ValueError: it is none, is not on loopback, or `insecure` is false.
        """
        port, interface, backlog, _ = _read(text, ())
        loopback = interface and "%" not in interface and _address(text, interface).is_loopback
        if not loopback:
            raise ValueError(
                f"{text}: plain TCP is refused beyond loopback: whoever can open a "
                "volume plugin's port is as good as root; give interface=127.0.0.1, or ssl: with "
                "the CA of its clients"
            )
        if not insecure:
            raise ValueError(
                f"{text}: every user of this machine can open a port on loopback, and is "
                "then as good as root; listen on unix:PATH or ssl:, or add --insecure-tcp"
            )
        return cls(port, interface, backlog)

    def __str__(self) -> str:
        """Return the endpoint for people."""
        return f"tcp:{_name(self.interface, self.port)}"

    @property
    def url(self) -> str:
        """The address for engines."""
        return f"tcp://{_name(self.interface, self.port)}"

    def check(self) -> None:
        """See that the port is free.

        :raises ListenError: it is not.
        """
        _free(self.interface, self.port, str(self))

    def listen(self, reactor: Any, factory: Factory[Any]) -> Listening:
        """Listen.

        :raises ListenError: it cannot be done.
        """
        return _listen(reactor, self, factory)


@frozen
class TlsEndpoint:
    """A TCP port with mutual TLS.

    :ivar interface: empty for every IPv4 address.
    :ivar private_key: the server's key.
    :ivar certificate: its certificate, and those that lead to its CA, if there are any.
    :ivar client_ca: the certificates of the only authorities whose clients are let in.
    :ivar backlog: how many connections may wait to be accepted.
    """

    port: int
    interface: str
    private_key: Path
    certificate: Path
    client_ca: Path
    backlog: int = 1024

    @classmethod
    def parse(cls, text: str) -> TlsEndpoint:
        r"""Read ``ssl:PORT[:interface=ADDR]:privateKey=PEM[:certKey=PEM]:caCert=PEM[:backlog=N]``.

        As with Twisted, the certificate is looked for beside the key if ``certKey`` is not given,
        and a colon in a value is written ``\:``.

        :raises ValueError: it is none, or without a client CA.
        """
        port, interface, backlog, files = _read(text, ("privateKey", "certKey", "caCert"))
        if not files.get("privateKey"):
            raise ValueError(
                f"{text}: privateKey=PEM is missing: the server's key; `exampledriver "
                "certs DIR` makes one"
            )
        if not files.get("caCert"):
            raise ValueError(
                f"{text}: caCert=PEM is missing: without a client CA, anyone "
                "who can reach the port is as good as root; `exampledriver certs DIR` makes one"
            )
        key, certificate, client_ca = (
            Path(os.path.abspath(files.get(name) or files["privateKey"]))
            for name in ("privateKey", "certKey", "caCert")
        )
        return cls(port, interface, key, certificate, client_ca, backlog)

    def __str__(self) -> str:
        """Return the endpoint for people."""
        return f"ssl:{_name(self.interface or _ANY[0], self.port)}"

    @property
    def host(self) -> str:
        """The address at which an engine of this machine reaches it."""
        local = {"": "127.0.0.1", _ANY[0]: "127.0.0.1", _ANY[1]: "::1"}
        return local.get(self.interface, self.interface)

    def url(self, host: str) -> str:
        """Return the address for engines that know the server as `host`."""
        return f"https://{_name(host, self.port)}"

    def check(self) -> None:
        """Read and judge every file, and see that the port is free.

        :raises ListenError: the extra is not installed, a file is not as it must be (the text
            names it and what to do), or the port is not free.
        """
        self.credentials()
        _free(self.interface, self.port, str(self))

    def credentials(self) -> Credentials:
        """Read and judge every file.

        :raises ListenError: the extra is not installed, or a file is not as it must be.
        """
        try:
            from .tls import Credentials
        except ImportError as error:
            raise ListenError(
                f"{self}: TLS needs packages that are not installed ({error.name}); {EXTRA}"
            ) from None
        return Credentials.load(self.certificate, self.private_key, self.client_ca)

    def listen(self, reactor: Any, factory: Factory[Any]) -> Listening:
        """Listen; clients without a certificate of the client CA are turned away.

        :raises ListenError: it cannot be done.
        """
        return _listen(reactor, self, self.credentials().wrap(reactor, factory))
