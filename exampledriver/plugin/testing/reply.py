"""An answer as engines read it, and a careful look at the parts that they trip over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import frozen

from .http import Response

#: RFC 3339 with a zone, as Go reads it.
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d([.,]\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


@frozen
class Reply:
    """What a plugin answered to a call.

    :ivar call: such as ``VolumeDriver.Get``.
    :ivar took: seconds until it was there.
    """

    call: str
    response: Response
    took: float = 0.0

    @property
    def fields(self) -> Mapping[str, Any]:
        """The answer's JSON object; an empty one if it is none."""
        try:
            answer = self.response.answer
        except (ValueError, RecursionError):
            return {}
        return answer if isinstance(answer, dict) else {}

    @property
    def err(self) -> str:
        """The text of the error, empty if there is none; IPAM's key is another one."""
        err = self.fields.get("Err") or self.fields.get("Error")
        return err if isinstance(err, str) else ""

    @property
    def ok(self) -> bool:
        """Whether Docker takes it for a success."""
        return self.response.status == 200 and not self.err

    def __str__(self) -> str:
        """Return status and body, for a report."""
        found = self.response.body[:1000].decode("utf-8", "backslashreplace").strip()
        body = shown(found, 200) or "(no body)"
        return f"{self.call} was answered with {self.response.status} {body}"


def shown(text: str, most: int) -> str:
    """Return a text with what cannot be printed escaped, cut to so many characters."""
    escaped = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[: most + 1]
    )
    return escaped if len(escaped) <= most else f"{escaped[:most]} …"


def time_complaint(created: object) -> str:
    """Return what is wrong with a ``CreatedAt``; nothing if Go can read it."""
    if not isinstance(created, str):
        return f"CreatedAt is {created!r}, no string"
    found = _RFC3339.fullmatch(created)
    try:
        if found is not None:
            datetime(int(found[1]) or 1, int(found[2]), int(found[3]))
            return ""
    except ValueError:
        pass
    return f"CreatedAt is {created!r}"


def path_complaint(path: object, empty: bool) -> str:
    """Return what is wrong with a ``Mountpoint``.

    :param empty: it may be empty or absent.
    """
    if path in (None, "") and empty:
        return ""
    if not isinstance(path, str) or not path.startswith("/"):
        return f"Mountpoint is {path!r}, no absolute path"
    if path.strip("/") == "":
        return "Mountpoint is the root of the host"
    return ""
