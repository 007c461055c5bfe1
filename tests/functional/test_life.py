"""A real daemon: what survives SIGKILL, what a stop answers, what many clients at once leave."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.process import PATIENCE, read_answer, request_bytes, until
from tests.volumes.test_model import BAD_NAMES

from .case import DaemonCase, SlowCase


class KilledTests(DaemonCase):
    """SIGKILL at any moment loses nothing that was answered (J1)."""

    def test_everything_is_there(self) -> None:
        """Volumes, options, data and mount counts are there after SIGKILL; removals stay."""
        self.daemon.start()
        elsewhere = self.base / "elsewhere"
        self.daemon.ok("Create", Name="plain")
        self.daemon.ok("Create", Name="there", Opts={"mountpoint": str(elsewhere)})
        self.daemon.ok("Create", Name="gone")
        (self.daemon.root / "plain/data").write_text("precious")
        mountpoint = self.daemon.ok("Mount", Name="plain", ID="c1")["Mountpoint"]
        self.daemon.ok("Remove", Name="gone")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.daemon.names(), ["plain", "there"])
        volume = self.daemon.ok("Get", Name="plain")["Volume"]
        self.assertEqual(volume["Status"]["MountIDs"], {"c1": 1})
        self.assertEqual(volume["Mountpoint"], mountpoint)
        self.assertEqual(Path(mountpoint, "data").read_text(), "precious")
        self.assertEqual(self.daemon.ok("Path", Name="there")["Mountpoint"], str(elsewhere))

    def test_again_and_again(self) -> None:
        """Killed in the middle of Creates, the daemon starts, with all that it answered."""
        answered: set[str] = set()
        for turn in range(5):
            self.daemon.start()
            self.assertLessEqual(answered, set(self.daemon.names()))
            connections = []
            for number in range(30):
                connection = self.daemon.connect()
                name = f"v{turn}-{number}"
                connection.sendall(request_bytes("VolumeDriver.Create", {"Name": name}))
                connections.append((name, connection))
            # Some answers are read before the kill, some are cut by it.
            for name, connection in connections[: turn * 6]:
                if read_answer(connection) == (200, {"Err": ""}):
                    answered.add(name)
            self.daemon.kill()
            for name, connection in connections[turn * 6 :]:
                if read_answer(connection) == (200, {"Err": ""}):
                    answered.add(name)
                connection.close()
        self.assertGreaterEqual(len(answered), 60)
        self.daemon.start()
        self.assertLessEqual(answered, set(self.daemon.names()))


class ReactorTests(DaemonCase):
    """Twisted's reactors."""

    def test_each(self) -> None:
        """Under each of them a daemon answers and stops."""
        for reactor in ("epoll", "poll", "select", "asyncio"):
            self.daemon.runner = (f"--reactor={reactor}", "-n", "--pidfile=", "exampledriver")
            self.daemon.start()
            self.daemon.ok("Create", Name=reactor)
            with self.daemon.connect() as connection:
                for _ in range(100):
                    connection.sendall(request_bytes("VolumeDriver.Get", {"Name": reactor}))
                    answer = read_answer(connection)
                    assert answer is not None
                    self.assertEqual(answer[1]["Volume"]["Name"], reactor)
            self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)


class StopTests(SlowCase):
    """SIGTERM: stop accepting, finish what has begun, answer it, close."""

    def test_answered(self) -> None:
        """What has begun is answered before the end; idle connections are closed."""
        daemon = self.slow(1.0)
        idle = daemon.connect()
        busy = self.begin(daemon, "slow")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(read_answer(busy), (200, {"Err": ""}))
        self.assertEqual(idle.recv(1), b"")
        daemon.process.wait(10)
        again = self.another()
        again.start()
        self.assertEqual(again.names(), ["slow"])

    def test_burst(self) -> None:
        """300 clients that wait to be accepted when the stop comes are all answered."""
        self.daemon.start()
        assert self.daemon.process is not None
        self.daemon.process.send_signal(signal.SIGSTOP)
        connections = [self.daemon.connect() for _ in range(300)]
        for number, connection in enumerate(connections):
            connection.sendall(request_bytes("VolumeDriver.Create", {"Name": f"v{number}"}))
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.process.send_signal(signal.SIGCONT)
        for connection in connections:
            self.assertEqual(read_answer(connection), (200, {"Err": ""}))
            connection.close()
        self.daemon.process.wait(PATIENCE)

    def test_client_gone(self) -> None:
        """A change whose client has gone is finished, also when the daemon stops meanwhile."""
        daemon = self.slow(1.0)
        self.begin(daemon, "slow").close()
        daemon.stop()
        again = self.another()
        again.start()
        self.assertEqual(again.names(), ["slow"])

    def test_bounded(self) -> None:
        """What hangs keeps the daemon for 8 seconds at most; what was answered is there."""
        daemon = self.slow(1000.0)
        daemon.ok("Create", Name="quick")
        cut = self.begin(daemon, "slow")
        began = time.monotonic()
        daemon.stop()
        took = time.monotonic() - began
        self.assertLess(took, 10.0)
        self.assertGreater(took, 5.0)
        self.assertFalse(daemon.socket.exists())
        self.assertIs(read_answer(cut), None)
        self.assertIn("1 connections were cut without an answer", daemon.log())
        self.assertNotIn("closing the journal did not", daemon.log())
        again = self.another()
        again.start()
        self.assertEqual(again.names(), ["quick"])


