"""Compose files: options of volumes that are not those of the volume that is there.

A Compose file is read as Compose reads it as far as its volumes go: the project's
name, and variables from the environment and from ``.env``. Each file is taken for
itself. PyYAML (the extra ``doctor``) reads the YAML.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from ...backends.kinds import Choice
from ...plugin.redaction import hidden_options
from ...volumes.errors import InvalidOptionError
from ...volumes.model import DIRECTORY
from ...volumes.values import difference
from ..engine import line
from .findings import CannotLookError, Finding
from .installation import Installation, Known

#: The option that says of what kind a volume is.
BACKEND = "backend"

#: What the names of Compose's labels begin with.
_LABEL = "com.docker.compose."

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<rule>:?[-+?])(?P<text>[^}]*))?\})",
    re.ASCII,
)


@frozen
class Wanted:
    """A volume as a Compose file wants it.

    :ivar name: as engines know it.
    :ivar labels: by which Compose knows it for its own.
    """

    name: str
    options: Mapping[str, str]
    labels: Mapping[str, str]


def compose(at: Installation) -> Iterator[Finding]:
    """Compare each Compose file's volumes with the volumes, and with what Docker knows of them."""
    known = at.volumes()
    all_wanted: list[tuple[Path, Wanted]] = []
    for path in at.compose:
        at.looking_at = str(path)
        try:
            data = path.read_bytes()
            environment = {**_dotenv(path.parent), **os.environ}
            wanted = list(read(data, path.absolute(), at.name, environment))
        except (OSError, ValueError) as error:
            raise CannotLookError(f"{path}: {error}") from None
        for volume in wanted:
            found = list(_judge(at, path, volume, known.get(volume.name)))
            yield from found
            if volume.name in known and not found:
                all_wanted.append((path, volume))
    if all_wanted and at.docker is not None:
        yield from _compare(at, all_wanted, _in_docker(at))


def _in_docker(at: Installation) -> Mapping[str, Mapping[str, object]]:
    """Return what Docker knows of the driver's volumes.

    :raises CannotLookError: the engine does not answer, or strangely.
    """
    try:
        volumes = json.loads(at.engine("/volumes", driver=at.name).body)["Volumes"] or []
        return {volume["Name"]: volume for volume in volumes}
    except (ValueError, LookupError, TypeError) as error:
        raise CannotLookError(f"the engine at {at.docker} answers strangely: {error!r}") from None


def _compare(
    at: Installation,
    all_wanted: Sequence[tuple[Path, Wanted]],
    docker: Mapping[str, Mapping[str, object]],
) -> Iterator[Finding]:
    """Find volumes whose options Docker does not have as the Compose file has them."""
    for path, wanted in all_wanted:
        known = docker.get(wanted.name)
        if known is None:
            continue  # another driver's volume has the name: the check "shadowed" finds it
        given = known.get("Options")
        options = {str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {}
        if known.get("Options") is None and known.get("Labels") is None:
            command = line(at.name, wanted.name, wanted.options, wanted.labels)
            docker_command = f"docker -H unix://{shlex.quote(str(at.docker))}"
            yield Finding(
                "compose",
                "problem",
                f'{path}: Docker has neither options nor labels of volume "{wanted.name}": it was '
                "not made by Docker",
                "Compose treats it as another tool's volume (version 1 does not start the project, "
                "and advises docker volume rm), and while the driver is away Docker makes an empty "
                "local volume in its place",
                f"{docker_command} {command.removeprefix('docker ')}   # restart dockerd before, "
                "if a container has used the volume",
            )
        elif options != wanted.options:
            yield Finding(
                "compose",
                "note",
                f'{path}: Docker has other options of volume "{wanted.name}" than the file, '
                "which mean the same",
                "Compose compares texts: version 1 does not start the project, and advises docker "
                "volume rm",
                f"in {shlex.quote(str(path))}: driver_opts: {json.dumps(hidden_options(options))}",
            )


def _dotenv(directory: Path) -> dict[str, str]:
    try:
        lines = (directory / ".env").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.removeprefix("export ").partition("=") for line in lines)
    return {
        key.strip(): value.strip().strip("\"'")
        for key, found, value in pairs
        if found and not key.lstrip().startswith("#")
    }


