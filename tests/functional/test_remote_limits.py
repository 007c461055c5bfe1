"""TLS with clients that read slowly, or that show no certificate: what is cut, and what is not."""

from __future__ import annotations

import signal
import socket
import ssl
import time

from exampledriver.daemon.tls import MAX_STRANGERS
from tests.process import PATIENCE, Daemon, read_answer, request_bytes, until

from .test_remote import RemoteCase

#: So many volumes make an answer that is larger than what the kernel buffers.
VOLUMES = 6000
#: A reader's buffer in the kernel, in bytes; and how much it takes in a second.
BUFFER, RATE = 8192, 1.5e6


class LimitCase(RemoteCase):
    """A daemon that listens on a UNIX socket too."""

    def setUp(self) -> None:
        super().setUp()
        self.plain = Daemon(self.base)
        self.daemon.options = ["--listen", f"unix:{self.plain.socket}"]


class SlowReaderTests(LimitCase):
    """An answer over TLS is written to its end, however long its client takes to read it."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.start()
        lanes = [self.plain.connect() for _ in range(30)]
        for begin in range(0, VOLUMES, len(lanes)):
            for number, lane in enumerate(lanes, begin):
                message = {"Name": f"{'x' * 240}{number}"}
                lane.sendall(request_bytes("VolumeDriver.Create", message))
            for lane in lanes:
                self.assertEqual(read_answer(lane), (200, {"Err": ""}))
        for lane in lanes:
            lane.close()

    def ask(self, head: bytes = b"") -> ssl.SSLSocket:
        """Ask for the list, with a further line in the head; return the connection."""
        connection = socket.socket()
        self.addCleanup(connection.close)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", self.daemon.port))
        secure = self.daemon.context().wrap_socket(connection, server_hostname="127.0.0.1")
        self.addCleanup(secure.close)
        request = request_bytes("VolumeDriver.List", {})
        secure.sendall(request.replace(b"\r\n", b"\r\n" + head, 1))
        return secure

    def read(self, secure: ssl.SSLSocket, first: bytes) -> int:
        """Read an answer at a slow pace; return of how many volumes it tells."""
        data = first
        while more := secure.recv(16384):
            data += more
            time.sleep(len(more) / RATE)
        answer = read_answer(secure, data)
        assert answer is not None, f"cut after {len(data)} bytes"
        return len(answer[1]["Volumes"])

    def test_whole(self) -> None:
        """An answer is written to its end before a close, and when a stop comes meanwhile."""
        secure = self.ask(b"Connection: close\r\n")
        self.assertEqual(self.read(secure, b""), VOLUMES)
        secure = self.ask()
        first = secure.recv(1)
        assert self.daemon.process is not None
        self.daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.read(secure, first), VOLUMES)
        self.assertEqual(self.daemon.process.wait(PATIENCE), 0)
        self.assertNotIn("were cut without an answer", self.daemon.log())


class StrangerTests(LimitCase):
    """Clients that show no certificate take nothing from the others."""

    def test_bound(self) -> None:
        """However many connect, the UNIX socket is served; further ones are closed at once."""
        self.daemon.prefix = ["prlimit", "--nofile=128"]
        self.daemon.start()
        strangers = []
        for _ in range(150):
            strangers.append(socket.create_connection(("127.0.0.1", self.daemon.port), PATIENCE))
            self.addCleanup(strangers[-1].close)
        for stranger in strangers[MAX_STRANGERS:]:
            self.assertEqual(stranger.recv(1), b"")
        for number in range(10):
            self.plain.ok("Create", Name=f"v{number}")
        for stranger in strangers[:MAX_STRANGERS]:
            stranger.setblocking(False)
            self.assertRaises(BlockingIOError, stranger.recv, 1)
        self.assertIn(f"refused a client at 127.0.0.1: {MAX_STRANGERS} others", self.daemon.log())
        for stranger in strangers:
            stranger.close()
        until(self.daemon.answers, "an answer over TLS")
        self.assertEqual(len(self.daemon.names()), 10)
