"""tcp: and ssl: endpoints. Who is let in by a real daemon is in the functional tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.authority import SERVER
from exampledriver.daemon.certificates import check_host
from exampledriver.daemon.listening import ListenError
from exampledriver.daemon.remote import TcpEndpoint, TlsEndpoint
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
            self.assertTrue(str(error).startswith(f"{text}: "), error)

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
            "ssl:privateKey=/k:caCert=/a": "is not a port",
            "ssl": "give ssl:PORT",
        }.items():
            error = self.assertRaises(ValueError, TlsEndpoint.parse, text)
            self.assertTrue(str(error).startswith(f"{text}: "), error)
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