class ManyTests(DaemonCase):
    """Many clients at once, some of which go away in the middle."""

    def agree(self) -> set[str]:
        """Check that map, directories and journal agree, now and after a restart."""
        names = set(self.daemon.names())
        self.assertEqual(names, {p.name for p in self.daemon.root.iterdir() if p.name[0] != "."})
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(names, set(self.daemon.names()))
        return names

    def burst(self, names: list[str]) -> list[str]:
        """Send a Create for each name at once; every third client goes without reading.

        :return: the names that were answered with success.
        """
        self.daemon.start()
        connections = [(name, self.daemon.connect()) for name in names]
        for number, (name, connection) in enumerate(connections):
            data = request_bytes("VolumeDriver.Create", {"Name": name})
            if number % 6 == 3:
                connection.sendall(data[:-5])
                connection.close()
            elif number % 3 == 0:
                connection.sendall(data)
                connection.close()
            else:
                connection.sendall(data)
        answered = []
        for name, connection in connections:
            if connection.fileno() >= 0:
                self.assertEqual(read_answer(connection), (200, {"Err": ""}))
                answered.append(name)
                connection.close()
        until(lambda: self.daemon.answers(), "an answer")
        return answered

    def test_distinct(self) -> None:
        """200 Creates of distinct names: map, directories and journal agree."""
        answered = self.burst([f"v{number}" for number in range(200)])
        self.assertGreater(len(answered), 130)
        # What was cut in the middle has not happened; what was whole has, client or not.
        until(lambda: len(self.daemon.names()) == 200 - 33, "the Creates of clients that went")
        self.assertLessEqual(set(answered), self.agree())

    def test_one_name(self) -> None:
        """200 Creates of one name: one volume, once in the journal."""
        self.burst(["db"] * 200)
        journal = (self.daemon.state / "journal").read_text()
        self.assertEqual(journal.count('["put","db"'), 1)
        self.assertEqual(self.agree(), {"db"})

    def test_create_and_remove(self) -> None:
        """Creates and Removes of the same few names at once: all three agree afterwards."""
        self.daemon.start()
        connections = [self.daemon.connect() for _ in range(100)]
        for number, connection in enumerate(connections):
            call = "VolumeDriver.Remove" if number % 3 == 2 else "VolumeDriver.Create"
            connection.sendall(request_bytes(call, {"Name": f"v{number % 5}"}))
        for connection in connections:
            self.assertEqual(read_answer(connection), (200, {"Err": ""}))
            connection.close()
        self.agree()


class NameTests(DaemonCase):
    """Names over the wire."""

    def everything(self) -> list[str]:
        """Return all paths around the root, which the shortest names that lead out of it reach."""
        return sorted(str(path) for path in self.base.rglob("*") if path.name not in ("log", "err"))

    def test_bad_names(self) -> None:
        """Every bad name is refused with the rule, and nothing outside the root changes."""
        self.daemon.start()
        before = self.everything()
        for name in BAD_NAMES:
            for call, message in (
                ("Create", {"Name": name}),
                ("Create", {"Name": name, "Opts": {"mode": "0700"}}),
                ("Mount", {"Name": name, "ID": "c1"}),
                ("Remove", {"Name": name}),
                ("Get", {"Name": name}),
            ):
                status, answer = self.daemon.call(f"VolumeDriver.{call}", message)
                self.assertEqual(status, 400, (name, call))
                self.assertRegex(answer["Err"], "1 to 255 characters|is empty")
        self.assertEqual(self.daemon.names(), [])
        self.assertEqual(self.everything(), before)
