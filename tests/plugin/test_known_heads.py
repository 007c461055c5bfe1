"""Requests that are known: whatever is sent, in whatever pieces, is answered as without them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import count, pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from exampledriver.plugin import Plugin, PluginError, PluginSite, Volume
from exampledriver.plugin import known as known_module
from exampledriver.plugin import site as site_module
from exampledriver.plugin.message import Message
from exampledriver.plugin.wire import Read

from . import test_changes, test_drain, test_logging
from .memory import DOCKER, OLD_DOCKER, PODMAN, UNHURRIED, Client, FakeDriver, PluginCase, post, raw

GET = post("VolumeDriver.Get", {"Name": "db"})

#: Requests of every kind: of engines, odd ones, and what is no HTTP.
REQUESTS: Sequence[bytes] = [
    *(
        post(call, body, head)
        for head in (DOCKER, OLD_DOCKER, PODMAN)
        for call, body in (
            ("VolumeDriver.Get", {"Name": "db"}),
            ("VolumeDriver.Get", {"Name": "no"}),
            ("VolumeDriver.Get", b""),
            ("VolumeDriver.Path", {"Name": "db"}),
            ("VolumeDriver.List", {}),
            ("VolumeDriver.List", b""),
            ("Plugin.Activate", b""),
            ("VolumeDriver.Mount", {"Name": "db", "ID": "c1"}),
            ("Nothing", {}),
        )
    ),
    post("VolumeDriver.Get", b"{"),
    post("VolumeDriver.Get", b"[1]\n"),
    post("VolumeDriver.Get", {"Name": "later"}),
    post("VolumeDriver.Get", {"Name": "bug"}),
    post("VolumeDriver.Get?x=1", {"Name": "db"}),
    post("VolumeDriver.Get", {"Name": "db"}, [*DOCKER, b"Connection: close"]),
    post("VolumeDriver.Get", {"Name": "db"}, [*DOCKER, b"Expect: 100-continue"]),
    post("VolumeDriver.Get", {"Name": "db"}, [*DOCKER, b"Content-Length: 3"]),
    post("VolumeDriver.Get", {"Name": "db"}, [*DOCKER, b"X: " + b"y" * 2000]),
    post("VolumeDriver.Get", {"Name": "db"}, [b"X: y" for _ in range(600)]),
    post("VolumeDriver.Get", {"Name": "db"}, [b"X: " + b"y" * 20000]),
    post("VolumeDriver.Get", {"Name": "db"}, [b"bad header"]),
    post("VolumeDriver.Get", b" " * (1 << 20) + b"{}"),
    raw(b"GET", b"/VolumeDriver.Get", b'{"Name":"db"}'),
    raw(b"POST", b"/VolumeDriver.Get", b'{"Name":"db"}', version=b"HTTP/1.0"),
    raw(b"POST", b"*", b"{}"),
    raw(b"POST", b"//VolumeDriver.Get", b'{"Name":"db"}'),
    b"POST /VolumeDriver.List HTTP/1.1\r\nHost: \r\n\r\n",
    b"POST /VolumeDriver.Get HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'd\r\n{"Name":"db"}\r\n0\r\n\r\n',
    b"POST /VolumeDriver.Get HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0\1\2\r\n\r\n",
]


def get(name: str) -> object:
    """Answer as a driver does that is at times slow, and at times wrong."""
    if name == "bug":
        raise ZeroDivisionError
    if name == "later":
        return succeed(Volume("later"))
    if name != "db":
        raise PluginError(f"no {name}")
    return Volume("db")


class SameTests(PluginCase):
    """The same bytes to a server that knows heads and to one that does not."""

    def setUp(self) -> None:
        super().setUp()
        self.driver.answers["get"] = get
        # Request ids of one length: they are in answers.
        self.plugin.wire._ids = count(4096)

    def plain(self) -> Client:
        """Return a client of a server that lets Twisted read every request."""
        driver = FakeDriver({"db": Volume("db")}, {"get": get})
        plugin = Plugin("x", [driver], Clock())
        plugin.wire._ids = count(4096)
        return Client(PluginSite(plugin.resource(), plugin.wire.refuse, Clock()))

    def said(self, client: Client, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
        """Return what a server answers to these pieces, and whether the connection is left."""
        client.feed(*pieces)
        self.flushLoggedErrors(ZeroDivisionError)
        answers = re.sub(rb"\r\nDate: [^\r]*", b"", client.received())
        return re.sub(rb"request [0-9a-f]+", b"request", answers), client.connected

    def same(self, pieces: Sequence[bytes]) -> None:
        """Check that both servers answer the same, the one that knows heads in every state."""
        expected = self.said(self.plain(), pieces)
        for _ in range(3):
            self.assertEqual(self.said(self.connect(), pieces), expected)

    def test_each(self) -> None:
        """Each request alone, and twice on one connection."""
        for request in REQUESTS:
            self.same([request])
            self.same([request, request])
            self.same([request + request])
        self.assertGreater(len(self.site.known.heads), 15)
        self.assertGreater(len(self.site.known.requests), 10)

    @settings(UNHURRIED, max_examples=150)
    @given(st.data())
    def test_any_split(self, data: st.DataObject) -> None:
        """Some requests in a row, cut anywhere, or not at all."""
        stream = b"".join(data.draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=5)))
        whole = data.draw(st.booleans())
        cuts = [] if whole else data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
        edges = [0, *sorted(cuts), len(stream)]
        self.same([stream[a:b] for a, b in pairwise(edges)])

    @settings(UNHURRIED, max_examples=100)
    @given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6), st.binary(max_size=8))
    def test_in_a_row(self, requests: list[bytes], noise: bytes) -> None:
        """Whole requests, one after the other, with some noise between."""
        self.same([*requests, noise, *requests])


class KnownTests(PluginCase):
    """What is looked up, and when."""

    def test_known_once_read(self) -> None:
        """A head is known after the first request, and its requests never meet the router."""
        self.client.ask(GET)
        self.patch(site_module.PluginRequest, "process", self.fail)
        self.assertEqual(self.client.ask(GET).status, 200)
        self.assertEqual(len(self.site.known.heads), 1)

    def test_behind_one_that_waits(self) -> None:
        """A known request behind one that is not answered yet waits for its turn."""
        self.client.ask(GET)
        later: Deferred[Volume] = Deferred()
        self.driver.answers["get"] = later
        self.client.feed(GET)
        self.driver.answers["get"] = Volume("second")
        self.client.feed(GET)
        self.assertEqual(self.client.received(), b"")
        later.callback(Volume("first"))
        names = [r.answer["Volume"]["Name"] for r in self.client.responses()]
        self.assertEqual(names, ["first", "second"])

    def test_asked_once(self) -> None:
        """A driver that does not answer at once is asked once all the same."""
        self.client.ask(GET)
        self.driver.calls.clear()
        self.driver.answers["get"] = succeed(Volume("db"))
        self.client.ask(GET)
        self.assertEqual(self.driver.calls, [("get", "db")])

    def test_draining(self) -> None:
        """While the server drains, a known request is the connection's last."""
        self.client.ask(GET)
        self.site.linger = 1.0
        self.site.drain()
        response = self.client.ask(GET)
        self.assertEqual(response.headers["connection"], ["close"])
        self.assertFalse(self.client.connected)

    def test_bounded(self) -> None:
        """However many heads come, so many are kept, and none that is long."""
        self.patch(known_module, "_MOST_HEADS", 10)
        for number in range(35):
            self.client.ask(post("VolumeDriver.Get", {"Name": "db"}, [b"X: %d" % number]))
        self.assertLessEqual(len(self.site.known.heads), 10)
        self.client.ask(post("VolumeDriver.Get", {"Name": "db"}, [b"X: " + b"y" * 3000]))
        self.assertTrue(all(len(head) < 1100 for head, _ in self.site.known.heads))

    def test_read_once(self) -> None:
        """The body of a request that changes nothing is read once, and the driver always asked."""
        for _ in range(2):
            self.client.ask(GET)
        self.driver.calls.clear()
        self.patch(Message, "decode", self.fail)
        for name in ("one", "two"):
            self.driver.answers["get"] = Volume(name)
            self.assertEqual(self.client.ask(GET).answer["Volume"]["Name"], name)
        self.assertEqual(self.driver.calls, [("get", "db"), ("get", "db")])

    def test_changes_are_read(self) -> None:
        """A request that changes something, or that is refused for its body, is not kept."""
        for _ in range(3):
            self.client.ask(post("VolumeDriver.Mount", {"Name": "db", "ID": "c1"}))
            self.client.ask(post("VolumeDriver.Get", b"{"))
        self.assertEqual(len(self.site.known.heads), 2)
        self.assertEqual(self.site.known.requests, {})

    def test_requests_bounded(self) -> None:
        """However many requests come, so many are kept, and none that is long."""
        self.patch(known_module, "_MOST_REQUESTS", 10)
        for number in range(35):
            self.client.ask(post("VolumeDriver.Get", {"Name": f"db{number}"}))
        self.client.ask(post("VolumeDriver.Get", {"Name": "x" * 3000}))
        self.client.ask(post("VolumeDriver.Get", {"Name": "y" * 3000}))
        self.assertIn(len(self.site.known.requests), range(1, 11))
        self.assertLess(max(map(len, self.site.known.requests)), 2049)


