"""``exampledriver doctor`` on a machine with a real Docker Engine, with faults put in."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cli.doctor import examine, found, healthy
from tests.process import until

from .box import done, run
from .case import DockerCase, DriverCase


class RootTests(DriverCase):
    """What only root can get wrong, or see, and what is seen without being root."""

    def examine(self) -> dict[str, Any]:
        """Return doctor's report on this installation."""
        return examine(self.daemon, *self.options())

    def options(self) -> list[str]:
        """Return the options for an installation without Docker."""
        return ["--docker=none", f"--plugin-dir={self.daemon.socket.parent}"]

    def mount(self, path: Path, *options: str) -> None:
        """Mount a tmpfs for the rest of the test."""
        done("mount", "-t", "tmpfs", "-o", ",".join(["mode=700", *options]), "tmpfs", str(path))
        self.addCleanup(run, "umount", "--lazy", str(path))

    def shell(self, fix: str) -> None:
        """Do what a fix says, and see that nothing is left."""
        done("sh", "-ec", fix)
        healthy(self.examine())

    def test_full_disk(self) -> None:
        """A full file system is found; one with space is not, however small."""
        self.daemon.stop()
        self.mount(self.daemon.state, "size=1m")
        self.daemon.start()
        healthy(self.examine())
        (self.daemon.state / "ballast").write_bytes(b"x" * 1_000_000)
        finding = found(self.examine(), "disk")
        self.assertIn(f"{self.daemon.state}: the file system is full", finding["what"])
        self.assertIn(f"df -h {self.daemon.state}", finding["fix"])
        self.shell(f"rm {self.daemon.state}/ballast")

    def test_no_inodes(self) -> None:
        """A file system without free inodes is found."""
        self.daemon.stop()
        self.mount(self.daemon.state, "size=100m", "nr_inodes=8")
        self.daemon.start()
        healthy(self.examine())
        for number in range(8):
            with contextlib.suppress(OSError):
                (self.daemon.state / f"file{number}").touch()
        self.assertIn("no inode is free", found(self.examine(), "disk")["what"])

    def test_read_only(self) -> None:
        """A file system that has become read-only is found, and its fix makes it writable."""
        self.daemon.stop()
        self.mount(self.daemon.state, "size=100m")
        self.daemon.start()
        self.daemon.ok("Create", Name="db")
        self.daemon.stop()
        done("mount", "-o", "remount,ro", str(self.daemon.state))
        finding = found(self.examine(), "disk")
        self.assertIn("read-only", finding["what"])
        done("sh", "-ec", finding["fix"].splitlines()[-1])
        self.daemon.start()
        healthy(self.examine())

    def test_leaked_mounts(self) -> None:
        """What was left mounted in the trash, in the root, or in an idle volume is found."""
        self.daemon.ok("Create", Name="db")
        trash = self.daemon.root / ".trash/old/db"
        trash.mkdir(parents=True)
        stray = self.daemon.root / "stray"
        for path, severity, what in (
            (trash, "problem", "in the trash"),
            (self.daemon.root / "db", "note", 'in the volume "db"'),
        ):
            self.mount(path)
            finding = found(self.examine(), "counts", severity)
            self.assertIn(f"{path} is mounted {what}", finding["what"])
            self.shell(finding["fix"])
        stray.mkdir()
        self.mount(stray)
        self.assertIn("where no volume is", found(self.examine(), "counts")["what"])

    def test_leaked_count(self) -> None:
        """Counts are looked at in the driver's files when it does not run."""
        self.daemon.ok("Create", Name="db")
        self.daemon.ok("Mount", Name="db", ID="it's me")
        self.daemon.ok("Mount", Name="db", ID="it's me")
        self.daemon.stop()
        found(self.examine(), "counts", "note")
        self.daemon.start()
        self.shell(found(self.examine(), "counts", "note")["fix"])

    def test_owner(self) -> None:
        """What belongs to somebody else than the daemon's user is found."""
        for path in (self.daemon.root, self.daemon.state, self.daemon.state / "journal"):
            os.chown(path, 12345, 0)
            finding = found(self.examine(), "modes")
            self.assertIn(f"{path} belongs to user 12345", finding["what"])
            self.shell(finding["fix"])

    def test_not_root(self) -> None:
        """Another user is told what could not be looked at; nothing is passed in silence."""
        self.daemon.base.chmod(0o711)
        # Python itself may be out of that user's reach: what it needs is loaded before.
        script = (
            "import codecs, os, sys; from exampledriver.cli import checks, main; "
            "list(map(codecs.lookup, ('ascii', 'latin-1', 'idna'))); "
            "os.setegid(65534); os.seteuid(65534); sys.exit(main.main(sys.argv[1:]))"
        )
        places = [
            f"--root={self.daemon.root}",
            f"--state={self.daemon.state}",
            f"--runtime={self.daemon.base}/run",
            f"--socket={self.daemon.socket}",
        ]
        ran = run(sys.executable, "-c", script, "doctor", "--json", *places, *self.options())
        self.assertEqual((ran.returncode, ran.stderr), (2, ""), ran.stdout)
        report = json.loads(ran.stdout)
        self.assertEqual(report["findings"], [])
        not_made = {entry["check"]: entry["why"] for entry in report["not_made"]}
        for check in ("sockets", "modes", "journal", "directories", "counts"):
            self.assertIn("root", not_made[check])


