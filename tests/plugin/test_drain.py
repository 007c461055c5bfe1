"""Draining: a stop closes connections without cutting an answer.

A connection that is cut within a request is what makes Docker send it again
with an empty body, so each request that has begun to arrive is answered.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransportWithDisconnection

from .memory import NAMED, Client, PluginCase, Response, post, raw

GET = post("VolumeDriver.Get", {"Name": "db"})
MOUNT = post("VolumeDriver.Mount", NAMED["VolumeDriver.Mount"])


class DrainCase(PluginCase):
    """A site that is drained."""

    def drain(self) -> Deferred[None]:
        """Drain, and let the one client be closed if it is told to be."""
        drained = self.site.drain()
        self.client.settle()
        return drained

    def busy(self) -> Deferred[Any]:
        """Let the client begin a Mount; return what the driver waits for."""
        work: Deferred[Any] = Deferred()
        self.driver.answers["mount"] = work
        self.client.feed(MOUNT)
        return work

    def assertLast(self, client: Client) -> Response:
        """Check that one good answer came, that says it is the last and is; return it."""
        (response,) = client.responses()
        self.assertAnswered(response)
        self.assertEqual(response.headers.get("connection"), ["close"])
        self.assertFalse(client.connected)
        return response


class IdleTests(DrainCase):
    """Connections with no request."""

    def test_none(self) -> None:
        """Without connections there is nothing to wait for."""
        self.client.disconnect()
        self.successResultOf(self.site.drain())

    def test_fresh(self) -> None:
        """A connection that has asked for nothing is closed at once."""
        self.successResultOf(self.drain())
        self.assertEqual((self.client.connected, self.client.received()), (False, b""))

    def test_used(self) -> None:
        """So is one whose requests have all been answered, well or not."""
        self.call("VolumeDriver.Get", {"Name": "db"})
        self.call("VolumeDriver.Get")
        self.client.feed(raw(b"POST", b"*"), b"\r\n")
        self.client.received()
        self.successResultOf(self.drain())
        self.assertEqual((self.client.connected, self.client.received()), (False, b""))

    def test_linger(self) -> None:
        """With a linger, a request that is on its way is answered as its connection's last."""
        self.site.linger = 0.3
        other = self.connect()
        drained = self.site.drain()
        self.client.feed(GET)
        self.client.settle()
        self.assertLast(self.client)
        self.assertTrue(other.connected)
        self.site.reactor.advance(0.3)  # type: ignore[attr-defined]
        other.settle()
        self.assertFalse(other.connected)
        self.successResultOf(drained)

    def test_waits_for_the_close(self) -> None:
        """Draining is over when the last connection is gone, not when it has been told to."""
        others = [self.connect() for _ in range(2)]
        drained = self.site.drain()
        for client in (self.client, *others):
            self.assertNoResult(drained)
            client.settle()
            self.assertFalse(client.connected)
        self.successResultOf(drained)

    def test_twice(self) -> None:
        """Who drains again waits for the same."""
        work = self.busy()
        first, second = self.drain(), self.drain()
        self.assertNoResult(first)
        self.assertNoResult(second)
        work.callback("/srv/db")
        self.client.settle()
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.site.drain())

    def test_transport_that_closes_at_once(self) -> None:
        """A transport that tells of its close within the call is drained too."""
        self.client.disconnect()
        channel = self.site.buildProtocol(self.client.address)
        transport = StringTransportWithDisconnection()
        transport.protocol = channel
        channel.makeConnection(transport)
        self.successResultOf(self.site.drain())


class BusyTests(DrainCase):
    """Connections with a request that is being worked on."""

    def test_answered(self) -> None:
        """A request that is being worked on is answered, and its connection closed then."""
        work = self.busy()
        drained = self.drain()
        self.assertEqual((self.client.connected, self.client.received()), (True, b""))
        self.assertNoResult(drained)
        work.callback("/srv/db")
        (response,) = self.client.responses()
        self.assertAnswered(response)
        self.assertFalse(self.client.connected)
        self.successResultOf(drained)

    def test_answer_says_so(self) -> None:
        """That answer says that the connection closes, lest the engine send the next one to it."""
        work = self.busy()
        self.drain()
        work.callback("/srv/db")
        self.assertLast(self.client)

    def test_gone(self) -> None:
        """A busy client that goes away is not waited for; its change is, by others."""
        work = self.busy()
        drained = self.drain()
        self.client.disconnect()
        self.successResultOf(drained)
        self.assertEqual(self.plugin.wire.pending, 1)
        work.callback("/srv/db")
        self.assertEqual(self.plugin.wire.pending, 0)

    def test_no_new_request(self) -> None:
        """After the last answer nothing more is read, and the driver is asked for nothing."""
        work = self.busy()
        self.drain()
        self.client.feed(GET)
        work.callback("/srv/db")
        self.client.feed(GET)
        self.assertEqual(len(self.client.responses()), 1)
        self.assertEqual([call[0] for call in self.driver.calls], ["mount"])

    def test_idle_one_beside(self) -> None:
        """An idle connection does not wait for a busy one."""
        work = self.busy()
        idle = self.connect()
        drained = self.drain()
        idle.settle()
        self.assertEqual((idle.connected, self.client.connected), (False, True))
        work.callback("/srv/db")
        self.client.settle()
        self.successResultOf(drained)


