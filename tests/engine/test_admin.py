"""The admin's command beside a real Docker Engine."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from exampledriver.backends.measuring import measure
from tests.admin.command import admin, done, loaded, refused
from tests.process import Daemon, until

from .box import done as run
from .case import DockerCase


class AdminTests(DockerCase):
    """What an engine made, and what it gets back."""

    def test_seen(self) -> None:
        """A volume that Docker made is listed; while a container has it, rm says who."""
        self.create()
        self.engine.background("user", f"{self.name}:/data")
        (shown,) = loaded(self.daemon, "volume", "ls", "--json")
        self.assertEqual((shown["Name"], shown["Mounts"]), (self.name, 1))
        (held,) = loaded(self.daemon, "volume", "mounts", "--json")
        self.assertRegex(held["HeldBy"], r"pid \d+ \(sleep\)")
        self.assertRegex(refused(self.daemon, "volume", "rm", self.name), r"in use by pid \d+")
        self.assertRegex(refused(self.daemon, "volume", "release", self.name), r"pid \d+ \(sleep\)")
        self.engine.docker("rm", "-f", "user")
        done(self.daemon, "volume", "rm", self.name)
        self.assertNotIn(self.name, self.engine.docker("volume", "ls", "-q", "-f", "driver=x"))

    def test_root_file_system(self) -> None:
        """In use means in use on the root file system too, where nothing is mounted above."""
        place = Path("/var/tmp") / self.daemon.base.name
        self.addCleanup(run, "rm", "-rf", str(place))
        self.create(f"mountpoint={place}")
        self.engine.background("user", f"{self.name}:/data")
        self.assertRegex(refused(self.daemon, "volume", "rm", self.name), r"in use by pid \d+")

    def test_restored(self) -> None:
        """What came back from the trash is used by Docker as before, with its data."""
        self.create("uid=123", "mode=0750")
        self.engine.sh(f"{self.name}:/data", "echo precious > /data/file")
        self.engine.docker("volume", "rm", self.name)
        done(self.daemon, "trash", "restore", self.name)
        self.assertEqual(self.inspect()["Status"]["Options"], {"mode": "0750", "uid": "123"})
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "cat /data/file"), "precious")
        self.engine.docker("volume", "rm", self.name)
        done(self.daemon, "trash", "restore", self.name, "--as", "other")
        self.assertEqual(self.engine.sh("other:/data", "cat /data/file"), "precious")

    def test_release(self) -> None:
        """Counts of an engine that died, with its containers, are dropped."""
        self.create()
        self.engine.background("user", f"{self.name}:/data")
        pid = int(self.engine.docker("inspect", "-f", "{{.State.Pid}}", "user"))
        self.engine.end(signal.SIGKILL)
        # The inner pid namespace has numbers of its own.
        run("nsenter", "-t", str(self.engine.init), "-p", "-m", "--", "kill", "-9", str(pid))
        until(
            lambda: loaded(self.daemon, "volume", "mounts", "--json")[0]["HeldBy"] == "",
            "the end of the container",
        )
        self.assertIn("1 dropped", done(self.daemon, "volume", "release", self.name))
        self.assertEqual(loaded(self.daemon, "volume", "mounts", "--json"), [])

    def test_mounted_inside(self) -> None:
        """What is mounted in a volume is not measured with it, nor touched."""
        place = self.daemon.root / "measured"
        (place / "inner").mkdir(parents=True)
        run("mount", "-t", "tmpfs", "tmpfs", str(place / "inner"))
        self.addCleanup(run, "umount", str(place / "inner"))
        (place / "inner/large").write_bytes(b"x" * 1_000_000)
        found = measure_in_child(place)
        self.assertEqual(found["files"], 1)
        self.assertLess(found["bytes"], 1_000_000)


class RegisteredTests(DockerCase):
    """Volumes that the administrator's command made, as Docker knows them then."""

    def driver_of(self, name: str) -> str:
        """Return the driver that Docker has for a name; empty if it knows no such volume."""
        found = self.engine.docker("volume", "ls", "--format", "{{.Driver}}", "-f", f"name={name}")
        return found.strip()

    def known(self, name: str) -> tuple[object, object]:
        """Return the options and labels that Docker has written down."""
        (found,) = json.loads(self.engine.docker("volume", "inspect", name))
        return found["Options"], found["Labels"]

    def test_all(self) -> None:
        """Docker knows the options of what create, restore and import have made."""
        made = loaded(self.daemon, "volume", "create", "made", "-o", "mode=0750", "--json")
        self.assertTrue(made["Engine"]["Registered"], made)
        self.assertEqual(self.known("made"), ({"mode": "0750"}, {}))
        archive = str(self.daemon.base / "archive")
        done(self.daemon, "volume", "export", "made", archive)
        found = loaded(self.daemon, "volume", "import", "read", archive, "--json")
        self.assertTrue(found["Engine"]["Registered"], found)
        self.assertEqual(self.known("read")[0], {"mode": "0750"})
        self.engine.docker("volume", "rm", "made")
        found = loaded(self.daemon, "trash", "restore", "made", "--json")
        self.assertTrue(found["Engine"]["Registered"], found)
        self.assertEqual(self.known("made"), ({"mode": "0750"}, {}))

    def test_labels(self) -> None:
        """Labels that Docker has outlast a removal, an export and a restore."""
        words = ("volume", "create", "-d", "x", "--label", "com.docker.compose.project=shop")
        labels = {"com.docker.compose.project": "shop"}
        for name in ("removed", "kept", "sent"):
            self.engine.docker(*words, name)
        done(self.daemon, "volume", "rm", "removed")
        found = loaded(self.daemon, "volume", "labels", "kept", "--json")
        self.assertEqual(found, {"kept": labels})
        self.engine.docker("volume", "rm", "kept")
        for name in ("removed", "kept"):
            done(self.daemon, "trash", "restore", name)
            self.assertEqual(self.known(name)[1], labels)
        archive = str(self.daemon.base / "archive")
        done(self.daemon, "volume", "export", "sent", archive)
        done(self.daemon, "volume", "import", "read", archive, "--label", "more=yes")
        self.assertEqual(self.known("read"), ({}, {**labels, "more": "yes"}))

    def test_driver_away(self) -> None:
        """While the driver is away, Docker refuses a registered volume, and replaces others."""
        done(self.daemon, "volume", "create", "kept")
        found = admin(self.daemon, "volume", "create", "lost", "--no-engine")
        self.assertIn("to register it with Docker: docker volume create -d x lost", found.stderr)
        self.engine.end(signal.SIGTERM)
        self.engine.start()
        self.daemon.kill()
        for name, status in (("kept", 125), ("lost", 0)):
            words = ("--rm", "--network=none", "-v", f"{name}:/data", "busybox:local", "true")
            found = self.engine.run("run", *words)
            self.assertEqual(found.returncode, status, found.stderr)
        self.daemon.start()
        self.assertEqual((self.driver_of("kept"), self.driver_of("lost")), ("x", "local"))

    def test_by_hand(self) -> None:
        """The command that is printed does the same; after a docker inspect a restart helps."""
        found = admin(self.daemon, "volume", "create", "db", "-o", "mode=0750", "--no-engine")
        command = found.stderr.split(": ", 1)[1].replace("docker ", "", 1).split()
        self.engine.docker("volume", "inspect", "db")
        self.engine.docker(*command)
        self.assertEqual(self.known("db")[0], None)
        again = admin(self.daemon, "volume", "create", "db", "-o", "mode=0750")
        self.assertEqual(again.returncode, 0)
        self.assertIn("until dockerd is restarted", again.stderr)
        self.engine.end(signal.SIGTERM)
        self.engine.start()
        self.engine.docker(*command)
        self.assertEqual(self.known("db")[0], {"mode": "0750"})

    def test_another_driver(self) -> None:
        """A name that Docker has for a local volume is a warning, and so is another driver's."""
        self.engine.docker("volume", "create", "db")
        found = admin(self.daemon, "volume", "create", "db")
        self.assertEqual((found.returncode, found.stdout), (0, "db\n"))
        self.assertIn('has a volume "db" of its driver "local"', found.stderr)
        self.assertIn("run: docker volume create -d x db", found.stderr)


