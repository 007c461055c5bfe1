"""Mutual TLS: what is demanded of who connects.

Not imported unless it is needed: pyOpenSSL costs a start 130 ms and 12 MB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHandshakeListener,
    IPullProducer,
    IReactorTime,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    trustRootFromCertificates,
)
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from .certificates import load_authorities, load_pair
from .listening import ListenError

_log = Logger()

#: In so many seconds a client must have shown a good certificate.
HANDSHAKE_LIMIT = 10.0
#: So many clients at once may have shown no certificate yet. An engine needs a few at a time, and
#: strangers leave most of the usual 1,024 descriptors alone, which the UNIX socket and the journal
#: need. One more is let in, and the oldest one of the network with the most of them is closed.
MAX_STRANGERS = 64
#: What is spoken over TLS, as ALPN names it.
PROTOCOL = b"http/1.1"
#: So many seconds a client has to agree to a close, once all is written.
CLOSE_LIMIT = 1.0
#: A certificate that has less than this is warned of at a start.
EXPIRES_SOON = timedelta(days=30)
#: Of clients that are turned away, one in so many seconds is logged.
REFUSAL_INTERVAL = 1.0


def _choose(_: SSL.Connection, offered: list[bytes]) -> bytes:
    """Choose a protocol of those that a client offers with ALPN.

    :raises SSL.Error: none of them is ours; OpenSSL then sends the alert of RFC 7301, 3.2.
    """
    if PROTOCOL in offered:
        return PROTOCOL
    shown = ascii(b", ".join(offered).decode("ascii", "replace")[:80])
    raise SSL.Error([("", "", f"it offers {shown} with ALPN, and not {PROTOCOL.decode()}")])


def _network(host: str) -> object:
    """Return what a client's address is counted by: of IPv6 the first 64 bits."""
    address = ip_address(host)
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or int(address) >> 64


@frozen
class Credentials:
    """What a server with mutual TLS needs, all of it judged.

    :ivar chain: the server's certificate, and those that lead to its CA.
    :ivar authorities: the only ones whose clients are let in.
    """

    chain: list[x509.Certificate]
    key: PrivateKeyTypes
    authorities: list[x509.Certificate]

    @classmethod
    def load(cls, certificate: Path, key: Path, client_ca: Path) -> Credentials:
        """Read the files.

        :raises ListenError: one of them is not as it must be.
        """
        chain, loaded = load_pair(certificate, key, "server")
        try:
            chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (x509.ExtensionNotFound, ValueError):
            raise ListenError(
                f"{certificate}: the server's certificate has no subject alternative name, so "
                "engines would refuse it; `exampledriver certs DIR` makes one that has"
            ) from None
        return cls(chain, loaded, load_authorities(client_ca, "the client CA"))

    def options(self) -> CertificateOptions:
        """Return what every connection is held to: TLS 1.2 or newer, a client of the CA."""
        certificate, *more = [crypto.X509.from_cryptography(each) for each in self.chain]
        roots = [Certificate(crypto.X509.from_cryptography(each)) for each in self.authorities]
        options = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(self.key),  # type: ignore[arg-type]
            certificate=certificate,
            extraCertChain=more,
            trustRoot=trustRootFromCertificates(roots),
            raiseMinimumTo=TLSVersion.TLSv1_2,
        )
        # Twisted's own callback answers a client that offers no protocol of ours with none, which
        # OpenSSL takes for an internal error.
        options.getContext().set_alpn_select_callback(_choose)
        return options

    def wrap(self, reactor: IReactorTime, factory: Factory[Any]) -> Factory[Any]:
        """Return a factory that speaks mutual TLS around another one."""
        left = self.chain[0].not_valid_after_utc - datetime.now(timezone.utc)
        if left < EXPIRES_SOON:
            _log.warn(
                "the server's certificate expires in {days} days: replace it and restart",
                days=left.days,
            )
        return TLSMemoryBIOFactory(self.options(), False, _Doorkeeper(reactor, factory), reactor)


@implementer(IPullProducer)
@define(eq=False)
class _Written:
    """Waits until a transport has written all that it has been given.

    :ivar then: called once, unless the connection is lost before.
    """

    transport: IConsumer
    then: Callable[[], None]
    _registered: bool = field(default=False, init=False)

    def resumeProducing(self) -> None:
        """Be asked for more: once by the registration itself, and when all is written."""
        if not self._registered:
            self._registered = True
            return
        self.transport.unregisterProducer()
        self.then()

    def stopProducing(self) -> None:
        """Take no note of a connection that is lost."""


