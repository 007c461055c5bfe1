"""What other volume drivers have left: their volumes, as those that are to be made of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from ..plugin.redaction import secret_in
from .client import AdminError
from .engine import Engine, EngineError, labels_of

#: Volumes without a name of their own, as Docker calls them.
_ANONYMOUS = re.compile("[0-9a-f]{64}")

#: What netshare's drivers are called, and the type of file system that each mounts.
NETSHARE = {"nfs": "nfs4", "cifs": "cifs", "efs": "efs"}


@frozen
class Step:
    """One volume that is to be made.

    :ivar what: what is done: ``create``, ``copy`` or ``move``.
    :ivar options: as for ``docker volume create -o``.
    :ivar source: the directory that is copied or moved.
    :ivar secret: what belongs into a file of credentials, as ``key=value`` lines.
    :ivar refused: why it cannot be done, if that is known already.
    :ivar labels: those of the old volume.
    """

    name: str
    what: str
    options: Mapping[str, str]
    source: str = ""
    secret: str = field(default="", repr=False)
    refused: str = ""
    labels: Mapping[str, str] = field(factory=dict)


def local_persist(state: Path) -> list[Step]:
    """Read the state of local-persist: volumes by name, and their directories.

    :raises AdminError: it cannot be read.
    """
    if not state.exists():
        raise AdminError(f"{state}: no such file; name local-persist's state with --state")
    found = _json(state)
    volumes = found.get("state") if isinstance(found, dict) else None
    if not isinstance(volumes, dict):
        raise AdminError(f'{state}: is not local-persist\'s: it has no object "state"')
    return [_persisted(name, place) for name, place in sorted(volumes.items())]


def _persisted(name: str, place: object) -> Step:
    if not isinstance(place, str) or not place.startswith("/"):
        return Step(name, "create", {}, refused="its mountpoint is no absolute path")
    why = ""
    if not os.path.isdir(place):
        # A new directory in its place would be taken for the volume.
        why = f"{place} is no directory, or not there: mount the file system that holds it"
    return Step(name, "create", {"mountpoint": place}, refused=why)


def docker_local(root: Path, move: bool, anonymous: bool) -> list[Step]:
    """Read the volumes of Docker's own driver ``local``.

    :param root: Docker's data root.
    :param anonymous: those without a name of their own, too.
    :raises AdminError: they cannot be read.
    """
    place = root / "volumes"
    steps = []
    for name in sorted(_listed(place)):
        directory = place / name
        if not directory.is_dir() or (_ANONYMOUS.fullmatch(name) and not anonymous):
            continue
        data = directory / "_data"
        given = _local_options(directory / "opts.json")
        if given:
            steps.append(_of_local_options(name, given))
        elif data.is_dir():
            steps.append(Step(name, "move" if move else "copy", {}, str(data)))
        else:
            why = f"{data} is not there: moved away already?"
            steps.append(Step(name, "move" if move else "copy", {}, str(data), refused=why))
    return steps


def _local_options(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    found = _json(path)
    keys = {"MountType": "type", "MountDevice": "device", "MountOpts": "o"}
    if not isinstance(found, dict):
        raise AdminError(f"{path}: is not Docker's: no JSON object")
    given = {ours: str(found[theirs]) for theirs, ours in keys.items() if found.get(theirs)}
    quota = found.get("Quota")
    if isinstance(quota, dict) and quota.get("Size"):
        given["size"] = str(quota["Size"])
    return given


def _of_local_options(name: str, given: Mapping[str, str]) -> Step:
    """Return what stands for options of Docker's driver ``local``."""
    words = [word for word in given.get("o", "").split(",") if word]
    device, kind = given.get("device", ""), given.get("type", "")
    if "size" in given and not kind:
        why = "it has a quota, which a copy would not have: make an image volume, and copy into it"
        return Step(name, "create", {}, refused=why)
    if set(words) & {"bind", "rbind"}:
        more = [word for word in words if word not in ("bind", "rbind", "rw")]
        if more:
            why = f"it is a bind mount with {','.join(more)}, which a directory has not"
            return Step(name, "create", {"mountpoint": device}, refused=why)
        return Step(name, "create", {"mountpoint": device})
    if kind == "tmpfs":
        pairs = {word.partition("=")[0]: word.partition("=")[2] for word in words}
        known: dict[str, str] = {
            key: pairs.pop(key) for key in ("size", "uid", "gid", "mode") if key in pairs
        }
        options: dict[str, str] = {"backend": "tmpfs", **known}
        why = f"options of tmpfs that are not known here: {','.join(pairs)}" if pairs else ""
        return Step(name, "create", options, refused=why)
    options = {"backend": "mount", "type": kind, "device": device}
    kept, secret = _without_secrets(words)
    if kept:
        options["o"] = ",".join(kept)
    return Step(name, "create", {k: v for k, v in options.items() if v}, secret=secret)


