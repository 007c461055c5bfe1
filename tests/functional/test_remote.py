"""TCP and TLS with a real daemon: who is let in, what refuses to start, the drain, the spec."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.process import PATIENCE, Daemon, read_answer, request_bytes, until
from tests.remote import DAY, Certificates, RemoteDaemon, free_port, make_certs

from . import test_life
from .case import DaemonCase


class RemoteCase(DaemonCase):
    """A daemon that listens with mutual TLS."""

    daemon: RemoteDaemon

    def another(self) -> RemoteDaemon:
        certs = self.base / "certs"
        if not certs.exists():
            make_certs(certs)
        daemon = RemoteDaemon(self.base, certs=certs)
        self.addCleanup(daemon.close)
        return daemon


class AdmissionTests(RemoteCase):
    """Who is let in."""

    def assertRefused(self, why: str, context: ssl.SSLContext | None = None) -> None:
        """Check that the client is refused without an answer, and that the log says why."""
        connection = socket.create_connection(("127.0.0.1", self.daemon.port), 10)
        self.addCleanup(connection.close)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            secure = (context or self.daemon.context()).wrap_socket(
                connection, server_hostname="127.0.0.1"
            )
            secure.sendall(request_bytes("VolumeDriver.List", {}))
            # TLS 1.3: a client learns of its refusal when it reads.
            if not secure.recv(1):
                raise ConnectionResetError
        until(lambda: f"refused a client at 127.0.0.1: {why}" in self.daemon.log(), why)

    def test_known(self) -> None:
        """A client of the CA is served, with TLS 1.2 and 1.3."""
        self.daemon.start()
        self.daemon.ok("Create", Name="db")
        self.assertEqual(self.daemon.names(), ["db"])
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.daemon.context()
            context.minimum_version = context.maximum_version = version
            with context.wrap_socket(
                socket.create_connection(("127.0.0.1", self.daemon.port), 10),
                server_hostname="127.0.0.1",
            ) as connection:
                connection.sendall(request_bytes("VolumeDriver.List", {}))
                answer = read_answer(connection)
            assert answer is not None
            self.assertEqual(answer[0], 200)

    def test_no_certificate(self) -> None:
        """A client without a certificate is refused."""
        self.daemon.start()
        self.daemon.identity = None
        self.assertRefused("peer did not return a certificate")

    def test_no_certificate_old(self) -> None:
        """So it is with TLS 1.2."""
        self.daemon.start()
        self.daemon.identity = None
        context = self.daemon.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.assertRefused("peer did not return a certificate", context)

    def test_other_ca(self) -> None:
        """A client of another CA is refused, of the same name or not."""
        self.daemon.start()
        other = make_certs(self.base / "other")
        self.daemon.identity = (other / "cert.pem", other / "key.pem")
        self.assertRefused("certificate verify failed")

    def replace_authority(self) -> Certificates:
        """Let the daemon have the certificates of an authority that issues what it is asked."""
        made = Certificates(self.base / "made")
        certificate, key = made.server()
        certs = self.daemon.certs
        shutil.copy(certificate, certs / "server-cert.pem")
        shutil.copy(key, certs / "server-key.pem")
        shutil.copy(made.ca, certs / "ca.pem")
        return made

    def test_expired_client(self) -> None:
        """A client whose certificate has expired is refused, one whose is good is not."""
        made = self.replace_authority()
        self.daemon.identity = made.client()
        self.daemon.start()
        self.daemon.identity = made.client(-2 * DAY, DAY)
        self.assertRefused("certificate verify failed")

    def test_server_as_client(self) -> None:
        """A certificate for servers is none for clients, though the CA is right."""
        self.daemon.start()
        certs = self.daemon.certs
        self.daemon.identity = (certs / "server-cert.pem", certs / "server-key.pem")
        self.assertRefused("certificate verify failed")

    def test_old_tls(self) -> None:
        """TLS 1.1 is refused."""
        self.daemon.start()
        context = self.daemon.context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        self.assertRefused("unsupported protocol", context)

    def test_clear(self) -> None:
        """A request in the clear gets nothing, and the daemon serves on."""
        self.daemon.start()
        with socket.create_connection(("127.0.0.1", self.daemon.port), 10) as connection:
            connection.sendall(request_bytes("VolumeDriver.List", {}))
            self.assertNotIn(b"Volumes", connection.recv(65536))
        self.assertTrue(self.daemon.answers())

    def test_large_body(self) -> None:
        """A body beyond the bound is answered 413 over TLS, and the daemon serves on."""
        self.daemon.start()
        status, answer = self.daemon.call("VolumeDriver.Create", {"Name": "x" * (3 << 20)})
        self.assertEqual(status, 413)
        self.assertIn("at most", answer["Err"])
        self.assertTrue(self.daemon.answers())


class RefusedTests(RemoteCase):
    """What refuses to start, in one line."""

    def refused_with(self, *options: str) -> str:
        daemon = Daemon(self.base, options)
        return self.refused(daemon)

    def test_tcp(self) -> None:
        """Plain TCP refuses to start beyond loopback, and on loopback unless it is insisted on."""
        for text in ("tcp:7777", "tcp:7777:interface=0.0.0.0", "tcp:7777:interface=192.0.2.1"):
            for more in ((), ("--insecure-tcp",)):
                line = self.refused_with(f"--listen={text}", *more)
                self.assertIn("refused beyond loopback", line)
        line = self.refused_with("--listen=tcp:7777:interface=127.0.0.1")
        self.assertIn("add --insecure-tcp", line)
        self.assertFalse((self.base / "plugins/x.sock").exists())

    def test_no_client_ca(self) -> None:
        """TLS without a CA of the clients refuses to start."""
        text = self.daemon.endpoint.rpartition(":")[0]
        self.assertIn("caCert=PEM is missing", self.refused_with(f"--listen={text}"))

    def test_files(self) -> None:
        """A file that is missing, open to others or of another pair is named, with the fix."""
        key = self.daemon.certs / "server-key.pem"
        key.chmod(0o640)
        self.assertIn(f"chmod 600 {key}", self.refused(self.daemon))
        shutil.copy(self.daemon.certs / "key.pem", key)
        key.chmod(0o600)
        self.assertIn(f"{key}: it is not the key of", self.refused(self.daemon))
        key.unlink()
        self.assertIn(f"{key}: the server's key cannot be read", self.refused(self.daemon))

    def test_expired(self) -> None:
        """A server's certificate that has expired refuses to start."""
        made = Certificates(self.base / "made")
        certificate, key = made.server(-2 * DAY, DAY)
        line = self.refused_with(
            f"--listen=ssl:7777:privateKey={key}:certKey={certificate}:caCert={made.ca}"
        )
        self.assertIn(f"{certificate}: the server's certificate expired on 20", line)

    def test_port_in_use(self) -> None:
        """A port that is in use is named before anything listens."""
        self.daemon.start()
        line = self.refused_with(
            f"--listen=tcp:{self.daemon.port}:interface=127.0.0.1",
            "--insecure-tcp",
            *(f"--{word}={self.base}/other/{word}" for word in ("root", "state", "runtime")),
        )
        self.assertIn(f"tcp:127.0.0.1:{self.daemon.port}: Address already in use", line)

    def test_extra(self) -> None:
        """Without the extra, ssl: says in one line what to install, and unix: works."""
        for package in ("OpenSSL", "cryptography", "service_identity"):
            (self.base / "without" / package).mkdir(parents=True)
            (self.base / "without" / package / "__init__.py").write_text(
                f"raise ModuleNotFoundError('not here', name={package!r})"
            )
        environment = {"PYTHONPATH": str(self.base / "without")}
        os.environ.update(environment)
        self.addCleanup(os.environ.pop, "PYTHONPATH")
        self.assertIn("pip install 'exampledriver[tls]'", self.refused(self.daemon))
        plain = Daemon(self.base)
        self.addCleanup(plain.close)
        plain.start()
        plain.ok("Create", Name="db")


