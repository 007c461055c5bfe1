"""``exampledriver migrate``: take over the volumes of other drivers.

The plan is made from what the other driver has written down, judged by the daemon, and
printed; then it is carried out, step by step. A step that was done is found done when the
command runs again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from json import load
from pathlib import Path
from typing import Any

from attrs import define, field

from ..plugin.redaction import hidden_options
from . import engine
from .client import AdminError, Client, UnreachableError, absolute, add_socket
from .sources import (
    NETSHARE,
    Step,
    docker_local,
    engine_volumes,
    local_persist,
    netshare,
    with_labels,
)
from .tables import age, confirmed, note, show_json, table

LOCAL_PERSIST = "/var/lib/docker/plugin-data/local-persist.json"
CREDENTIALS = "/etc/exampledriver/credentials"

#: What is left to be done when the volumes are here.
_THEN = {
    "local-persist": (
        'Then: take its containers down, "docker volume rm" the old volumes (local-persist leaves '
        "their directories alone), and start the containers with volumes of this driver."
    ),
    "docker-local": (
        'Then: take their containers down, "docker volume rm" the old volumes, and start the '
        "containers with volumes of this driver. A volume that was moved has left an empty one "
        "behind; one that was copied is still whole, and goes with that rm: look at the copy first."
    ),
    "netshare": (
        'Then: take its containers down, "docker volume rm" the old volumes (netshare deletes '
        "nothing on a server), and start the containers with volumes of this driver."
    ),
}


def add_to(rooms: Any) -> None:
    """Add the command to the parser's commands."""
    text = "take over the volumes of another driver: prints the plan, asks, and does it"
    command = rooms.add_parser(
        "migrate",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. It can be run again: what is done stays done.",
        epilog="Exit status: 0 all is done (or can be, with --dry-run), 1 something is not.",
    )
    option = command.add_argument
    option("name", nargs="*", metavar="NAME", help="only these volumes")
    option("--from", dest="source", required=True, choices=sorted(_THEN), help="the other driver")
    option("-n", "--dry-run", action="store_true", help="print the plan, and touch nothing")
    option("-y", "--yes", action="store_true", help="do not ask")
    option("--json", action="store_true", help="JSON in place of tables; needs --yes or --dry-run")
    add_socket(command)
    engine.add_to(command)
    group = command.add_argument_group("local-persist")
    group.add_argument(
        "--state", type=absolute, default=Path(LOCAL_PERSIST), metavar="FILE",
        help="its state (default: %(default)s)",
    )  # fmt: skip
    group = command.add_argument_group("docker-local")
    how = group.add_mutually_exclusive_group()
    how.add_argument("--copy", action="store_true", help="copy the data (the default)")
    how.add_argument(
        "--adopt", action="store_true", help="move the data: one rename, and nothing is copied"
    )
    group.add_argument(
        "--docker-root", type=absolute, default=Path("/var/lib/docker"), metavar="DIR",
        help="Docker's data root (default: %(default)s)",
    )  # fmt: skip
    group.add_argument("--anonymous", action="store_true", help="volumes without a name, too")
    group = command.add_argument_group("netshare")
    group.add_argument(
        "--inspect", metavar="FILE",
        help="what docker volume inspect prints, - for standard input (default: ask the engine)",
    )  # fmt: skip
    group.add_argument(
        "--nfs-type", choices=("nfs", "nfs4"), default="nfs4",
        help="what nfs means; netshare does not write it down (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--credentials", type=absolute, default=Path(CREDENTIALS), metavar="DIR",
        help="where passwords go, a file a volume, mode 0600 (default: %(default)s)",
    )  # fmt: skip
    command.set_defaults(action=run)


