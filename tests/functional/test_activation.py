"""A socket that the service manager keeps, and what the manager is told."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading

from tests.process import PATIENCE, read_answer, request_bytes, until

from .case import DaemonCase

#: Becomes the daemon, with a descriptor passed as systemd passes it; sd_listen_fds(3).
_PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="main")
os.execv(sys.argv[2], sys.argv[2:])
"""


class ActivationCase(DaemonCase):
    """A listening socket that outlives the daemon."""

    def setUp(self) -> None:
        super().setUp()
        self.listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listening.close)
        self.daemon.socket.parent.mkdir()
        self.listening.bind(str(self.daemon.socket))
        self.daemon.socket.chmod(0o600)
        self.listening.listen(1024)
        self.daemon.prefix = [sys.executable, "-c", _PASS, str(self.listening.fileno())]
        self.daemon.descriptors = [self.listening.fileno()]
        places = {"root": self.daemon.root, "state": self.daemon.state, "runtime": "run"}
        self.daemon.command = [
            "-n", "--pidfile=", "exampledriver", "--listen=systemd:",
            *(f"--{option}={path}" for option, path in places.items()),
        ]  # fmt: skip

    def file(self) -> tuple[int, int]:
        """Return inode and mode of the socket's file."""
        found = os.lstat(self.daemon.socket)
        return found.st_ino, stat.S_IMODE(found.st_mode)


class ActivationTests(ActivationCase):
    """--listen=systemd:"""

    def test_kept(self) -> None:
        """The socket's file and mode stay as they are, through starts, stops and kills."""
        before = self.file()
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            self.daemon.start()
            self.assertEqual(self.file(), before)
            self.daemon.signal(number)
            self.assertEqual(self.file(), before)

    def test_waiting(self) -> None:
        """Requests that come while no daemon runs wait, and are answered by the next."""
        self.daemon.start()
        self.daemon.stop()
        waiting = [self.daemon.connect() for _ in range(50)]
        for number, connection in enumerate(waiting):
            connection.sendall(request_bytes("VolumeDriver.Create", {"Name": f"v{number}"}))
        self.daemon.start()
        for connection in waiting:
            self.assertEqual(read_answer(connection), (200, {"Err": ""}))
            connection.close()
        self.assertEqual(len(self.daemon.names()), 50)

    def test_restarts_under_load(self) -> None:
        """Across ten restarts no request of a client fails."""
        stop, answered = threading.Event(), [0]
        failures: list[str] = []

        def ask() -> None:
            try:
                while not stop.is_set():
                    answered[0] += self.daemon.call("VolumeDriver.List", {})[0] == 200
            except OSError as error:
                failures.append(repr(error))

        self.daemon.start()
        client = threading.Thread(target=ask, daemon=True)
        client.start()
        for _ in range(10):
            before = answered[0]
            until(lambda before=before: answered[0] > before + 5, "answers")  # type: ignore[misc]
            self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)
            self.daemon.spawn()
        stop.set()
        client.join(PATIENCE)
        self.assertEqual(failures, [])
        self.assertGreater(answered[0], 50)

    def test_not_passed(self) -> None:
        """Started by hand, without a socket, it says how it is meant to be started."""
        self.daemon.prefix = ()
        self.assertIn(
            "has passed no socket: start this by its .socket unit", self.refused(self.daemon)
        )

    def test_open_to_others(self) -> None:
        """A socket that others can open is warned of, and not touched."""
        self.daemon.socket.chmod(0o666)
        self.daemon.start()
        self.assertIn("has mode 0666", self.daemon.log())
        self.assertEqual(self.file()[1], 0o666)


class NotifyTests(DaemonCase):
    """What systemd is told by a real process."""

    def test_story(self) -> None:
        """READY when requests are answered, WATCHDOG while it runs, STOPPING at the end."""
        address = self.base / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(address))
            manager.settimeout(PATIENCE)
            self.daemon.environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"}
            process = self.daemon.spawn()
            ready = manager.recv(4096).decode().splitlines()
            self.assertEqual(ready[:2], ["READY=1", f"MAINPID={process.pid}"])
            self.assertEqual(self.daemon.call("Plugin.Activate", None)[0], 200)
            for _ in range(3):
                self.assertIn(b"WATCHDOG=1", manager.recv(4096))
            process.send_signal(signal.SIGTERM)
            while b"WATCHDOG=1" in (last := manager.recv(4096)):
                pass
            self.assertTrue(last.startswith(b"STOPPING=1"))
            self.assertEqual(process.wait(PATIENCE), 0)
