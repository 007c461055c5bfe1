"""``exampledriver doctor`` on a machine with a real Docker Engine, with faults put in."""

from __future__ import annotations

import signal
import socket
import subprocess
from typing import Any

from tests.cli.doctor import examine, found, healthy
from tests.process import until

from .box import done
from .case import DockerCase


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
