"""The driver with a real Docker Engine. It finds the driver as ``x``."""

from __future__ import annotations

import os
import signal
import stat

from tests.process import until

from .box import IMAGE, Podman
from .case import DockerCase


class VolumeTests(DockerCase):
    """docker volume."""

    def test_create(self) -> None:
        """A volume is created, listed, shown with its mountpoint and status, and removed."""
        self.assertEqual(self.create(), self.name)
        self.assertIn(self.name, self.engine.docker("volume", "ls", "-q", "-f", "driver=x"))
        shown = self.inspect()
        self.assertEqual(shown["Mountpoint"], f"{self.daemon.root}/{self.name}")
        self.assertEqual(shown["Status"]["Health"], "ok")
        self.assertEqual(shown["Status"]["Backend"], "directory")
        self.assertRegex(shown["CreatedAt"], r"^20\d\d-")
        self.engine.docker("volume", "rm", self.name)
        self.assertNotIn(self.name, self.daemon.names())
        self.assertIn("no such volume", self.error("volume", "inspect", self.name).lower())

    def test_options(self) -> None:
        """Mode, owner and group are applied, and shown."""
        self.create("mode=0750", "uid=123", "gid=456")
        found = os.stat(self.inspect()["Mountpoint"])
        self.assertEqual(
            (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid), (0o750, 123, 456)
        )
        self.assertEqual(
            self.inspect()["Status"]["Options"], {"mode": "0750", "uid": "123", "gid": "456"}
        )

    def test_mountpoint(self) -> None:
        """A directory elsewhere is used, and left with its data when the volume is removed."""
        place = self.daemon.root / ".elsewhere" / "deep"
        self.assertIn("driver's own", self.refused(f"mountpoint={place}"))
        place = self.daemon.base / "elsewhere"
        self.create(f"mountpoint={place}")
        self.assertEqual(self.inspect()["Mountpoint"], str(place))
        (place / "file").write_text("kept")
        self.engine.docker("volume", "rm", self.name)
        self.assertEqual((place / "file").read_text(), "kept")

    def refused(self, *options: str, name: str = "") -> str:
        """Return the error of a docker volume create."""
        words = [word for option in options for word in ("-o", option)]
        return self.error("volume", "create", "-d", "x", *words, name or self.name)

    def test_errors(self) -> None:
        """Docker shows our texts: what was asked, what is wrong, what is good."""
        text = self.refused("sise=1G")
        self.assertIn(
            'option "sise" is not known; known: from, gid, mode, mountpoint, size, uid', text
        )
        self.assertIn("octal permissions", self.refused("mode=rwx"))
        for name in ("..", "a/b", "-x", ".trash", "ä", "x" * 256):
            text = self.error("volume", "create", "-d", "x", "--", name)
            self.assertIn("1 to 255 characters", text)
        self.assertNotIn(self.name, self.daemon.names())

    def test_same_name_again(self) -> None:
        """A name that comes again is empty, and the old data is in the trash."""
        self.create()
        self.engine.sh(f"{self.name}:/data", "echo precious > /data/file")
        self.engine.docker("volume", "rm", self.name)
        self.assertEqual(self.trash(), ["file"])
        self.create()
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "ls /data"), "")


