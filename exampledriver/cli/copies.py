"""``exampledriver volume``'s commands about copies: snapshots, rollbacks, archives."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from . import engine
from .client import AdminError, Client, pairs
from .tables import note, show_json, since, table
from .transfer import read_archive, write_archive


def add_to(command: Callable[..., Any], as_json: Callable[[Any], None], volume: str) -> None:
    """Add the commands.

    :param command: makes a command of a name, what it does, and a text.
    :param volume: the metavar of a volume's name.
    """
    made = command("snapshot", snapshot, "make a snapshot of a volume, in use or not")
    made.add_argument("name", metavar=volume)
    made.add_argument("--label", default="", metavar="LABEL", help="its name (default: the time)")
    engine.add_to(made, registers=False)
    as_json(made)

    made = command("snapshots", snapshots, "list a volume's snapshots, which outlive it")
    made.add_argument("name", metavar=volume)
    as_json(made)

    made = command(
        "rollback", rollback, "give a volume that nobody uses the data of one of its snapshots"
    )
    made.add_argument("name", metavar=volume)
    made.add_argument("label", metavar="SNAPSHOT")
    as_json(made)

    made = command("snapshot-rm", snapshot_rm, "delete a snapshot for good")
    made.add_argument("name", metavar=volume)
    made.add_argument("label", metavar="SNAPSHOT")
    as_json(made)

    made = command("export", export, "write an archive of a volume, or of NAME@SNAPSHOT")
    made.add_argument("name", metavar=volume)
    made.add_argument("file", nargs="?", default="-", metavar="FILE", help="default: standard out")
    engine.add_to(made, registers=False)

    made = command("import", import_, "make a volume of an archive, when all of it is verified")
    made.add_argument("new", metavar="NAME")
    made.add_argument("file", nargs="?", default="-", metavar="FILE", help="default: standard in")
    made.add_argument(
        "-o", "--opt", action="append", default=[], metavar="KEY=VALUE",
        help="an option, as of docker volume create; repeatable",
    )  # fmt: skip
    engine.add_labels(made)
    engine.add_to(made)
    as_json(made)


def snapshot(options: argparse.Namespace) -> int:
    """Make a snapshot; print its label."""
    fields = {"Name": options.name, "Label": options.label}
    client = Client(options.admin)
    engine.Registering.of(options, client).keep_labels(client, options.name)
    made = client.ask("Snapshot", fields, _progress)
    if options.json:
        show_json(made)
        return 0
    print(made["Label"])
    _warn(made)
    note(f"{_done(made)}, {made['Consistency']}")
    return 0


def snapshots(options: argparse.Namespace) -> int:
    """List a volume's snapshots."""
    found = Client(options.admin).ask("Snapshots", {"Name": options.name})["Snapshots"]
    if options.json:
        show_json(found)
        return 0
    rows = [
        (
            one["Label"],
            since(one["CreatedAt"]),
            one["Method"],
            one["Consistency"],
            "-" if one["Files"] is None else one["Files"],
            "-" if one["Size"] is None else one["Size"],
            one["Changed"],
        )
        for one in found
    ]
    head = ("SNAPSHOT", "CREATED", "METHOD", "CONSISTENCY", "FILES", "BYTES", "CHANGED")
    print(table(head, rows))
    return 0


def rollback(options: argparse.Namespace) -> int:
    """Roll a volume back."""
    fields = {"Name": options.name, "Label": options.label}
    done = Client(options.admin).ask("Rollback", fields, _progress)
    if options.json:
        show_json(done)
        return 0
    print(options.name)
    _warn(done)
    note(f'{_done(done)}; what it had is in the trash: "exampledriver trash list"')
    return 0


def snapshot_rm(options: argparse.Namespace) -> int:
    """Delete a snapshot."""
    fields = {"Name": options.name, "Label": options.label}
    gone = Client(options.admin).ask("DeleteSnapshot", fields)
    if options.json:
        show_json(gone)
    else:
        print(options.label)
    return 0


def export(options: argparse.Namespace) -> int:
    """Write an archive."""
    client = Client(options.admin)
    name, at, label = options.name.partition("@")
    if at and not label:
        raise AdminError(f"{options.name}: give NAME@SNAPSHOT")
    registering = engine.Registering.of(options, client)  # before there is a file
    registering.keep_labels(client, name)

    def ask(channel: str) -> dict[str, Any]:
        fields = {"Name": name, "Label": label, "Channel": channel}
        return client.ask("Export", fields, _progress)

    done = write_archive(options.admin, options.file, ask)
    changed = f", {done['Changed']} seen to change meanwhile" if done["Changed"] else ""
    _warn(done)
    note(f"{_done(done)}, {done['Consistency']}{changed}")
    return 0


def import_(options: argparse.Namespace) -> int:
    """Make a volume of an archive."""
    client, opts, labels = (
        Client(options.admin),
        pairs(options.opt),
        pairs(options.label, "--label"),
    )
    registering = engine.Registering.of(options, client)  # before anything is read

    def ask(channel: str) -> dict[str, Any]:
        fields = {"Name": options.new, "Opts": opts, "Channel": channel}
        return client.ask("Import", fields, _progress)

    done = read_archive(options.admin, options.file, ask)
    (made,) = client.ask("Volumes", {"Names": [options.new]})["Volumes"]
    registered = registering.register(engine.labelled(client, made, labels))
    if options.json:
        show_json({**done, "Engine": registered})
        return 0
    print(options.new)
    engine.show(registered)
    archive = done["Archive"]
    _warn(done)
    note(f"{_done(done)}; it was {archive['Name']}, exported {archive['Exported']}")
    return 0


def _warn(done: Mapping[str, Any]) -> None:
    for warning in done["Warnings"]:
        note(f"warning: {warning}")


def _done(done: Mapping[str, Any]) -> str:
    units = (("Files", "files"), ("Size", "bytes"))
    # Nobody has counted what a snapshot of the file system's own shares.
    counted = [f"{done[key]} {unit}" for key, unit in units if done[key] is not None]
    return ", ".join([*counted, f"by {done['Method']}"])


def _progress(progress: Mapping[str, Any]) -> None:
    if progress.get("Seconds"):
        note(f"{progress['Volume']}: {progress.get('Files', 0)} files, "
             f"{progress.get('Size', 0)} bytes after {progress['Seconds']} s")  # fmt: skip
