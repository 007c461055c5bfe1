"""Mutual TLS in this process: who stays."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.daemon.tls import HANDSHAKE_LIMIT, MAX_STRANGERS, Credentials
from tests.remote import make_certs


class TlsCase(SynchronousTestCase):
    """A factory with mutual TLS."""

    def setUp(self) -> None:
        certs = make_certs(Path(self.mktemp()))
        self.clock = Clock()
        credentials = Credentials.load(
            certs / "server-cert.pem", certs / "server-key.pem", certs / "ca.pem"
        )
        self.factory = credentials.wrap(self.clock, Factory.forProtocol(Protocol))

    def stranger(self, host: str = "192.0.2.1") -> StringTransport:
        """Connect from an address, and show nothing."""
        transport = StringTransport(peerAddress=IPv4Address("TCP", host, 1))
        protocol = self.factory.buildProtocol(transport.getPeer())
        assert protocol is not None
        protocol.makeConnection(transport)
        return transport


class LimitTests(TlsCase):
    """A client that shows no certificate does not stay."""

    def test_handshake(self) -> None:
        """Who has not shown a certificate in time is cut, with a line in the log."""
        transport = self.stranger()
        self.clock.advance(HANDSHAKE_LIMIT - 0.1)
        self.assertFalse(transport.disconnecting or transport.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class NetworkTests(TlsCase):
    """Whose place a further client takes."""

    def left(self, strangers: list[StringTransport]) -> int:
        """Return how many have not been closed."""
        return sum(not stranger.disconnected for stranger in strangers)

    def test_counted(self) -> None:
        """IPv4 is counted by address, however it is written, and IPv6 by its first 64 bits."""
        one = [self.stranger(f"2001:db8::{n:x}:1") for n in range(40)]
        two = [self.stranger(f"::ffff:192.0.2.{n}") for n in range(20)]
        three = [self.stranger("fe80::1%eth0") for _ in range(4)]
        two += [self.stranger(f"192.0.2.{n}") for n in range(20)]
        self.assertEqual((self.left(one), self.left(two), self.left(three)), (20, 40, 4))
        self.assertEqual(self.left(one[20:]), 20)
        self.stranger("192.0.2.7")
        self.assertEqual((self.left(one), self.left(two), self.left(three)), (19, 40, 4))

    def test_all_different(self) -> None:
        """If no network has more than another one, the oldest client gives way."""
        strangers = [self.stranger(f"192.0.2.{n}") for n in range(MAX_STRANGERS + 3)]
        self.assertEqual(self.left(strangers), MAX_STRANGERS)
        self.assertEqual(self.left(strangers[:3]), 0)
