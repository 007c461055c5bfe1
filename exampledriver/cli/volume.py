"""``exampledriver volume``: the volumes of a running daemon."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from ..processes import printable
from . import copies, engine
from .client import AdminError, Client, add_socket, pairs
from .tables import confirmed, note, number, show_json, since, size, table, usage

#: What the daemon says of a directory in the same file system as the root, or as /.
OWN = "."
#: Makes the completion offer the names of volumes for an argument.
VOLUME = "VOLUME"


def add_to(rooms: Any) -> None:
    """Add the command to the parser's commands."""
    room = rooms.add_parser("volume", help="look at and change the volumes of a running daemon")
    actions = room.add_subparsers(metavar="ACTION", required=True)

    def command(name: str, action: Callable[[argparse.Namespace], int], text: str) -> Any:
        made = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_socket(made)
        made.set_defaults(action=action)
        return made

    def as_json(made: Any) -> None:
        made.add_argument("--json", action="store_true", help="print JSON, for programs")

    made = command("ls", ls, "list volumes: where they are, who uses them, how they are")
    made.add_argument("name", nargs="*", metavar=VOLUME, help="only these")
    made.add_argument("-q", "--quiet", action="store_true", help="print names alone")
    as_json(made)

    made = command("inspect", inspect, "print all that is known of volumes, as JSON")
    made.add_argument("name", nargs="+", metavar=VOLUME)
    as_json(made)

    made = command("create", create, "make a volume")
    made.add_argument("new", metavar="NAME")
    made.add_argument(
        "-o", "--opt", action="append", default=[], metavar="KEY=VALUE",
        help="an option, as of docker volume create; repeatable",
    )  # fmt: skip
    engine.add_labels(made)
    engine.add_to(made)
    as_json(made)

    made = command("rm", rm, "remove volumes that nobody uses; their data goes to the trash")
    made.add_argument("name", nargs="+", metavar=VOLUME)
    engine.add_to(made, registers=False)
    made.add_argument(
        "--now", action="store_true",
        help="permanently delete the data instead of using the trash; needs no free space",
    )  # fmt: skip
    made.add_argument("-y", "--yes", action="store_true", help="with --now: do not ask")
    as_json(made)

    made = command("resize", resize, "give a volume another size, mounted or not")
    made.add_argument("name", metavar=VOLUME)
    made.add_argument("size", metavar="SIZE", help="such as 20G; powers of 1024")
    as_json(made)

    made = command("accept", accept, "accept that a volume is now on another file system")
    made.add_argument("name", metavar=VOLUME)
    as_json(made)

    made = command("mounts", mounts, "show who has mounted what: counts, and what the kernel says")
    made.add_argument("name", nargs="*", metavar=VOLUME, help="these, mounted or not")
    as_json(made)

    made = command("release", release, "drop mount counts that an engine that died left behind")
    made.add_argument("name", metavar=VOLUME)
    made.add_argument("--id", default="", metavar="ID", help="only this mount ID's")
    as_json(made)

    made = command("labels", labels, "store the labels that Docker has for volumes")
    made.add_argument("name", nargs="*", metavar=VOLUME, help="only these")
    engine.add_to(made, registers=False)
    as_json(made)

    copies.add_to(command, as_json, VOLUME)

    made = command("usage", show_usage, "show what volumes take on the disk, and how old that is")
    made.add_argument("name", nargs="*", metavar=VOLUME, help="only these")
    made.add_argument(
        "--fresh", action="store_true", help="measure now, and wait for it; slow on purpose"
    )
    as_json(made)