class TlsStopTests(RemoteCase, test_life.StopTests):
    """A stop over TLS: the same rules as on a UNIX socket."""

    def test_burst(self) -> None:
        """Clients that wait to be accepted when the stop comes shake hands and are answered."""
        self.daemon.start()
        process, context = self.daemon.process, self.daemon.context()
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        connections = [
            context.wrap_socket(
                socket.create_connection(("127.0.0.1", self.daemon.port), PATIENCE),
                server_hostname="127.0.0.1",
                do_handshake_on_connect=False,
            )
            for _ in range(30)
        ]

        def ask(number: int) -> object:
            with connections[number] as connection:
                connection.do_handshake()
                connection.sendall(request_bytes("VolumeDriver.Create", {"Name": f"v{number}"}))
                return read_answer(connection)

        with ThreadPoolExecutor(len(connections)) as pool:
            answers = pool.map(ask, range(len(connections)))
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
            self.assertEqual(list(answers), [(200, {"Err": ""})] * len(connections))
        process.wait(PATIENCE)

    def test_idle_client(self) -> None:
        """An idle client that does not agree to the close does not keep the daemon."""
        self.daemon.start()
        idle = self.daemon.connect()
        idle.sendall(request_bytes("VolumeDriver.List", {}))
        self.assertIsNotNone(read_answer(idle))
        began = time.monotonic()
        self.daemon.stop()
        self.assertLess(time.monotonic() - began, 5.0)
        self.assertEqual(idle.recv(1), b"")
        self.assertNotIn("were cut without an answer", self.daemon.log())

    def test_late(self) -> None:
        """A request that comes just after SIGTERM on an idle connection is answered."""
        self.daemon.start()
        idle = self.daemon.connect()
        idle.sendall(request_bytes("VolumeDriver.List", {}))
        self.assertIsNotNone(read_answer(idle))
        assert self.daemon.process is not None
        self.daemon.process.send_signal(signal.SIGTERM)
        idle.sendall(request_bytes("VolumeDriver.List", {}))
        self.assertEqual(read_answer(idle), (200, {"Err": "", "Volumes": []}))
        self.assertEqual(idle.recv(1), b"")
        self.daemon.process.wait(10)


