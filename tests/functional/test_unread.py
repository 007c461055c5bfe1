"""Clients that never read: the memory that they cost a real daemon with many volumes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from benchmarks.scale import fill
from tests.process import request_bytes

from .test_remote_limits import LimitCase

#: An answer with so many volumes has about 5 MB.
VOLUMES = 20_000
#: So many clients send so many requests each, and read nothing.
CLIENTS, REQUESTS = 50, 20
#: What all of them may cost the daemon, in MB: much less than one answer for each of them.
MOST = 60


class MemoryTests(LimitCase):
    """The memory of a daemon whose clients do not read their answers."""

    def setUp(self) -> None:
        super().setUp()
        fill(self.daemon, VOLUMES)
        self.daemon.start()
        self.assertEqual(len(self.plain.names()), VOLUMES)

    def peak(self) -> float:
        """Return the most memory that the daemon has had, in MB."""
        assert self.daemon.process is not None
        status = Path(f"/proc/{self.daemon.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def grown(self, connect: Callable[[], socket.socket]) -> float:
        """Return by how much memory grows while clients ask for long answers and read none."""
        before = self.peak()
        requests = request_bytes("VolumeDriver.List", {}) * REQUESTS
        clients = [connect() for _ in range(CLIENTS)]
        for client in clients:
            self.addCleanup(client.close)
            client.sendall(requests)
        for client in clients:
            client.recv(1)  # its answer has begun
        # Everybody else is answered meanwhile.
        self.assertEqual(len(self.plain.names()), VOLUMES)
        for client in clients:
            client.close()
        self.plain.ok("Get", Name="volume-000001")
        return self.peak() - before

    def test_socket(self) -> None:
        """Fifty clients of the UNIX socket that never read share the answers' bytes."""
        self.assertLess(self.grown(self.plain.connect), MOST)

    def test_tls(self) -> None:
        """Over TLS each of them costs no more than a part of an answer."""
        self.assertLess(self.grown(self.daemon.connect), MOST)
