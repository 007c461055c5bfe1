"""How long requests take that are sent while the daemon restarts."""

from __future__ import annotations

import signal
import socket
import statistics
import threading
import time

from attrs import define, field

from benchmarks.park import Park
from benchmarks.servers import OURS, Server
from tests.process import read_answer, request_bytes

#: A request is sent each so many seconds, on a connection of its own.
INTERVAL = 0.01

#: For how long requests are sent at least and at most, in seconds.
LIMITS = (0.5, 20.0)

#: Passes a descriptor as systemd does, sd_listen_fds(3); bash starts faster than Python,
#: and unlike sh knows descriptors of two digits.
HAND_OVER = 'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=main; exec "$@" 3<&'


@define(eq=False)
class Restart:
    """One restart, and the requests meanwhile.

    :ivar took: the seconds from a request's first attempt to connect until its answer.
    :ivar refused: how many requests could not connect at once.
    :ivar cut: how many were sent and not answered; an engine sends them again without a body.
    :ivar lost: how many were not answered at all.
    :ivar back: the daemon has been started again.
    """

    server: Server
    took: list[float] = field(factory=list)
    refused: int = 0
    cut: int = 0
    lost: int = 0
    back: threading.Event = field(factory=threading.Event)
    _lock: threading.Lock = field(factory=threading.Lock)

    def ask(self) -> None:
        """Send one Get, and try again until it is answered."""
        began = time.perf_counter()
        refused = cut = 0
        while True:
            try:
                connection = self.server.daemon.connect()
            except OSError:
                refused = 1
                time.sleep(0.001)
                continue
            with connection:
                try:
                    connection.sendall(request_bytes("VolumeDriver.Get", {"Name": "volume-000000"}))
                    answer = read_answer(connection)
                except OSError:
                    answer = None
            if answer is not None:
                break
            cut = 1
        took = time.perf_counter() - began
        with self._lock:
            assert answer[0] == 200, answer
            self.took.append(took)
            self.refused += refused
            self.cut += cut

    def clients(self) -> None:
        """Send requests until the daemon is back and has answered all that waited."""
        began = time.perf_counter()
        threads: list[threading.Thread] = []
        while time.perf_counter() < began + LIMITS[1]:
            client = threading.Thread(target=self.ask, daemon=True)
            client.start()
            threads.append(client)
            time.sleep(max(0.0, began + len(threads) * INTERVAL - time.perf_counter()))
            if time.perf_counter() > began + LIMITS[0] and self.back.is_set():
                with self._lock:
                    # The newest may still be on its way.
                    if len(self.took) >= len(threads) - 1:
                        break
        for thread in threads:
            thread.join(LIMITS[1])
        self.lost = len(threads) - len(self.took)

    def run(self) -> None:
        """Stop the daemon and start it as soon as it has ended, with requests meanwhile.

        :raises RuntimeError: a request was never answered.
        """
        daemon = self.server.daemon
        assert daemon.process is not None
        clients = threading.Thread(target=self.clients)
        daemon.process.send_signal(signal.SIGTERM)
        clients.start()
        daemon.process.wait()
        # In this thread: the parent whose death ends the daemon is the thread that started it.
        daemon.spawn()
        self.back.set()
        clients.join()
        if self.lost:
            raise RuntimeError(f"{self.lost} requests were never answered: {daemon.log()[-2000:]}")


def activated(park: Park) -> Server:
    """Return a running daemon whose listening socket is kept here."""
    server = park.new(f"{OURS}@1000")
    daemon = server.daemon
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(server.socket))
    server.socket.chmod(0o600)
    listening.listen(1024)
    descriptor = listening.fileno()
    park.closers.append(listening.close)
    daemon.descriptors = [descriptor]
    daemon.prefix = ["bash", "-c", f"{HAND_OVER}{descriptor}", "bash"]
    places = {"root": daemon.root, "state": daemon.state, "runtime": daemon.base / "run"}
    daemon.command = [
        "-n", "--pidfile=", "exampledriver", "--listen=systemd:",
        *(f"--{option}={path}" for option, path in places.items()),
    ]  # fmt: skip
    server.start(keep=True)
    return server


def restart(park: Park) -> None:
    """Time requests during restarts, with a socket that systemd keeps and with one of our own."""
    for name, make in (
        ("systemd", lambda: activated(park)),
        ("unix", lambda: park.running(f"{OURS}@1000")),
    ):
        found = Restart(park.once(f"a daemon at {name}:", make))
        found.run()
        park.note(
            "restart",
            name,
            slowest=max(found.took),
            median=statistics.median(found.took),
            refused=found.refused,
            cut=found.cut,
        )
