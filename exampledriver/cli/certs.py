"""``exampledriver certs``: the certificates for a start with ``--listen=ssl:``."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

#: What is made, under the names that Docker's own documentation uses.
FILES = ("ca.pem", "ca-key.pem", "server-cert.pem", "server-key.pem", "cert.pem", "key.pem")
#: The port of the printed example.
PORT = 7376
#: The authority is good for as long at least, in days: it can issue others by hand.
AUTHORITY_DAYS = 3650
_LABEL = re.compile("[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?")


class CertsError(Exception):
    """The certificates cannot be made; the text says why and what to do."""


def add_to(rooms: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    text = "make a CA, a server and a client certificate for a start with TLS"
    command = rooms.add_parser("certs", help=text, description=text.capitalize() + ".")
    command.add_argument("directory", metavar="DIR", type=Path, help="where; made with mode 0700")
    command.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME_OR_IP",
        help="a name or address at which engines reach the driver, beside localhost, 127.0.0.1, "
        "::1 and this machine's name; repeatable",
    )
    command.add_argument(
        "--days", type=int, default=365, help="how long they are good for (default: %(default)s)"
    )
    command.set_defaults(action=lambda options: make(options.directory, options.host, options.days))


def make(directory: Path, hosts: Sequence[str], days: int) -> int:
    """Make all six files, or none, and print what to do with them; return the exit status.

    :raises CertsError: the extra is not installed, an argument is wrong, or a file is there.
    """
    try:
        from .authority import CLIENT, SERVER, Authority
    except ImportError as error:
        raise CertsError(
            f"certs: the package {error.name} is not installed; pip install 'exampledriver[tls]'"
        ) from None
    if not 1 <= days <= AUTHORITY_DAYS:
        raise CertsError(f"--days={days}: give 1 to {AUTHORITY_DAYS}")
    for host in hosts:
        if not _address(host) and not _name(host):
            raise CertsError(
                f"--host={host}: is neither an IP address nor a DNS name; without a port, and a "
                "name beyond ASCII in its xn-- form"
            )
    directory = Path(os.path.abspath(directory))
    _prepare(directory)

    machine = socket.gethostname()
    if not _name(machine):
        machine = "localhost"
    names = list(dict.fromkeys(["localhost", "127.0.0.1", "::1", machine, *hosts]))
    now, life = datetime.now(timezone.utc), timedelta(days=days)
    authority = Authority.make(
        f"exampledriver CA of {machine}"[:64], now, timedelta(days=AUTHORITY_DAYS)
    )
    server = authority.issue("exampledriver", names, SERVER, now, life)
    client = authority.issue("exampledriver client", [machine], CLIENT, now, life)
    _write(
        directory,
        {
            "ca.pem": authority.pair.certificate_pem,
            "ca-key.pem": authority.pair.key_pem,
            "server-cert.pem": server.certificate_pem,
            "server-key.pem": server.key_pem,
            "cert.pem": client.certificate_pem,
            "key.pem": client.key_pem,
        },
    )
    print(_advice(directory, names, hosts, now + life))
    return 0


def _address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def _name(host: str) -> bool:
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split("."))


def _prepare(directory: Path) -> None:
    """Make the directory, for its owner alone, and see that no file of ours is in it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = directory.stat().st_uid
    if owner != os.geteuid():
        # Who owns a directory can put other files in the place of these.
        raise CertsError(
            f"{directory}: belongs to user {owner}, and you are user {os.geteuid()}: its owner "
            "could replace the keys; give a new directory, or one of your own"
        )
    there = [name for name in FILES if os.path.lexists(directory / name)]
    if there:
        raise CertsError(
            f"{directory}: {', '.join(there)} {'are' if there[1:] else 'is'} there already, and "
            "nothing is overwritten; give another directory"
        )
    if directory.stat().st_mode & 0o077:
        # A directory that others use is not taken from them.
        if os.listdir(directory):
            raise CertsError(
                f"{directory}: is open to others, and not empty; give a new directory, or "
                f"chmod 700 {directory}"
            )
        directory.chmod(0o700)


def _write(directory: Path, contents: dict[str, bytes]) -> None:
    """Write new files, keys for their owner alone; on an error none is left."""
    made: list[Path] = []
    try:
        for name, data in contents.items():
            path = directory / name
            mode = 0o600 if name.endswith("key.pem") else 0o644
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            made.append(path)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
    except BaseException:
        for path in made:
            path.unlink()
        raise


def _advice(directory: Path, names: list[str], hosts: Sequence[str], until: datetime) -> str:
    interface = next((host for host in hosts if _address(host)), "127.0.0.1")

    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace(":", "\\:")

    listen = (
        f"ssl:{PORT}:interface={quoted(interface)}"
        f":privateKey={quoted(str(directory / 'server-key.pem'))}"
        f":certKey={quoted(str(directory / 'server-cert.pem'))}"
        f":caCert={quoted(str(directory / 'ca.pem'))}"
    )
    return f"""made in {directory}, good until {until:%Y-%m-%d}:
  ca.pem           the CA: engines know the driver by it, and the driver its engines
  ca-key.pem       the CA's key: who has it can let anybody in; move it to a safe place
  server-cert.pem  the driver's, for {", ".join(names)}
  server-key.pem
  cert.pem         the engine's
  key.pem
start the driver with
  twistd exampledriver {shlex.quote("--listen=" + listen)} --spec-dir=/etc/docker/plugins"""
