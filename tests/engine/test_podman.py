"""The driver with a real Podman. It knows the driver as ``xd``."""

from __future__ import annotations

import json

from .box import IMAGE, Podman
from .case import DriverCase


class PodmanTests(DriverCase):
    """podman volume and podman run."""

    def setUp(self) -> None:
        super().setUp()
        self.podman = Podman(self.daemon.base, self.daemon.socket)
        self.addCleanup(self.podman.down)
        self.podman.up()

    def create(self, name: str, *options: str) -> str:
        """Create a volume."""
        return self.podman.podman("volume", "create", "--driver=xd", *options, name)

    def test_life(self) -> None:
        """A volume is created, shown, listed, written, read, and removed."""
        self.assertEqual(self.create("life", "-o", "mode=0700"), "life")
        shown = json.loads(self.podman.podman("volume", "inspect", "life"))[0]
        self.assertEqual((shown["Driver"], shown["Options"]), ("xd", {"mode": "0700"}))
        self.assertIn("life", self.podman.podman("volume", "ls", "-q").split())
        self.podman.sh("life:/data", "echo precious > /data/file")
        self.assertEqual(self.podman.sh("life:/data", "cat /data/file"), "precious")
        self.podman.podman("volume", "rm", "life")
        self.assertNotIn("life", self.daemon.names())

    def test_error(self) -> None:
        """Podman shows our text and exits with an error, and there is no volume."""
        found = self.podman.run("volume", "create", "--driver=xd", "-o", "sise=1G", "bad")
        self.assertNotEqual(found.returncode, 0)
        self.assertIn('option "sise" is not known; known: from, gid, mode', found.stderr)
        self.assertNotIn("bad", self.daemon.names())

    def test_owner(self) -> None:
        """An owner given as Podman has it, o=uid=, is the container's, and that of -o uid=."""
        self.create("owned", "-o", "o=uid=1000,gid=5,mode=0700")
        self.create("plain", "-o", "uid=1000", "-o", "gid=5", "-o", "mode=0700")
        shown = {v["Name"]: v["Status"]["Options"] for v in self.daemon.ok("List")["Volumes"]}
        self.assertEqual(shown["owned"], {"gid": "5", "mode": "0700", "uid": "1000"})
        self.assertEqual(shown["owned"], shown["plain"])
        found = self.podman.sh("owned:/data", "stat -c '%u %g %a' /data")
        self.assertEqual(found, "1000 5 700")
        options = {"uid": "1000", "GID": "5", "o": "mode=700"}
        self.daemon.ok("Create", Name="owned", Opts=options)
        self.create("memory", "-o", "backend=tmpfs", "-o", "o=size=1M,uid=7")
        found = self.podman.sh("memory:/data", "stat -c %u /data; df -k /data | tail -n 1")
        self.assertEqual((found.split()[0], found.split()[2]), ("7", "1024"))
        bad = self.podman.run("volume", "create", "--driver=xd", "-o", "o=soft", "bad")
        self.assertIn('"soft" is not for backend directory', bad.stderr)

    def test_timeout(self) -> None:
        """Podman waits as long as its configuration says, or o=timeout=, which it does not send."""
        conf = self.daemon.base / "containers.conf"
        conf.write_text(
            conf.read_text().replace("[engine]", "[engine]\nvolume_plugin_timeout = 25")
        )
        self.create("slow")
        self.assertEqual(
            json.loads(self.podman.podman("volume", "inspect", "slow"))[0]["Timeout"], 25
        )
        self.create("patient", "-o", "o=timeout=30,uid=5")
        shown = json.loads(self.podman.podman("volume", "inspect", "patient"))[0]
        self.assertEqual((shown["Timeout"], shown["Status"]["Options"]), (30, {"uid": "5"}))

    def test_in_use(self) -> None:
        """A volume of a running container is not removed, and is afterwards."""
        self.create("used")
        self.podman.podman(
            "run", "-d", "--name=holder", "--network=none", "-v", "used:/data", IMAGE,
            "sleep", "1000",
        )  # fmt: skip
        self.assertNotEqual(self.podman.run("volume", "rm", "used").returncode, 0)
        status, answer = self.daemon.call("VolumeDriver.Remove", {"Name": "used"})
        self.assertEqual(status, 500)
        self.assertIn("(sleep), at /data", answer["Err"])
        self.podman.podman("rm", "--force", "--time=0", "holder")
        self.podman.podman("volume", "rm", "used")
        self.assertNotIn("used", self.daemon.names())

    def test_user_namespace(self) -> None:
        """A container with user ids of its own reaches a volume below the closed root."""
        self.assertEqual(self.daemon.root.stat().st_mode & 0o007, 0)
        self.create("mapped")
        (self.daemon.root / "mapped").chmod(0o777)
        maps = ["--uidmap=0:100000:1000", "--gidmap=0:100000:1000"]
        self.podman.podman(
            "run", "--rm", "--network=none", *maps, "-v", "mapped:/data", IMAGE,
            "sh", "-c", "echo precious > /data/file",
        )  # fmt: skip
        file = self.daemon.root / "mapped/file"
        self.assertEqual((file.read_text(), file.stat().st_uid), ("precious\n", 100000))

    def test_daemon_killed(self) -> None:
        """kill -9 of the daemon between two containers loses nothing."""
        self.create("killed")
        self.podman.sh("killed:/data", "echo precious > /data/file")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.podman.sh("killed:/data", "cat /data/file"), "precious")
