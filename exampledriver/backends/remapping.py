"""Which user of the host is root in the containers of an engine with ``userns-remap``.

In such containers a directory of the host's root belongs to ``nobody``, and cannot be written to.
New volumes belong to the remapped root in its place. What an engine does is read once, at
start-up, from its configuration, as it reads it.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

from .owned import Owner

#: Where Docker's configuration is.
ENGINE = Path("/etc/docker/daemon.json")
#: Where ranges of subordinate user and group ids are.
RANGES = Path("/etc/subuid"), Path("/etc/subgid")
#: The user that ``default`` stands for.
_DEFAULT_USER = "dockremap"
#: The largest file that is read, in bytes.
_MOST = 1 << 20
#: The largest id.
_LARGEST = (1 << 32) - 2


class RemapError(Exception):
    """It cannot be said who is root in containers; the text says why."""


def _read(path: Path) -> str:
    """Read a regular file.

    :raises OSError: it cannot be read.
    :raises RemapError: it is not a file that is to be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise RemapError(f"{path}: is not a file")
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise RemapError(f"{path}: has more than {_MOST} bytes")
    return data.decode("utf-8", "replace")


def configured(engine: Path = ENGINE) -> str:
    """Return the ``userns-remap`` of an engine's configuration; empty if it has none.

    :raises RemapError: the configuration cannot be read.
    """
    try:
        found = json.loads(_read(engine))
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise RemapError(f"{engine}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise RemapError(f"{engine}: is not JSON") from None
    remap = found.get("userns-remap", "") if isinstance(found, dict) else ""
    if not isinstance(remap, str):
        raise RemapError(f"{engine}: userns-remap is not a text")
    return remap


def remapped_root(remap: str, ranges: tuple[Path, Path] = RANGES) -> Owner:
    """Return who root is in the containers of an engine.

    :param remap: as of ``dockerd --userns-remap``: ``default``, or a user's name or id, with or
        without a group.
    :param ranges: the files of subordinate user and group ids.
    :raises RemapError: that is not known.
    """
    user = remap.partition(":")[0]
    if user == "default":
        user = _DEFAULT_USER
    names = {user}
    with suppress(KeyError, ValueError, OverflowError):
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        names = {entry.pw_name, str(entry.pw_uid)}
    uid, gid = (_first(path, names, user) for path in ranges)
    return Owner(uid, gid)


def _first(path: Path, names: set[str], user: str) -> int:
    try:
        lines = _read(path).split("\n")
    except OSError as error:
        raise RemapError(f"{path}: {error.strerror}") from None
    starts = []
    for line in lines:
        name, _, numbers = line.strip().partition(":")
        start, _, count = numbers.partition(":")
        if name not in names:
            continue
        if not (_is_id(start) and _is_id(count) and int(count)):
            raise RemapError(f"{path}: the line of {user} is not NAME:START:COUNT")
        starts.append(int(start))
    if not starts:
        raise RemapError(f"{path}: has no line of {user}")
    if starts[0] != min(starts):
        # Some versions of Docker sort them, others do not.
        raise RemapError(f"{path}: the first range of {user} is not the lowest")
    return starts[0]


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= _LARGEST
