"""tcp: and ssl: endpoints. Who is let in by a real daemon is in the functional tests."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from exampledriver.cli.authority import SERVER
from exampledriver.daemon.certificates import check_host
from exampledriver.daemon.listening import ListenError
from exampledriver.daemon.remote import TcpEndpoint, TlsEndpoint
from exampledriver.daemon.tls import CLOSE_LIMIT, HANDSHAKE_LIMIT, Credentials
from exampledriver.plugin import Plugin, Volume
from tests.plugin.memory import FakeDriver
from tests.process import read_answer, request_bytes
from tests.remote import DAY, Certificates, free_port, make_certs, now, write_pair


class TcpParseTests(SynchronousTestCase):
    """--listen=tcp:"""

    def test_good(self) -> None:
        """Loopback of IPv4 and IPv6, when it is insisted on."""
        found = TcpEndpoint.parse("tcp:7777:interface=127.0.0.1", insecure=True)
        self.assertEqual(found, TcpEndpoint(7777, "127.0.0.1"))
        self.assertEqual((str(found), found.url), ("tcp:127.0.0.1:7777", "tcp://127.0.0.1:7777"))
        found = TcpEndpoint.parse(r"tcp:port=7777:interface=\:\:1:backlog=5", insecure=True)
        self.assertEqual(found, TcpEndpoint(7777, "::1", 5))
        self.assertEqual(found.url, "tcp://[::1]:7777")

    def test_refused(self) -> None:
        """Beyond loopback nothing helps; on loopback it has to be insisted on."""
        for more in (
            "", ":interface=0.0.0.0", r":interface=\:\:", ":interface=192.0.2.1",
            r":interface=\:\:ffff\:192.0.2.1", r":interface=\:\:1%lo",
        ):  # fmt: skip
            for insecure in (False, True):
                error = self.assertRaises(
                    ValueError, TcpEndpoint.parse, f"tcp:7777{more}", insecure
                )
                self.assertIn("refused beyond loopback", str(error))
        error = self.assertRaises(ValueError, TcpEndpoint.parse, "tcp:7777:interface=127.0.0.2")
        self.assertIn("--insecure-tcp", str(error))

    def test_bad(self) -> None:
        """Anything else is an error that repeats it and says what is good."""
        for text in (
            "tcp", "tcp:", "tcp:x", "tcp:0", "tcp:65536", "tcp:-1", "tcp:7777:interface=localhost",
            "tcp:7777:interface=127.0.0.1:what=1", "tcp:7777:interface=127.0.0.1:backlog=0",
            "tcp:7777:interface=::1",
        ):  # fmt: skip
            error = self.assertRaises(ValueError, TcpEndpoint.parse, text, True)
            self.assertIn(f"--listen={text}: ", str(error))

    def test_check(self) -> None:
        """A port that is in use, or an address of another machine, is said before a start."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            error = self.assertRaises(ListenError, TcpEndpoint(port, "127.0.0.1").check)
        self.assertIn(f"tcp:127.0.0.1:{port}: Address already in use", str(error))
        TcpEndpoint(port, "127.0.0.1").check()
        error = self.assertRaises(ListenError, TcpEndpoint(free_port(), "192.0.2.1").check)
        self.assertIn("an address of this machine", str(error))


class TlsParseTests(SynchronousTestCase):
    """--listen=ssl:"""

    def test_good(self) -> None:
        """Twisted's names of arguments; the certificate may be in the key's file."""
        found = TlsEndpoint.parse("ssl:443:privateKey=/k:certKey=/c:caCert=/a:interface=10.0.0.1")
        self.assertEqual(
            found, TlsEndpoint(443, "10.0.0.1", Path("/k"), Path("/c"), Path("/a"), 1024)
        )
        self.assertEqual((str(found), found.host), ("ssl:10.0.0.1:443", "10.0.0.1"))
        self.assertEqual(found.url("driver"), "https://driver:443")
        found = TlsEndpoint.parse(r"ssl:443:privateKey=/a\:b/k:caCert=ca.pem")
        self.assertEqual(found.private_key, found.certificate)
        self.assertEqual(found.private_key, Path("/a:b/k"))
        self.assertEqual(found.client_ca, Path.cwd() / "ca.pem")
        self.assertEqual((found.interface, found.host), ("", "127.0.0.1"))

    def test_bad(self) -> None:
        """Without a client CA or a key it is refused, and so is what is not known."""
        for text, why in {
            "ssl:443:privateKey=/k:certKey=/c": "caCert=PEM is missing",
            "ssl:443:privateKey=/k:caCert=": "caCert=PEM is missing",
            "ssl:443:caCert=/a": "privateKey=PEM is missing",
            "ssl:443:privateKey=/k:caCert=/a:sslmethod=SSLv3_METHOD": "sslmethod is not known",
            "ssl:privateKey=/k:caCert=/a": "is no port",
            "ssl": "give ssl:PORT",
        }.items():
            error = self.assertRaises(ValueError, TlsEndpoint.parse, text)
            self.assertIn(f"--listen={text}: ", str(error))
            self.assertIn(why, str(error))


