"""A directory on a file system that hangs, and file systems that fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from exampledriver.backends.gates import LIMIT
from exampledriver.volumes.deadlines import LONG
from tests.process import PATIENCE, Daemon, until

from .box import IMAGE, done, run
from .case import DockerCase, DriverCase
from .servers import Sshd, write_failing

#: Seconds that anything takes which has nothing to do with what hangs.
QUICK = 2.0


class HangingTests(DockerCase):
    """A directory on an SSHFS of the host whose server is stopped."""

    def setUp(self) -> None:
        super().setUp()
        self.server = Sshd(self.daemon.base / "ssh")
        self.addCleanup(self.server.down)
        self.server.up()
        self.over = self.daemon.base / "share"
        self.over.mkdir()
        options = self.server.options("entry_timeout=0", "attr_timeout=0", "dir_cache=no")
        words = f"{options['o']},IdentityFile={options['credentials-file']}"
        done("mount", "-t", options["type"], "-o", words, options["device"], str(self.over))
        self.addCleanup(run, "umount", "--lazy", str(self.over))
        self.create(f"mountpoint={self.over}/data")

    def listed(self) -> str:
        """Return what the administrator's command shows."""
        command = os.path.join(os.path.dirname(sys.executable), "exampledriver")
        return done(command, "volume", "ls", f"--admin={self.daemon.base}/run/admin.sock")

    def health(self) -> str:
        """Return what Get says, at once."""
        begun = time.monotonic()
        status = self.daemon.ok("Get", Name=self.name)["Volume"]["Status"]
        self.assertLess(time.monotonic() - begun, QUICK)
        return str(status["Health"])

    def others_go_on(self, seconds: float = QUICK) -> None:
        """See that other volumes are made, mounted and removed at once.

        :param seconds: how long that may take outside the root.
        """
        for options, limit in (
            ({}, QUICK),
            ({"mountpoint": str(self.daemon.base / "local")}, seconds),
        ):
            begun = time.monotonic()
            self.daemon.ok("Create", Name="other", Opts=options)
            self.daemon.ok("Mount", Name="other", ID="1")
            self.daemon.ok("Unmount", Name="other", ID="1")
            self.daemon.ok("Remove", Name="other")
            self.assertLess(time.monotonic() - begun, limit)

    def test_life(self) -> None:
        """The engine has an error with the file system in time; what ends later is undone."""
        self.server.signal(signal.SIGSTOP)
        begun = time.monotonic()
        words = ["run", "--rm", "--network=none", "-v", f"{self.name}:/data", IMAGE, "ls"]
        started = subprocess.Popen(
            ["docker", "-H", self.engine.host, *words], stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(started.wait)
        where = f"fuse.sshfs root@127.0.0.1:{self.server.served}, mounted at {self.over}"
        until(lambda: "has not answered for" in self.health(), "the health")
        self.assertIn(where, self.health())
        self.assertIn("has not answered for", self.listed())
        self.others_go_on()
        _, text = started.communicate(timeout=LONG + 2 * PATIENCE)
        self.assertLess(time.monotonic() - begun, 120)
        self.assertIn("Mount has not ended for 11", text)
        self.assertIn(where, text)
        self.others_go_on()
        self.server.signal(signal.SIGCONT)
        until(lambda: "Mount has ended 11" in self.daemon.log(), "the end of the Mount")
        self.assertIn("nothing was changed", self.daemon.log())
        until(lambda: self.health() == "ok", "the health")
        self.assertEqual(self.inspect()["Status"]["Mounts"], 0)
        self.daemon.ok("Mount", Name=self.name, ID="1")

    def test_many(self) -> None:
        """More volumes on it than there are threads delay no volume of the root.

        Those elsewhere wait for a moment; nor are looks kept from them.
        """
        for number in range(80):
            path = str(self.over / f"v{number}")
            self.daemon.ok("Create", Name=f"v{number}", Opts={"mountpoint": path})
        self.server.signal(signal.SIGSTOP)
        for number in range(80):
            connection = self.daemon.dial()
            self.addCleanup(connection.close)
            body = f'{{"Name": "v{number}", "ID": "1"}}'.encode()
            connection.request("POST", "/VolumeDriver.Mount", body)
        self.listed()
        # Until the calls that wait for the file system are refused, all threads may be taken.
        self.others_go_on(LIMIT + QUICK)
        self.others_go_on()
        self.daemon.ok("Create", Name="other")
        self.daemon.ok("Mount", Name="other", ID="1")
        begun = time.monotonic()
        until(
            lambda: "HeldBy" in self.daemon.ok("Get", Name="other")["Volume"]["Status"],
            "a look at another volume",
        )
        self.assertLess(time.monotonic() - begun, QUICK)
        self.server.signal(signal.SIGCONT)


class FailingTests(DriverCase):
    """A mount on which statfs answers, and reads or writes fail."""

    def prepare(self, daemon: Daemon) -> None:
        write_failing(daemon.base / "bin/failing")
        write_failing(daemon.base / "bin/readable", reads=True)

    def make(self, program: str) -> None:
        """Make a volume."""
        device = f"{self.daemon.base}/bin/{program}#nothing"
        options = {"backend": "mount", "type": "fuse", "device": device, "timeout": "5s"}
        self.daemon.ok("Create", Name="db", Opts=options)

    def test_mount(self) -> None:
        """A Mount finds out that nothing can be read, and leaves nothing mounted."""
        self.make("failing")
        status, answer = self.daemon.call("VolumeDriver.Mount", {"Name": "db", "ID": "1"})
        self.assertEqual(status, 500)
        self.assertIn("its server does not serve it: Input/output error", answer["Err"])
        self.assertEqual(list((self.daemon.root / "db").iterdir()), [])

    def test_health(self) -> None:
        """Health says so when it begins to fail while it is mounted."""
        place = self.daemon.root / "db"
        self.make("readable")
        self.daemon.ok("Mount", Name="db", ID="1")
        self.assertEqual(self.health(), "ok")
        # Over it: what fails now is what the volume's path shows.
        run("umount", str(place))
        done(f"{self.daemon.base}/bin/failing", "nothing", str(place))
        self.addCleanup(run, "umount", "--lazy", str(place))
        until(lambda: "Input/output error" in self.health(), "the health")

    def health(self) -> str:
        """Return what Get says."""
        health: str = self.daemon.ok("Get", Name="db")["Volume"]["Status"]["Health"]
        return health

    def test_directory(self) -> None:
        """So does that of a directory which cannot be read."""
        over = self.daemon.base / "over"
        over.mkdir()
        done(f"{self.daemon.base}/bin/readable", "nothing", str(over))
        self.addCleanup(run, "umount", "--lazy", str(over))
        self.daemon.ok("Create", Name="db", Opts={"mountpoint": str(over)})
        self.daemon.ok("Mount", Name="db", ID="1")
        run("umount", str(over))
        done(f"{self.daemon.base}/bin/failing", "nothing", str(over))
        status, answer = self.daemon.call("VolumeDriver.Mount", {"Name": "db", "ID": "1"})
        self.assertEqual(status, 500)
        self.assertIn("cannot be read: Input/output error", answer["Err"])
        until(lambda: "cannot be read" in self.health(), "the health")

    def test_read_only(self) -> None:
        """Health says so when the kernel takes no writes any more to an image."""
        self.daemon.ok("Create", Name="db", Opts={"backend": "image", "size": "16M"})
        self.daemon.ok("Mount", Name="db", ID="1")
        self.assertEqual(self.health(), "ok")
        done("mount", "-o", "remount,ro", str(self.daemon.root / "db"))
        until(lambda: "has become read-only" in self.health(), "the health")
        self.daemon.ok("Unmount", Name="db", ID="1")

    def test_asked_once(self) -> None:
        """After a start who asks once gets an answer."""
        self.daemon.ok("Create", Name="db")
        self.daemon.ok("Create", Name="gone")
        (self.daemon.root / "gone").rmdir()
        self.daemon.stop()
        self.daemon.start()
        time.sleep(1.0)  # the rule is that nobody asks meanwhile
        self.assertEqual(self.health(), "ok")
        status = self.daemon.ok("Get", Name="gone")["Volume"]["Status"]
        self.assertIn("is missing", status["Health"])

    def test_no_litter(self) -> None:
        """What is written to see whether that can be done is never seen in a volume."""
        disk = self.daemon.base / "disk"
        with disk.open("wb") as file:
            file.truncate(64 << 20)
        done("mkfs.ext4", "-q", "-F", str(disk))
        options = {"backend": "mount", "type": "ext4", "device": str(disk), "o": "loop"}
        self.daemon.ok("Create", Name="db", Opts=options)
        place = Path(self.daemon.ok("Mount", Name="db", ID="1")["Mountpoint"])
        (place / "lost+found").rmdir()
        before = place.stat().st_mtime_ns
        self.health()
        until(lambda: self.health() == "ok", "the health")
        self.assertEqual(list(place.iterdir()), [])
        self.assertEqual(place.stat().st_mtime_ns, before)
        self.daemon.ok("Unmount", Name="db", ID="1")
