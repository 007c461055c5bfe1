"""Draining over TLS, with a client in a thread and real time: nothing that has arrived is lost."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from exampledriver.daemon.remote import TlsEndpoint
from exampledriver.daemon.tls import CLOSE_LIMIT
from exampledriver.plugin import Plugin, Volume
from tests.plugin.memory import FakeDriver
from tests.process import read_answer, request_bytes
from tests.remote import free_port, make_certs


class DrainTests(TestCase):
    """Draining over TLS, in this process: nothing that has arrived is lost."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.certs = make_certs(Path(self.mktemp()))
        self.driver = FakeDriver()
        self.plugin = Plugin("x", [self.driver], reactor)
        self.site = self.plugin.site()
        key, certificate, ca = (
            self.certs / name for name in ("server-key.pem", "server-cert.pem", "ca.pem")
        )
        endpoint = TlsEndpoint(free_port(), "127.0.0.1", key, certificate, ca)
        listening = endpoint.listen(reactor, self.site)
        self.addCleanup(listening.close)
        self.port = endpoint.port

    def dial(self) -> socket.socket:
        """Connect."""
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def client(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return a connection of a client that is let in, before its handshake."""
        context = ssl.create_default_context(cafile=self.certs / "ca.pem")
        context.load_cert_chain(self.certs / "cert.pem", self.certs / "key.pem")
        return context.wrap_socket(
            connection, server_hostname="127.0.0.1", do_handshake_on_connect=False
        )

    def connect(self) -> ssl.SSLSocket:
        """Connect, and have one request answered; to be called in a thread."""
        secure = self.client(self.dial())
        secure.do_handshake()
        secure.sendall(request_bytes("VolumeDriver.List", {}))
        assert read_answer(secure)
        return secure

    async def drain(self, send: bytes) -> tuple[Any, bytes]:
        """Send on an idle connection, drain before the reactor reads; return what comes."""
        client = await deferToThread(self.connect)
        self.addCleanup(client.close)
        client.sendall(send)
        drained = self.site.drain()

        def rest() -> tuple[Any, bytes]:
            return (read_answer(client) if send else None), client.recv(1)

        found = await deferToThread(rest)
        await drained
        return found

    def test_unread(self) -> Deferred[None]:
        """A request that has arrived and not been read is answered, as the last one."""

        async def test() -> None:
            answer, end = await self.drain(request_bytes("VolumeDriver.List", {}))
            self.assertEqual((answer[0], end), (200, b""))

        return Deferred.fromCoroutine(test())

    def test_handshake(self) -> Deferred[None]:
        """Who has not shaken hands yet is answered too, however long the answer takes."""
        reactor = self.site.reactor
        self.driver.answers["list"] = lambda: deferLater(reactor, CLOSE_LIMIT + 0.5, list)

        async def test() -> None:
            client = self.client(await deferToThread(self.dial))
            self.addCleanup(client.close)
            while not self.site.channels:
                await deferLater(reactor, 0.01)
            drained = self.site.drain()

            def ask() -> tuple[Any, bytes]:
                client.do_handshake()
                client.sendall(request_bytes("VolumeDriver.List", {}))
                return read_answer(client), client.recv(1)

            answer, end = await deferToThread(ask)
            self.assertEqual((answer, end), ((200, {"Err": "", "Volumes": []}), b""))
            await drained

        return Deferred.fromCoroutine(test())

    def test_silent(self) -> Deferred[None]:
        """Who does not shake hands at all is cut soon after a drain has begun."""

        async def test() -> None:
            client = await deferToThread(self.dial)
            self.addCleanup(client.close)
            while not self.site.channels:
                await deferLater(self.site.reactor, 0.01)
            began = self.site.reactor.seconds()
            await self.site.drain()
            self.assertLess(self.site.reactor.seconds() - began, CLOSE_LIMIT + 5)

        return Deferred.fromCoroutine(test())

    def test_idle(self) -> Deferred[None]:
        """An idle connection whose client never agrees to the close is closed all the same."""

        async def test() -> None:
            began = self.site.reactor.seconds()
            self.assertEqual(await self.drain(b""), (None, b""))
            self.assertLess(self.site.reactor.seconds() - began, CLOSE_LIMIT + 5)

        return Deferred.fromCoroutine(test())

    def large(self, volumes: int = 20000) -> ssl.SSLSocket:
        """Ask for an answer, beyond what the kernel buffers; read its first byte, in a thread."""
        self.driver.answers["list"] = [Volume("x" * 255, "/" + "x" * 255)] * volumes
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", self.port))
        secure = self.client(connection)
        secure.do_handshake()
        secure.sendall(request_bytes("VolumeDriver.List", {}))
        self.assertEqual(secure.recv(1), b"H")
        return secure

    def test_slow_reader(self) -> Deferred[None]:
        """A client has no limit to read an answer, and is closed soon after all is written."""

        async def test() -> None:
            client = await deferToThread(self.large)
            self.addCleanup(client.close)
            drained = self.site.drain()
            await deferLater(self.site.reactor, 2 * CLOSE_LIMIT)
            self.assertFalse(drained.called)
            answer = await deferToThread(read_answer, client, b"H")
            assert answer is not None
            self.assertEqual(len(answer[1]["Volumes"]), 20000)
            await drained
            self.assertEqual(self.site.abort(), 0)

        return Deferred.fromCoroutine(test())

    def test_kernel(self) -> Deferred[None]:
        """What the kernel has when a client does not agree to the close is sent all the same."""

        async def test() -> None:
            client = await deferToThread(self.large, 200)
            self.addCleanup(client.close)
            await self.site.drain()
            answer = await deferToThread(read_answer, client, b"H")
            assert answer is not None
            self.assertEqual(len(answer[1]["Volumes"]), 200)

        return Deferred.fromCoroutine(test())

    def test_unread_answer(self) -> Deferred[None]:
        """An answer that is not read to its end is cut by the end of the drain, which counts it."""

        async def test() -> None:
            client = await deferToThread(self.large)
            self.addCleanup(client.close)
            drained = self.site.drain()
            await deferLater(self.site.reactor, 2 * CLOSE_LIMIT)
            self.assertEqual(self.site.abort(), 1)
            await drained
            self.assertIsNone(await deferToThread(read_answer, client, b"H"))

        return Deferred.fromCoroutine(test())
