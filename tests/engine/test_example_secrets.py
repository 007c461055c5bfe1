"""``examples/secretfiles.py`` with a real swarm of one engine."""

from __future__ import annotations

from tests.process import until

from .box import IMAGE
from .example import Example, ExampleCase

#: The value of the secret, which must be in no log.
VALUE = "correct horse battery staple"
#: Where a task finds it.
PATH = "/run/secrets/password"


class SecretTests(ExampleCase):
    """A service whose secret is a file of the plugin's host."""

    def setUp(self) -> None:
        self.engine = self.make_engine()
        base = self.engine.base
        self.root = base / "secrets"
        self.root.mkdir(mode=0o700)
        (self.root / "password").write_text(VALUE)
        environment = {"SECRETFILES_ROOT": str(self.root)}
        self.example = self.add(Example(base, "examples.secretfiles", "secretfiles", environment))
        self.engine.up()
        self.engine.docker("swarm", "init", "--advertise-addr", "127.0.0.1")

    def service(self, name: str, secret: str) -> None:
        """Make a service of one task that has a secret and sleeps."""
        self.engine.docker("secret", "create", "-d", "secretfiles", secret)
        self.engine.docker(
            "service", "create", "--detach", "--name", name, "--network=host", "--secret", secret,
            "--no-resolve-image", "--restart-condition=none", "--stop-signal=KILL", IMAGE,
            "sleep", "1000",
        )  # fmt: skip

    def states(self, name: str) -> str:
        """Return the state of a service's task, and its error."""
        return self.engine.docker(
            "service", "ps", "--no-trunc", "--format", "{{.CurrentState}} {{.Error}}", name
        )

    def test_service(self) -> None:
        """A task has the secret, and neither the plugin's nor the engine's log has its value."""
        self.service("web", "password")
        until(lambda: self.states("web").startswith("Running"), "a task that runs")
        container = self.engine.docker("ps", "-q")
        self.assertEqual(self.engine.docker("exec", container, "cat", PATH), VALUE)
        mounts = self.engine.docker("exec", container, "cat", "/proc/mounts")
        self.assertIn(f"tmpfs {PATH} tmpfs ro", mounts)
        self.assertNotIn(VALUE, self.example.log())
        self.assertNotIn(VALUE, (self.engine.base / "dockerd.log").read_text())

    def test_refused(self) -> None:
        """A task whose secret is not there does not start; it does when it has come."""
        self.service("web", "nothing")
        # The swarm keeps the plugin's reason to itself.
        until(lambda: "unable to get secret" in self.states("web"), "an error")
        self.assertEqual(self.engine.docker("ps", "-q"), "")
        (self.root / "nothing").write_text(VALUE)
        self.engine.docker("service", "update", "--detach", "--no-resolve-image", "--force", "web")
        until(lambda: self.states("web").startswith("Running"), "a task that runs")