def _without_secrets(words: Sequence[str]) -> tuple[list[str], str]:
    """Take secrets out of options of mount(8), and the user's name with them."""
    secret = [word for word in words if _is_secret(word)]
    if not secret:
        return list(words), ""
    who = ("username", "user", "domain")
    out = [word for word in words if word in secret or word.partition("=")[0].lower() in who]
    lines = []
    for word in out:
        key, _, value = word.partition("=")
        key = {"user": "username", "pass": "password", "passwd": "password"}.get(key.lower(), key)
        lines.append(f"{key}={value}\n")
    return [word for word in words if word not in out], "".join(lines)


def _is_secret(word: str) -> bool:
    """Tell whether an option of mount(8) is a password, by its name."""
    key, found, value = word.partition("=")
    return bool(found and secret_in(key, value)) and key.lower() not in ("user", "username")


def netshare(volumes: object, drivers: Mapping[str, str]) -> list[Step]:
    """Read what ``docker volume inspect`` says of netshare's volumes.

    :param drivers: netshare's drivers, and the type of file system that each mounts.
    :raises AdminError: it is no list of volumes.
    """
    if not isinstance(volumes, list) or not all(isinstance(one, dict) for one in volumes):
        raise AdminError("netshare: give what docker volume inspect prints: a JSON list")
    return sorted(_netshare_steps(volumes, drivers), key=lambda step: step.name)


def _netshare_steps(
    volumes: Sequence[Mapping[str, Any]], drivers: Mapping[str, str]
) -> Iterator[Step]:
    for volume in volumes:
        name, driver = str(volume.get("Name", "")), str(volume.get("Driver", "")).split(":")[0]
        if driver not in drivers:
            continue
        said: Mapping[str, object] = volume.get("Options") or {}
        given = {str(key): str(value) for key, value in said.items()}
        kind = drivers[driver]
        options = {"backend": "mount", "type": kind, **given}
        password = options.pop("password", None)
        secret = ""
        if password is not None:
            who: dict[str, str] = {
                key: options.pop(key) for key in ("username", "domain") if key in options
            }
            who["password"] = password
            secret = "".join(f"{key}={value}\n" for key, value in who.items())
        labels = labels_of(volume)
        if "share" in options or "device" in options:
            yield Step(name, "create", options, secret=secret, labels=labels)
        else:
            # netshare takes a name that is a share for one.
            why = (
                "it has no share: its name is one. Give it a name: exampledriver volume create "
                f"NAME -o backend=mount -o type={kind} -o share={name}"
            )
            yield Step(name, "create", options, secret=secret, refused=why, labels=labels)


def engine_volumes(engine: Engine, drivers: Sequence[str]) -> list[dict[str, Any]]:
    """Ask an engine for the volumes of some drivers.

    :raises AdminError: it does not answer.
    """
    try:
        return engine.volumes(drivers)
    except EngineError as error:
        raise AdminError(
            f"{error}; name the engine with --docker, or give --inspect with what docker volume "
            "inspect prints"
        ) from None


def with_labels(steps: Sequence[Step], volumes: Sequence[Mapping[str, Any]]) -> list[Step]:
    """Return the steps with the labels that an engine knows of their volumes."""
    labels = {str(volume.get("Name")): labels_of(volume) for volume in volumes}
    return [evolve(step, labels=labels.get(step.name, step.labels)) for step in steps]


def _listed(place: Path) -> list[str]:
    try:
        return os.listdir(place)
    except OSError as error:
        raise AdminError(f"{place}: {error.strerror}: name Docker's data root") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise AdminError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise AdminError(f"{path}: is not JSON: {error}") from None
