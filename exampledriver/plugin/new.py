"""A new project: a small, complete, tested plugin to start from.

``python -m exampledriver.plugin new NAME --kind volume`` writes it into ``NAME/``.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template

from attrs import frozen

from .app import check_name


@frozen
class Kind:
    """A kind of plugin.

    :ivar title: what it is, for people.
    :ivar make: the expression that makes its driver.
    :ivar imports: what that needs.
    :ivar try_it: for the README, how it is used.
    """

    title: str
    make: str
    try_it: str
    imports: str = ""


_PATH = "from pathlib import Path\n\n"

KINDS: Mapping[str, Kind] = {
    "volume": Kind(
        "A volume driver",
        'Driver(Path("/var/lib") / NAME)',
        "and in another terminal:\n\n```sh\ndocker volume create -d ${name} db\n"
        "docker run --rm -v db:/data busybox touch /data/file\ndocker volume rm db\n```",
        _PATH,
    ),
    "authz": Kind(
        "An authorization plugin",
        "Driver()",
        'and name it in `/etc/docker/daemon.json`, `{"authorization-plugins": ["${name}"]}`.\n'
        "Start it before the engine, which does not start without it.",
    ),
    "network": Kind(
        "A network driver",
        "Driver()",
        "and in another terminal:\n\n```sh\ndocker network create -d ${name} net\n"
        "docker run --rm --network net busybox ip address\ndocker network rm net\n```",
    ),
    "ipam": Kind(
        "An IPAM driver",
        "Driver()",
        "and in another terminal:\n\n```sh\ndocker network create --ipam-driver ${name} net\n"
        "docker network rm net\n```",
    ),
    "secret": Kind(
        "A secret provider",
        'Driver(Path("/etc") / NAME)',
        "A swarm asks it for the secrets of `docker secret create --driver ${name} SECRET`.",
        _PATH,
    ),
    "log": Kind(
        "A log driver",
        'Driver(Path("/var/lib") / NAME)',
        "and in another terminal:\n\n```sh\n"
        "docker run --log-driver ${name} --name hello busybox echo hello\n"
        "docker logs hello\ndocker rm hello\n```",
        _PATH,
    ),
    "metrics": Kind(
        "A metrics collector",
        "Driver()",
        "Engines offer their metrics to managed plugins only: make one of it with\n"
        "`docker plugin create`, of the type `docker.metricscollector/1.0`.",
    ),
}


class NewError(Exception):
    """No project can be made; the text says why."""


def write_project(name: str, kind: str, directory: Path) -> list[Path]:
    """Write a new project; return its files.

    :param directory: where to; it must not be there, or be empty.
    :raises NewError: it cannot be done.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise NewError(str(error)) from None
    package = re.sub("[^a-z0-9]", "_", name.lower())
    taken = {"exampledriver", "tests", "test", *sys.stdlib_module_names, "twisted", "zope"}
    if not package.isidentifier() or keyword.iskeyword(package) or package in taken:
        raise NewError(f"{name}: its Python package cannot be called {package}: take another name")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise NewError(f"{directory} is there already: give another --directory, or remove it")
    about = KINDS[kind]
    words = {
        "name": name,
        "package": package,
        "title": about.title,
        "make": about.make,
        "imports": about.imports,
        "try_it": Template(about.try_it).substitute(name=name),
    }
    templates = Path(__file__).parent / "templates"
    found = [
        *_rendered(templates / "common", Path(), words),
        *_rendered(templates / kind, Path(), words),
    ]
    places = {
        Path("driver.py"): Path(package, "driver.py"),
        Path("test_driver.py"): Path(package, "tests/test_driver.py"),
    }
    try:
        for path, text in found:
            target = directory / places.get(path, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise NewError(f"{error.filename}: {error.strerror}") from None
    return [directory / places.get(path, path) for path, _ in found]


def _rendered(folder: Path, at: Path, words: Mapping[str, str]) -> list[tuple[Path, str]]:
    """Return path and text of each file of a template folder."""
    found: list[tuple[Path, str]] = []
    for item in sorted(folder.iterdir()):
        if item.is_dir():
            name = words["package"] if item.name == "package" else item.name
            found += _rendered(item, at / name, words)
        elif item.name.endswith(".in"):
            text = Template(item.read_text(encoding="utf-8")).substitute(words)
            found.append((at / item.name.removesuffix(".in"), text))
    return found