class FileTests(SynchronousTestCase):
    """What is demanded of the files of ssl:, each in one line that names it."""

    def setUp(self) -> None:
        self.made = Certificates(Path(self.mktemp()))
        self.certificate, self.key = self.made.server()
        self.ca = self.made.ca

    def assertBad(self, path: Path, why: str) -> None:
        """Check that the endpoint is refused for a file."""
        endpoint = TlsEndpoint(free_port(), "127.0.0.1", self.key, self.certificate, self.ca)
        error = self.assertRaises(ListenError, endpoint.check)
        self.assertIn(f"{path}: ", str(error))
        self.assertIn(why, str(error))
        self.assertNotIn("\n", str(error))

    def test_good(self) -> None:
        """What the authority makes is good, with the CA's certificate after the server's too."""
        TlsEndpoint(free_port(), "127.0.0.1", self.key, self.certificate, self.ca).check()
        self.certificate.write_bytes(self.certificate.read_bytes() + self.ca.read_bytes())
        TlsEndpoint(free_port(), "127.0.0.1", self.key, self.certificate, self.ca).check()

    def test_missing(self) -> None:
        """A file that is not there or no file."""
        good = self.key
        self.key = Path("/nosuch/key.pem")
        self.assertBad(self.key, "the server's key cannot be read: No such file")
        self.key, self.ca = good, Path("/")
        self.assertBad(self.ca, "the client CA cannot be read: Is a directory")

    def test_open_key(self) -> None:
        """A key that others than its owner can read."""
        for mode in (0o640, 0o604, 0o620):
            self.key.chmod(mode)
            self.assertBad(self.key, f"chmod 600 {self.key}")

    def test_not_pem(self) -> None:
        """A file with something else in it."""
        self.key.write_text("no key")
        self.assertBad(self.key, "is not a private key in PEM")
        self.certificate.write_text("no certificate")
        self.assertBad(self.certificate, "is not a certificate in PEM")

    def test_passphrase(self) -> None:
        """A key with a passphrase, for which nobody could be asked."""
        self.key.write_bytes(
            Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
            )
        )
        self.assertBad(self.key, "has a passphrase")

    def test_other_key(self) -> None:
        """The key of another certificate, of the same kind or not."""
        shutil.copy(self.made.client()[1], self.key)
        self.assertBad(self.key, f"not the key of the server's certificate {self.certificate}")
        self.key.write_bytes(
            Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
        )
        self.assertBad(self.key, "it is not the key of")

    def test_expired(self) -> None:
        """A certificate or a CA that has expired, or is not valid yet."""
        self.made.server(-2 * DAY, DAY)
        self.assertBad(self.certificate, f"expired on {now() - DAY:%Y-%m-%d}")
        self.made.server(DAY, DAY)
        self.assertBad(self.certificate, "is valid only from 20")
        self.made.server()
        old = Certificates(self.made.directory / "old").authority.make("old", now() - 2 * DAY, DAY)
        self.ca, _ = write_pair(self.made.directory, old.pair, "old")
        self.assertBad(self.ca, "the client CA expired on 20")

    def test_no_authority(self) -> None:
        """A client's certificate in the place of its CA's."""
        self.ca, _ = self.made.client()
        self.assertBad(self.ca, "CN=client, which is no CA")

    def test_no_names(self) -> None:
        """A server's certificate without subject alternative names, which engines refuse."""
        authority, pair = self.made.authority, self.made.authority.pair
        certificate = (
            x509.CertificateBuilder()
            .subject_name(pair.certificate.subject)
            .issuer_name(pair.certificate.subject)
            .public_key(pair.key.public_key())
            .serial_number(1)
            .not_valid_before(now() - DAY)
            .not_valid_after(now() + DAY)
            .sign(pair.key, SHA256())
        )
        self.certificate, self.key = write_pair(
            self.made.directory, type(authority.pair)(certificate, pair.key), "nameless"
        )
        self.assertBad(self.certificate, "has no subject alternative name")

    def test_host(self) -> None:
        """A host is good if it is among the names, as a name or as an address."""
        hosts = ["driver.example", "10.0.0.1", "::1"]
        pair = self.made.authority.issue("server", hosts, SERVER, now(), DAY)
        for host in hosts:
            check_host(pair.certificate, self.certificate, host)
        for host in ("other.example", "10.0.0.2", "::2", "x.driver.example"):
            error = self.assertRaises(
                ListenError, check_host, pair.certificate, self.certificate, host
            )
            self.assertIn(f"{self.certificate}: {host} is not among", str(error))