@implementer(IHandshakeListener)
class _Visitor(ProtocolWrapper):
    """Between TLS and the server: limits how long a handshake and a close take.

    The server has no idle timeout, so a client that never shows a certificate, or never
    agrees to a close, would otherwise stay. An answer has no limit here, however slowly it is
    read: only a drain cuts it, and counts what it cuts.
    """

    factory: _Doorkeeper
    _known = False
    _leaving = False
    _closing = False
    _limit: IDelayedCall | None = None

    def _within(self, seconds: float, late: Callable[[], None] | None = None) -> None:
        self._cancel()
        self._limit = self.factory.clock.callLater(seconds, late or self._cut)

    def _cancel(self) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()

    def _hang_up(self) -> None:
        """Close without the client's consent; what the kernel still has is sent all the same."""
        self.transport.transport.loseConnection()  # type: ignore[union-attr]

    def _cut(self) -> None:
        if not self._known and not self._leaving:
            self.factory.refused(self.getPeer(), f"no handshake in {HANDSHAKE_LIMIT:.0f} s")
        self.transport.abortConnection()  # type: ignore[union-attr]

    def makeConnection(self, transport: Any) -> None:
        """Begin, with a limit for the handshake."""
        self._within(HANDSHAKE_LIMIT)
        super().makeConnection(transport)
        self.factory.admit(self)

    def give_way(self) -> None:
        """Close, so that another client finds room."""
        self._leaving = True
        self.factory.strangers.pop(self, None)
        self.factory.refused(
            self.getPeer(), f"no certificate yet, and {MAX_STRANGERS} newer clients"
        )
        self.transport.abortConnection()  # type: ignore[union-attr]

    def handshakeCompleted(self) -> None:
        """Let the client stay: it has shown its certificate."""
        self._known = True
        self.factory.strangers.pop(self, None)
        if self._leaving:
            self._within(CLOSE_LIMIT)
        else:
            self._cancel()

    def dataReceived(self, data: bytes) -> None:
        """Pass data on; a request that came in spite of a close is answered in its own time."""
        if self._leaving and not self._closing:
            self._cancel()
        super().dataReceived(data)

    def loseConnection(self) -> None:
        """Close, with a limit for the client's consent that begins when all is written.

        A handshake that is under way has the same limit: a request may follow, and its
        answer closes the connection.
        """
        self._leaving = True
        if not self._known:
            self._within(CLOSE_LIMIT)
            return
        if self._closing:
            return
        self._closing = True
        self._cancel()
        super().loseConnection()
        # The server has unregistered its own producer: a TLS connection closes only then.
        socket: IConsumer = self.transport.transport  # type: ignore[union-attr]
        written = _Written(socket, lambda: self._within(CLOSE_LIMIT, self._hang_up))
        socket.registerProducer(written, False)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say why a client was turned away."""
        self._cancel()
        self.factory.strangers.pop(self, None)
        if not self._known and isinstance(reason.value, SSL.Error):
            causes = reason.value.args[0] if reason.value.args else ()
            self.factory.refused(self.getPeer(), ", ".join(cause[-1] for cause in causes))
        super().connectionLost(reason)


class _Doorkeeper(WrappingFactory[_Visitor]):
    """Makes visitors, and logs who was turned away, seldom enough not to fill a disk.

    :ivar strangers: the visitors that have shown no certificate yet, the oldest first, and the
        network of each.
    """

    protocol = _Visitor
    noisy = False

    def __init__(self, clock: IReactorTime, factory: Factory[Any]) -> None:
        super().__init__(factory)
        self.clock = clock
        self.strangers: dict[_Visitor, object] = {}
        self._next = 0.0
        self._unsaid = 0

    def admit(self, visitor: _Visitor) -> None:
        """Count a visitor that has shown no certificate yet; if there are too many, close one."""
        self.strangers[visitor] = _network(visitor.getPeer().host)
        if len(self.strangers) > MAX_STRANGERS:
            most = Counter(self.strangers.values()).most_common(1)[0][0]
            next(each for each, network in self.strangers.items() if network == most).give_way()

    def refused(self, peer: Any, why: str) -> None:
        """Take note of a client that was turned away."""
        now = self.clock.seconds()
        if now < self._next:
            self._unsaid += 1
            return
        _log.warn(
            "refused a client at {peer}: {why} ({unsaid} more before it)",
            peer=getattr(peer, "host", peer),
            why=why or "TLS failed",
            unsaid=self._unsaid,
        )
        self._next, self._unsaid = now + REFUSAL_INTERVAL, 0
