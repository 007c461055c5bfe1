"""Starting: what is refused in one line, what is replaced, and how it can be launched."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from zlib import crc32

from tests.process import PATIENCE, until

from .case import TAC, DaemonCase, end


class RefusedTests(DaemonCase):
    """Exit status 1 and one clear line, before anything listens."""

    def test_bad_options(self) -> None:
        """A mistake in the options is named, under twistd and twist."""
        cases = {
            "--nosuch": "--nosuch",
            "--name=a/b": "--name=a/b",
            "--trash-retention=soon": "--trash-retention='soon'",
            "--listen=tcp:80": "refused beyond loopback",
            "--listen=nonsense": "give unix:PATH",
            f"--listen=unix:/{'x' * 120}": "at most 107 bytes",
            f"--state={self.base}/volumes/state": "keep them apart",
            f"--runtime={self.base}/state": "keep them apart",
            f"--listen=unix:{self.base}/plugins/../plugins/x.sock": "is given twice",
            f"--root={self.base}/state": "keep them apart",
        }
        for option, text in cases.items():
            self.daemon.options = [option]
            self.assertIn(text, self.refused(self.daemon))
        self.daemon.program, self.daemon.runner = "twist", ["exampledriver"]
        self.assertIn("keep them apart", self.refused(self.daemon))
        self.daemon.options = ["--nosuch"]
        self.assertIn("--nosuch", self.refused(self.daemon))
        self.assertFalse(self.daemon.socket.exists())

    def test_unusable_directory(self) -> None:
        """A directory that cannot be made or written is named with its option."""
        (self.base / "file").write_text("")
        for option in ("root", "state", "runtime"):
            self.daemon.options = [f"--{option}={self.base}/file/x"]
            line = self.refused(self.daemon)
            self.assertIn(f"--{option}={self.base}/file/x: cannot be used", line)
        self.daemon.options = ["--root=/proc"]
        self.assertIn("--root=/proc: cannot be used", self.refused(self.daemon))

    def test_foreign_directory(self) -> None:
        """A directory in which somebody else keeps something is not taken over, nor changed."""
        place = self.base / "somebody"
        place.mkdir(mode=0o755)
        (place / "theirs").write_text("precious")
        for option in ("state", "runtime"):
            self.daemon.options = [f"--{option}={place}"]
            line = self.refused(self.daemon)
            self.assertIn(f"--{option}={place}: something else is in it (theirs)", line)
        self.assertEqual(stat.S_IMODE(place.stat().st_mode), 0o755)
        self.assertEqual(os.listdir(place), ["theirs"])

    def test_same_root(self) -> None:
        """A root that is another directory than it is to be is refused."""
        (self.base / "volumes").mkdir()
        (self.base / "link").symlink_to("volumes")
        for other, text in (("state", "another directory is at --root="), ("gone", "No such file")):
            self.daemon.options = [f"--same-root={self.base / other}"]
            line = self.refused(self.daemon)
            self.assertIn(f"--same-root={self.base / other}: ", line)
            self.assertIn(text, line)
        self.daemon.options = [f"--same-root={self.base / 'link'}"]
        self.daemon.start()

    def test_newer_entry(self) -> None:
        """A journal with a newer version's volume is refused in one line that names it."""
        self.daemon.start()
        self.daemon.ok("Create", Name="db", Opts={"mode": "0700"})
        self.daemon.stop()
        journal = self.daemon.state / "journal"
        lines = journal.read_bytes().splitlines()
        for number, text in enumerate(lines):
            if b'"mode"' in text:
                body = text.partition(b" ")[2].replace(b'"mode"', b'"hue"')
                lines[number] = b"%08x %s" % (crc32(body), body)
        journal.write_bytes(b"\n".join([*lines, b""]))
        line = self.refused(self.daemon)
        self.assertIn('entry of volume "db" is not one of this version', line)
        self.assertIn('option "hue" is not known', line)

    def test_unusable_socket_directory(self) -> None:
        """A socket's directory that cannot be made or written is named, before the fork."""
        (self.base / "file").write_text("")
        for runner in (self.daemon.runner, ["--pidfile=", "exampledriver"]):
            self.daemon.runner = runner
            self.daemon.socket = self.base / "file/x.sock"
            self.assertIn(
                f"{self.daemon.socket}: its directory cannot be", self.refused(self.daemon)
            )
            self.daemon.socket = Path("/proc/nosuch/x.sock")
            self.assertIn("/proc/nosuch/x.sock", self.refused(self.daemon))

    def test_lock(self) -> None:
        """A second daemon is told which process holds the directory (J9), forked or not."""
        self.daemon.start()
        assert self.daemon.process is not None
        second = self.another()
        second.socket = self.base / "other.sock"
        line = self.refused(second)
        self.assertIn(f"{self.base}/state is in use by process {self.daemon.process.pid} (", line)
        second.runner = ["--pidfile=", "exampledriver"]
        self.assertIn("is in use by process", self.refused(second))
        for option in ("state", "runtime"):
            second.options = [*second.options, f"--{option}={self.base}/other-{option}"]
            self.assertIn("is in use by process", self.refused(second))
        self.assertTrue(self.daemon.answers())

    def test_live_socket(self) -> None:
        """A socket at which a live process listens is not taken from it."""
        self.daemon.socket.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.daemon.socket))
            other.listen()
            line = self.refused(self.daemon)
        self.assertIn(f"{self.daemon.socket} is in use by process {os.getpid()} (", line)

    def test_not_a_socket(self) -> None:
        """Anything else than a socket in its place is left alone."""
        self.daemon.socket.parent.mkdir()
        self.daemon.socket.write_text("precious")
        self.assertIn("is not a socket", self.refused(self.daemon))
        self.assertEqual(self.daemon.socket.read_text(), "precious")

    def test_damaged_journal(self) -> None:
        """A damaged journal is named with the byte, and is left as it is."""
        self.daemon.start()
        for name in ("a", "b"):
            self.daemon.ok("Create", Name=name)
        self.daemon.stop()
        journal = self.daemon.state / "journal"
        data = journal.read_bytes().replace(b'"a"', b'"x"')
        journal.write_bytes(data)
        self.assertIn(f"{journal}: damaged at byte ", self.refused(self.daemon))
        self.assertEqual(journal.read_bytes(), data)
        self.assertFalse(self.daemon.socket.exists())

    def test_newer_journal(self) -> None:
        """A journal of a newer version is refused by that version's name (J10)."""
        self.daemon.state.mkdir()
        text = b"exampledriver-journal 9"
        (self.daemon.state / "journal").write_bytes(b"%s %08x\n" % (text, crc32(text)))
        self.assertIn("format 9 was written by another version", self.refused(self.daemon))