class TcpStopTests(test_life.StopTests):
    """A stop over TCP: the same rules again."""

    def another(self) -> Daemon:
        daemon = _TcpDaemon(self.base)
        self.addCleanup(daemon.close)
        return daemon


class _TcpDaemon(Daemon):
    """A daemon some of whose calls come by TCP on loopback."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.port = free_port()
        self.options = [f"--listen=tcp:{self.port}:interface=127.0.0.1", "--insecure-tcp"]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30)


class SpecTests(RemoteCase):
    """--spec-dir."""

    def setUp(self) -> None:
        super().setUp()
        self.specs = self.base / "specs"
        self.daemon.options = [f"--spec-dir={self.specs}"]

    def test_json(self) -> None:
        """NAME.json is there while engines are served, complete, for root's eyes."""
        self.daemon.start()
        path = self.specs / "exampledriver.json"
        until(path.exists, "the spec")
        self.assertEqual(os.listdir(self.specs), ["exampledriver.json"])
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        certs = self.daemon.certs
        self.assertEqual(
            json.loads(path.read_text()),
            {
                "Name": "exampledriver",
                "Addr": f"https://127.0.0.1:{self.daemon.port}",
                "TLSConfig": {
                    "InsecureSkipVerify": False,
                    "CAFile": f"{certs}/ca.pem",
                    "CertFile": f"{certs}/cert.pem",
                    "KeyFile": f"{certs}/key.pem",
                },
            },
        )
        self.daemon.stop()
        self.assertEqual(os.listdir(self.specs), [])

    def tcp(self) -> tuple[Daemon, Path, str]:
        """Return a daemon on TCP, the path of its spec and the address in it."""
        port = free_port()
        daemon = Daemon(
            self.base,
            [
                "--name=x", f"--listen=tcp:{port}:interface=127.0.0.1", "--insecure-tcp",
                f"--spec-dir={self.specs}",
            ],
        )  # fmt: skip
        self.addCleanup(daemon.close)
        return daemon, self.specs / "x.spec", f"tcp://127.0.0.1:{port}\n"

    def test_spec(self) -> None:
        """NAME.spec has one URL and one newline, for everybody, and goes at a stop."""
        daemon, path, text = self.tcp()
        daemon.start()
        until(path.exists, "the spec")
        self.assertEqual(path.read_text(), text)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o644)
        daemon.stop()
        self.assertFalse(path.exists())

    def test_unix(self) -> None:
        """A socket elsewhere gets a spec too."""
        daemon = Daemon(self.base, [f"--spec-dir={self.specs}"])
        self.addCleanup(daemon.close)
        daemon.start()
        path = self.specs / "exampledriver.spec"
        until(path.exists, "the spec")
        self.assertEqual(path.read_text(), f"unix://{daemon.socket}\n")

    def test_killed(self) -> None:
        """A spec that SIGKILL left is taken over, and goes at the next stop."""
        daemon, path, text = self.tcp()
        daemon.start()
        until(path.exists, "the spec")
        daemon.kill()
        self.assertEqual(path.read_text(), text)
        daemon.start()
        daemon.stop()
        self.assertFalse(path.exists())

    def test_killed_other_port(self) -> None:
        """A spec that SIGKILL left with another port is refused, with what it may be, and how."""
        daemon, path, text = self.tcp()
        daemon.start()
        until(path.exists, "the spec")
        daemon.kill()
        again, _, _ = self.tcp()
        line = self.refused(again)
        self.assertIn(f"{path}: is there already", line)
        self.assertIn("a kill -9 of this driver left it, with other options", line)
        self.assertIn("if nothing listens where it points, remove it", line)
        self.assertEqual(path.read_text(), text)
        path.unlink()
        again.start()
        until(path.exists, "the new spec")

    def test_other_owner(self) -> None:
        """A spec of another owner is neither overwritten nor removed."""
        daemon, path, _ = self.tcp()
        self.specs.mkdir()
        for name in ("x.spec", "x.json"):
            other = self.specs / name
            other.write_text("tcp://127.0.0.1:1\n")
            self.assertIn(f"{other}: is there already", self.refused(daemon))
            self.assertEqual(other.read_text(), "tcp://127.0.0.1:1\n")
            other.unlink()
        daemon.start()
        until(path.exists, "the spec")
        path.write_text("tcp://127.0.0.1:1\n")
        daemon.stop()
        self.assertEqual(path.read_text(), "tcp://127.0.0.1:1\n")

    def test_engine_files(self) -> None:
        """A file for the engine that is missing is named; so is a host the certificate lacks."""
        self.daemon.options = [*self.daemon.options, "--spec-host=elsewhere.example"]
        self.assertIn("elsewhere.example is not among", self.refused(self.daemon))
        self.daemon.options = self.daemon.options[:1]
        (self.daemon.certs / "key.pem").unlink()
        self.assertIn("key.pem: the engine's key cannot be read", self.refused(self.daemon))
        self.assertEqual(os.listdir(self.specs) if self.specs.exists() else [], [])
