"""A real daemon whose file descriptors are all in use."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor

from tests.process import Answer, Daemon, read_answer, request_bytes, until

from .test_remote_limits import LimitCase

#: The daemon's limit; it needs about half of it for itself.
LIMIT = 64


class DescriptorTests(LimitCase):
    """What goes on, what is refused and what waits."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.prefix = ["prlimit", f"--nofile={LIMIT}"]
        self.daemon.start()
        self.admin = Daemon(self.base)
        self.admin.socket = self.base / "run/admin.sock"
        self.lane = self.plain.connect()
        self.addCleanup(self.lane.close)

    def ask(self, call: str, **message: object) -> Answer:
        """Return the answer to a call on the connection that was there before."""
        self.lane.sendall(request_bytes(f"VolumeDriver.{call}", message))
        answer = read_answer(self.lane)
        assert answer is not None
        return answer

    def use_up(self) -> list[socket.socket]:
        """Connect until the daemon has no descriptor left; return the connections."""
        clients = [self.plain.connect() for _ in range(LIMIT)]
        for client in clients:
            self.addCleanup(client.close)
        assert self.daemon.process is not None
        used = f"/proc/{self.daemon.process.pid}/fd"
        until(lambda: len(os.listdir(used)) == LIMIT, "the use of every descriptor")
        until(lambda: "new connections wait" in self.daemon.log(), "a warning")
        return clients

    def test_used_up(self) -> None:
        """Reads go on, changes say what to raise, clients wait, and all recovers by itself."""
        self.assertEqual(self.ask("Create", Name="db")[0], 200)
        clients = self.use_up()
        for _ in range(3):
            for call in ("Get", "Path", "List"):
                self.assertEqual(self.ask(call, Name="db")[0], 200)
            status, answer = self.ask("Remove", Name="db")
            self.assertEqual(
                (status, answer["Err"]), (500, "too many open files: raise LimitNOFILE")
            )
            _, answer = self.ask("Create", Name="big", Opts={"size": "1M"})
            self.assertIn("oo many open files: raise LimitNOFILE", answer["Err"])
        with ThreadPoolExecutor(3) as threads:
            waiting = [
                threads.submit(self.daemon.names),  # over TLS
                threads.submit(self.plain.names),
                threads.submit(lambda: self.admin.call("Admin.Names", {})[1]["Names"]),
            ]
            self.assertEqual(self.ask("Get", Name="db")[0], 200)
            self.assertFalse(any(future.done() for future in waiting))
            for client in clients:
                client.close()
            for future in waiting:
                self.assertEqual(future.result(), ["db"])
        for call, message in (("Create", {"Name": "new"}), ("Remove", {"Name": "db"})):
            self.assertEqual(self.ask(call, **message), (200, {"Err": ""}))
        log = self.daemon.log()
        self.assertEqual(log.count("new connections wait"), 1, log)
        self.assertNotIn("Traceback", log)
        self.assertLess(len(log), 20_000)
        self.daemon.stop()
