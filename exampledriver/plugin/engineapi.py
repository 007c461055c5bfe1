"""A request of the engine's API, read as the engine reads it.

The engine shows an authorization plugin the request as the client wrote it, and carries out what
it makes of it. Whatever a plugin reads in another way is a way round it:

- the engine decodes a path once, takes its version away and routes by the rest, so
  ``/%63ontainers%2Fcreate`` and ``x:/v1.41/containers/create`` create containers;
- a name in a path is any text, with slashes too: ``/containers/web/db/exec`` runs a program in
  the container that ``web`` has linked as ``db``;
- Go's encoding/json takes ``hostconfig`` for ``HostConfig``, with the long s of U+017F too;
- of a name that comes twice it keeps the last value, but it merges objects, and null may leave
  the value before it: which one counts depends on Go's types;
- it passes over whatever comes behind the first JSON value.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from urllib.parse import unquote_to_bytes

from attrs import frozen

from .errors import BadRequest

#: The version of a request whose path names none: greater than any other.
NEWEST = (sys.maxsize,)

#: How much of a path an error shows, in characters.
_SHOWN = 200

_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*")
_VERSION = re.compile(r"/v([0-9.]+)(?=/)")


def split_target(uri: str) -> tuple[str, tuple[int, ...]]:
    """Return the path that the engine routes a request by, and the version of the API.

    The path is decoded, once. It has no version, no query, no scheme and no host, and neither
    doubled slashes nor ``..``. A slash at its end stays, as the engine keeps it.

    :param uri: the request's target as the client sent it.
    :raises BadRequest: it leads to none of the API's paths.
    """
    text = uri.partition("?")[0]
    scheme, colon, rest = text.partition(":")
    if not text.startswith("/") and colon and _SCHEME.fullmatch(scheme):
        # An absolute URI; the engine does not look at its scheme and host.
        text = "/" + rest[2:].partition("/")[2] if rest.startswith("//") else rest
    if not text.startswith("/"):
        raise BadRequest(f"{_shown(uri)}: this is not a path of the engine's API")
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise BadRequest(f"{_shown(uri)}: an escape in the path is not two hexadecimal digits")
    try:
        text = unquote_to_bytes(text).decode("utf-8")
    except UnicodeError:
        raise BadRequest(f"{_shown(uri)}: the path is not UTF-8") from None
    path = _clean(text)
    found = _VERSION.match(path)
    if found is None:
        return path, NEWEST
    return path[found.end() :], tuple(int(part or 0) for part in found[1][:_SHOWN].split("."))


def _clean(path: str) -> str:
    """Return a path without ``.``, ``..`` and doubled slashes; one at its end stays."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(["", *parts, ""] if path.endswith("/") and parts else ["", *parts]) or "/"


def _shown(uri: str) -> str:
    return repr(uri.partition("?")[0][:_SHOWN])


@cache
def _pattern(route: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", route)
    return re.compile("".join(".*" if p[:1] == "{" else re.escape(p) for p in parts), re.DOTALL)


def fits(route: str, path: str) -> bool:
    """Return whether the engine takes a path for one of a route's.

    :param route: such as ``/containers/{name}/exec``. What is in braces stands for any text.
    :param path: as :func:`split_target` returns it.
    """
    return _pattern(route).fullmatch(path) is not None


def fold(name: str) -> str:
    """Return what two names have in common that Go's encoding/json takes for one."""
    if name.isascii():
        return name.lower()
    # Of one character at a time: Go takes the long s for s, but not the sharp s for ss.
    return "".join(low if len(low := c.casefold()) == 1 else c for c in name)


@frozen
class JsonObject:
    """A JSON object as a client wrote it. It is false if it is empty.

    :ivar items: each name and its value, in order; a name may come more than once. Objects
        inside are of this class too.
    """

    items: Sequence[tuple[str, object]]

    def __len__(self) -> int:
        """Return how many names it has."""
        return len(self.items)

    def values(self, *path: str) -> list[object]:
        """Return every value that the engine may take for the one at a path.

        Names match without regard to case, those of labels too, which the engine distinguishes.
        Each of two values of one name is there, and of an array each element is. What is absent
        is an empty list.

        Forbid with ``any``, require with ``all``, and say what an absent value means::

            if any(body.values("HostConfig", "Privileged")):
                return deny("privileged containers are not allowed here")
        """
        found: list[object] = [self]
        for name in map(fold, path):
            found = [
                value
                for item in found
                if isinstance(item, JsonObject)
                for key, held in item.items
                if fold(key) == name
                for value in _spread(held)
            ]
        return found


def _spread(value: object) -> Iterator[object]:
    if isinstance(value, list):
        for item in value:
            yield from _spread(item)
    else:
        yield value


def read_object(body: bytes | None) -> JsonObject:
    """Read the JSON object in a request's body.

    :raises BadRequest: the engine has not shown the body, or it is not one JSON object in UTF-8
        and nothing else.
    """
    if body is None:
        raise BadRequest(
            "the engine does not show the body of this request: send it as application/json, "
            "and with less than 1 MiB"
        )
    try:
        found = json.loads(
            body.decode("utf-8"), object_pairs_hook=lambda items: JsonObject(tuple(items))
        )
    except RecursionError:
        raise BadRequest("the request's body is nested too deeply") from None
    except ValueError:
        raise BadRequest("the request's body is not JSON in UTF-8") from None
    if not isinstance(found, JsonObject):
        raise BadRequest("the request's body is not a JSON object")
    return found
