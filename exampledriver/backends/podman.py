"""How Podman gives a volume an owner and a size: in ``o``, and again in capitals.

``podman volume create -o o=uid=1000`` and Quadlet's ``User=`` send ``{"o": "uid=1000", "UID":
"1000"}``; ``podman kube play`` sends ``UID`` alone. Here they become the options of the backend,
so that the volume is the same as one of ``-o uid=1000``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..volumes import values
from ..volumes.errors import InvalidOptionError, quoted

#: The options that can be given so.
IN_O = ("gid", "mode", "size", "uid")
_CAPITALS = tuple(key.upper() for key in IN_O)
#: With one of these ``o`` is for mount(8).
_OF_MOUNT = ("device", "share", "type")


def plain(
    name: str, backend: str, given: Mapping[str, str], known: Mapping[str, values.Reader]
) -> Mapping[str, str]:
    """Return the options of a Create with those that are in ``o`` or in capitals by their names.

    :param known: the options of the backend.
    :raises InvalidOptionError: two of them say different things, or ``o`` has more in it.
    """
    if "o" not in given and not any(key in given for key in _CAPITALS):
        return given
    if "o" in known:
        return _of_mount(name, given)
    if any(key in given for key in _OF_MOUNT):
        return given  # refused, with the backend that has them
    result = {key: value for key, value in given.items() if key not in ("o", *_CAPITALS)}
    told = {key: ("", value) for key, value in result.items()}
    for where, key, value in _told(name, backend, given):
        text = values.read(name, where, value, known[key])
        before, other = told.get(key, ("", value))
        if key in told and values.read(name, before or key, other, known[key]) != text:
            raise InvalidOptionError(
                f"volume {quoted(name)}: option {key} is given twice: {quoted(other)} and "
                f"{quoted(value)}; give one of them"
            )
        told[key] = where, value
        result[key] = text
    return result


def _told(name: str, backend: str, given: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield where an option was given, its name and its value."""
    for word in given["o"].split(",") if "o" in given else ():
        key, found, value = word.partition("=")
        if not found or key.lower() not in IN_O:
            rule = (
                f"{quoted(word)} is not for backend {backend}, whose o takes "
                f"{', '.join(f'{key}=' for key in IN_O)}; options of mount(8) are for backend "
                "mount: add -o backend=mount"
            )
            raise values.bad(name, "o", given["o"], rule)
        yield "o", key.lower(), value
    for capitals in _CAPITALS:
        if capitals in given:
            yield capitals, capitals.lower(), given[capitals]


def _of_mount(name: str, given: Mapping[str, str]) -> Mapping[str, str]:
    """Return the options of backend mount, which keeps ``o``, without those in capitals."""
    words = given.get("o", "").split(",")
    for capitals in _CAPITALS:
        if capitals not in given:
            continue
        value = given[capitals]
        if not any(word.lower() == f"{capitals.lower()}={value.lower()}" for word in words):
            rule = (
                f"backend mount has no such option: give {capitals.lower()}= in o, if the "
                "file system type accepts it"
            )
            raise values.bad(name, capitals, value, rule)
    return {key: value for key, value in given.items() if key not in _CAPITALS}
