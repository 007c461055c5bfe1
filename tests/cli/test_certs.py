"""exampledriver certs: what it makes, and that it overwrites nothing."""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime, timedelta, timezone
from io import StringIO
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.certs import FILES
from exampledriver.cli.main import main
from exampledriver.daemon.remote import TlsEndpoint


class CertsTests(SynchronousTestCase):
    """exampledriver certs DIR."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute() / "tls"

    def run_(self, *words: str) -> tuple[int, str]:
        """Return the command's exit status and all that it printed."""
        out = StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            status = main(["certs", str(self.directory), *words])
        return status, out.getvalue()

    def read(self, name: str) -> x509.Certificate:
        """Return a certificate that was made."""
        return x509.load_pem_x509_certificate((self.directory / name).read_bytes())

    def names(self, name: str) -> set[str]:
        """Return the subject alternative names of a certificate."""
        found = self.read(name).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return {str(each.value) for each in found.value}

    def test_modes(self) -> None:
        """The directory and the keys are for their owner alone, whatever the umask."""
        old = os.umask(0)
        try:
            self.assertEqual(self.run_()[0], 0)
        finally:
            os.umask(old)
        self.assertEqual(sorted(os.listdir(self.directory)), sorted(FILES))
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)
        for name in FILES:
            mode = 0o600 if "key" in name else 0o644
            self.assertEqual(stat.S_IMODE((self.directory / name).stat().st_mode), mode)

    def test_names(self) -> None:
        """The server's names are localhost in all forms, this machine's, and those given."""
        self.run_("--host", "driver.example", "--host", "10.0.0.7", "--host", "fd00::7")
        self.assertEqual(
            self.names("server-cert.pem"),
            {
                "localhost", "127.0.0.1", "::1", os.uname().nodename, "driver.example",
                "10.0.0.7", "fd00::7",
            },
        )  # fmt: skip
        self.assertEqual(self.names("cert.pem"), {os.uname().nodename})

    def test_purposes(self) -> None:
        """A server is no client, a client no server, and neither an authority; P-256 for all."""
        self.run_()
        for name, purpose in {
            "server-cert.pem": ExtendedKeyUsageOID.SERVER_AUTH,
            "cert.pem": ExtendedKeyUsageOID.CLIENT_AUTH,
        }.items():
            certificate = self.read(name)
            certificate.verify_directly_issued_by(self.read("ca.pem"))
            found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
            self.assertEqual(list(found.value), [purpose])
            basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            self.assertEqual((basic.critical, basic.value.ca), (True, False))
        ca = self.read("ca.pem").extensions
        self.assertTrue(ca.get_extension_for_class(x509.BasicConstraints).value.ca)
        self.assertTrue(ca.get_extension_for_class(x509.KeyUsage).value.key_cert_sign)
        for name in ("ca.pem", "server-cert.pem", "cert.pem"):
            key = self.read(name).public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey)
            self.assertEqual(key.curve.name, "secp256r1")

    def test_days(self) -> None:
        """They are good for --days, from a little before now; nonsense is refused."""
        self.run_("--days", "10")
        certificate, now = self.read("cert.pem"), datetime.now(timezone.utc)
        self.assertLess(abs(certificate.not_valid_after_utc - now - timedelta(days=10)), HOUR)
        self.assertLess(certificate.not_valid_before_utc, now - timedelta(minutes=1))
        for days in ("0", "-1", "99999"):
            status, text = self.run_("--days", days)
            self.assertEqual(status, 1)
            self.assertIn(f"--days={days}: give 1 to 3650", text)

    def test_good_for_openssl(self) -> None:
        """OpenSSL takes them under its strict rules, in both directions."""
        self.run_()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(
            self.directory / "server-cert.pem", self.directory / "server-key.pem"
        )
        server.load_verify_locations(self.directory / "ca.pem")
        server.verify_mode = ssl.CERT_REQUIRED
        client = ssl.create_default_context(cafile=self.directory / "ca.pem")
        client.load_cert_chain(self.directory / "cert.pem", self.directory / "key.pem")
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        for context in (client, server):
            context.verify_flags |= ssl.VERIFY_X509_STRICT
        ends = [
            client.wrap_bio(back, there, server_hostname="localhost"),
            server.wrap_bio(there, back, server_side=True),
        ]
        for _ in range(4):
            for end in ends:
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        self.assertTrue(all(end.getpeercert() for end in ends))

    def test_advice(self) -> None:
        """What is printed names the files and an endpoint that is good as it stands."""
        status, text = self.run_("--host", "::1")
        self.assertEqual(status, 0)
        for name in FILES:
            self.assertRegex(text, rf"(?m)^  {name}\b")
        self.assertIn("--spec-dir=/etc/docker/plugins", text)
        words = text.splitlines()[-1].split()
        listen = next(word for word in words if "--listen=" in word).strip("'")
        endpoint = TlsEndpoint.parse(listen.removeprefix("--listen="))
        self.assertEqual(endpoint.interface, "::1")
        endpoint.credentials()

    def test_nothing_overwritten(self) -> None:
        """Files that are there are named and left, and none is made beside them."""
        self.directory.mkdir(mode=0o700, parents=True)
        (self.directory / "ca.pem").write_text("precious")
        status, text = self.run_()
        self.assertEqual(status, 1)
        self.assertIn(f"{self.directory}: ca.pem is there already", text)
        (self.directory / "key.pem").symlink_to("/nosuch")
        self.assertIn("ca.pem, key.pem are there already", self.run_()[1])
        self.assertEqual((self.directory / "ca.pem").read_text(), "precious")
        self.assertEqual(sorted(os.listdir(self.directory)), ["ca.pem", "key.pem"])

    def test_directory_of_others(self) -> None:
        """A directory that others use is neither closed to them nor used; an empty one is."""
        self.directory.mkdir(mode=0o755, parents=True)
        (self.directory / "file").write_text("")
        status, text = self.run_()
        self.assertEqual(status, 1)
        self.assertIn("is open to others, and not empty", text)
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o755)
        (self.directory / "file").unlink()
        self.assertEqual(self.run_()[0], 0)
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)

    def test_owner(self) -> None:
        """A directory of another user is refused, and nothing is made in it, whatever its mode."""
        self.directory.mkdir(mode=0o700, parents=True)
        if os.geteuid() == 0:
            os.chown(self.directory, 65534, 65534)
        else:
            self.directory = Path("/")
        owner, found = self.directory.stat().st_uid, os.listdir(self.directory)
        status, text = self.run_()
        self.assertEqual(status, 1)
        self.assertIn(f"{self.directory}: belongs to user {owner}, and you are user", text)
        self.assertEqual(os.listdir(self.directory), found)

    def test_bad_hosts(self) -> None:
        """A host that is neither name nor address is refused before anything is made."""
        for host in ("", "a b", "a..b", "-a", "10.0.0.1:443", "ä.example", "*", "x" * 64):
            status, text = self.run_(f"--host={host}")
            self.assertEqual(status, 1)
            self.assertIn(f"--host={host}: is neither", text)
        self.assertFalse(self.directory.exists())

    def test_not_a_directory(self) -> None:
        """A place that cannot be used is one line."""
        self.directory.parent.mkdir()
        self.directory.write_text("")
        status, text = self.run_()
        self.assertEqual((status, len(text.splitlines())), (1, 1))


HOUR = timedelta(hours=1)
