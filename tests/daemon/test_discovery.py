"""Spec files: what is in them, and that nobody else's is touched."""

from __future__ import annotations

import json
import os
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.authority import CLIENT, Pair
from exampledriver.daemon.discovery import Announced, SpecFile, announced
from exampledriver.daemon.listening import ListenError, UnixEndpoint
from exampledriver.daemon.remote import TcpEndpoint, TlsEndpoint
from tests.process import remove_directory, short_directory
from tests.remote import DAY, Certificates, make_certs, now, write_pair

UNIX = UnixEndpoint(Path("/srv/a b.sock"))
TCP = TcpEndpoint(7777, "127.0.0.1")


def spec_of(*arguments: Any, **options: Any) -> SpecFile:
    """Return the one spec of endpoints, of which the others are as they were."""
    (found,) = [each for each in announced(*arguments, **options) if isinstance(each, Announced)]
    return found.spec


class ContentTests(SynchronousTestCase):
    """What engines read."""

    def setUp(self) -> None:
        self.specs = Path("/nosuch")
        self.certs = make_certs(Path(self.mktemp()).absolute())
        self.tls = self.endpoint("")

    def endpoint(self, interface: str) -> TlsEndpoint:
        """Return an endpoint with the certificates."""
        key, certificate, ca = (
            self.certs / name for name in ("server-key.pem", "server-cert.pem", "ca.pem")
        )
        return TlsEndpoint(443, interface, key, certificate, ca)

    def test_one_url(self) -> None:
        """A .spec is one URL and one newline: of TCP before that of a socket."""
        spec = spec_of(self.specs, "x", [UNIX])
        self.assertEqual(spec, SpecFile(self.specs / "x.spec", b"unix:///srv/a%20b.sock\n", 0o644))
        spec = spec_of(self.specs, "x", [UNIX, TCP])
        self.assertEqual(spec.content, b"tcp://127.0.0.1:7777\n")
        self.assertNotIn(b"TLSConfig", spec.content)

    def test_tls(self) -> None:
        """With TLS it is a .json for https://, verified, with the files that certs made."""
        spec = spec_of(self.specs, "x", [UNIX, TCP, self.tls])
        self.assertEqual((spec.path, spec.mode), (self.specs / "x.json", 0o600))
        content = json.loads(spec.content)
        self.assertEqual(list(content), ["Name", "Addr", "TLSConfig"])
        self.assertEqual((content["Name"], content["Addr"]), ("x", "https://127.0.0.1:443"))
        tls = content["TLSConfig"]
        self.assertIs(tls.pop("InsecureSkipVerify"), False)
        for key, name in {"CAFile": "ca.pem", "CertFile": "cert.pem", "KeyFile": "key.pem"}.items():
            self.assertEqual(tls.pop(key), str(self.certs / name))
        self.assertEqual(tls, {})

    def test_host(self) -> None:
        """The host is the interface's, or the one that is given, if the certificate has it."""
        for interface, url in {
            "": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]",
        }.items():  # fmt: skip
            spec = spec_of(self.specs, "x", [self.endpoint(interface)])
            self.assertEqual(json.loads(spec.content)["Addr"], f"https://{url}:443")
        spec = spec_of(self.specs, "x", [self.tls], host="localhost")
        self.assertEqual(json.loads(spec.content)["Addr"], "https://localhost:443")
        error = self.assertRaises(
            ListenError, announced, self.specs, "x", [self.endpoint("10.0.0.1")]
        )
        self.assertIn("10.0.0.1 is not among the subject alternative names", str(error))

    def test_files(self) -> None:
        """The files for engines can be named, and are judged."""
        made = Certificates(Path(self.mktemp()).absolute())
        certificate, key = made.client()
        server, server_key = made.server()
        endpoint = TlsEndpoint(443, "127.0.0.1", server_key, server, made.ca)
        spec = spec_of(self.specs, "x", [endpoint], None, made.ca, certificate, key)
        tls = json.loads(spec.content)["TLSConfig"]
        self.assertEqual(
            [tls["CAFile"], tls["CertFile"], tls["KeyFile"]],
            [str(made.ca), str(certificate), str(key)],
        )
        error = self.assertRaises(ListenError, announced, self.specs, "x", [self.tls], key=key)
        self.assertIn(f"{key}: it is not the key of the engine's certificate", str(error))
        error = self.assertRaises(
            ListenError, announced, self.specs, "x", [self.tls], ca=self.certs / "cert.pem"
        )
        self.assertIn("--spec-ca-file", str(error))

    def refused(self, endpoint: TlsEndpoint, **files: Path) -> str:
        """Return why an endpoint is not announced, in one line."""
        text = str(
            self.assertRaises(ListenError, announced, self.specs, "x", [endpoint], None, **files)
        )
        self.assertNotIn("\n", text)
        return text

    def test_other_ca(self) -> None:
        """An engine's certificate that the driver would refuse is named with its cure."""
        made = Certificates(Path(self.mktemp()).absolute())
        certificate, key = made.client()
        text = self.refused(self.tls, certificate=certificate, key=key)
        self.assertIn(f"{certificate}: the driver would refuse the engine's certificate", text)
        self.assertIn("unable to get local issuer certificate", text)
        self.assertIn(str(self.tls.client_ca), text)

    def test_other_server_ca(self) -> None:
        """A CA with which engines would refuse the server is named with its cure."""
        made = Certificates(Path(self.mktemp()).absolute())
        text = self.refused(self.tls, ca=made.ca)
        self.assertIn(f"{self.tls.certificate}: engines would refuse the server's", text)
        self.assertIn(f"--spec-ca-file, in the place of {made.ca}", text)

    def test_purposes(self) -> None:
        """A server's certificate is none for an engine, nor an engine's for the server."""
        text = self.refused(self.tls, certificate=self.tls.certificate, key=self.tls.private_key)
        self.assertIn("the driver would refuse the engine's certificate: ", text)
        self.assertIn("unsuitable certificate purpose", text)
        made = Certificates(Path(self.mktemp()).absolute())
        pair = made.authority.issue("client", ["127.0.0.1"], CLIENT, now() - DAY, 2 * DAY)
        certificate, key = write_pair(made.directory, pair, "both")
        endpoint = TlsEndpoint(443, "127.0.0.1", key, certificate, made.ca)
        text = self.refused(endpoint, certificate=certificate, key=key)
        self.assertIn("engines would refuse the server's certificate: unsuitable", text)

    def test_plain_authority(self) -> None:
        """Certificates as short as a few openssl commands make them are good."""
        made = Certificates(Path(self.mktemp()).absolute())
        issuer, signer = made.authority.pair.certificate, made.authority.pair.key
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        files = []
        for who, extensions in (("server", [names]), ("client", [])):
            private = rsa.generate_private_key(65537, 2048)
            builder = (
                x509.CertificateBuilder(extensions=[])
                .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, who)]))
                .issuer_name(issuer.subject)
                .public_key(private.public_key())
                .serial_number(1)
                .not_valid_before(now() - DAY)
                .not_valid_after(now() + DAY)
            )
            for extension in extensions:
                builder = builder.add_extension(extension, critical=False)
            pair = Pair(builder.sign(signer, SHA256()), cast(Any, private))
            files.append(write_pair(made.directory, pair, who))
        (server, server_key), (certificate, key) = files
        endpoint = TlsEndpoint(443, "127.0.0.1", server_key, server, made.ca)
        spec = spec_of(self.specs, "x", [endpoint], certificate=certificate, key=key)
        self.assertIn(b"https://", spec.content)

    def test_no_use(self) -> None:
        """Options for TLS are refused without it, and so is a spec that could name nothing."""
        for option in ({"host": "x"}, {"ca": UNIX.path}, {"key": UNIX.path}):
            error = self.assertRaises(
                ListenError, announced, self.specs, "x", [UNIX, TCP], **option
            )
            self.assertIn("are for ssl:", str(error))
        error = self.assertRaises(ListenError, announced, self.specs, "x", [object()])
        self.assertIn("nothing that is listened on has an address", str(error))


