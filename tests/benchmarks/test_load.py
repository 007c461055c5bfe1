"""The load generator: what it sends, and that no wrong answer gets past it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from socket import AF_UNIX
from socket import socket as Socket

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.load import Flow, Load, LoadError, build, run
from tests.process import PATIENCE, remove_directory, request_bytes, short_directory

#: Gives the bytes of an answer to a request with this number, from 0.
Answering = Callable[[int], bytes]


def http(body: str, status: str = "200 OK") -> bytes:
    """Return an answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def named(number: int) -> bytes:
    """Answer a Get rightly."""
    return http(f'{{"Volume":{{"Name":"v-{number:06}"}},"Err":""}}')


class LoadCase(SynchronousTestCase):
    """A server on a socket, and the load generator."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        self.program = build(Path(self.mktemp()))
        self.socket = self.base / "s"
        self.listening = Socket(AF_UNIX)
        self.addCleanup(self.listening.close)
        self.listening.bind(str(self.socket))
        self.listening.listen()
        self.received: list[bytes] = []

    def serve(self, answering: Answering) -> None:
        """Answer one request after the other of one connection."""
        connection = self.listening.accept()[0]
        connection.settimeout(PATIENCE)
        with connection:
            while data := connection.recv(65536):
                self.received.append(data)
                try:
                    connection.sendall(answering(len(self.received) - 1))
                except OSError:
                    return

    def load(self, answering: Answering, **changes: int) -> Load:
        """Make Gets of a server."""
        server = threading.Thread(target=self.serve, args=[answering], daemon=True)
        server.start()
        message = json.dumps({"Name": "v-@"})
        flow = Flow("Get", message, ['"Name":"v-@"'], **{"count": 3, **changes})
        try:
            return run(self.socket, {"get": flow}, [os.getpid()], self.program)
        finally:
            server.join(PATIENCE)

    def wrong(self, answer: bytes) -> str:
        """Return the error about an answer to the second request."""
        return str(
            self.assertRaises(
                LoadError, self.load, lambda number: answer if number == 1 else named(number)
            )
        )


class SendingTests(LoadCase):
    """Requests and counts."""

    def test_bytes(self) -> None:
        """A request is what Docker sends, to the byte."""
        self.load(named)
        expected = [request_bytes("VolumeDriver.Get", {"Name": f"v-{n:06}"}) for n in range(3)]
        self.assertEqual(self.received, expected)

    def test_measured(self) -> None:
        """What comes before the measured part is sent and not counted."""
        found = self.load(lambda number: named(number % 2), warm=4, count=10, wrap=2)
        flow = found.flows["get"]
        self.assertEqual((flow.sent, flow.count), (14, 10))
        self.assertTrue(0 < flow.p50 <= flow.p90 <= flow.p99 <= flow.max)
        self.assertGreater(found.seconds, 0)
        self.assertGreater(found.cpu, 0)

    def test_parts(self) -> None:
        """A long answer is read to its end before the next request."""
        padding = "x" * 300_000
        body = '{{"Volume":{{"Name":"v-{:06}"}},"More":"{}","Err":""}}'
        found = self.load(lambda number: http(body.format(number, padding)))
        self.assertEqual(found.flows["get"].count, 3)


class CheckingTests(LoadCase):
    """Wrong answers."""

    def test_other_volume(self) -> None:
        """An answer about another volume is an error."""
        self.assertIn('no "Name":"v-000001"', self.wrong(named(2)))

    def test_error(self) -> None:
        """An answer with an Err is an error."""
        body = '{"Volume":{"Name":"v-000001"},"Err":"lost"}'
        self.assertIn('no "Err":""', self.wrong(http(body)))

    def test_status(self) -> None:
        """A status other than 200 is an error, whatever the body says."""
        body = named(1).decode().partition("\r\n\r\n")[2]
        self.assertIn("HTTP/1.1 500", self.wrong(http(body, "500 Oops")))

    def test_more(self) -> None:
        """Bytes behind an answer are an error."""
        self.assertIn("bytes behind", self.wrong(named(1) + b"x"))

    def test_cut(self) -> None:
        """A connection that closes without an answer is an error."""

        def close(number: int) -> bytes:
            raise OSError

        self.assertIn("closed", str(self.assertRaises(LoadError, self.load, close)))