class MigrateTests(DockerCase):
    """Docker's own volumes move in. The root is no mount of its own, as on most machines."""

    def prepare(self, daemon: Daemon) -> None:
        daemon.options = [f"--root={daemon.base}/plain"]

    def setUp(self) -> None:
        super().setUp()
        self.words = ["migrate", "--from", "docker-local", "--json", "--docker-root"]
        self.words.append(f"{self.daemon.base}/data")

    def make(self, name: str, *options: str) -> None:
        """Make a volume of Docker's own."""
        self.engine.docker("volume", "create", *options, name)

    def migrated(self, *words: str) -> None:
        """Migrate a volume."""
        (found,) = json.loads(done(self.daemon, *self.words, "--yes", *words))["volumes"]
        self.assertEqual(found["state"], "done", found)

    def test_data(self) -> None:
        """Copied or adopted, Docker's rm of the old volume leaves the data to the new one."""
        for name in ("copied", "moved"):
            self.make(name)
            self.engine.sh(f"{name}:/data", f"echo {name} > /data/file")
        self.migrated("copied")
        self.migrated("--adopt", "moved")
        for name in ("copied", "moved"):
            self.engine.docker("volume", "rm", name)
            self.assertEqual(self.daemon.names(), ["copied", "moved"])
            self.assertEqual(self.engine.sh(f"{name}:/data", "cat /data/file"), name)
        self.assertEqual(list(Path(self.daemon.base, "data/volumes").glob("*/_data")), [])

    def test_registered(self) -> None:
        """Labels move along; when the old volume is gone, the command registers the new one."""
        self.make("db", "--label", "com.docker.compose.project=shop")
        (found,) = json.loads(done(self.daemon, *self.words, "--yes", "--adopt"))["volumes"]
        command = "docker volume create -d x --label com.docker.compose.project=shop db"
        self.assertEqual(found["engine"]["command"], command)
        self.assertIn("hides this one", found["engine"]["why"])
        self.engine.docker("volume", "rm", "db")
        self.engine.docker(*command.split()[1:])
        (shown,) = json.loads(self.engine.docker("volume", "inspect", "db"))
        self.assertEqual(shown["Labels"], {"com.docker.compose.project": "shop"})
        self.assertEqual(shown["Driver"], "x")

    def test_in_use(self) -> None:
        """A volume that a container has is left alone, and the container named."""
        self.make("used")
        self.engine.background("user", "used:/data")
        for how in ("--copy", "--adopt"):
            found = admin(self.daemon, *self.words, "--yes", how, "used")
            (one,) = json.loads(found.stdout)["volumes"]
            self.assertEqual((found.returncode, one["state"]), (1, "refused"))
            self.assertIn("(sleep)", one["why"])

    def test_bind(self) -> None:
        """A bind mount becomes a volume with that directory."""
        place = self.daemon.base / "bound"
        place.mkdir()
        self.make("bound", "-o", "type=none", "-o", "o=bind", "-o", f"device={place}")
        self.migrated("bound")
        self.engine.docker("volume", "rm", "bound")
        self.engine.sh("bound:/data", "echo here > /data/file")
        self.assertEqual((place / "file").read_text(), "here\n")


def measure_in_child(path: Path) -> dict[str, int]:
    """Measure in a process of its own, which keeps the low priority."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        found = measure(str(path), lambda: None)
        os.write(writing, json.dumps({"bytes": found.bytes, "files": found.files}).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as file:
        answer: dict[str, int] = json.load(file)
    return answer