@define(eq=False)
class Planned:
    """A step, and what has become of it.

    :ivar state: ``to do``, ``there already``, ``refused``, ``done``, ``failed`` or ``not tried``.
    :ivar engine: whether the volume is registered with Docker; see :mod:`.engine`.
    """

    step: Step
    state: str = "to do"
    why: str = ""
    engine: Mapping[str, object] = field(factory=dict)

    def shown(self, credentials: Path) -> dict[str, object]:
        """Return it for machines."""
        return {
            "name": self.step.name,
            "what": self.step.what,
            "source": self.step.source,
            "options": hidden_options(options_of(self.step, credentials)),
            "state": self.state,
            "why": self.why,
            "engine": {key.lower(): value for key, value in self.engine.items()},
        }


def options_of(step: Step, credentials: Path) -> dict[str, str]:
    """Return the options of a step's Create."""
    more = {"credentials-file": str(credentials / step.name)} if step.secret else {}
    return {**step.options, **more}


@define(eq=False)
class Migration:
    """A plan, and who carries it out."""

    client: Client
    credentials: Path
    registering: engine.Registering
    steps: list[Planned] = field(factory=list)

    def judge(self) -> None:
        """Ask the daemon what can be done.

        :raises AdminError: it does not answer.
        """
        here = set(self.client.ask("Names")["Names"])
        root = self.client.ask("About")["Root"]
        for planned in self.steps:
            step = planned.step
            if step.what == "move" and step.refused and os.path.isdir(f"{root}/{step.name}"):
                # A kill came between the move and the journal's word: a Create adopts it.
                step = planned.step = Step(step.name, "create", {})
            if step.what != "create" and step.name in here:
                planned.state = "there already"
                planned.why = "by its name; nobody has compared the data"
                continue
            if step.refused:
                planned.state, planned.why = "refused", step.refused
                continue
            try:
                # The file of the credentials is written when it is done.
                known = options_of(step, self.credentials) if step.name in here else step.options
                found = self.client.ask("Check", self._fields(step, known))
            except UnreachableError:
                raise
            except AdminError as error:
                planned.state, planned.why = "refused", str(error)
            else:
                planned.state = "there already" if found["Exists"] else "to do"

    @staticmethod
    def _fields(step: Step, options: Mapping[str, str]) -> dict[str, object]:
        # What is the daemon's default kind does not matter here.
        fields: dict[str, object] = {
            "Name": step.name,
            "Opts": {"backend": "directory", **options},
        }
        if step.what != "create":
            fields.update(Source=step.source, Move=step.what == "move")
        return fields

    def carry_out(self) -> None:
        """Do what is to be done; where the daemon is gone, the rest is not tried."""
        to_do = [planned for planned in self.steps if planned.state == "to do"]
        for number, planned in enumerate(to_do):
            note(f"{planned.step.what} {planned.step.name} ({number + 1} of {len(to_do)})")
            try:
                self._do(planned.step)
            except (AdminError, OSError) as error:
                planned.state, planned.why = "failed", str(error)
                if isinstance(error, UnreachableError):
                    for other in to_do[number + 1 :]:
                        other.state = "not tried"
                    return
            else:
                planned.state = "done"

    def _do(self, step: Step) -> None:
        if step.secret:
            write_secret(self.credentials / step.name, step.secret)
        fields = self._fields(step, options_of(step, self.credentials))
        made = self.client.ask("Create" if step.what == "create" else "Bring", fields, _progress)
        engine.labelled(self.client, made, step.labels)

    def register(self) -> None:
        """Register the volumes that are there with Docker.

        :raises AdminError: the daemon does not answer.
        """
        there = [planned for planned in self.steps if planned.state in ("done", "there already")]
        for planned in there:
            (volume,) = self.client.ask("Volumes", {"Names": [planned.step.name]})["Volumes"]
            planned.engine = self.registering.register(volume)

    def show(self) -> None:
        """Print a table of all steps."""
        rows = []
        for planned in self.steps:
            step = planned.step
            options = hidden_options(options_of(step, self.credentials))
            said = [step.source, *(f"{key}={value}" for key, value in options.items())]
            state = f"{planned.state}: {planned.why}" if planned.why else planned.state
            rows.append((step.name, step.what, " ".join(filter(None, said)) or "-", state))
        print(table(("VOLUME", "WHAT", "FROM", "STATE"), rows))

    def count(self, *states: str) -> int:
        """Return how many steps are in one of some states."""
        return sum(planned.state in states for planned in self.steps)


