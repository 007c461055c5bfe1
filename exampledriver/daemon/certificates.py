"""Certificates and keys in PEM files: read, judged, and each mistake named with its cure.

Not imported unless it is needed: ``cryptography`` is an extra.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)

from .listening import ListenError


def _data(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ListenError(
            f"{path}: {what} cannot be read: {error.strerror}; `exampledriver certs DIR` makes one"
        ) from None


def load_certificates(path: Path, what: str) -> list[x509.Certificate]:
    """Read the certificates of a PEM file, of which there is one at least.

    :param what: what it is, for errors, such as ``the client CA``.
    :raises ListenError: it cannot be read, holds none, or the first one is not valid now.
    """
    try:
        found = x509.load_pem_x509_certificates(_data(path, what))
    except ValueError:
        raise ListenError(
            f"{path}: {what} is not a certificate in PEM; give the file that begins with "
            "-----BEGIN CERTIFICATE-----"
        ) from None
    now, first = datetime.now(timezone.utc), found[0]
    if first.not_valid_after_utc < now:
        raise ListenError(
            f"{path}: {what} expired on {first.not_valid_after_utc:%Y-%m-%d}; make a new one "
            "and start again"
        )
    if first.not_valid_before_utc > now:
        raise ListenError(
            f"{path}: {what} is valid only from {first.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; "
            "see to this machine's clock, or make a new one"
        )
    return found


def load_key(path: Path, what: str) -> PrivateKeyTypes:
    """Read a private key that nobody but its owner can read.

    :raises ListenError: it is open to others, cannot be read, or is no key without a passphrase.
    """
    data = _data(path, what)
    if path.stat().st_mode & 0o077:
        raise ListenError(f"{path}: {what} is open to others than its owner; chmod 600 {path}")
    try:
        return load_pem_private_key(data, None)
    except TypeError:
        raise ListenError(
            f"{path}: {what} has a passphrase, and nobody is there to give it; save it without"
        ) from None
    except ValueError:
        raise ListenError(
            f"{path}: {what} is not a private key in PEM; give the file that begins with "
            "-----BEGIN PRIVATE KEY-----"
        ) from None


def load_pair(
    certificate: Path, key: Path, who: str
) -> tuple[list[x509.Certificate], PrivateKeyTypes]:
    """Read a certificate, those that lead to its CA, and its key.

    :param who: whose they are, for errors, such as ``server``.
    :raises ListenError: one of them is not as it must be, or they do not belong together.
    """
    chain = load_certificates(certificate, f"the {who}'s certificate")
    loaded = load_key(key, f"the {who}'s key")
    if loaded.public_key() != chain[0].public_key():
        raise ListenError(
            f"{key}: it is not the key of the {who}'s certificate {certificate}; give the two "
            "that were made together"
        )
    return chain, loaded


def load_authorities(path: Path, what: str) -> list[x509.Certificate]:
    """Read certificates of authorities.

    :raises ListenError: it cannot be read, or one of them is no authority.
    """
    found = load_certificates(path, what)
    for certificate in found:
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        except (x509.ExtensionNotFound, ValueError):
            constraints = None
        if constraints is None or not constraints.value.ca:
            raise ListenError(
                f"{path}: {what} is the certificate of {certificate.subject.rfc4514_string()}, "
                "which is no CA; give the certificate of the CA itself"
            )
    return found


def check_host(certificate: x509.Certificate, path: Path, host: str) -> None:
    """See that a certificate is good for a host.

    :param host: a name or an IP address.
    :raises ListenError: it is not among its subject alternative names.
    """
    address = ":" in host or host.replace(".", "").isdigit()
    verify = verify_certificate_ip_address if address else verify_certificate_hostname
    try:
        verify(certificate, host)
    except (CertificateError, VerificationError):
        raise ListenError(
            f"{path}: {host} is not among the subject alternative names of the server's "
            f"certificate, so engines would refuse it; `exampledriver certs DIR --host {host}` "
            "makes one, or give --spec-host"
        ) from None


def check_trust(
    server: tuple[Path, Path], client_ca: Path, engine: tuple[Path, Path], server_ca: Path
) -> None:
    """See that server and engine would let each other in, by a handshake in memory.

    This asks what OpenSSL asks of a real connection: whether each certificate leads to the
    other's CA and is good for its purpose. A stricter check would refuse what works.

    :param server, engine: certificate and key of each.
    :param client_ca, server_ca: the CA that each demands of the other.
    :raises ListenError: one of them would refuse the other.
    """
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        ours = _context(ssl.PROTOCOL_TLS_SERVER, server, client_ca)
        theirs = _context(ssl.PROTOCOL_TLS_CLIENT, engine, server_ca)
        # Like Go, take any certificate of the file for a root.
        theirs.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        client = theirs.wrap_bio(back, there)
        guard = ours.wrap_bio(there, back, server_side=True)
        # Twice there and back: TLS 1.3 needs one and a half.
        for _ in range(2):
            with suppress(ssl.SSLWantReadError):
                client.do_handshake()
            try:
                with suppress(ssl.SSLWantReadError):
                    guard.do_handshake()
            except ssl.SSLCertVerificationError as error:
                raise ListenError(
                    f"{engine[0]}: the driver would refuse the engine's certificate: "
                    f"{error.verify_message}; give --spec-cert-file and --spec-key-file of a "
                    f"client's certificate from the CA {client_ca}"
                ) from None
    except ssl.SSLCertVerificationError as error:
        raise ListenError(
            f"{server[0]}: engines would refuse the server's certificate: "
            f"{error.verify_message}; give the CA that it is from as --spec-ca-file, in the place "
            f"of {server_ca}, and a server's certificate as certKey"
        ) from None
    except ssl.SSLError as error:
        raise ListenError(
            f"{server[0]}, {engine[0]}: server and engine cannot speak TLS with these: "
            f"{error.reason or error}; `exampledriver certs DIR` makes ones that can"
        ) from None


def _context(protocol: int, pair: tuple[Path, Path], authorities: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    # The names are judged by check_host; how strong keys must be is for the real ends to say.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(*pair)
    context.load_verify_locations(authorities)
    return context
