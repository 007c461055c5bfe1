"""The owner, the group and the permissions of a volume's root directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from ..volumes import values
from .durable import give_access

#: The permissions of a new volume's directory; Docker's local driver has the same.
DEFAULT_MODE = 0o755

#: The options of which an :class:`Access` is made.
READERS: Mapping[str, values.Reader] = {
    "gid": values.identity,
    "mode": values.mode,
    "uid": values.identity,
}


@frozen
class Owner:
    """To whom a new volume belongs whose options do not say it.

    :ivar uid: ``None`` for the daemon's user.
    :ivar gid: ``None`` for the daemon's group.
    """

    uid: int | None = None
    gid: int | None = None


#: The daemon's user and group.
DAEMON = Owner()


@frozen
class Access:
    """Who may do what with a directory.

    :ivar uid: its owner; ``None`` for the daemon's user.
    :ivar gid: its group.
    :ivar mode: its permissions.
    """

    uid: int | None = None
    gid: int | None = None
    mode: int = DEFAULT_MODE

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Access:
        """Read canonical texts."""
        if not options:
            return _DEFAULT
        uid, gid, mode = (options.get(key) for key in ("uid", "gid", "mode"))
        return cls(
            None if uid is None else int(uid),
            None if gid is None else int(gid),
            DEFAULT_MODE if mode is None else int(mode, 8),
        )

    def by(self, owner: Owner) -> Access:
        """Return this, with an owner where none is asked for."""
        if owner is DAEMON:
            return self
        uid = owner.uid if self.uid is None else self.uid
        return Access(uid, owner.gid if self.gid is None else self.gid, self.mode)

    def give(self, fd: int) -> None:
        """Give them to an open directory.

        :raises OSError: it could not be done.
        """
        give_access(fd, self.mode, self.uid, self.gid)


#: Of most volumes, which say nothing of it.
_DEFAULT = Access()


def is_asked(options: Mapping[str, str]) -> bool:
    """Tell whether options ask for an owner, a group or permissions."""
    return bool(options) and not READERS.keys().isdisjoint(options)


def _open(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def difference(directory: Path, options: Mapping[str, str]) -> str:
    """Say which owner, group and permissions a directory has in place of what options ask for.

    :return: such as ``uid is 0, asked for is 999``; empty if they are the same.
    :raises OSError: it cannot be reached, or is not a directory.
    """
    if not is_asked(options):
        return ""
    fd = _open(directory)
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    permissions = stat.S_IMODE(found.st_mode)
    actual = {"uid": str(found.st_uid), "gid": str(found.st_gid), "mode": f"{permissions:04o}"}
    return values.difference(actual, options, READERS.keys() & options.keys())


def change(directory: Path, options: Mapping[str, str]) -> None:
    """Give a directory the owner, group and permissions that options ask for, if they do.

    The directory may come from an archive or a container: a symbolic link in its place is not
    followed.

    :raises NotADirectoryError: it is not a directory.
    :raises OSError: it could not be done.
    """
    if not is_asked(options):
        return
    uid, gid, mode = (options.get(key) for key in ("uid", "gid", "mode"))
    fd = _open(directory)
    try:
        give_access(
            fd,
            None if mode is None else int(mode, 8),
            None if uid is None else int(uid),
            None if gid is None else int(gid),
        )
    finally:
        os.close(fd)