class EngineFaultTests(DockerCase):
    """What only an engine can get wrong."""

    def examine(self, *options: str) -> dict[str, Any]:
        """Return doctor's report on this installation."""
        base = self.daemon.base
        directories = (self.daemon.socket.parent, base / "etc/plugins", base / "lib/plugins")
        return examine(
            self.daemon,
            f"--docker=unix://{base}/docker.sock",
            *(f"--plugin-dir={path}" for path in directories),
            *options,
        )

    def shell(self, fix: str) -> None:
        """Do what a fix says, in a shell as its reader would."""
        subprocess.run(["sh", "-ec", fix], check=True, cwd=self.daemon.base, capture_output=True)

    def shadow(self) -> None:
        """Let Docker make a volume of its own in the place of one of ours."""
        self.daemon.ok("Create", Name=self.name, Opts={"mode": "0750"})
        (self.daemon.root / self.name / "file").write_text("precious")
        self.daemon.stop()
        self.engine.sh(f"{self.name}:/data", "echo strange > /data/file")
        self.daemon.start()

    def test_healthy(self) -> None:
        """With volumes, containers and labels in daily use nothing is found, all is looked at."""
        self.create("mode=0700")
        self.engine.background("app", f"{self.name}:/data")
        self.engine.docker("volume", "create", "other")
        self.engine.sh("other:/data", "echo local > /data/file")
        report = self.examine()
        healthy(report)
        self.assertLessEqual({"shadowed", "start-order", "counts"}, set(report["checks"]))

    def test_shadowed(self) -> None:
        """A local volume that hides ours is found, and its fix brings ours back with its data."""
        self.shadow()
        self.assertEqual(self.inspect()["Driver"], "local")
        finding = found(self.examine(), "shadowed")
        self.assertIn(f'"{self.name}"', finding["what"])
        self.assertIn(f"volume rm {self.name}", finding["fix"])
        self.shell(finding["fix"])
        self.assertEqual(self.inspect()["Driver"], "x")
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "cat /data/file"), "precious")
        saved = self.daemon.base / f"{self.name}.saved/file"
        self.assertEqual(saved.read_text(), "strange\n")
        self.assertEqual([f for f in self.examine()["findings"] if f["check"] == "shadowed"], [])

    def test_compose(self) -> None:
        """A volume that Docker did not create is found, and the fix makes it the project's."""
        path = self.daemon.base / "compose.yaml"
        volume = f"db: {{name: {self.name}, driver: x, driver_opts: {{mode: '0750'}}}}"
        path.write_text(f"name: shop\nvolumes: {{{volume}}}\n")
        self.daemon.ok("Create", Name=self.name, Opts={"mode": "0750"})
        finding = found(self.examine(f"--compose={path}"), "compose")
        self.assertIn("neither options nor labels", finding["what"])
        self.shell(finding["fix"])
        self.assertEqual(self.inspect()["Options"], {"mode": "0750"})
        labels = {"com.docker.compose.project": "shop", "com.docker.compose.volume": "db"}
        self.assertEqual(self.inspect()["Labels"], labels)
        report = self.examine(f"--compose={path}")
        self.assertEqual([f for f in report["findings"] if f["check"] == "compose"], [])
        path.write_text(path.read_text().replace("0750", "750"))
        finding = found(self.examine(f"--compose={path}"), "compose", "note")
        self.assertIn('driver_opts: {"mode": "0750"}', finding["fix"])

    def test_shadowed_and_dead(self) -> None:
        """It is found beside a dead socket too, which makes the engine wait for 15 s."""
        self.shadow()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.daemon.base / "plugins/dead.sock"))
        report = self.examine()
        self.assertIn("dead.sock", found(report, "sockets")["what"])
        finding = found(report, "shadowed")
        self.assertIn(f"{self.daemon.base}/data/volumes/{self.name}/_data", finding["fix"])
        self.assertEqual(report["not_made"], [])

    def test_dead_socket(self) -> None:
        """A driver that was killed leaves a dead socket: found, with what starts it again."""
        self.daemon.kill()
        finding = found(self.examine(), "sockets")
        self.assertIn(f"nobody listens behind {self.daemon.socket}", finding["what"])
        self.assertIn("twistd --pidfile= exampledriver", finding["fix"])
        self.assertIn(f"rm {self.daemon.socket}", finding["fix"])

    def test_started_after_dockerd(self) -> None:
        """A driver that was started after dockerd is said, as a note: all works."""
        healthy(self.examine())
        self.daemon.stop()
        self.daemon.start()
        assert self.daemon.process is not None
        finding = found(self.examine(), "start-order", "note")
        self.assertIn(f"before the driver (process {self.daemon.process.pid})", finding["what"])
        self.assertIn("before dockerd", finding["fix"])

    def test_leaked_count(self) -> None:
        """A count of a container that died unseen is a note, and its fix takes it away."""
        self.create()
        self.engine.background("app", f"{self.name}:/data")
        self.daemon.kill()
        self.engine.docker("kill", "app")
        self.daemon.start()
        finding = found(self.examine(), "counts", "note")
        self.assertIn(f'volume "{self.name}" is counted', finding["what"])
        self.assertIn("keeps nobody from removing", finding["why"])
        self.shell(finding["fix"])
        self.assertEqual(self.inspect()["Status"]["Mounts"], 0)

    def test_leaked_count_of_a_killed_engine(self) -> None:
        """A count that a killed engine left is found; one that is held is not."""
        self.create()
        self.engine.background("app", f"{self.name}:/data")
        self.engine.end(signal.SIGKILL)
        self.engine.start()
        self.engine.docker("start", "app")
        until(lambda: self.inspect()["Status"]["Mounts"], "a mount")
        self.assertEqual([f for f in self.examine()["findings"] if f["check"] == "counts"], [])

    def test_engine_away(self) -> None:
        """Without the engine its checks are not made, which is said, and the rest is looked at."""
        self.engine.end(signal.SIGKILL)
        (self.daemon.base / "docker.sock").unlink(missing_ok=True)
        report = self.examine()
        self.assertEqual(report["status"], 2)
        self.assertEqual(
            {entry["check"] for entry in report["not_made"]}, {"shadowed", "start-order"}
        )
        self.assertIn("--docker none", report["not_made"][0]["why"])

    def test_engine_hangs(self) -> None:
        """An engine that does not answer is given up, and said."""
        inside = ["nsenter", "-t", str(self.engine.init), "-m", "-p", "--"]
        pid = done(*inside, "cat", "/run/dk.pid")
        done(*inside, "kill", "-STOP", pid)
        # nsenter stops with its child, and wakes it.
        assert self.engine.dockerd is not None
        self.addCleanup(self.engine.dockerd.send_signal, signal.SIGCONT)
        report = self.examine()
        self.assertIn("no answer within 2 s", str(report["not_made"]))
