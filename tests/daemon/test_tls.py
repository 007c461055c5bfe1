"""Mutual TLS in this process: who stays."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.daemon.tls import HANDSHAKE_LIMIT, Credentials
from tests.remote import make_certs


class LimitTests(SynchronousTestCase):
    """A client that shows no certificate does not stay."""

    def test_handshake(self) -> None:
        """Who has not shown a certificate in time is cut, with a line in the log."""
        certs = make_certs(Path(self.mktemp()))
        clock = Clock()
        credentials = Credentials.load(
            certs / "server-cert.pem", certs / "server-key.pem", certs / "ca.pem"
        )
        factory = credentials.wrap(clock, Factory.forProtocol(Protocol))
        transport = StringTransport()
        protocol = factory.buildProtocol(transport.getPeer())
        assert protocol is not None
        protocol.makeConnection(transport)
        clock.advance(HANDSHAKE_LIMIT - 0.1)
        self.assertFalse(transport.disconnecting or transport.disconnected)
        clock.advance(0.2)
        self.assertTrue(transport.disconnected)
        self.assertEqual(clock.getDelayedCalls(), [])
