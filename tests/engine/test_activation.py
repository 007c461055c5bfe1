"""systemd's own tools: the units are good, and a passed socket hides restarts from an engine."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.copying.fingerprints import fingerprint
from exampledriver.backends.mounts import mounts_inside
from exampledriver.cli.main import main
from tests.admin.command import done as admin_done
from tests.backends.forest import plant
from tests.process import PATIENCE, Daemon, until

from .box import Engine, new_base, remove_base, run
from .case import DriverCase
from .storage import release

TAP = Path(__file__).parents[2] / "tap"

#: Keeps the passed socket, and starts the daemon whenever it has ended; LISTEN_PID is its own.
_SUPERVISOR = """
while :; do
    sh -c 'LISTEN_PID=$$ exec "$@"' sh "$@" >>"$0/log" 2>>"$0/err"
done
"""


class UnitTests(SynchronousTestCase):
    """The files of tap/."""

    def test_verify(self) -> None:
        """systemd-analyze finds nothing wrong with the units, as they are installed."""
        for more in ([], ["--mounts"]):
            self.verify(more)

    def verify(self, more: list[str]) -> None:
        """Install the units, and ask systemd-analyze."""
        host = Path(self.mktemp()).absolute()
        with contextlib.redirect_stdout(io.StringIO()):
            main(["install-systemd", f"--destdir={host}", "--root=/srv/my vols", *more])
        units = host / "etc/systemd/system"
        found = run(
            "systemd-analyze", "verify",
            str(units / "exampledriver.service"), str(units / "exampledriver.socket"),
        )  # fmt: skip
        self.assertEqual((found.returncode, found.stdout + found.stderr), (0, ""))

    def test_tmpfiles(self) -> None:
        """systemd-tmpfiles makes the directories with their modes."""
        root = Path(self.mktemp()).absolute()
        (root / "etc").mkdir(parents=True)
        (root / "etc/group").write_text("root:x:0:\nadm:x:4:\n")
        (root / "etc/passwd").write_text("root:x:0:0:::\n")
        found = run(
            "systemd-tmpfiles", "--create", f"--root={root}",
            str(TAP / "exampledriver.tmpfiles.conf"),
        )  # fmt: skip
        self.assertEqual((found.returncode, found.stderr), (0, ""))
        modes = {
            name: f"{stat.S_IMODE((root / name).stat().st_mode):o}"
            for name in ("run/docker/plugins", "run/exampledriver", "var/log/exampledriver")
        }
        self.assertEqual(list(modes.values()), ["755", "700", "2750"])


def capabilities(*names: str) -> list[str]:
    """Return the capabilities that files of tap/ leave, as setpriv calls them."""
    found: list[str] = []
    for name in names:
        line = re.search(r"^CapabilityBoundingSet=(.*)$", (TAP / name).read_text(), re.MULTILINE)
        assert line
        found += [word.removeprefix("CAP_").lower() for word in line[1].split()]
    return found


class CapabilityCase(DriverCase):
    """A daemon with what the service's unit leaves of root's powers."""

    files: tuple[str, ...] = ("exampledriver.service",)

    def setUp(self) -> None:
        # A machine that lacks one itself can give none.
        own = run("setpriv", "--dump").stdout
        kept = [word for word in capabilities(*self.files) if re.search(rf"\b{word}\b", own)]
        self.words = [
            "setpriv", "--no-new-privs", f"--bounding-set=-all,{','.join('+' + c for c in kept)}",
        ]  # fmt: skip
        super().setUp()
        self.addCleanup(release, self.daemon.base)

    def prepare(self, daemon: Daemon) -> None:
        """Take the powers from the daemon."""
        daemon.prefix = self.words


class CapabilityTests(CapabilityCase):
    """The unit alone: volumes are directories."""

    def test_copies(self) -> None:
        """They are enough to copy whatever a container has left in a volume, but trusted.*."""
        self.daemon.ok("Create", Name="db")
        db = self.daemon.root / "db"
        db.rmdir()
        plant(db)
        for path, attribute in ((db / "dangling", "trusted.link"), (db / "device", "trusted.node")):
            os.removexattr(path, attribute, follow_symlinks=False)
        admin_done(self.daemon, "volume", "snapshot", "db", "--label", "first")
        self.daemon.ok("Create", Name="copy", Opts={"from": "db@first"})
        self.assertEqual(fingerprint(self.daemon.root / "copy"), fingerprint(db))

    def test_no_mounts(self) -> None:
        """Each kind that mounts is refused, and the error names the drop-in that is missing."""
        for options in (
            {"backend": "image", "size": "16M"},
            {"backend": "tmpfs", "size": "1M"},
            {"backend": "mount", "type": "none", "o": "bind", "device": str(self.daemon.base)},
        ):
            status, answer = self.daemon.call(
                "VolumeDriver.Create", {"Name": "no", "Opts": options}
            )
            if status == 200:
                status, answer = self.daemon.call("VolumeDriver.Mount", {"Name": "no", "ID": "c"})
                self.daemon.ok("Remove", Name="no")
            self.assertEqual(status, 500)
            self.assertIn("mounts.conf", answer["Err"])
            self.assertIn("exampledriver install-systemd --mounts", answer["Err"])

    def test_enough(self) -> None:
        """They are enough for owners, modes, other users' directories, and asking who holds."""
        place = self.daemon.base / "theirs"
        place.mkdir(mode=0o700)
        os.chown(place, 1234, 1234)
        options = {"uid": "4321", "gid": "4321", "mode": "2770", "mountpoint": f"{place}/db"}
        self.daemon.ok("Create", Name="db", Opts=options)
        found = (place / "db").stat()
        self.assertEqual((found.st_uid, stat.S_IMODE(found.st_mode)), (4321, 0o2770))
        self.daemon.ok("Create", Name="held")
        holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c",
             f"mount --bind {self.daemon.root}/held /mnt && echo held && "
             "exec setpriv --reuid=1234 --clear-groups sleep 1000"],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        assert holder.stdout is not None
        self.addCleanup(holder.stdout.close)
        if holder.stdout.readline() != b"held\n":
            self.fail("nothing holds the volume")
        status, answer = self.daemon.call("VolumeDriver.Remove", {"Name": "held"})
        self.assertEqual(status, 500)
        self.assertIn(f"in use by pid {holder.pid} (", answer["Err"])