class EveryHead(dict[tuple[bytes, int], Read]):
    """Heads that are all known before their first request."""

    def __init__(self, table: Mapping[bytes, Read]) -> None:
        super().__init__()
        self._table = table

    def get(self, whole: Any, default: Any = None) -> Any:
        """Return the call that the head of a request asks for, if it asks for nothing else."""
        head, size = whole
        odd = (b"Connection:", b"Expect:", b"Transfer-Encoding:", b"HTTP/1.0")
        if any(word in head for word in odd) or b"Content-Length: %d\r\n" % size not in head:
            return None
        return self._table.get(head.split(b" ")[1]) if head.startswith(b"POST ") else None


class KnownCase(PluginCase):
    """A server that knows every head from the start, for the tests of all servers."""

    def setUp(self) -> None:
        super().setUp()
        self.site.known.heads = EveryHead(self.site.known.table)


class KnownChangeTests(KnownCase, test_changes.ChangeTests):
    """Changes, asked for with known heads."""


class KnownReadTests(KnownCase, test_changes.ReadTests):
    """Reads that are waited for, asked for with known heads."""


class KnownPendingTests(KnownCase, test_changes.IdleTests):
    """What a stop waits for, asked for with known heads."""


class KnownIdleTests(KnownCase, test_drain.IdleTests):
    """Draining idle connections that have had known heads."""


class KnownBusyTests(KnownCase, test_drain.BusyTests):
    """Draining connections that are busy with known heads."""


class KnownPartialTests(KnownCase, test_drain.PartialTests):
    """Draining connections that have sent a part of a request."""


class KnownLogTests(KnownCase, test_logging.LogTests):
    """The log of calls with known heads."""