class RunTests(DockerCase):
    """docker run."""

    def test_write_and_read(self) -> None:
        """What one container writes another one reads; counts are balanced afterwards."""
        self.create()
        self.engine.sh(f"{self.name}:/data", "echo precious > /data/file")
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "cat /data/file"), "precious")
        self.assertEqual(self.inspect()["Status"]["Mounts"], 0)

    def test_implicit(self) -> None:
        """docker run creates the volume that it names."""
        self.engine.sh(f"{self.name}:/data", "echo x > /data/file", "--volume-driver=x")
        self.assertIn(self.name, self.daemon.names())

    def test_copy_up(self) -> None:
        """An empty volume is filled from the image, with the image's owner."""
        self.create()
        self.engine.background(self.name, f"{self.name}:/data", "filled:local")
        path = self.daemon.root / self.name
        self.assertEqual((path / "sub/file").read_text(), "from the image\n")
        self.assertEqual((path.stat().st_uid, path.stat().st_gid), (123, 456))

    def owner(self) -> tuple[int, int, int]:
        """Return the owner, the group and the permissions of the test's volume."""
        found = (self.daemon.root / self.name).stat()
        return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)

    def test_copy_up_owner(self) -> None:
        """After the engine has filled a volume, its owner and permissions are the options'."""
        self.create("uid=999", "gid=998", "mode=0700")
        self.engine.docker("create", "-v", f"{self.name}:/data", "filled:local", "true")
        self.assertTrue((self.daemon.root / self.name / "sub/file").exists())
        self.assertEqual(self.owner(), (999, 998, 0o700))
        self.assertNotIn("Owner", self.inspect()["Status"])

    def test_copy_up_empty(self) -> None:
        """An image with an empty directory changes the owner with each container, in vain."""
        self.create("uid=999", "mode=0700")
        for _ in range(2):
            found = self.engine.sh(f"{self.name}:/etc", "stat -c '%u %a' /etc", "--user=999")
            self.assertEqual(found, "999 700")
            self.assertEqual(self.owner(), (999, 0, 0o700))

    def test_container_chown(self) -> None:
        """What a container changes stays, though the volume was empty when it began."""
        self.create("uid=999", "mode=0700")
        self.engine.background("user", f"{self.name}:/data")
        # The daemon has seen the container in the kernel then.
        until(lambda: "sleep" in self.inspect()["Status"].get("HeldBy", ""), "a look")
        self.engine.docker("exec", "user", "chown", "5:6", "/data")
        self.engine.docker("rm", "-f", "user")
        self.assertEqual(self.owner(), (5, 6, 0o700))
        told = "uid is 5, asked for is 999"
        until(lambda: self.inspect()["Status"].get("Owner") == told, "the difference in Status")

    def test_two_containers(self) -> None:
        """Two containers share a volume, and it is in use until both have ended."""
        self.create()
        self.engine.background(self.name, f"{self.name}:/data")
        self.engine.background(f"{self.name}2", f"{self.name}:/data")
        self.engine.docker("exec", self.name, "sh", "-c", "echo shared > /data/file")
        read = self.engine.docker("exec", f"{self.name}2", "cat", "/data/file")
        self.assertEqual(read, "shared")
        self.assertEqual(self.inspect()["Status"]["Mounts"], 2)
        self.engine.docker("rm", "-f", self.name)
        self.assertEqual(self.inspect()["Status"]["Mounts"], 1)
        self.engine.docker("rm", "-f", f"{self.name}2")
        self.assertEqual(self.inspect()["Status"]["Mounts"], 0)

    def test_held_by(self) -> None:
        """Status says who holds the volume, by the kernel's word."""
        self.create()
        self.engine.background(self.name, f"{self.name}:/data")

        def held() -> str:
            return str(self.inspect()["Status"].get("HeldBy", ""))

        until(held, "a look at the volume")
        self.assertRegex(held(), r"pid \d+ \(sleep\).*, at /data")

    def test_cp(self) -> None:
        """docker cp into and out of a running container works, and its counts are balanced."""
        self.create()
        self.engine.background(self.name, f"{self.name}:/data")
        file = self.daemon.base / "copied"
        file.write_text("by cp")
        self.engine.docker("cp", str(file), f"{self.name}:/data/file")
        self.assertEqual((self.daemon.root / self.name / "file").read_text(), "by cp")
        self.engine.docker("cp", f"{self.name}:/data/file", f"{file}2")
        self.assertEqual((self.daemon.base / "copied2").read_text(), "by cp")
        self.assertEqual(self.inspect()["Status"]["Mounts"], 1)


