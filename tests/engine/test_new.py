"""New projects of ``python -m exampledriver.plugin new`` on a real Docker Engine.

They are as they were written, but for where they keep their files.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.new import write_project
from tests.process import PATIENCE, until

from .box import IMAGE, Engine, new_base, remove_base

ROOT = Path(__file__).parents[2]


class NewTests(SynchronousTestCase):
    """Each kind, as its README has it."""

    def setUp(self) -> None:
        self.base = new_base()
        self.addCleanup(remove_base, self.base)
        self.engine = Engine(self.base)
        self.addCleanup(self.engine.down)
        self.engine.up()

    def serve(self, kind: str, name: str = "mine") -> subprocess.Popen[bytes]:
        """Write a project and serve it, in the mount namespace of the engine."""
        project = self.base / f"project-{kind}"
        write_project(name, kind, project)
        main = project / name / "__main__.py"
        main.write_text(main.read_text().replace("/var/lib", str(self.base / "lib")))
        socket = self.base / f"plugins/{name}.sock"
        process = subprocess.Popen(
            [
                "setpriv", "--pdeathsig", "KILL", "nsenter", "-t", str(self.engine.init), "-m",
                "--", "env", f"--chdir={project}", sys.executable, "-m", name,
            ],
            env={**os.environ, "PYTHONPATH": f"{project}:{ROOT}"},
            stdin=subprocess.DEVNULL,
            stdout=(self.base / "output").open("ab"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        until(socket.exists, "the plugin's socket")
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Stop the plugin; nothing has gone wrong in it."""
        process.send_signal(signal.SIGTERM)
        log = (self.base / "output").read_text
        self.assertEqual(process.wait(PATIENCE), 0, log())
        self.assertNotIn("Traceback", log())

    def test_log(self) -> None:
        """Containers log to it, and docker logs reads it back."""
        process = self.serve("log")
        docker = self.engine.docker
        docker(
            "run", "--log-driver=mine", "--network=none", "--name=hello", IMAGE,
            "sh", "-c", "echo one; echo two >&2; echo three",
        )  # fmt: skip
        found = self.engine.run("logs", "hello")
        self.assertEqual((found.stdout, found.stderr), ("one\nthree\n", "two\n"))
        last = self.engine.run("logs", "--tail=1", "hello")
        # The engine reads the two outputs at once: either may come last.
        self.assertIn((last.stdout, last.stderr), [("three\n", ""), ("", "two\n")])
        none = self.engine.run("logs", "--tail=0", "hello")
        self.assertEqual((none.returncode, none.stdout, none.stderr), (0, "", ""))
        docker(
            "run", "-d", "--log-driver=mine", "--network=none", "--name=later", IMAGE,
            "sh", "-c", "echo one; until [ -e /go ]; do sleep 0.1; done; echo two",
        )  # fmt: skip
        with subprocess.Popen(
            ["docker", "-H", self.engine.host, "logs", "--follow", "later"], stdout=subprocess.PIPE
        ) as follower:
            assert follower.stdout is not None
            self.assertEqual(follower.stdout.readline(), b"one\n")
            docker("exec", "later", "touch", "/go")
            # It ends with the container.
            self.assertEqual(follower.stdout.read(), b"two\n")
        long = docker(
            "run", "--rm", "--log-driver=mine", "--network=none", IMAGE,
            "sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x",
        )  # fmt: skip
        self.assertEqual(len(long), 40000)
        self.assertNotEqual(self.engine.run("logs", "nobody").returncode, 0)
        docker("rm", "hello", "later")
        self.stop(process)

    def test_damaged_log(self) -> None:
        """docker logs shows what is there of a damaged log, and says that this is not all."""
        self.serve("log")
        self.engine.docker(
            "run", "-d", "--log-driver=mine", "--network=none", "--name=hello", IMAGE,
            "sh", "-c", "echo one; exec sleep 1000",
        )  # fmt: skip
        (file,) = (self.base / "lib").rglob("*.log")
        until(lambda: file.stat().st_size > 0, "the entry")
        with file.open("ab") as log:
            log.write(b"\xff" * 8)
        found = self.engine.run("logs", "hello")
        self.assertEqual(found.stdout, "one\n", found)
        self.assertIn("unexpected EOF", found.stderr)

    def test_network(self) -> None:
        """A network is made of it, and a container attached."""
        process = self.serve("network")
        docker = self.engine.docker
        docker("network", "create", "-d", "mine", "--subnet=10.77.0.0/24", "net")
        interfaces = docker("run", "--rm", "--network=net", IMAGE, "ls", "/sys/class/net")
        self.assertEqual(interfaces, "lo")
        docker("network", "rm", "net")
        self.stop(process)

    def test_ipam(self) -> None:
        """It gives a network its pool and its gateway."""
        wires = self.serve("network", "wires")
        process = self.serve("ipam")
        docker = self.engine.docker
        docker("network", "create", "-d", "wires", "--ipam-driver", "mine", "net")
        shown = docker("network", "inspect", "-f", "{{json .IPAM.Config}}", "net")
        self.assertEqual(shown, '[{"Subnet":"10.200.0.0/16","Gateway":"10.200.0.1"}]')
        docker(
            "run", "-d", "--name=app", "--network=net", "--stop-signal=KILL", IMAGE, "sleep", "1000"
        )
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.assertEqual(docker("inspect", "-f", form, "app"), "10.200.0.2")
        docker("rm", "-f", "app")
        docker("network", "rm", "net")
        self.stop(process)
        self.stop(wires)
