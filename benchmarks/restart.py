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
    """

    server: Server
    took: list[float] = field(factory=list)
    refused: int = 0
    cut: int = 0
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

    def respawn(self) -> None:
        """Start the daemon as soon as it has ended."""
        daemon = self.server.daemon
        assert daemon.process is not None
        daemon.process.wait()
        daemon.spawn()

    def run(self) -> None:
        """Stop and start the daemon, and send requests until one of a new connection is fast."""
        process = self.server.daemon.process
        assert process is not None
        threads = [threading.Thread(target=self.respawn)]
        process.send_signal(signal.SIGTERM)
        threads[0].start()
        began = time.perf_counter()
        for number in range(int(LIMITS[1] / INTERVAL)):
            client = threading.Thread(target=self.ask)
            client.start()
            threads.append(client)
            time.sleep(max(0.0, began + (number + 1) * INTERVAL - time.perf_counter()))
            # Once the new process has answered all that waited, the restart is over.
            if time.perf_counter() > began + LIMITS[0] and not threads[0].is_alive():
                with self._lock:
                    if len(self.took) >= len(threads) - 2:
                        break
        for thread in threads:
            thread.join()


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
