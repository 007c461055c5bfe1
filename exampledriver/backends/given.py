"""What the options of a Create may not be, whichever backend reads them.

A volume in the journal may have such options, of an older version, and is used as before: what
reads the journal does not call :func:`check`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ..plugin.redaction import secret_in
from ..volumes import values
from ..volumes.errors import InvalidOptionError, brief, quoted

#: Neither a path nor the options of mount(2) can be longer; in characters, with the name.
LONGEST = 4096

#: Options whose values are lists of options of mount(8).
_LISTS = ("cifsopts", "nfsopts", "o")
#: Options whose values may have a comma with a name after it, as rclone's remotes have.
_PLACES = ("device", "share")
#: Options that are never one of a list's.
_NOT_LISTED = ("backend", "credentials-file", "device", "mountpoint", "share")


def check(name: str, given: Mapping[str, str], known: Collection[str]) -> None:
    """Raise if an option has a secret in it, or is plainly a mistake.

    :param known: the names of the options of all backends.
    :raises InvalidOptionError: the text names the option, and repeats no secret.
    """
    for key, value in given.items():
        length = len(key) + len(value)
        if length > LONGEST:
            # Before it is looked through, and without repeating what may be a part of a secret.
            raise InvalidOptionError(
                f"volume {quoted(name)}: option {quoted(key)} has {length} characters; give at "
                f"most {LONGEST}"
            )
        why = secret_in(key, value)
        if why:
            raise _secret(name, key, why)
        if _ends_in_blank(value):
            rule = "it begins or ends with whitespace: remove it"
            raise values.bad(name, key, value, rule)
        if key in _LISTS and any(word != word.strip() for word in value.split(",")):
            raise values.bad(name, key, value, "it has whitespace next to a comma: remove it")
        second = _second(key, value, known)
        if second:
            rule = (
                f"it contains a second option, {quoted(second)}: give each its own -o, as in "
                f"-o {brief(key)}=… -o {second}=…"
            )
            raise values.bad(name, key, value, rule)


def _ends_in_blank(value: str) -> bool:
    """Tell whether a value, or the path that it is when it is normal, has a blank at an end."""
    parts = [part for part in value.split("/") if part not in ("", ".")]
    path = "/" * value.startswith("/") + "/".join(parts)
    return any(text != text.strip() for text in (value, path))


def _secret(name: str, key: str, why: str) -> InvalidOptionError:
    # A name with other characters may have the secret in it.
    option = f"option {key}" if re.fullmatch(r"[\w-]{1,64}", key) else "an option"
    return InvalidOptionError(
        f"volume {quoted(name)}: {option} {why}, and anyone who can inspect the volume sees its "
        "options: write the secret into a file with mode 0600, and give credentials-file=/path "
        "(backend=mount)"
    )


def _second(key: str, value: str, known: Collection[str]) -> str:
    """Return the name of a second option in the value of one, or an empty text."""
    for found in re.finditer(r"([,;]|(?<!\s)\s)\s*(?:-o\s+)?([\w-]+)\s*=", value, re.ASCII):
        sign, second = found[1], found[2]
        if second not in known:
            continue
        if sign == "," and key in _LISTS and second not in _NOT_LISTED:
            continue
        if sign != " " and key in _PLACES and value.startswith(":"):
            continue
        return second
    return ""
