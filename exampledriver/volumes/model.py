"""What a volume is: its name, its options, and how it is written in the journal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from ..plugin.errors import BadRequest
from ..plugin.volume import rfc3339
from .errors import InvalidNameError, InvalidOptionError, quoted

#: Docker's own rule for the local driver's names, of one character too.
is_name = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", re.ASCII).fullmatch

#: The journal's key for the last generation of directories that is durable: no volume's name.
SETTLED = ".settled"

#: The options of ``docker volume create -o``, in the order in which errors list them.
KNOWN_OPTIONS = ("gid", "mode", "mountpoint", "uid")

#: The largest user or group id; the one above it means "leave as it is" to chown(2).
_MAX_ID = 2**32 - 2


def check_name(name: str) -> None:
    """Refuse what cannot be a volume's name, before any path is made of it.

    :raises InvalidNameError: it is not 1 to 255 letters, digits, ``_``, ``.`` and
        ``-``, the first a letter or digit.
    """
    if not is_name(name):
        raise InvalidNameError(
            f"volume {quoted(name)}: the name is not valid: it needs 1 to 255 characters, ASCII "
            "letters, digits, _ . and -, the first a letter or digit"
        )


@frozen
class Options:
    """The options of a volume, as numbers and paths.

    :ivar mountpoint: an absolute path in place of the root's directory of the
        volume's name.
    :ivar uid: the owner of a directory that is made, 0 to 2**32 - 2.
    :ivar gid: its group, 0 to 2**32 - 2.
    :ivar mode: its permissions, 0 to 0o7777.
    """

    mountpoint: str | None = None
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None

    @classmethod
    def parse(cls, name: str, options: Mapping[str, str]) -> Options:
        """Read the options of a Create of the volume `name`.

        :raises InvalidOptionError: one is not known or malformed; the text names it.
        """
        for key in options:
            if key not in KNOWN_OPTIONS:
                raise InvalidOptionError(
                    f"volume {quoted(name)}: option {quoted(key)} is not known; "
                    f"known: {', '.join(KNOWN_OPTIONS)}"
                )
        return cls(
            _mountpoint(name, options.get("mountpoint")),
            _id(name, "uid", options.get("uid")),
            _id(name, "gid", options.get("gid")),
            _mode(name, options.get("mode")),
        )

    def as_given(self) -> dict[str, str]:
        """Return the options as strings, each in its one canonical form."""
        given: dict[str, str] = {}
        if self.gid is not None:
            given["gid"] = str(self.gid)
        if self.mode is not None:
            given["mode"] = f"{self.mode:04o}"
        if self.mountpoint is not None:
            given["mountpoint"] = self.mountpoint
        if self.uid is not None:
            given["uid"] = str(self.uid)
        return given

    def difference(self, other: Options) -> str:
        """Say how `other` differs, or return an empty string."""
        mine, its = self.as_given(), other.as_given()
        return "; ".join(
            f"{key} is {mine.get(key, 'not set')}, asked for is {its.get(key, 'nothing')}"
            for key in KNOWN_OPTIONS
            if mine.get(key) != its.get(key)
        )


def _bad(name: str, key: str, value: str, rule: str) -> InvalidOptionError:
    return InvalidOptionError(f"volume {quoted(name)}: option {key}={quoted(value)}: {rule}")


def _mountpoint(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not value.startswith("/"):
        raise _bad(name, "mountpoint", value, "give an absolute path")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _bad(name, "mountpoint", value, "the path is not UTF-8") from None
    if "\0" in value:
        raise _bad(name, "mountpoint", value, "the path has a NUL character")
    return value


def _id(name: str, key: str, value: str | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", value) or int(value) > _MAX_ID:
        raise _bad(name, key, value, f"give a number from 0 to {_MAX_ID}")
    return int(value)


def _mode(name: str, value: str | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(r"[0-7]{1,5}", value) or int(value, 8) > 0o7777:
        raise _bad(name, "mode", value, "give octal permissions from 0 to 7777, such as 0750")
    return int(value, 8)


@frozen
class StoredVolume:
    """A volume as the journal keeps it.

    :ivar mountpoint: its directory: an absolute path without symbolic links.
    :ivar created: to the second, with a time zone.
    """

    name: str
    mountpoint: str
    created: datetime
    options: Options

    def to_json(self) -> dict[str, object]:
        """Return the journal's value for this volume; its key is the name."""
        return {
            "backend": "directory",
            "created": rfc3339(self.created),
            "mountpoint": self.mountpoint,
            "options": self.options.as_given(),
        }

    @classmethod
    def from_json(cls, name: str, value: Mapping[str, object]) -> StoredVolume:
        """Read a value of :meth:`to_json`.

        :raises ValueError: it is none, or a newer version's; the text names the volume.
        """
        try:
            return cls._from_json(name, value)
        except (ValueError, BadRequest) as error:
            raise ValueError(
                f"the journal's entry of volume {quoted(name)} is not one of this version of "
                f"exampledriver: {error}"
            ) from None

    @classmethod
    def _from_json(cls, name: str, value: Mapping[str, object]) -> StoredVolume:
        check_name(name)
        mountpoint = value.get("mountpoint")
        created = value.get("created")
        options = value.get("options")
        if not (
            isinstance(mountpoint, str) and isinstance(created, str) and isinstance(options, dict)
        ):
            raise ValueError("it lacks a field")
        if value.get("backend") != "directory":
            raise ValueError(f"backend {value.get('backend')!r} is not known")
        # Python 3.10 reads no "Z".
        moment = datetime.fromisoformat(created.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            raise ValueError(f"created={created!r} has no time zone")
        return cls(name, mountpoint, moment, _stored_options(name, options))


#: Options that were read before: many volumes have the same, and share them.
_SHARED: dict[tuple[tuple[str, str], ...], Options] = {}
_MOST_SHARED = 1024


def _stored_options(name: str, given: Mapping[str, object]) -> Options:
    pairs = tuple(given.items())
    try:
        return _SHARED[pairs]  # type: ignore[index]
    except (KeyError, TypeError):
        if not all(isinstance(text, str) for text in given.values()):
            raise ValueError("an option is not a text") from None
    texts = {key: str(text) for key, text in given.items()}
    options = Options.parse(name, texts)
    if len(_SHARED) < _MOST_SHARED:
        _SHARED[tuple(texts.items())] = options
    return options