def write_secret(path: Path, text: str) -> None:
    """Write a file of credentials with mode 0600, unless it is there with the same text.

    :raises AdminError: another one is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Whole, or not there: the same command again finds no half of it.
    parent, prefix = path.parent, f".{path.name}."
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=parent, prefix=prefix) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            if path.is_symlink() or path.read_text("utf-8") != text:
                raise AdminError(f"{path} is there, with other credentials: move it away") from None


def _progress(fields: Mapping[str, Any]) -> None:
    if fields["Seconds"]:
        note(f"  {fields['Volume']}: {age(fields['Seconds'])}")


def _steps(options: argparse.Namespace) -> list[Step]:
    if options.source == "local-persist":
        return local_persist(options.state)
    if options.source == "docker-local":
        return docker_local(options.docker_root, options.adopt, options.anonymous)
    drivers = {**NETSHARE, "nfs": options.nfs_type}
    if options.inspect is None:
        return netshare(engine_volumes(engine.Engine(options.docker), list(drivers)), drivers)
    try:
        if options.inspect == "-":
            return netshare(load(sys.stdin), drivers)
        with open(options.inspect, encoding="utf-8") as file:
            return netshare(load(file), drivers)
    except ValueError as error:
        raise AdminError(f"--inspect {options.inspect}: is not JSON: {error}") from None


def _labelled(steps: list[Step], options: argparse.Namespace) -> list[Step]:
    """Return the steps with the labels that Docker keeps of the old volumes."""
    driver = {"local-persist": "local-persist", "docker-local": "local"}.get(options.source)
    if driver is None or options.no_engine:
        return steps
    try:
        return with_labels(steps, engine.Engine(options.docker).volumes([driver]))
    except engine.EngineError as error:
        note(f"labels of the old volumes are not known: {error}")
        return steps


def run(options: argparse.Namespace) -> int:
    """Make the plan, print it, and carry it out."""
    if options.json and not (options.yes or options.dry_run):
        raise AdminError("--json asks nobody: give --yes or --dry-run with it")
    steps = _labelled(_steps(options), options)
    missing = set(options.name) - {step.name for step in steps}
    if missing:
        raise AdminError(f"{options.source} has no volume {', '.join(sorted(missing))}")
    wanted = [step for step in steps if not options.name or step.name in options.name]
    client = Client(options.admin)
    migration = Migration(
        client,
        options.credentials,
        engine.Registering.of(options, client),
        [Planned(step) for step in wanted],
    )
    migration.judge()
    if not options.json:
        migration.show()
    to_do = migration.count("to do")
    if not options.dry_run and to_do:
        if not (options.yes or confirmed(f"Do what is to do ({to_do} volumes)?")):
            raise AdminError("nothing was done: confirm on a terminal, or give --yes")
        migration.carry_out()
        if not options.json:
            print()
            migration.show()
    if not options.dry_run and not migration.count("not tried"):
        migration.register()
    if options.json:
        shown = [planned.shown(options.credentials) for planned in migration.steps]
        show_json({"from": options.source, "dry_run": options.dry_run, "volumes": shown})
    else:
        _summary(migration, options)
    return 1 if migration.count("refused", "failed", "not tried") else 0


def _summary(migration: Migration, options: argparse.Namespace) -> None:
    states = ("to do", "done", "there already", "refused", "failed", "not tried")
    counts = [(migration.count(state), state) for state in states]
    note(", ".join(f"{count} {state}" for count, state in counts if count) or "no volumes")
    if migration.count("failed", "not tried"):
        note("what is done stays done: mend what failed, and run the same command again")
    elif migration.count("done"):
        note(_THEN[options.source])
    known = [planned.engine for planned in migration.steps if planned.engine]
    left = [one["Command"] for one in known if not one["Registered"]]
    if left:
        # Docker still has the old ones by these names.
        note("When the old volumes are removed, register the new ones with Docker:")
        for command in left:
            note(f"  {command}")
