"""TLS with clients that offer protocols (ALPN, RFC 7301), as HTTP libraries and proxies do."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Sequence

from tests.process import PATIENCE, read_answer, request_bytes, until

from .test_remote import RemoteCase

#: A record of TLS with a fatal alert; the alert's number follows, and is 120 here.
FATAL_ALERT = b"\x15\x03\x03\x00\x02\x02"
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class AlpnTests(RemoteCase):
    """What is chosen, and what is refused."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.start()

    def context(self, version: ssl.TLSVersion, offered: Sequence[str]) -> ssl.SSLContext:
        """Return a client's that offers these protocols."""
        context = self.daemon.context()
        context.minimum_version = context.maximum_version = version
        if offered:
            context.set_alpn_protocols(list(offered))
        return context

    def dial(self) -> socket.socket:
        """Connect without a handshake."""
        connection = socket.create_connection(("127.0.0.1", self.daemon.port), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def connect(self, version: ssl.TLSVersion, offered: Sequence[str]) -> ssl.SSLSocket:
        """Shake hands as a client that offers these protocols."""
        context = self.context(version, offered)
        secure = context.wrap_socket(self.dial(), server_hostname="127.0.0.1")
        self.addCleanup(secure.close)
        return secure

    def answered(self, version: ssl.TLSVersion, offered: Sequence[str]) -> bytes:
        """Return the bytes that answer the first message of such a client."""
        hello = ssl.MemoryBIO()
        client = self.context(version, offered).wrap_bio(
            ssl.MemoryBIO(), hello, server_hostname="127.0.0.1"
        )
        self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
        connection = self.dial()
        connection.sendall(hello.read())
        data = b""
        while more := connection.recv(1000):
            data += more
        return data

    def test_chosen(self) -> None:
        """A client that offers none, HTTP/1.1, or that among others, speaks HTTP/1.1."""
        for version in VERSIONS:
            for offered, chosen in (
                ([], None),
                (["http/1.1"], "http/1.1"),
                (["h2", "http/1.1"], "http/1.1"),
                (["http/1.1", "h2", "x"], "http/1.1"),
            ):
                secure = self.connect(version, offered)
                self.assertEqual(secure.selected_alpn_protocol(), chosen)
                secure.sendall(request_bytes("VolumeDriver.List", {}))
                answer = read_answer(secure)
                self.assertEqual(answer, (200, {"Volumes": [], "Err": ""}))

    def test_refused(self) -> None:
        """A client that offers only others gets the alert no_application_protocol."""
        for version in VERSIONS:
            for offered in (["h2"], ["http/1.0"], ["x" * 200, "\x1b[2J"]):
                self.assertRaises(ssl.SSLError, self.connect, version, offered)
                self.assertEqual(self.answered(version, offered), FATAL_ALERT + b"\x78")
        refused = "refused a client at 127.0.0.1: it offers 'h2' with ALPN, and not http/1.1"
        until(lambda: refused in self.daemon.log(), refused)
        self.assertNotIn("Traceback", self.daemon.log())
        self.assertEqual(self.daemon.names(), [])

    def test_curl(self) -> None:
        """curl is answered, whatever it offers besides HTTP/1.1."""
        program = shutil.which("curl")
        assert program is not None
        certs = self.daemon.certs
        for options in ([], ["--http1.1"], ["--no-alpn"]):
            found = subprocess.run(
                [
                    program,
                    "--silent",
                    "--show-error",
                    *("--cacert", certs / "ca.pem"),
                    *("--cert", certs / "cert.pem"),
                    *("--key", certs / "key.pem"),
                    *("--data", ""),
                    *options,
                    f"https://127.0.0.1:{self.daemon.port}/Plugin.Activate",
                ],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            self.assertEqual(found.stdout, '{"Implements":["VolumeDriver"]}', found.stderr)
