"""Clients that do not read their answers: what they make the plugin keep is bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from exampledriver.plugin import Plugin, Volume
from exampledriver.plugin.logdriver import ILogDriver, ILogReader, LogEntry, ReadLogs
from exampledriver.plugin.sending import SOME
from exampledriver.plugin.volume import encoded

from .memory import Client, PluginCase, Unread, post

LIST, GET = post("VolumeDriver.List", {}), post("VolumeDriver.Get", {"Name": "db"})
#: A `List` answer much longer than what is written at once.
LONG = [encoded([Volume(f"{n:06}" * 40)]) for n in range(10_000)]


class UnreadCase(PluginCase):
    """A client that does not read, on the way for known requests and on the other one."""

    #: Whether the server has seen the requests before.
    known = False

    def setUp(self) -> None:
        super().setUp()
        self.driver.answers["list"] = LONG
        if self.known:
            for request in (LIST, GET):
                self.client.ask(request)
            self.driver.calls.clear()

    def unread(self, client: Client | None = None) -> tuple[Client, Unread]:
        """Return a client that does not read, and its connection."""
        client = client or self.connect()
        client.transport = transport = Unread(client.address, client.address)
        client.channel.transport = transport  # type: ignore[assignment]
        client.channel._networkProducer = transport
        transport.registerProducer(client.channel, True)
        return client, transport

    def kept(self, client: Client) -> int:
        """Return how many bytes of requests the plugin keeps."""
        return sum(map(len, client.channel._dataBuffer)) + len(client.channel._buffer)


class UnreadTests(UnreadCase):
    """Requests of which none was sent before."""

    def test_one_answer(self) -> None:
        """However many requests are sent at once, only a part of one long answer is written."""
        client, transport = self.unread()
        client.feed(LIST * 100)
        self.assertEqual(self.driver.calls, [("list",)])
        self.assertLess(transport.waiting, SOME + 2 * len(LONG[0]))
        self.assertEqual(transport.producerState, "paused")

    def test_not_in_pieces(self) -> None:
        """A long answer that the driver gives in one piece is written in parts, and whole."""
        status = {"x": "y" * (3 * SOME), "z": 1}
        self.driver.answers["get"] = Volume("db", status=status)
        client, transport = self.unread()
        client.feed(GET * 2)
        self.assertLess(transport.waiting, SOME + 1000)
        while transport.read():
            pass
        for response in client.responses():
            self.assertEqual(self.assertAnswered(response)["Volume"]["Status"], status)
        self.assertEqual(len(self.driver.calls), 2)

    def test_each_alone(self) -> None:
        """The same holds for requests that come one by one."""
        client, transport = self.unread()
        for _ in range(100):
            client.feed(LIST)
        self.assertEqual(self.driver.calls, [("list",)])
        self.assertLess(transport.waiting, SOME + 2 * len(LONG[0]))

    def test_short_answers(self) -> None:
        """Short answers are given until the connection is full, and no further."""
        client, transport = self.unread()
        for _ in range(2000):
            client.feed(GET)
        self.assertLess(transport.waiting, Unread.full + 1000)
        self.assertEqual(transport.producerState, "paused")
        asked = len(self.driver.calls)
        client.feed(GET * 100)
        self.assertEqual(len(self.driver.calls), asked)

    def test_all_answered(self) -> None:
        """Once the client reads, every request is answered, whole and in its order."""
        client, transport = self.unread()
        client.feed(LIST + GET, LIST, GET + GET[:50], GET[50:])
        while transport.read():
            pass
        found = [next(iter(response.answer)) for response in client.responses()]
        self.assertEqual(found, ["Volumes", "Volume", "Volumes", "Volume", "Volume"])
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual((self.kept(client), client.channel.busy), (0, False))
        client.feed(GET)
        self.assertEqual(len(client.responses()), 1)

    def test_later(self) -> None:
        """An answer that the driver gives later is written in parts too."""
        later: Deferred[Any] = Deferred()
        self.driver.answers["list"] = later
        client, transport = self.unread()
        client.feed(LIST, LIST)
        later.callback(LONG)
        self.driver.answers["list"] = []
        self.assertLess(transport.waiting, SOME + 2 * len(LONG[0]))
        while transport.read():
            pass
        self.assertEqual([len(r.answer["Volumes"]) for r in client.responses()], [len(LONG), 0])

    def test_gone(self) -> None:
        """A client that goes within a long answer leaves nothing behind."""
        client, transport = self.unread()
        client.feed(LIST, LIST)
        client.disconnect()
        if transport.producer is not None:
            transport.producer.stopProducing()
        self.assertEqual(
            (self.site.channels, self.flushLoggedErrors()), ({self.client.channel}, [])
        )
        self.assertAnswered(self.call("VolumeDriver.Get", {"Name": "db"}))

    def test_drained(self) -> None:
        """A stop waits for a long answer to its end, and what is sent behind it is the last."""
        for behind in (b"", GET, LIST):
            client, transport = self.unread()
            client.feed(LIST)
            client.feed(behind)
            self.site.draining = True
            client.channel.finish()
            while transport.read():
                client.settle()
            client.settle()
            self.assertFalse(client.connected)
            self.assertEqual(len(client.responses()[0].answer["Volumes"]), len(LONG))
            self.site.draining = False


class KnownUnreadTests(UnreadTests):
    """Requests that are known."""

    known = True


@implementer(ILogDriver, ILogReader)
class Logs:
    """A log driver; `more` is waited for after every 100 entries."""

    def __init__(self) -> None:
        self.written = 0
        self.more: Deferred[None] = Deferred()

    def start_logging(self, request: object) -> None:
        """Begin a log."""

    def stop_logging(self, request: object) -> None:
        """End a log."""

    async def read_logs(self, request: ReadLogs) -> AsyncIterator[LogEntry]:
        while True:
            self.written += 1
            yield LogEntry("stdout", self.written, b"x" * 1000)
            if self.written % 100 == 0:
                await self.more


class StreamTests(UnreadCase):
    """A log that its client does not read."""

    def setUp(self) -> None:
        super().setUp()
        self.logs = Logs()
        site = Plugin("x", [self.logs], Clock()).site()
        self.client, self.transport = self.unread(Client(site))
        self.addCleanup(self.client.disconnect)
        self.client.feed(post("LogDriver.ReadLogs", {"Info": {"ContainerID": "c"}, "Config": {}}))

    def test_bounded(self) -> None:
        """No more of a log is read than a connection holds; the rest when the client reads."""
        self.assertLess(self.logs.written, 100)
        self.assertEqual(self.transport.producerState, "paused")
        while self.transport.read():
            pass
        self.assertEqual(self.logs.written, 100)
        self.assertEqual(self.transport.producerState, "producing")

    def test_input(self) -> None:
        """What a client sends while it is answered is bounded, however it reads."""
        while self.transport.read():
            pass
        while self.transport.producerState == "producing":
            self.client.feed(b"x" * 10_000)
        self.assertLess(self.kept(self.client), 1 << 15)
        more, self.logs.more = self.logs.more, Deferred()
        more.callback(None)
        while self.transport.read():
            self.assertEqual(self.transport.producerState, "paused")
        self.assertEqual(self.logs.written, 200)