class MountsTests(CapabilityCase):
    """The unit with the drop-in."""

    files = ("exampledriver.service", "exampledriver.mounts.conf")

    def test_mounts(self) -> None:
        """They are enough to make, mount, grow and remove what is mounted."""
        there = self.daemon.base / "there"
        there.mkdir()
        for options in (
            {"backend": "image", "size": "16M", "uid": "12"},
            {"backend": "tmpfs", "size": "1M", "uid": "12"},
            {"backend": "mount", "type": "none", "o": "bind", "device": str(there)},
        ):
            self.daemon.ok("Create", Name="v", Opts=options)
            place = Path(self.daemon.ok("Mount", Name="v", ID="c")["Mountpoint"])
            self.assertIn(str(place), mounts_inside(str(self.daemon.root)))
            self.daemon.ok("Unmount", Name="v", ID="c")
            if "size" in options:
                admin_done(self.daemon, "volume", "resize", "v", "32M")
            self.daemon.ok("Remove", Name="v")


@define(eq=False)
class Listing:
    """A user who lists volumes all the time, and what they got to see.

    :ivar failures: what was printed when the volume was not listed, or not well.
    """

    engine: Engine
    name: str
    failures: list[str] = field(factory=list)
    good: int = 0
    _enough: threading.Event = field(factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Listing:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._enough.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while not self._enough.is_set():
            found = self.engine.run("volume", "ls", "--format={{.Driver}} {{.Name}}")
            if found.returncode == 0 and f"x {self.name}" in found.stdout and not found.stderr:
                self.good += 1
            else:
                self.failures.append(found.stdout + found.stderr)


class ActivationTests(SynchronousTestCase):
    """A real dockerd before a socket of systemd-socket-activate."""

    def setUp(self) -> None:
        self.base = new_base()
        self.addCleanup(remove_base, self.base)
        self.engine = Engine(self.base)
        self.daemon = Daemon(self.base)
        places = {"root": self.daemon.root, "state": self.daemon.state, "runtime": "run"}
        twistd = os.path.join(os.path.dirname(sys.executable), "twistd")
        self.daemon.socket.parent.mkdir()
        self.manager = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL",
             "systemd-socket-activate", f"--listen={self.daemon.socket}", "--fdname=main",
             "sh", "-c", _SUPERVISOR, str(self.base),
             twistd, "-n", "--pidfile=", "exampledriver", "--listen=systemd:name=main",
             *(f"--{option}={path}" for option, path in places.items())],
            cwd=self.base, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.addCleanup(self.end)
        until(self.daemon.socket.exists, "the socket")
        self.daemon.socket.chmod(0o600)
        self.addCleanup(self.engine.down)
        self.engine.up()

    def pid(self) -> int:
        """Return the process id of the daemon."""
        return int((self.daemon.state / "lock").read_text())

    def end(self) -> None:
        """End the daemon and its supervisor."""
        self.manager.kill()
        self.manager.wait(PATIENCE)
        if (self.daemon.state / "lock").exists():
            os.kill(self.pid(), signal.SIGKILL)

    def file(self) -> tuple[int, int]:
        """Return inode and mode of the socket's file."""
        found = os.lstat(self.daemon.socket)
        return found.st_ino, stat.S_IMODE(found.st_mode)

    def test_restarts(self) -> None:
        """Across 20 restarts docker volume ls never fails, nor misses a volume."""
        before = self.file()
        self.assertEqual(before[1], 0o600)
        self.engine.docker("volume", "create", "-d", "x", "db")
        pids = set()
        with Listing(self.engine, "db") as listing:
            for _ in range(20):
                enough = listing.good + 2
                until(lambda enough=enough: listing.good >= enough, "answers")  # type: ignore[misc]
                pid = self.pid()
                pids.add(pid)
                os.kill(pid, signal.SIGTERM)
                until(lambda pid=pid: self.pid() != pid, "the next daemon")  # type: ignore[misc]
        self.assertEqual(listing.failures, [])
        self.assertEqual(len(pids), 20)
        self.assertEqual(self.file(), before)
        self.assertIn("stopped in", self.daemon.log())