class AnnouncedTests(SynchronousTestCase):
    """An endpoint with its spec."""

    def setUp(self) -> None:
        self.socket = short_directory()
        self.addCleanup(remove_directory, self.socket)
        self.specs = Path(self.mktemp())
        endpoint = UnixEndpoint(self.socket / "x.sock")
        (self.announced,) = announced(self.specs, "x", [endpoint])
        self.reactor = MemoryReactorClock()

    def test_life(self) -> None:
        """The spec is there while the endpoint is listened on."""
        self.announced.check()
        self.assertEqual(os.listdir(self.specs), [])
        opened = self.announced.listen(self.reactor, Factory())
        self.assertEqual(os.listdir(self.specs), ["x.spec"])
        opened.close()
        self.assertEqual(os.listdir(self.specs), [])
        self.assertIn(f"unix:{self.socket}/x.sock, for engines by ", str(self.announced))

    def test_not_written(self) -> None:
        """Where the spec cannot be written, nothing is listened on."""
        self.specs.mkdir()
        (self.specs / "x.spec").write_text("other")
        self.assertRaises(ListenError, self.announced.listen, self.reactor, Factory())
        self.assertEqual(os.listdir(self.socket), [])


class FileTests(SynchronousTestCase):
    """Writing and removing."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()) / "plugins"
        self.spec = SpecFile(self.directory / "x.y.spec", b"tcp://127.0.0.1:7777\n", 0o644)

    def test_life(self) -> None:
        """The directory is made; the file has its mode, whatever the umask, and goes again."""
        old = os.umask(0o077)
        try:
            self.spec.check()
            self.spec.write()
        finally:
            os.umask(old)
        self.assertEqual(os.listdir(self.directory), ["x.y.spec"])
        self.assertEqual(self.spec.path.read_bytes(), self.spec.content)
        self.assertEqual(stat.S_IMODE(self.spec.path.stat().st_mode), 0o644)
        self.spec.remove()
        self.assertEqual(os.listdir(self.directory), [])

    def test_left_over(self) -> None:
        """A file that is byte for byte ours is taken over; a half-written new one is dropped."""
        self.spec.write()
        (self.directory / ".x.y.spec.new").write_text("tcp:")
        self.spec.check()
        self.spec.write()
        self.spec.remove()
        self.spec.write()
        self.assertEqual(os.listdir(self.directory), ["x.y.spec"])

    def test_other_owner(self) -> None:
        """Another content, or the other kind of file, or a link, is left alone, and named."""
        self.directory.mkdir(parents=True)
        target = self.directory / "target"
        target.write_bytes(self.spec.content)
        for name in ("x.y.spec", "x.y.json"):
            path = self.directory / name
            path.write_text("other")
            for act in (self.spec.check, self.spec.write):
                error = self.assertRaises(ListenError, act)
                self.assertIn(f"{path}: is there already", str(error))
            self.spec.remove()
            self.assertEqual(path.read_text(), "other")
            path.unlink()
        self.spec.path.symlink_to(target)
        self.assertRaises(ListenError, self.spec.write)
        self.spec.remove()
        self.assertTrue(self.spec.path.is_symlink())

    def test_gone(self) -> None:
        """A file that somebody has removed is not missed."""
        self.spec.write()
        self.spec.path.unlink()
        self.spec.remove()

    def test_unusable(self) -> None:
        """A directory that cannot be made or written is named, and what it is for."""
        file = Path(self.mktemp())
        file.write_text("")
        for directory in (file / "x", Path("/proc/nosuch")):
            spec = SpecFile(directory / "x.spec", b"", 0o644)
            error = self.assertRaises(ListenError, spec.check)
            self.assertIn(f"spec directory {directory}: cannot be made", str(error))