class RestartTests(DockerCase):
    """The daemon or the engine goes away, and comes back."""

    def test_daemon_killed(self) -> None:
        """kill -9 of the daemon while a container holds the volume loses nothing."""
        self.create("mode=0750")
        before = self.inspect()
        self.engine.background(self.name, f"{self.name}:/data")
        self.engine.docker("exec", self.name, "sh", "-c", "echo precious > /data/file")
        self.revive()
        self.assertEqual(self.inspect()["Status"]["Mounts"], 1)
        self.engine.docker("stop", self.name)
        self.assertEqual(self.inspect()["Status"]["Mounts"], 0)
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "cat /data/file"), "precious")
        for key in ("Name", "Mountpoint", "CreatedAt", "Options"):
            self.assertEqual(self.inspect()[key], before[key])
        self.engine.docker("rm", self.name)
        self.engine.docker("volume", "rm", self.name)
        self.assertEqual(self.trash(), ["file"])

    def test_daemon_away(self) -> None:
        """A container that ends while the daemon is away leaks a count that hinders nothing."""
        self.create()
        self.engine.background(self.name, f"{self.name}:/data")
        self.daemon.kill()
        self.engine.docker("kill", self.name)
        self.daemon.start()
        self.engine.docker("rm", self.name)
        self.engine.docker("volume", "rm", self.name)
        self.assertNotIn(self.name, self.daemon.names())

    def test_retry(self) -> None:
        """A command that is given while the daemon restarts waits and succeeds."""
        self.create()
        self.daemon.stop()
        self.daemon.spawn()
        self.assertEqual(self.inspect()["Name"], self.name)
        until(self.daemon.answers, "an answer")

    def test_engine_restarted(self) -> None:
        """dockerd restarted gracefully still has the volume, its labels and its data."""
        self.engine_restarted(signal.SIGTERM)

    def test_engine_killed(self) -> None:
        """dockerd killed with a live container still has the volume, its labels and its data."""
        self.engine_restarted(signal.SIGKILL)

    def engine_restarted(self, number: int) -> None:
        """End dockerd by a signal, start it, and look; the leaked count hinders no removal."""
        self.engine.docker("volume", "create", "-d", "x", "--label", "a=b", self.name)
        self.engine.background(self.name, f"{self.name}:/data")
        self.engine.docker("exec", self.name, "sh", "-c", "echo precious > /data/file")
        self.engine.end(number)
        self.engine.start()
        self.assertEqual(self.inspect()["Labels"], {"a": "b"})
        self.assertEqual(self.inspect()["Driver"], "x")
        self.engine.docker("start", self.name)
        read = self.engine.docker("exec", self.name, "cat", "/data/file")
        self.assertEqual(read, "precious")
        self.engine.docker("rm", "-f", self.name)
        self.engine.docker("volume", "rm", self.name)
        self.assertEqual(self.trash(), ["file"])

    def test_both_killed(self) -> None:
        """Engine and daemon killed at once, the volume is still the driver's, with its data."""
        self.create()
        self.engine.sh(f"{self.name}:/data", "echo precious > /data/file")
        self.daemon.kill()
        self.engine.end(signal.SIGKILL)
        self.daemon.start()
        self.engine.start()
        self.assertEqual(self.inspect()["Driver"], "x")
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "cat /data/file"), "precious")


class PodmanInUseTests(DockerCase):
    """Docker and Podman on one driver."""

    def test_in_use_by_podman(self) -> None:
        """Docker may not remove what a container of Podman has mounted, however it is counted."""
        podman = Podman(self.daemon.base, self.daemon.socket)
        podman.up()
        self.addCleanup(podman.down)
        self.create()
        podman.podman("volume", "create", "--driver=xd", self.name)
        podman.podman(
            "run", "-d", "--name=c", "--network=none", "-v", f"{self.name}:/data", IMAGE,
            "sleep", "1000",
        )  # fmt: skip
        pid = podman.podman("inspect", "-f", "{{.State.Pid}}", "c")
        text = self.error("volume", "rm", self.name)
        self.assertIn(f"in use by pid {pid} (sleep), at /data; stop the containers", text)
        self.assertIn(self.name, self.daemon.names())
        podman.down()
        self.engine.docker("volume", "rm", self.name)
        self.assertNotIn(self.name, self.daemon.names())
