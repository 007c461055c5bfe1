"""What a log may show of a message: no secrets, and no more than fits a line.

It errs on the side of hiding. Every step is linear in the length of a text: it comes from
outside, and the reactor waits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

#: Names of options whose values are secrets, whichever driver has them.
_WORDS = "pass|pwd|secret|token|cred|auth|key"
_SECRET = re.compile(_WORDS, re.IGNORECASE)
#: ``name=value``, ``name: value`` and ``"name": "value"`` inside a text, for such names. It
#: begins where a word does, so that a long word is looked at once.
_ASSIGNED = re.compile(
    rf"""(?<![\w.-])(?=[\w.-]*?(?:{_WORDS}))([\w.-]+["']?\s{{0,8}}[:=]\s{{0,8}})"""
    r"""(?:"[^"]*"?|'[^']*'?|[^,\s]*)""",
    re.IGNORECASE,
)

#: ``user:password@host`` without a URL's slashes, such as netshare's shares of CIFS.
_USER = re.compile(r"""(?<![^\s"'=,;])([^\s"'=,;:@/]*:)[^\s"'@/]*(?=@)""")

#: What neither of the two ways to tell a secret can do without.
_SUSPECT = re.compile("[:=@]")

_HIDDEN = "***"
#: How many characters of a text are read, and shown; entries of a collection; levels of it.
_READ, _CHARACTERS, _ENTRIES, _DEPTH = 4096, 200, 20, 4
#: How many characters all of a message may take.
_ALL = 10_000


def shown(value: object) -> object:
    """Return ``value``, a part of a message, as a log may show it."""
    found = _shown(value, "", 0)
    return found if len(str(found)) <= _ALL else f"… ({len(str(value))} characters)"


def _shown(value: object, name: str, depth: int) -> object:
    if isinstance(value, (Mapping, Sequence)) and not isinstance(value, str):
        if depth == _DEPTH:
            return "…"
        if isinstance(value, Mapping):
            return _entries(value, depth)
        return [_shown(item, name, depth + 1) for item in value[:_ENTRIES]]
    if name and _SECRET.search(name):
        return _HIDDEN
    if isinstance(value, int) or value is None:
        return value
    return masked(str(value))


def _entries(value: Mapping[object, object], depth: int) -> dict[str, object]:
    kept = list(value.items())[:_ENTRIES]
    result = {masked(str(key)): _shown(item, str(key)[:_READ], depth + 1) for key, item in kept}
    if len(value) > _ENTRIES:
        result["…"] = f"{len(value) - _ENTRIES} more"
    return result


def masked(text: str, characters: int = _CHARACTERS) -> str:
    """Return a text with what looks like a secret hidden, cut to so many ``characters``."""
    if len(text) <= characters and not _SUSPECT.search(text):
        return text
    read = text[:_READ]
    # user:password@host of a URL; a password may have a slash or an @ in it.
    begin, end = read.find("//"), read.rfind("@")
    if -1 < begin < end:
        read = f"{read[: begin + 2]}{_HIDDEN}{read[end:]}"
    read = _USER.sub(rf"\1{_HIDDEN}", read)
    read = _ASSIGNED.sub(rf"\1{_HIDDEN}", read)
    return read if len(read) <= characters and len(text) <= _READ else read[:characters] + "…"