def ls(options: argparse.Namespace) -> int:
    """List volumes."""
    client = Client(options.admin)
    if options.quiet:
        if options.name:
            found = client.ask("Volumes", {"Names": options.name})["Volumes"]
            names = [volume["Name"] for volume in found]
        else:
            names = client.ask("Names")["Names"]
        if options.json:
            show_json(names)
        for name in names if not options.json else ():
            print(name)
        return 0
    found = client.ask("Volumes", {"Names": options.name})["Volumes"]
    if options.json:
        show_json(found)
    else:
        rows = []
        for volume in found:
            size, _, measured = usage(volume["Usage"])
            rows.append(
                (
                    volume["Name"],
                    volume["Backend"],
                    volume["Mounts"],
                    volume.get("Health", "not checked"),
                    size,
                    measured,
                    since(volume["CreatedAt"]),
                    volume["Mountpoint"],
                )
            )
        head = ("NAME", "BACKEND", "MOUNTS", "HEALTH", "USAGE", "MEASURED", "CREATED", "MOUNTPOINT")
        print(table(head, rows))
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Print all that is known of volumes."""
    show_json(Client(options.admin).ask("Volumes", {"Names": options.name})["Volumes"])
    return 0


def create(options: argparse.Namespace) -> int:
    """Make a volume."""
    fields = {"Name": options.new, "Opts": pairs(options.opt)}
    labels = pairs(options.label, "--label")
    client = Client(options.admin)
    registering = engine.Registering.of(options, client)
    made = engine.labelled(client, client.ask("Create", fields), labels)
    registered = registering.register(made)
    if options.json:
        show_json({**made, "Engine": registered})
    else:
        print(options.new)
        engine.show(registered)
    return 0


def rm(options: argparse.Namespace) -> int:
    """Remove volumes; what cannot be removed is told, and the others are."""
    client = Client(options.admin)
    registering = engine.Registering.of(options, client)
    status = 0
    removed = []
    names = ", ".join(options.name)
    if options.now and not options.yes and not confirmed(f"Permanently delete {names}?"):
        raise AdminError("nothing was removed: confirm on a terminal, or give --yes")
    for name in dict.fromkeys(options.name):
        registering.keep_labels(client, name)
        try:
            gone = client.ask("Remove", {"Name": name, "Now": options.now})
        except AdminError as error:
            note(f"exampledriver: {error}")
            status = 1
            continue
        removed.append(gone)
        if options.json:
            continue
        print(name)
        if options.now:
            note("its data is being deleted in the background; the log reports failures")
        elif gone["Kept"]:
            until = f" until {gone['Until']}" if gone["Until"] else ""
            note(f'in the trash{until}: "exampledriver trash restore {name}" brings it back')
    if options.json:
        show_json(removed)
    return status


def resize(options: argparse.Namespace) -> int:
    """Give a volume another size."""
    fields = {"Name": options.name, "Size": options.size}
    found = Client(options.admin).ask("Resize", fields)
    if options.json:
        show_json(found)
    else:
        print(f"{options.name}: {printable(found['Options']['size'])}")
    return 0


def labels(options: argparse.Namespace) -> int:
    """Keep labels, and show those that are kept."""
    client = Client(options.admin)
    registering = engine.Registering.of(options, client)
    names = options.name or client.ask("Names")["Names"]
    if registering.address:
        try:
            known = engine.Engine(registering.address).volumes([registering.driver])
        except engine.EngineError as error:
            raise AdminError(f"{error}; --no-engine shows what is kept") from None
        for volume in known:
            found = engine.labels_of(volume)
            if found and volume.get("Name") in names:
                client.ask("Label", {"Name": volume["Name"], "Labels": found})
    kept = client.ask("Volumes", {"Names": options.name})["Volumes"]
    if options.json:
        show_json({volume["Name"]: volume["Labels"] for volume in kept})
    else:
        rows = [
            (volume["Name"], ",".join(f"{key}={text}" for key, text in volume["Labels"].items()))
            for volume in kept
            if volume["Labels"]
        ]
        print(table(("NAME", "LABELS"), rows))
    return 0


def accept(options: argparse.Namespace) -> int:
    """Accept where a volume's directory is now."""
    found = Client(options.admin).ask("Accept", {"Name": options.name})
    if options.json:
        show_json(found)
    else:
        where = {"": "not noted", OWN: "no file system of its own"}
        was, place = (where.get(text, printable(text)) for text in (found["Was"], found["Place"]))
        print(f"{options.name}: {place}" + (f"; was {was}" if was != place else ""))
    return 0


def mounts(options: argparse.Namespace) -> int:
    """Show who has mounted what."""
    found = Client(options.admin).ask("Mounts", {"Names": options.name})["Volumes"]
    if options.json:
        show_json(found)
        return 0
    rows = []
    for volume in found:
        held = "; ".join(filter(None, (volume["HeldBy"], volume["Trouble"]))) or "nobody"
        ids = volume["MountIDs"] or {"-": 0}
        for place, (mount_id, count) in enumerate(ids.items()):
            first = place == 0
            rows.append((volume["Name"] if first else "", mount_id, count, held if first else ""))
    print(table(("NAME", "MOUNT ID", "COUNT", "HELD BY"), rows))
    left = [v["Name"] for v in found if v["MountIDs"] and v["HeldBy"] == ""]
    if left:
        names = ", ".join(map(str, left[:5])) + (" …" if len(left) > 5 else "")
        note(f'counted, and held by nobody: {names}; "exampledriver volume release" drops that')
    return 0


def release(options: argparse.Namespace) -> int:
    """Drop mount counts."""
    found = Client(options.admin).ask("Release", {"Name": options.name, "ID": options.id})
    if options.json:
        show_json(found)
        return 0
    if not found["Released"]:
        print(f"{options.name}: no mounts were counted")
    for mount_id, count in found["Released"].items():
        print(f"{options.name}: {count} dropped of {printable(mount_id)}")
    return 0


def show_usage(options: argparse.Namespace) -> int:
    """Show what volumes take on the disk."""
    fields = {"Names": options.name, "Fresh": options.fresh}
    found = Client(options.admin).ask("Usage", fields, _measuring)["Volumes"]
    if options.json:
        show_json(found)
    else:
        rows = []
        for volume in found:
            taken, files, measured = usage(volume)
            limit = size(volume["Size"]) if "Size" in volume else "-"
            rows.append((volume["Name"], taken, limit, files, measured))
        print(table(("NAME", "USAGE", "SIZE", "FILES", "MEASURED"), rows))
    return 0


def _measuring(progress: Mapping[str, Any]) -> None:
    note(f"measuring {progress['Volume']} ({number(progress)})")
