"""What systemd is told, and which of its sockets are served."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from twisted.internet.task import Clock
from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.daemon.listening import ListenError
from exampledriver.daemon.systemd import Notifier, SystemdEndpoint
from tests.process import remove_directory, short_directory


class NotifierTests(SynchronousTestCase):
    """sd_notify(3) over a real socket."""

    def setUp(self) -> None:
        base = short_directory()
        self.addCleanup(remove_directory, base)
        self.address = str(base / "notify")
        self.clock = Clock()

    def notifier(self, address: str, **environment: str) -> tuple[Notifier, socket.socket]:
        """Return a notifier and what the service manager reads from."""
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.addCleanup(receiver.close)
        receiver.bind("\0" + address[1:] if address[0] == "@" else address)
        environment["NOTIFY_SOCKET"] = address
        return Notifier(self.clock, lambda: "3 volumes", environment), receiver

    def test_ready(self) -> None:
        """READY comes with the process id and a status; STOPPING when the stop begins."""
        for address in (self.address, f"@{self.address}"):
            notifier, receiver = self.notifier(address)
            notifier.ready()
            self.assertEqual(
                receiver.recv(4096).decode(), f"READY=1\nMAINPID={os.getpid()}\nSTATUS=3 volumes"
            )
            notifier.stopping()
            self.assertTrue(receiver.recv(4096).startswith(b"STOPPING=1\nSTATUS="))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_watchdog(self) -> None:
        """The watchdog is told twice in each of its periods, and only if there is one."""
        notifier, receiver = self.notifier(self.address, WATCHDOG_USEC="20000000")
        notifier.ready()
        receiver.recv(4096)
        for _ in range(3):
            self.assertTrue(receiver.recv(4096).startswith(b"WATCHDOG=1\n"))
            self.assertRaises(BlockingIOError, receiver.recv, 1)
            self.clock.advance(10)

    def test_nobody(self) -> None:
        """Without systemd, or with nobody there, nothing happens."""
        Notifier(self.clock, lambda: "", {}).ready()
        Notifier(self.clock, lambda: "", {"NOTIFY_SOCKET": f"{self.address}/none"}).ready()


class EndpointTests(SynchronousTestCase):
    """systemd: endpoints."""

    def test_parse(self) -> None:
        """The first socket, one by its number, or one by its name."""
        for text, index, name in (
            ("systemd:", 0, ""), ("systemd:index=2", 2, ""), ("systemd:name=main", 0, "main"),
            ("systemd:domain=UNIX:index=1", 1, ""),
        ):  # fmt: skip
            found = SystemdEndpoint.parse(text)
            self.assertEqual((found.index, found.name, str(found)), (index, name, text))
        for text in ("systemd:0", "systemd:index=x", "systemd:index=0:name=a", "systemd:name="):
            error = self.assertRaises(ValueError, SystemdEndpoint.parse, text)
            self.assertTrue(str(error).startswith(f"{text}: "), error)

    def refused(self, listening: socket.socket | None, text: str = "systemd:") -> str:
        """Return why a socket that was passed is refused."""
        descriptors = [] if listening is None else [listening.fileno()]
        passed = ListenFDs(descriptors, ("main",) if descriptors else ())
        self.patch(ListenFDs, "fromEnvironment", lambda *_: passed)
        return str(self.assertRaises(ListenError, SystemdEndpoint.parse(text).check))

    def test_none(self) -> None:
        """Without a passed socket the text says how the daemon is meant to be started."""
        self.assertIn("has passed no socket: start this by its .socket", self.refused(None))

    def test_unfit(self) -> None:
        """A socket of another kind, or one that does not listen, is refused."""
        with socket.socket(socket.AF_INET) as inet:
            inet.bind(("127.0.0.1", 0))
            inet.listen()
            self.assertIn("no UNIX stream socket", self.refused(inet))
        with socket.socket(socket.AF_UNIX) as unix:
            self.assertIn("not listening", self.refused(unix))
            self.assertIn("no such socket among", self.refused(unix, "systemd:index=1"))
            self.assertIn("named main", self.refused(unix, "systemd:name=other"))

    def test_no_socket(self) -> None:
        """A passed file is refused."""
        with Path(self.mktemp()).open("w") as file:
            passed = ListenFDs([file.fileno()], ("main",))
            self.patch(ListenFDs, "fromEnvironment", lambda *_: passed)
            endpoint = SystemdEndpoint.parse("systemd:")
            self.assertIn("is no socket", str(self.assertRaises(ListenError, endpoint.check)))