class SocketTests(DaemonCase):
    """The socket file."""

    def test_mode(self) -> None:
        """Socket 0600, state and runtime 0700, whatever the umask (J11)."""
        old = os.umask(0)
        try:
            self.daemon.start()
        finally:
            os.umask(old)
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (
                self.daemon.socket, self.daemon.state, self.base / "run", self.daemon.root,
                self.daemon.state / "journal", self.daemon.state / "lock",
            )
        }  # fmt: skip
        self.assertEqual(
            modes,
            {"x.sock": 0o600, "state": 0o700, "run": 0o700, "volumes": 0o710, "journal": 0o600,
             "lock": 0o600},
        )  # fmt: skip

    def test_open_root(self) -> None:
        """A root into which everybody can go is left as it is, and warned of."""
        self.daemon.root.mkdir(mode=0o755)
        self.daemon.start()
        self.assertIn(f'"chmod o= {self.daemon.root}" ends that', self.daemon.log())
        self.assertEqual(stat.S_IMODE(self.daemon.root.stat().st_mode), 0o755)

    def test_replaced(self) -> None:
        """A socket that has taken the place of the daemon's is not removed at its end."""
        self.daemon.start()
        self.daemon.socket.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.daemon.socket))
            self.daemon.stop()
            self.assertTrue(self.daemon.socket.exists())

    def test_gone(self) -> None:
        """The socket is gone after SIGTERM and SIGINT, and there is no lock file beside it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.daemon.start()
            self.assertEqual(os.listdir(self.daemon.socket.parent), ["x.sock"])
            self.daemon.signal(number)
            self.assertEqual(os.listdir(self.daemon.socket.parent), [])

    def test_stale(self) -> None:
        """A socket file that SIGKILL left is replaced, with or without a lock file beside it."""
        self.daemon.start()
        self.daemon.kill()
        self.assertTrue(self.daemon.socket.exists())
        self.daemon.start()
        self.daemon.kill()
        os.symlink("999999999", f"{self.daemon.socket}.lock")
        self.daemon.start()
        self.assertEqual(os.listdir(self.daemon.socket.parent), ["x.sock"])

    def test_several(self) -> None:
        """--listen can be repeated, with a mode."""
        second = self.base / "second.sock"
        self.daemon.options = [f"--listen=unix:{second}:mode=660"]
        self.daemon.start()
        self.assertEqual(stat.S_IMODE(second.stat().st_mode), 0o660)
        self.daemon.stop()
        self.assertFalse(second.exists())


class LaunchTests(DaemonCase):
    """The ways to launch it."""

    def test_help(self) -> None:
        """twistd lists the plugin, and the plugin lists its options."""
        twistd = os.path.join(os.path.dirname(sys.executable), "twistd")
        run = subprocess.run([twistd, "--help"], capture_output=True, text=True, cwd=self.base)
        self.assertIn("exampledriver", run.stdout)
        run = subprocess.run(
            [twistd, "exampledriver", "--help"], capture_output=True, text=True, cwd=self.base
        )
        for option in ("name", "root", "state", "runtime", "listen", "trash-retention"):
            self.assertIn(f"--{option}=", run.stdout)

    def test_daemonised(self) -> None:
        """twistd's own daemon keeps the lock, serves, and ends by its process id."""
        pidfile = self.base / "pid"
        self.daemon.runner = [f"--pidfile={pidfile}", f"--logfile={self.base}/log", "exampledriver"]
        run = subprocess.run(self.daemon.arguments(), cwd=self.base, timeout=PATIENCE)
        self.assertEqual(run.returncode, 0)
        self.daemon.ok("Create", Name="db")
        pid = int(pidfile.read_text())
        self.addCleanup(end, pid)
        second = self.another()
        self.assertIn(f"is in use by process {pid} (", self.refused(second))
        os.kill(pid, signal.SIGTERM)
        until(lambda: not pidfile.exists(), "the end of the daemon")
        second.start()
        self.assertEqual(second.names(), ["db"])

    def test_twist(self) -> None:
        """twist runs the same plugin."""
        self.daemon.program, self.daemon.runner = "twist", ["exampledriver"]
        self.daemon.start()
        self.daemon.ok("Create", Name="db")
        self.daemon.stop()
        self.assertFalse(self.daemon.socket.exists())

    def test_tac(self) -> None:
        """The application file of tap/ runs, with its options edited."""
        tac = self.base / "exampledriver.tac"
        options = [word for word in self.daemon.arguments() if word.startswith("--")][1:]
        text = TAC.read_text()
        self.assertIn("parseOptions([])", text)
        tac.write_text(text.replace("parseOptions([])", f"parseOptions({options!r})"))
        self.daemon.command = ["-n", "--pidfile=", "-y", str(tac)]
        self.daemon.start()
        self.daemon.stop()
