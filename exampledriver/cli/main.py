"""``exampledriver``: what its words mean, and nothing else."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from ..journal import JournalError
from ..settings import DEFAULTS
from . import certs, completion, doctor, install, journal, migrate, trash, volume
from .client import AdminError


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="exampledriver", description="Looks after what the volume driver keeps."
    )
    rooms = top.add_subparsers(metavar="WHAT", required=True)
    room = rooms.add_parser(
        "journal",
        help="look at, check, repair or compact a journal of a daemon that does not run",
    )
    actions = room.add_subparsers(metavar="ACTION", required=True)
    for name, action, text in (
        ("show", journal.show, "print every record, readable or not; changes nothing"),
        ("verify", journal.verify, "say what a start would make of it; changes nothing"),
        ("repair", journal.repair, "save what can be read of a damaged one, which is kept"),
        ("compact", journal.compact, "rewrite it without its history"),
    ):
        command = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument(
            "state",
            nargs="?",
            default=DEFAULTS["state"],
            help="the state directory (default: %(default)s)",
        )
        command.set_defaults(action=lambda options, action=action: action(options.state))
    install.add_to(rooms)
    doctor.add_to(rooms)
    certs.add_to(rooms)
    volume.add_to(rooms)
    trash.add_to(rooms)
    migrate.add_to(rooms)
    completion.add_to(rooms, parser)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :return: its exit status: 0 done, 1 trouble found or not done, 2 misused, 130 interrupted.
    """
    _open_closed()
    options = parser().parse_args(arguments)
    try:
        status: int = options.action(options)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        print(": ".join(["exampledriver: interrupted", *interrupt.args]), file=sys.stderr)
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        status = 0  # the reader (head, less) has seen enough
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        print(f"exampledriver: {where}{error.strerror or error}", file=sys.stderr)
        status = 1
    except (AdminError, JournalError, certs.CertsError, install.InstallError) as error:
        print(f"exampledriver: {error}", file=sys.stderr)
        status = 1
    _end_output()
    return status


def _open_closed() -> None:
    """Open the standard streams that the caller has closed: writing to the output fails.

    Without that, what is told people would go to the output, which may be an archive, and a
    file that is opened would get the number of a stream.
    """
    for name, flags, mode in (
        ("stdin", os.O_RDONLY, "r"),
        ("stdout", os.O_RDONLY, "w"),
        ("stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8"))


def _end_output() -> None:
    """Leave nothing to Python's own flush at exit, which would fail with words of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