class LimitTests(SynchronousTestCase):
    """A client that shows no certificate does not stay."""

    def test_handshake(self) -> None:
        """Who has not shown a certificate in time is cut, with a line in the log."""
        certs = make_certs(Path(self.mktemp()))
        clock = Clock()
        credentials = Credentials.load(
            certs / "server-cert.pem", certs / "server-key.pem", certs / "ca.pem"
        )
        factory = credentials.wrap(clock, Factory.forProtocol(Protocol))
        transport = StringTransport()
        protocol = factory.buildProtocol(transport.getPeer())
        assert protocol is not None
        protocol.makeConnection(transport)
        clock.advance(HANDSHAKE_LIMIT - 0.1)
        self.assertFalse(transport.disconnecting or transport.disconnected)
        clock.advance(0.2)
        self.assertTrue(transport.disconnected)
        self.assertEqual(clock.getDelayedCalls(), [])


class DrainTests(TestCase):
    """Draining over TLS, in this process: nothing that has arrived is lost."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.certs = make_certs(Path(self.mktemp()))
        self.driver = FakeDriver()
        self.plugin = Plugin(reactor, [self.driver])
        self.site = self.plugin.site()
        key, certificate, ca = (
            self.certs / name for name in ("server-key.pem", "server-cert.pem", "ca.pem")
        )
        endpoint = TlsEndpoint(free_port(), "127.0.0.1", key, certificate, ca)
        listening = endpoint.listen(reactor, self.site)
        self.addCleanup(listening.close)
        self.port = endpoint.port

    def dial(self) -> socket.socket:
        """Connect."""
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def client(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return a connection of a client that is let in, before its handshake."""
        context = ssl.create_default_context(cafile=self.certs / "ca.pem")
        context.load_cert_chain(self.certs / "cert.pem", self.certs / "key.pem")
        return context.wrap_socket(
            connection, server_hostname="127.0.0.1", do_handshake_on_connect=False
        )

    def connect(self) -> ssl.SSLSocket:
        """Connect, and have one request answered; to be called in a thread."""
        secure = self.client(self.dial())
        secure.do_handshake()
        secure.sendall(request_bytes("VolumeDriver.List", {}))
        assert read_answer(secure)
        return secure

    async def drain(self, send: bytes) -> tuple[Any, bytes]:
        """Send on an idle connection, drain before the reactor reads; return what comes."""
        client = await deferToThread(self.connect)
        self.addCleanup(client.close)
        client.sendall(send)
        drained = self.site.drain()

        def rest() -> tuple[Any, bytes]:
            return (read_answer(client) if send else None), client.recv(1)

        found = await deferToThread(rest)
        await drained
        return found

    def test_unread(self) -> Deferred[None]:
        """A request that has arrived and not been read is answered, as the last one."""

        async def test() -> None:
            answer, end = await self.drain(request_bytes("VolumeDriver.List", {}))
            self.assertEqual((answer[0], end), (200, b""))

        return Deferred.fromCoroutine(test())

    def test_handshake(self) -> Deferred[None]:
        """Who has not shaken hands yet is answered too, however long the answer takes."""
        reactor = self.site.reactor
        self.driver.answers["list"] = lambda: deferLater(reactor, CLOSE_LIMIT + 0.5, list)

        async def test() -> None:
            client = self.client(await deferToThread(self.dial))
            self.addCleanup(client.close)
            while not self.site.channels:
                await deferLater(reactor, 0.01)
            drained = self.site.drain()

            def ask() -> tuple[Any, bytes]:
                client.do_handshake()
                client.sendall(request_bytes("VolumeDriver.List", {}))
                return read_answer(client), client.recv(1)

            answer, end = await deferToThread(ask)
            self.assertEqual((answer, end), ((200, {"Err": "", "Volumes": []}), b""))
            await drained

        return Deferred.fromCoroutine(test())

    def test_silent(self) -> Deferred[None]:
        """Who does not shake hands at all is cut soon after a drain has begun."""

        async def test() -> None:
            client = await deferToThread(self.dial)
            self.addCleanup(client.close)
            while not self.site.channels:
                await deferLater(self.site.reactor, 0.01)
            began = self.site.reactor.seconds()
            await self.site.drain()
            self.assertLess(self.site.reactor.seconds() - began, CLOSE_LIMIT + 5)

        return Deferred.fromCoroutine(test())

    def test_idle(self) -> Deferred[None]:
        """An idle connection whose client never agrees to the close is closed all the same."""

        async def test() -> None:
            began = self.site.reactor.seconds()
            self.assertEqual(await self.drain(b""), (None, b""))
            self.assertLess(self.site.reactor.seconds() - began, CLOSE_LIMIT + 5)

        return Deferred.fromCoroutine(test())

    def large(self, volumes: int = 20000) -> ssl.SSLSocket:
        """Ask for an answer, beyond what the kernel buffers; read its first byte, in a thread."""
        self.driver.answers["list"] = [Volume("x" * 255, "/" + "x" * 255)] * volumes
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", self.port))
        secure = self.client(connection)
        secure.do_handshake()
        secure.sendall(request_bytes("VolumeDriver.List", {}))
        self.assertEqual(secure.recv(1), b"H")
        return secure

    def test_slow_reader(self) -> Deferred[None]:
        """A client has no limit to read an answer, and is closed soon after all is written."""

        async def test() -> None:
            client = await deferToThread(self.large)
            self.addCleanup(client.close)
            drained = self.site.drain()
            await deferLater(self.site.reactor, 2 * CLOSE_LIMIT)
            self.assertFalse(drained.called)
            answer = await deferToThread(read_answer, client, b"H")
            assert answer is not None
            self.assertEqual(len(answer[1]["Volumes"]), 20000)
            await drained
            self.assertEqual(self.site.abort(), 0)

        return Deferred.fromCoroutine(test())

    def test_kernel(self) -> Deferred[None]:
        """What the kernel has when a client does not agree to the close is sent all the same."""

        async def test() -> None:
            client = await deferToThread(self.large, 200)
            self.addCleanup(client.close)
            await self.site.drain()
            answer = await deferToThread(read_answer, client, b"H")
            assert answer is not None
            self.assertEqual(len(answer[1]["Volumes"]), 200)

        return Deferred.fromCoroutine(test())

    def test_unread_answer(self) -> Deferred[None]:
        """An answer that is not read to its end is cut by the end of the drain, which counts it."""

        async def test() -> None:
            client = await deferToThread(self.large)
            self.addCleanup(client.close)
            drained = self.site.drain()
            await deferLater(self.site.reactor, 2 * CLOSE_LIMIT)
            self.assertEqual(self.site.abort(), 1)
            await drained
            self.assertIsNone(await deferToThread(read_answer, client, b"H"))

        return Deferred.fromCoroutine(test())


