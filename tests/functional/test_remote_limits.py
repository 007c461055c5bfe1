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

    def stranger(self, number: int) -> socket.socket:
        """Connect from an address of loopback, and show nothing."""
        address = ("127.0.0.1", self.daemon.port)
        connection = socket.create_connection(address, PATIENCE, (f"127.0.0.{number}", 0))
        self.addCleanup(connection.close)
        return connection

    def left(self, strangers: list[socket.socket]) -> int:
        """Return how many have not been closed."""
        found = 0
        for stranger in strangers:
            stranger.setblocking(False)
            try:
                stranger.recv(1)
            except BlockingIOError:
                found += 1
            except ConnectionResetError:
                pass
        return found

    def test_bound(self) -> None:
        """However many connect, the UNIX socket is served; the oldest ones are closed."""
        self.daemon.prefix = ["prlimit", "--nofile=128"]
        self.daemon.start()
        strangers = [self.stranger(1) for _ in range(150)]
        for number in range(10):
            self.plain.ok("Create", Name=f"v{number}")
        until(lambda: self.left(strangers) == MAX_STRANGERS, "the end of the oldest ones")
        self.assertEqual(self.left(strangers[-MAX_STRANGERS:]), MAX_STRANGERS)
        self.assertIn(
            f"refused a client at 127.0.0.1: no certificate yet, and {MAX_STRANGERS} newer clients",
            self.daemon.log(),
        )
        # An engine gets in meanwhile.
        self.assertEqual(len(self.daemon.names()), 10)

    def test_other_networks(self) -> None:
        """Those of one address give way to those of others, and all of them to an engine."""
        self.daemon.start()
        many = [self.stranger(2) for _ in range(80)]
        few = {number: [self.stranger(number) for _ in range(4)] for number in range(3, 8)}
        until(lambda: self.left(many) == MAX_STRANGERS - 20, "the end of the oldest ones")
        for strangers in few.values():
            self.assertEqual(self.left(strangers), 4)
        for _ in range(5):
            self.assertEqual(self.daemon.names(), [])
        for strangers in few.values():
            self.assertEqual(self.left(strangers), 4)
