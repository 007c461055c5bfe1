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

from .box import IMAGE, Engine, new_base, remove_base, run

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

    def post(self, path: str, body: str, *options: str) -> tuple[str, str]:
        """Make a request of the engine's API; return status and body of the answer."""
        sent = self.base / "body"
        sent.write_text(body)
        found = run(
            "curl", "-s", "--path-as-is", "--unix-socket", str(self.base / "docker.sock"),
            "-X", "POST", "-H", "Content-Type: application/json", "--data-binary", f"@{sent}",
            "-w", "\n%{http_code}", *options, "http://docker" + path,
        )  # fmt: skip
        answer, _, status = found.stdout.rpartition("\n")
        return status, answer

    def test_authz(self) -> None:
        """Whatever an engine would make privileged is denied, however the request is written."""
        docker = self.engine.docker
        docker(
            "run", "-d", "--name=db", "--network=none", "--stop-signal=KILL", IMAGE,
            "sleep", "1000",
        )  # fmt: skip
        docker("create", "--name=old", "--network=none", IMAGE, "true")
        # Where a container may be reached by the name that another one has for it.
        docker("create", "--name=web", "--network=none", "--link=db:alias", IMAGE, "true")
        process = self.serve("authz")
        self.engine.end(signal.SIGTERM)
        self.engine.options = ["--authorization-plugin=mine"]
        self.engine.start()
        docker("start", "db")

        def container(inner: str) -> str:
            return f'{{"Image":"{IMAGE}","Cmd":["true"],{inner}}}'

        create, privileged = "/v1.41/containers/create", '"HostConfig":{"Privileged":true}'
        self.assertEqual(self.post(create, container('"HostConfig":{}'))[0], "201")
        before = docker("ps", "-aq")
        self.assertIn("Privileged is not allowed", self.post(create, container(privileged))[1])
        for inner in (
            '"hostconfig":{"privileged":true}',
            '"Ho\u017ftConfig":{"Privileged":true}',
            '"HostConfig":{"\\u0050rivileged":true}',
            '"Privileged":true',
            '"Privileged":true,"HostConfig":null',
            f'{privileged},"HostConfig":{{}}',
            '"HostConfig":{"Privileged":true,"Privileged":null}',
            '"HostConfig":{"CapAdd":"ALL"}',
        ):
            self.assertEqual(self.post(create, container(inner))[0], "403", inner)
        for path in (
            "/%63ontainers/create",
            "/%761.41/containers%2Fcreate",
            "//containers/create",
            "/v1.41/images/../containers/create",
            "/v1.41/containers/create/",
        ):
            # The engine itself answers the last ones: this is another path, or none.
            self.assertIn(self.post(path, container(privileged))[0], ("403", "301", "404"), path)
        target = "--request-target"
        for uri in ("http://docker/containers/create", "x:/v1.41/containers/create"):
            status = self.post("/", container(privileged), target, uri)[0]
            self.assertEqual(status, "403", uri)
        # What the engine does not show.
        long = container(f'"X":"{"y" * (5 << 20)}",{privileged}')
        self.assertNotEqual(self.post(create, long)[0], "201")
        self.assertEqual(docker("ps", "-aq"), before)

        for path in ("/containers/db/exec", "/containers/web/alias/exec", "/containers/db%2Fexec"):
            self.assertEqual(self.post(path, '{"Cmd":["true"]}')[0], "201", path)
            for name in ("Privileged", "privileged"):
                status = self.post(path, f'{{"Cmd":["true"],"{name}":true}}')[0]
                self.assertEqual(status, "403", path)
        refused = self.engine.run("exec", "--privileged", "db", "true")
        self.assertIn("Privileged is not allowed here", refused.stderr)
        docker("exec", "db", "true")
        for options in ([], ["-H", "Transfer-Encoding: chunked"]):
            status = self.post("/v1.23/containers/old/start", '{"Privileged":true}', *options)[0]
            self.assertEqual(status, "403")
        self.assertEqual(docker("inspect", "-f", "{{.HostConfig.Privileged}}", "old"), "false")

        self.assertEqual(self.post("/plugins/pull?remote=x/y", "[]")[0], "403")
        service = '{"Name":"s","TaskTemplate":{"ContainerSpec":{"capabilityadd":["ALL"]}}}'
        self.assertEqual(self.post("/services/create", service)[0], "403")
        docker("rm", "-f", "db", "old", "web")
        self.stop(process)

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