#: Twisted's own reactors import pyOpenSSL where they can; here they cannot.
_LAZY = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("OpenSSL", "cryptography", "service_identity"):
            raise ModuleNotFoundError(name, name=name)

absent = Absent()
sys.meta_path.insert(0, absent)
base, certs, port = sys.argv[1:]

def loaded():
    return [name for name in ("OpenSSL", "cryptography", "service_identity") if name in sys.modules]

import exampledriver.cli.main
from exampledriver.tap import Options, makeService

options = Options()
options.parseOptions([
    "--root", base + "/v", "--state", base + "/s", "--runtime", base + "/r",
    "--listen", "unix:" + base + "/x.sock", "--insecure-tcp",
    "--listen", "tcp:" + port + ":interface=127.0.0.1", "--spec-dir", base + "/specs",
])
makeService(options)
sys.meta_path.remove(absent)
from exampledriver.daemon.remote import TlsEndpoint
endpoint = TlsEndpoint.parse(
    f"ssl:{port}:privateKey={certs}/server-key.pem:certKey={certs}/server-cert.pem"
    f":caCert={certs}/ca.pem"
)
assert not loaded(), loaded()
endpoint.check()
assert loaded()
"""


class ImportTests(SynchronousTestCase):
    """What TLS costs is paid only by who asks for it."""

    def test_lazy(self) -> None:
        """Nothing of ours imports pyOpenSSL or cryptography unless ssl: is asked for."""
        base = Path(self.mktemp())
        certs = make_certs(base / "certs")
        found = subprocess.run(
            [sys.executable, "-c", _LAZY, str(base), str(certs), str(free_port())],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        self.assertEqual(found.returncode, 0, found.stderr)