def read(data: bytes, path: Path, driver: str, environment: Mapping[str, str]) -> Iterator[Wanted]:
    """Yield the volumes of a Compose file that belong to `driver`.

    :param path: absolute; its directory's name is the project's, if nothing else names it.
    :raises CannotLookError: PyYAML is missing.
    :raises ValueError: it is no Compose file.
    """
    try:
        import yaml
    except ImportError:
        raise CannotLookError("PyYAML is missing: pip install exampledriver[doctor]") from None
    try:
        # 0750 without quotes is the number 488 here, as it is for Compose.
        content = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())}") from None
    volumes = content.get("volumes", {}) if isinstance(content, dict) else None
    if not isinstance(volumes, dict | None) or not isinstance(content, dict):
        raise ValueError("it is no Compose file: it has no mapping of volumes")
    project = project_name(content.get("name"), path, environment)
    for key, given in (volumes or {}).items():
        volume = given if isinstance(given, dict) else {}
        options = volume.get("driver_opts") or {}
        if volume.get("external") or not isinstance(options, dict):
            continue
        if fill(str(volume.get("driver", "")), environment) != driver:
            continue
        name = volume.get("name")
        yield Wanted(
            f"{project}_{key}" if name is None else fill(str(name), environment),
            {str(k): fill(str(v), environment) for k, v in options.items()},
            {_LABEL + "project": project, _LABEL + "volume": str(key)},
        )


def project_name(given: object, path: Path, environment: Mapping[str, str]) -> str:
    """Return the name of a Compose file's project."""
    name = environment.get("COMPOSE_PROJECT_NAME") or (given and fill(str(given), environment))
    name = name or path.parent.name
    return re.sub(r"[^-_a-z0-9]", "", str(name).lower()).lstrip("_-")


def fill(text: str, environment: Mapping[str, str]) -> str:
    """Put the variables' values into a text of a Compose file."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        found = environment.get(match["plain"] or match["name"])
        rule, other = match["rule"] or "", match["text"] or ""
        there = found is not None and (found != "" or not rule.startswith(":"))
        if rule.endswith("+"):
            return other if there else ""
        return (found or "") if there else (other if rule.endswith("-") else "")

    return _VARIABLE.sub(value, text)


def _judge(at: Installation, path: Path, wanted: Wanted, known: Known | None) -> Iterator[Finding]:
    quoted = shlex.quote(str(path))
    try:
        asked = Choice().parse(wanted.name, wanted.options)
    except InvalidOptionError as error:
        yield Finding(
            "compose",
            "problem",
            f"{path}: {error}",
            "docker compose up fails, or if the volume is there the option is dropped in silence",
            f"correct driver_opts in {quoted}; write octal numbers in quotes: mode: '0750'",
        )
        return
    if known is None:
        return
    options = {BACKEND: asked.backend, **asked.options}
    if "mountpoint" in options:
        options["mountpoint"] = os.path.realpath(options["mountpoint"])
    different = difference({BACKEND: known.backend, **known.options}, options)
    if not different:
        return
    place = shlex.quote(f"{at.root}/.trash")
    kept = "" if known.options.get("mountpoint") else f"   # its data goes to {place} first"
    yield Finding(
        "compose",
        "problem",
        f'{path}: volume "{known.name}" was made with other options: {different}',
        "Docker drops the new options of a volume that is there without a word: the file says "
        "what is not so",
        f"in {quoted}, to keep the volume as it is: driver_opts: {_yaml(known)}\n"
        f"or, to make it anew:\ndocker compose -f {quoted} down\n"
        f"docker volume rm {shlex.quote(known.name)}{kept}\n"
        f"docker compose -f {quoted} up -d",
    )


def _yaml(known: Known) -> str:
    kind = {} if known.backend == DIRECTORY else {BACKEND: known.backend}
    return json.dumps({**kind, **hidden_options(known.options)})
