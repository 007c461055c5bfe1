"""Imports run one way: from tap down to plugin, journal and the models."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PACKAGE = Path(__file__).parents[1] / "exampledriver"

#: Each room, and the modules of the package that it may import (with all below them).
ALLOWED = {
    "plugin": ["plugin"],
    # A plugin as a process: what the daemon's room offers any daemon.
    "plugin/serving": ["plugin", "daemon"],
    "journal": ["journal", "processes"],
    "daemon": ["daemon", "processes"],
    "admin": ["admin", "plugin"],
    "backends": [
        "backends",
        "plugin.redaction",
        "processes",
        "volumes.model",
        "volumes.values",
        "volumes.errors",
    ],
    # What copies data knows no kind of storage, and no volume but its name.
    "backends/copying": [
        "backends.copying",
        "backends.durable",
        "backends.mounts",
        "backends.trash",
        "volumes.errors",
    ],
    "volumes": [
        "volumes",
        "plugin",
        "journal.interfaces",
        "backends.interfaces",
        "backends.trash",
    ],
    "volumes/administration": [
        "volumes",
        "plugin.redaction",
        "plugin.volume",
        "admin.interfaces",
        "backends.interfaces",
        "backends.bringing",
    ],
    "volumes/copies": [
        "volumes",
        "plugin.volume",
        "admin.interfaces",
        "backends.interfaces",
        "backends.copying",
        "backends.trash",
    ],
    "volumes/copying": [
        "volumes",
        "plugin.volume",
        "admin.interfaces",
        "backends.interfaces",
        "backends.copying",
        "backends.trash",
    ],
    "volumes/archives": [
        "volumes",
        "plugin.redaction",
        "plugin.volume",
        "admin.interfaces",
        "backends.interfaces",
        "backends.copying",
        "backends.owned",
        "backends.trash",
    ],
    "volumes/removed": [
        "volumes",
        "plugin.redaction",
        "plugin.volume",
        "admin.interfaces",
        "backends.trash",
        "backends.removed",
        "backends.bringing",
    ],
    "volumes/scheduling": ["volumes", "plugin.errors", "admin.interfaces"],
    "volumes/schedule": [],
    "volumes/waiting": ["admin.interfaces"],
    "volumes/usage": ["volumes.health", "backends.measuring"],
    "volumes/health": ["volumes", "backends.interfaces", "backends.kinds", "backends.owned"],
    "volumes/copyup": ["volumes", "backends.interfaces", "backends.owned"],
    "volumes/model": ["plugin.errors", "plugin.volume", "volumes.errors", "volumes.values"],
    "volumes/values": ["plugin.redaction", "volumes.errors"],
    "volumes/errors": ["plugin.errors", "plugin.redaction"],
    "cli": ["cli", "journal", "plugin.redaction", "processes", "settings"],
    "cli/unixhttp": [],
    # An archive's file has its name when it is whole.
    "cli/transfer": ["cli", "backends.copying.outputs", "volumes.errors"],
    # They judge what the others have left behind.
    "cli/checks": [
        "cli.checks",
        "cli.engine",
        "cli.unixhttp",
        "plugin.redaction",
        "settings",
        "journal",
        "processes",
        "volumes.model",
        "volumes.values",
        "volumes.errors",
        "backends.kinds",
        "backends.measuring",
        "backends.mounts",
        "backends.places",
        "backends.trash",
    ],
    "configuration": ["backends.kinds", "volumes.errors", "volumes.schedule"],
    "tap": ["options", "building", "daemon", "journal"],
    "options": ["configuration", "daemon", "settings", "backends.mounts", "plugin.redaction"],
    "building": [""],
    "processes": [],
    "settings": [],
}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of each import of the package's own modules."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = list(parts[: -node.level]) if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            if name.split(".")[0] != PACKAGE.name:
                continue
            for alias in node.names:
                # What is imported of a room is a module of it, or a name in its __init__.
                module = PACKAGE.parent.joinpath(*name.split("."), alias.name)
                whole = f"{name}.{alias.name}" if module.with_suffix(".py").exists() else name
                yield node.lineno, whole.removeprefix(PACKAGE.name).lstrip(".")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE.name:
                    yield node.lineno, alias.name.removeprefix(PACKAGE.name).lstrip(".")


def offences() -> list[str]:
    """Return each import that runs the wrong way, as a line for people."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE).with_suffix("")
        room = next((room for room in map(str, (inside, inside.parent)) if room in ALLOWED), "")
        room = room or inside.parts[0]
        if room == "__init__":
            continue
        for line, name in imported(path):
            if not any(f"{name}.".startswith(f"{good}." if good else "") for good in ALLOWED[room]):
                found.append(f"{path}:{line}: {room} must not import {name}")
            if name.split(".")[0] == "tap":
                found.append(f"{path}:{line}: nothing imports tap")
    return found


class DirectionTests(SynchronousTestCase):
    """The rooms of docs/architecture.md."""

    def test_direction(self) -> None:
        """No room imports what it must not know."""
        self.assertEqual(offences(), [])

    def test_every_room(self) -> None:
        """Every room has a rule."""
        rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
        self.assertLessEqual(rooms, set(ALLOWED))

    def test_reactor(self) -> None:
        """Only tap imports the reactor, what runs somebody else's plugin, and suites for trial."""
        importers = {
            path.name
            for path in PACKAGE.rglob("*.py")
            if "import reactor" in path.read_text() or "internet.reactor" in path.read_text()
        }
        self.assertEqual(importers, {"tap.py", "serving.py", "conformance.py"})
