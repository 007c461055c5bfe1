"""What a log may show of a message: no secrets, no more than fits a line."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Names of options whose values are secrets, whichever driver has them.
_WORD = r"\w*(?:pass|pwd|secret|token|cred|auth|key)\w*"
_NAME = re.compile(_WORD, re.IGNORECASE)
#: ``password=…`` inside a value, as mount options have it, up to the next comma or blank.
_ASSIGNED = re.compile(rf"\b({_WORD})=[^,\s]*", re.IGNORECASE)
#: ``//user:password@host`` and ``//user%password@host``.
_IN_URL = re.compile(r"//([^/\s:%@]*)[:%][^/\s@]*@")

_HIDDEN = "***"
#: How many entries of a map, and how many characters of a text, are shown.
_ENTRIES, _CHARACTERS = 20, 200


def shown(value: object, name: str = "") -> object:
    """Return `value`, a part of a message, as a log may show it.

    :param name: the key under which it stands.
    """
    if isinstance(value, Mapping):
        kept = list(value.items())[:_ENTRIES]
        result = {_cut(str(key)): shown(item, str(key)) for key, item in kept}
        if len(value) > _ENTRIES:
            result["…"] = f"{len(value) - _ENTRIES} more"
        return result
    if _NAME.fullmatch(name):
        return _HIDDEN
    if isinstance(value, (int, float)) or value is None:
        return value
    text = _ASSIGNED.sub(rf"\1={_HIDDEN}", str(value))
    return _cut(_IN_URL.sub(rf"//\1:{_HIDDEN}@", text))


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + "…"
