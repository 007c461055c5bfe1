"""Connections: many requests on one, in any pieces, in order, for as long as the engine likes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin import Plugin, Volume

from .memory import DOCKER, OLD_DOCKER, PODMAN, UNHURRIED, Client, FakeDriver, PluginCase, post, raw

#: A conversation with something of everything.
STREAM = b"".join(
    [
        post("Plugin.Activate"),
        post("VolumeDriver.Create", {"Name": "v", "Opts": {"a": "<ä>"}}, OLD_DOCKER),
        b"POST /VolumeDriver.Get HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'5;x="y"\r\n{"Nam\r\n7\r\ne":"v"}\r\n0\r\nT: r\r\n\r\n',
        post("VolumeDriver.Mount", {"Name": "v", "ID": "c1"}, PODMAN),
        post("VolumeDriver.Get"),
        raw(b"GET", b"/VolumeDriver.List"),
        raw(b"POST", b"/%ff", b"[]"),
        b"POST /VolumeDriver.List HTTP/1.1\r\nX:\r\n folded\r\n\r\n",
        b"\r\n",
        post("VolumeDriver.Get", {"Name": "v"}),
    ]
)


def answers(*pieces: bytes) -> list[tuple[int, bytes]]:
    """Return what a new plugin answers to these pieces on one connection."""
    client = Client(Plugin("x", [FakeDriver()], Clock()).site())
    client.feed(*pieces)
    return [(response.status, response.body) for response in client.responses()]


class SplitTests(SynchronousTestCase):
    """How the bytes are cut is of no matter."""

    def test_whole(self) -> None:
        """Pipelined requests are answered, each with its own answer, in their order."""
        found = answers(STREAM)
        self.assertEqual(
            [status for status, _ in found], [200, 200, 200, 200, 400, 405, 400, 200, 200]
        )
        self.assertIn(b"Implements", found[0][1])
        self.assertIn(b'"Mountpoint":"/srv/v"', found[3][1])
        self.assertIn(b'"Volume":{"Name":"v"', found[8][1])

    def test_bytes(self) -> None:
        """One byte at a time gives the same answers."""
        self.assertEqual(answers(*[bytes([byte]) for byte in STREAM]), answers(STREAM))

    @settings(UNHURRIED, max_examples=60)
    @given(st.sets(st.integers(1, len(STREAM) - 1), max_size=30))
    def test_anyhow(self, cuts: set[int]) -> None:
        """Any cuts give the same answers."""
        places = [0, *sorted(cuts), len(STREAM)]
        pieces = [STREAM[a:b] for a, b in pairwise(places)]
        self.assertEqual(answers(*pieces), answers(STREAM))


class KeepAliveTests(PluginCase):
    """Many requests on one connection."""

    def test_many(self) -> None:
        """A connection is good for any number of requests, failed ones among them."""
        for number in range(200):
            name = f"v{number}"
            self.assertRefused(self.call("VolumeDriver.Get", {"Name": name}), 500)
            self.assertAnswered(self.call("VolumeDriver.Create", {"Name": name}))
            answer = self.assertAnswered(self.call("VolumeDriver.Get", {"Name": name}))
            self.assertEqual(answer["Volume"]["Name"], name)
        self.assertTrue(self.client.connected)

    def test_no_close_header(self) -> None:
        """An answer does not say that the connection closes when it does not."""
        for request in (post("Plugin.Activate"), post("VolumeDriver.Get"), raw(b"GET", b"/")):
            self.assertNotIn("connection", self.client.ask(request).headers)

    def test_order(self) -> None:
        """A request waits for the answer to the one before it, and is not cut by its slowness."""
        slow: Deferred[Volume] = Deferred()
        self.driver.answers["get"] = slow
        self.client.feed(post("VolumeDriver.Get", {"Name": "db"}) + post("VolumeDriver.List"))
        self.client.feed(post("VolumeDriver.Capabilities"))
        self.assertEqual((self.client.responses(), len(self.driver.calls)), ([], 1))
        slow.callback(Volume("db"))
        found = [next(iter(response.answer)) for response in self.client.responses()]
        self.assertEqual(found, ["Volume", "Volumes", "Capabilities"])

    def test_apart(self) -> None:
        """One connection does not wait for another."""
        self.driver.answers["mount"] = Deferred()
        self.client.feed(post("VolumeDriver.Mount", {"Name": "db", "ID": "c1"}))
        self.assertAnswered(self.connect().ask(post("VolumeDriver.Get", {"Name": "db"})))
        self.assertEqual(self.client.responses(), [])

    def test_much_pipelined(self) -> None:
        """More pipelined bytes than the server reads ahead are answered all the same."""
        slow: Deferred[Volume] = Deferred()
        self.driver.answers["get"] = slow
        self.client.feed(post("VolumeDriver.Get", {"Name": "db"}))
        self.client.feed(*[post("VolumeDriver.Path", {"Name": "db"})] * 500)
        self.assertEqual(self.client.transport.producerState, "paused")
        slow.callback(Volume("db"))
        self.assertEqual(self.client.transport.producerState, "producing")
        self.assertEqual([response.status for response in self.client.responses()], [200] * 501)


class CloseTests(PluginCase):
    """Who closes, and when."""

    def test_asked_for(self) -> None:
        """Connection: close is answered in kind, after the answer."""
        response = self.call("VolumeDriver.Get", {"Name": "db"}, (*DOCKER, b"Connection: close"))
        self.assertAnswered(response)
        self.assertEqual(response.headers["connection"], ["close"])
        self.assertFalse(self.client.connected)

    def test_asked_for_and_refused(self) -> None:
        """So it is for a request that is refused."""
        for request in (
            post("VolumeDriver.Get", b"", (b"Connection: close",)),
            post("Nothing", b"", (b"Connection: close",)),
            raw(b"POST", b"*", b"", (b"Connection: Close",)),
            post("VolumeDriver.Get", b" " * (1 << 21), (b"Connection: close",)),
        ):
            client = self.connect()
            self.assertEqual(client.ask(request).headers["connection"], ["close"])
            self.assertFalse(client.connected)

    def test_old_http(self) -> None:
        """An HTTP/1.0 client gets an HTTP/1.0 answer, and the close that ends it."""
        request = raw(b"POST", b"/VolumeDriver.Get", b'{"Name":"db"}', (), b"HTTP/1.0")
        self.client.feed(request)
        data = self.client.received()
        self.assertTrue(data.startswith(b"HTTP/1.0 200 "), data)
        self.assertTrue(data.endswith(b'"Err":""}'), data)
        self.assertFalse(self.client.connected)

    def test_idle(self) -> None:
        """No timer closes an idle connection: a close that races a request makes Docker retry."""
        self.call("VolumeDriver.Get", {"Name": "db"})
        silent = self.connect()
        partial = self.connect()
        partial.feed(post("VolumeDriver.Get", {"Name": "db"})[:40])
        for _ in range(48):
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.clock.advance(3600)
        for client in (self.client, silent, partial):
            client.settle()
            self.assertTrue(client.connected)
        self.assertAnswered(self.call("VolumeDriver.Get", {"Name": "db"}))
        self.assertAnswered(silent.ask(post("VolumeDriver.Get", {"Name": "db"})))
        self.assertAnswered(partial.ask(post("VolumeDriver.Get", {"Name": "db"})[40:]))

    def test_slow(self) -> None:
        """No timer cuts a slow answer either."""
        slow: Deferred[Volume] = Deferred()
        self.driver.answers["get"] = slow
        self.client.feed(post("VolumeDriver.Get", {"Name": "db"}))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(3600 * 48)
        slow.callback(Volume("db"))
        (response,) = self.client.responses()
        self.assertAnswered(response)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone_within_a_request(self) -> None:
        """A client that goes away within a request has asked for nothing, and nothing is logged."""
        request = post("VolumeDriver.Create", {"Name": "v"})
        for cut in range(len(request)):
            client = self.connect()
            client.feed(request[:cut])
            client.disconnect()
        self.assertEqual((self.driver.calls, self.flushLoggedErrors()), ([], []))
        self.assertEqual(self.site.channels, {self.client.channel})

    def test_known(self) -> None:
        """The site knows the connections that are open, and no others."""
        others = [self.connect() for _ in range(3)]
        self.assertEqual(len(self.site.channels), 4)
        for other in others:
            other.disconnect()
        self.assertEqual(self.site.channels, {self.client.channel})
