"""A real Docker Engine that finds the driver by a spec file and speaks TCP with it.

The driver runs in the engine's network namespace, whose loopback nobody else can reach.
Its socket, where the tests ask it, is not where the engine looks.
"""

from __future__ import annotations

import json
import os
import signal

from twisted.trial.unittest import SynchronousTestCase

from tests.process import Daemon, until
from tests.remote import make_certs

from .box import Engine, new_base, remove_base


class RemoteCase(SynchronousTestCase):
    """An engine, and a driver that it can only find by its spec."""

    def setUp(self) -> None:
        base = new_base()
        self.addCleanup(remove_base, base)
        self.engine = Engine(base)
        self.addCleanup(self.engine.down)
        self.engine.up()
        self.specs = base / "etc/plugins"
        self.certs = make_certs(base / "certs")

    def start(self, *options: str) -> Daemon:
        """Start a daemon, and wait for its spec."""
        daemon = Daemon(
            self.engine.base,
            ["--name=x", f"--spec-dir={self.specs}", *options],
            prefix=self.engine.network,
        )
        daemon.socket = self.engine.base / "control.sock"
        self.addCleanup(daemon.close)
        daemon.start()
        until(lambda: os.listdir(self.specs), "the spec")
        self.assertEqual(os.listdir(self.engine.base / "plugins"), [])
        return daemon

    def tls(self) -> Daemon:
        """Start a daemon with mutual TLS."""
        return self.start(
            f"--listen=ssl:7376:interface=127.0.0.1:privateKey={self.certs}/server-key.pem"
            f":certKey={self.certs}/server-cert.pem:caCert={self.certs}/ca.pem"
        )

    def use(self, daemon: Daemon, name: str) -> None:
        """Create a volume, write, read, and remove it."""
        self.engine.docker("volume", "create", "-d", "x", name)
        self.assertEqual(daemon.names(), [name])
        self.engine.sh(f"{name}:/data", "echo precious > /data/file")
        self.assertEqual(self.engine.sh(f"{name}:/data", "cat /data/file"), "precious")
        self.assertEqual((daemon.root / name / "file").read_text(), "precious\n")
        self.engine.docker("volume", "rm", name)
        self.assertEqual(daemon.names(), [])


class TlsTests(RemoteCase):
    """NAME.json with mutual TLS."""

    def test_life(self) -> None:
        """Create, run, write, read and remove; again after a stop, and after SIGKILL."""
        daemon = self.tls()
        self.assertEqual(os.listdir(self.specs), ["x.json"])
        self.use(daemon, "db")
        daemon.stop()
        self.assertEqual(os.listdir(self.specs), [])
        daemon.start()
        self.use(daemon, "again")
        daemon.kill()
        self.assertEqual(os.listdir(self.specs), ["x.json"])
        daemon.start()
        self.use(daemon, "killed")

    def test_new_certificates(self) -> None:
        """New certificates in the place of the old ones: restart the driver and the engine."""
        daemon = self.tls()
        self.use(daemon, "db")
        new = make_certs(self.engine.base / "new")
        for path in new.iterdir():
            path.replace(self.certs / path.name)
        daemon.stop()
        daemon.start()
        found = self.engine.run("volume", "create", "-d", "x", "old")
        self.assertNotEqual(found.returncode, 0)
        self.assertEqual(daemon.names(), [])
        self.engine.end(signal.SIGTERM)
        self.engine.start()
        self.use(daemon, "again")

    def test_refused(self) -> None:
        """An engine without a certificate, and one of another CA, get nothing."""
        daemon = self.tls()
        spec = json.loads((self.specs / "x.json").read_text())
        tls = spec["TLSConfig"]
        other = make_certs(self.engine.base / "other")
        of_other = {"CertFile": f"{other}/cert.pem", "KeyFile": f"{other}/key.pem"}
        for name, files in (("without", {"CertFile": "", "KeyFile": ""}), ("other", of_other)):
            spec["TLSConfig"] = {**tls, **files}
            (self.specs / f"{name}.json").write_text(json.dumps(spec))
            found = self.engine.run("volume", "create", "-d", name, name)
            self.assertNotEqual(found.returncode, 0)
            self.assertIn("tls", found.stderr)
        self.assertEqual(daemon.names(), [])
        self.assertIn("refused a client at 127.0.0.1: peer did not return", daemon.log())
        self.assertIn("refused a client at 127.0.0.1: certificate verify failed", daemon.log())
        self.use(daemon, "db")


class TcpTests(RemoteCase):
    """NAME.spec with tcp:// on loopback."""

    def test_life(self) -> None:
        """Create, run, write, read and remove in the clear, with --insecure-tcp."""
        daemon = self.start("--listen=tcp:7375:interface=127.0.0.1", "--insecure-tcp")
        self.assertEqual((self.specs / "x.spec").read_text(), "tcp://127.0.0.1:7375\n")
        self.use(daemon, "db")
