"""``examples/authz`` on a real engine: by the local socket, and over TLS as users."""

from __future__ import annotations

import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from exampledriver.cli.authority import CLIENT
from tests.process import PATIENCE, until
from tests.remote import DAY, Certificates, now, write_pair

from .box import IMAGE, run
from .example import ROOT, Example, ExampleCase

PORT = 2376


class GateTests(ExampleCase):
    """An engine that asks the example before everything."""

    def setUp(self) -> None:
        self.engine = self.make_engine()
        base = self.base = self.engine.base
        self.certificates = Certificates(base / "certs")
        certificate, key = self.certificates.server()
        for user in ("ci", "admin", "nobody"):
            issued = self.certificates.authority.issue(user, [user], CLIENT, now() - DAY, 2 * DAY)
            write_pair(base / "certs", issued, user)
        self.engine.options = [
            "--authorization-plugin=gate", "-H", f"tcp://127.0.0.1:{PORT}", "--tlsverify",
            f"--tlscacert={self.certificates.ca}", f"--tlscert={certificate}", f"--tlskey={key}",
        ]  # fmt: skip
        self.policy = base / "policy.json"
        self.write((ROOT / "examples/authz/policy.json").read_text())
        environment = {"GATE_POLICY": str(self.policy), "GATE_AUDIT": str(base / "audit")}
        self.gate = self.add(Example(base, "examples.authz", "gate", environment))
        self.engine.up()

    def write(self, text: str) -> None:
        """Replace the policy."""
        new = self.base / "policy.new"
        new.write_text(text)
        new.rename(self.policy)

    def user(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a docker command as a user, over TLS."""
        certs = self.base / "certs"
        return run(
            *self.engine.network, "docker", "-H", f"tcp://127.0.0.1:{PORT}", "--tlsverify",
            f"--tlscacert={certs}/ca.pem", f"--tlscert={certs}/{name}.pem",
            f"--tlskey={certs}/{name}-key.pem", *words,
        )  # fmt: skip

    def allowed(self, name: str, *words: str) -> str:
        """Run a command that is allowed; return what it printed."""
        found = self.user(name, *words)
        self.assertEqual(found.returncode, 0, found.stderr)
        return found.stdout.strip()

    def denied(self, name: str, *words: str) -> str:
        """Run a command that is denied; return why."""
        found = self.user(name, *words)
        self.assertNotEqual(found.returncode, 0, found.stdout)
        self.assertIn("authorization denied by plugin gate: ", found.stderr)
        return found.stderr

    def audit(self) -> list[dict[str, Any]]:
        """Return the audit log."""
        return [json.loads(line) for line in (self.base / "audit").read_text().splitlines()]

    def containers(self) -> str:
        """Return the names of all containers."""
        return self.engine.docker("ps", "-a", "--format", "{{.Names}}")

    def test_users(self) -> None:
        """Each user may do what the policy says, and what is denied has not been done."""
        self.assertEqual(
            self.engine.docker("run", "--rm", "--network=none", IMAGE, "echo", "1"), "1"
        )
        run_it = ("run", "--rm", "--network=none")
        self.assertEqual(self.allowed("ci", *run_it, IMAGE, "echo", "hello"), "hello")
        self.assertEqual(self.allowed("ci", *run_it, "-v", "mine:/data", IMAGE, "echo", "2"), "2")
        for options, why in (
            (["--privileged"], "privileges (Privileged)"),
            (["-v", "/:/host"], "a directory of the host (Binds: /:/host)"),
            (["--mount", "type=bind,src=/,dst=/host"], "a mount of type bind"),
            (["--mount", "type=volume,dst=/h,volume-opt=type=none,volume-opt=o=bind,"
              "volume-opt=device=/"], "options of a volume's driver"),
            (["--pid", "host"], "a namespace that is not its own (PidMode: host)"),
            (["--cap-add", "SYS_ADMIN"], "more capabilities (CapAdd)"),
            (["--device", "/dev/kmsg"], "devices (Devices)"),
            (["--security-opt", "seccomp=unconfined"], "other security options (SecurityOpt)"),
        ):  # fmt: skip
            why_not = self.denied("ci", *run_it, "--name", "evil", *options, IMAGE, "true")
            self.assertIn(f"user ci may not POST /containers/create with {why}", why_not)
        self.assertEqual(self.containers(), "")
        self.assertIn("removed by an admin", self.denied("ci", "volume", "rm", "mine"))
        self.assertEqual(self.engine.docker("volume", "ls", "-q"), "mine")
        self.assertIn("no rule lets user nobody", self.denied("nobody", "ps"))
        self.allowed("nobody", "info")
        self.allowed("admin", "volume", "rm", "mine")

        log = self.audit()
        self.assertEqual((self.base / "audit").stat().st_mode & 0o777, 0o600)
        created = [line for line in log if line["path"].endswith("/containers/create")]
        self.assertEqual([line["user"] for line in created], ["", *["ci"] * 10])
        self.assertEqual([line["allow"] for line in created], [True] * 3 + [False] * 8)
        (removed,) = [line for line in log if line["reason"].startswith("volumes are removed")]
        self.assertEqual((removed["user"], removed["method"], removed["rule"]), ("ci", "DELETE", 8))

    def test_ways_round(self) -> None:
        """Another spelling of a path, or of a body's names, is no way round the policy."""
        certs = self.base / "certs"

        def create(path: str, body: object, kind: str = "application/json") -> tuple[str, str]:
            sent = self.base / "body"
            sent.write_text(body if isinstance(body, str) else json.dumps(body))
            found = run(
                *self.engine.network, "curl", "-s", "--path-as-is", "--cacert", f"{certs}/ca.pem",
                "--cert", f"{certs}/ci.pem", "--key", f"{certs}/ci-key.pem", "-X", "POST",
                "-H", f"Content-Type: {kind}", "--data-binary", f"@{sent}", "-w", "\n%{http_code}",
                f"https://127.0.0.1:{PORT}{path}",
            )  # fmt: skip
            answer, _, status = found.stdout.rpartition("\n")
            return status, answer

        good = {"Image": IMAGE, "Cmd": ["true"]}
        self.assertEqual(create("/containers/create?name=good", good)[0], "201")
        evil = {**good, "HostConfig": {"Privileged": True}}
        for path in (
            "/containers/create",
            "/v1.41/containers/create",
            "/v1.41/%63ontainers/create",
            "/v1.41/images/%2e%2e/containers/create",
            "//containers/create",
            "/v1.41/images/../containers/create",
            "/v1.41/containers%2fcreate",
            "/v1.23/containers/create",
        ):
            # The engine itself answers the last ones, and sends clients to the path's other name.
            self.assertIn(create(path, evil)[0], ("403", "301"), path)
        twice = '{"Image": "IMAGE", "HostConfig": {"Privileged": true}, "HostConfig": {}}'
        for body in (
            {**good, "hostconfig": {"privileged": True}},
            {**good, "Ho\u017ftConfig": {"Privileged": True}},
            {**good, "Privileged": True},
            twice.replace("IMAGE", IMAGE),
        ):
            self.assertEqual(create("/containers/create", body)[0], "403", body)
        # What the engine does not show, the gate does not let pass.
        self.assertEqual(create("/containers/create", evil, "text/plain")[0], "403")
        self.assertEqual(create("/containers/create", {**good, "X": "y" * (5 << 20)})[0], "403")
        for path in ("/containers/good/exec", "/containers%2fgood/exec"):
            self.assertEqual(create(path, {"privileged": True, "Cmd": ["true"]})[0], "403")
        # Such a start makes the container privileged.
        self.assertEqual(create("/v1.23/containers/good/start", {"Privileged": True})[0], "403")
        self.assertEqual(self.containers(), "good")

    def test_policy(self) -> None:
        """A policy counts as soon as it is written, and one that is wrong denies everything."""
        self.engine.docker("ps")
        self.write('{"rules": [{"allow": false, "reason": "closed on Sundays"}]}')
        self.assertIn("closed on Sundays", self.error(self.engine, "ps"))
        for text, why in (
            ('{"rules": [', "truncated"),
            ('{"rules": [{"allow": true, "user": ["ci"]}]}', "unknown field `user` - at"),
            ('{"rules": [{"allow": true, "forbid": ["privlege"]}]}', "'privlege' is not known"),
        ):  # fmt: skip
            self.write(text)
            error = self.error(self.engine, "ps")
            self.assertIn(why, error)
            self.assertIn("everything is denied until it is mended", error)
        self.policy.unlink()
        self.assertIn("No such file", self.error(self.engine, "ps"))
        self.write('{"rules": [{"allow": true}]}')
        self.engine.docker("ps")

    def test_audit(self) -> None:
        """What cannot be noted is not allowed."""
        self.engine.docker("ps")
        (self.base / "audit").unlink()
        (self.base / "audit").mkdir()
        self.assertIn("nothing is done that cannot be noted", self.error(self.engine, "ps"))
        (self.base / "audit").rmdir()
        self.engine.docker("ps")

    def test_end(self) -> None:
        """While the plugin is away everything is denied; when it is back, it is as before."""
        self.engine.docker("ps")
        self.gate.end(signal.SIGKILL)
        socket = str(self.base / "docker.sock")
        refused = run("curl", "-s", "--unix-socket", socket, "http://docker/containers/json")
        self.assertIn("plugin gate failed", refused.stdout)
        self.gate.start()
        self.engine.docker("ps")
        self.assertIn("no rule lets user nobody", self.denied("nobody", "ps"))
        # Docker tries for some seconds: a restart is a delay.
        self.gate.end()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self.engine.docker, "ps", "-q")
            log = self.base / "dockerd.log"
            until(lambda: "no such file or directory, retrying" in log.read_text(), "a try")
            self.gate.start()
            self.assertEqual(answer.result(), "")
        # An engine does not start without.
        self.engine.end(signal.SIGTERM)
        self.gate.end()
        dockerd = self.engine.spawn()
        self.assertNotEqual(dockerd.wait(PATIENCE), 0)
        self.gate.start()
        self.engine.start()
        self.assertIn("no rule lets user nobody", self.denied("nobody", "ps"))