class PartialTests(DrainCase):
    """Connections on which a request has begun to arrive."""

    LINE = GET.index(b"\r\n") + 2
    BODY = GET.index(b"\r\n\r\n") + 4

    def cut(self, places: range) -> list[Client]:
        """Drain once for each of these places within a request; return the clients."""
        clients = []
        for place in places:
            self.site = self.plugin.site()
            client = self.connect()
            clients.append(client)
            client.feed(GET[:place])
            drained = self.site.drain()
            client.settle()
            self.assertTrue(client.connected, GET[:place])
            client.feed(GET[place:])
            self.assertEqual(client.connected, False, GET[:place])
            self.successResultOf(drained)
        return clients

    def test_within_the_request_line(self) -> None:
        """A request of which some of the first line is there is waited for and answered."""
        for client in self.cut(range(1, self.LINE)):
            self.assertLast(client)

    def test_within_the_head(self) -> None:
        """So is one whose first line is there."""
        for client in self.cut(range(self.LINE, self.BODY)):
            self.assertLast(client)

    def test_within_the_body(self) -> None:
        """So is one whose head is there."""
        for client in self.cut(range(self.BODY, len(GET))):
            (response,) = client.responses()
            self.assertAnswered(response)

    def test_within_the_body_says_so(self) -> None:
        """The answer to a request whose head was there says that the connection closes."""
        for client in self.cut(range(self.BODY, len(GET))):
            self.assertLast(client)

    def test_second_request(self) -> None:
        """The second request of a connection is waited for like the first."""
        self.call("VolumeDriver.Get", {"Name": "db"})
        self.client.feed(GET[: self.LINE])
        drained = self.drain()
        self.client.feed(GET[self.LINE :])
        self.assertLast(self.client)
        self.successResultOf(drained)

    def test_refused(self) -> None:
        """What is wrong with it is answered as ever."""
        for begun, rest, status in (
            (post("VolumeDriver.Get")[:-2], b"\r\n", 400),
            (post("Nothing")[:30], post("Nothing")[30:], 404),
            (b"POST * HTTP/1.1\r\n", b"\r\n", 400),
            (b"POST / HTTP/1.1\r\n", b"nonsense\r\n\r\n", 400),
        ):
            self.site = self.plugin.site()
            client = self.connect()
            client.feed(begun)
            drained = self.site.drain()
            response = client.ask(rest)
            self.assertRefused(response, status)
            self.assertEqual(response.headers["connection"], ["close"])
            self.successResultOf(drained)

    def test_new_connection(self) -> None:
        """A connection that was accepted late may ask once, and is told that it closes."""
        self.busy()
        self.drain()
        late = self.connect()
        late.feed(GET + GET)
        self.assertLast(late)


class AbortTests(DrainCase):
    """The end of the wait."""

    def test_counts(self) -> None:
        """Abort closes every connection, busy or not, and says how many there were."""
        work = self.busy()
        others = [self.connect() for _ in range(2)]
        others[0].feed(GET[:30])
        drained = self.site.drain()
        others[1].settle()
        self.assertEqual(self.site.abort(), 2)
        self.assertTrue(self.client.transport.disconnected)
        self.assertTrue(others[0].transport.disconnected)
        for client in (self.client, others[0]):
            client.settle()
            self.assertFalse(client.connected)
        self.successResultOf(drained)
        work.callback("/srv/db")
        self.assertEqual((self.plugin.wire.pending, self.client.received()), (0, b""))

    def test_nothing_left(self) -> None:
        """With no connections there are none to abort."""
        self.client.disconnect()
        self.assertEqual(self.site.abort(), 0)
