"""``exampledriver trash``: removed volumes, and the way back."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ..settings import parse_retention
from . import engine
from .client import AdminError, Client, add_socket, pairs
from .tables import confirmed, note, number, show_json, since, table, usage

#: Makes the completion offer the slots and names in the trash for an argument.
REMOVED = "SLOT|NAME"


def add_to(rooms: Any) -> None:
    """Add the command to the parser's commands."""
    room = rooms.add_parser("trash", help="removed volumes: list, restore, delete for good")
    actions = room.add_subparsers(metavar="ACTION", required=True)

    text = "list what is in the trash, oldest first"
    made = actions.add_parser(
        "list", aliases=["ls"], help=text, description=f"{text.capitalize()}."
    )
    add_socket(made)
    made.add_argument("-q", "--quiet", action="store_true", help="print slots and names alone")
    _as_json(made)
    made.set_defaults(action=show)

    text = "bring a removed volume back, with its data and options"
    made = actions.add_parser("restore", help=text, description=f"{text.capitalize()}.")
    add_socket(made)
    made.add_argument(
        "which", metavar=REMOVED, help="a slot of the list, or a name: the one removed last"
    )
    made.add_argument("--as", dest="new", default="", metavar="NEW", help="under another name")
    made.add_argument(
        "--partial", action="store_true", help="restore what a purge has left of a volume"
    )
    engine.add_labels(made)
    engine.add_to(made)
    _as_json(made)
    made.set_defaults(action=restore)

    text = "delete for good what is in the trash, or some of it"
    made = actions.add_parser("purge", help=text, description=f"{text.capitalize()}.")
    add_socket(made)
    made.add_argument("which", nargs="*", metavar=REMOVED, help="only these")
    made.add_argument(
        "--older-than", type=_seconds, metavar="TIME",
        help="only what was removed longer ago: a number of s, m, h or d",
    )  # fmt: skip
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _as_json(made)
    made.set_defaults(action=purge)


def _as_json(made: argparse.ArgumentParser) -> None:
    made.add_argument("--json", action="store_true", help="print JSON, for programs")


def _seconds(text: str) -> float:
    try:
        found = parse_retention(text)
    except ValueError:
        found = None
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: give a number of s, m, h or d, such as 7d")
    return found.total_seconds()


def show(options: argparse.Namespace) -> int:
    """List what is in the trash."""
    found = Client(options.admin).ask("Trash")["Trash"]
    if options.json:
        show_json(found)
    elif options.quiet:
        for one in found:
            print(one["Slot"], one["Name"])
    else:
        rows = [
            (
                one["Slot"],
                one["Name"],
                since(one["RemovedAt"]),
                _purged(one),
                usage(one["Usage"])[0],
                usage(one["Usage"])[1],
                ",".join(f"{key}={value}" for key, value in one["Options"].items()) or "-",
            )
            for one in found
        ]
        print(table(("SLOT", "NAME", "REMOVED", "PURGED", "USAGE", "FILES", "OPTIONS"), rows))
    return 0


def _purged(one: Mapping[str, Any]) -> str:
    """Return when a volume is deleted for good, or that this has begun."""
    if one["State"] != "whole":
        return str(one["State"])
    return since(one["PurgedAt"]) if one["PurgedAt"] else "never"


def restore(options: argparse.Namespace) -> int:
    """Bring a removed volume back."""
    fields = {"Which": options.which, "Name": options.new, "Partial": options.partial}
    client = Client(options.admin)
    labels = pairs(options.label, "--label")
    registering = engine.Registering.of(options, client)
    found = engine.labelled(client, client.ask("Restore", fields), labels)
    registered = registering.register(found)
    if options.json:
        show_json({**found, "Engine": registered})
        return 0
    print(found["Name"])
    engine.show(registered)
    if found["Others"]:
        note(
            f"this was {found['Slot']}, the last one of that name; still in the trash: "
            f"{', '.join(found['Others'])}"
        )
    return 0


def purge(options: argparse.Namespace) -> int:
    """Delete for good."""
    client = Client(options.admin)
    what = ", ".join(options.which) or "all"
    if options.older_than is not None:
        what += f", older than {options.older_than:.0f} s"
    if not options.yes and not confirmed(f"Permanently delete everything in the trash ({what})?"):
        raise AdminError("nothing was deleted: confirm on a terminal, or give --yes")
    fields = {"Which": options.which, "OlderThan": options.older_than or 0, "What": what}
    found = client.ask("Purge", fields, _purging)
    if options.json:
        show_json(found)
        return 1 if found["Kept"] else 0
    for one in found["Purged"]:
        print(f"{one['Slot']} {one['Name']}")
    for one in found["Kept"]:
        note(f"exampledriver: {one['Slot']} {one['Name']} is kept: {one['Why']}")
    return 1 if found["Kept"] else 0


def _purging(progress: Mapping[str, Any]) -> None:
    note(f"deleting {progress['Name']} ({number(progress)})")
