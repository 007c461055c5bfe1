"""What a volume is: its name, its options, and how it is written in the journal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from attrs import frozen

from ..plugin.errors import BadRequest
from ..plugin.volume import rfc3339
from .errors import InvalidNameError, InvalidOptionError, quoted
from .values import difference

#: Docker's own rule for the local driver's names, of one character too.
is_name = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", re.ASCII).fullmatch

#: The journal's key for the last generation of directories that is durable: no volume's name.
SETTLED = ".settled"


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


#: The kind of a volume when nothing is said.
DIRECTORY = "directory"

#: The :attr:`StoredVolume.place` of a directory in the same mount as the root, or as ``/`` if it
#: does not live in the root.
OWN = "."

#: The option that asks for a copy of a volume's data, or of a snapshot's: ``NAME[@LABEL]``.
FROM = "from"


@frozen
class Wanted:
    """What a Create asks for.

    :ivar backend: the kind of storage.
    :ivar options: their canonical texts, by name; ``backend`` is none of them.
    :ivar unresolved: the file system is to be asked about them, which may take a while.
    """

    backend: str
    options: Mapping[str, str]
    unresolved: bool = False


#: Of most volumes.
NO_LABELS: Mapping[str, str] = MappingProxyType({})
#: How many bytes the labels of a volume may have.
MOST_LABELS = 1 << 16


def check_labels(name: str, labels: Mapping[Any, Any]) -> Mapping[str, str]:
    """Return labels that the journal can keep.

    :raises InvalidOptionError: a label is not a text, or there are too many.
    """
    texts = {key: value for key, value in labels.items() if isinstance(key, str)}
    try:
        size = sum(len(text.encode("utf-8")) for pair in texts.items() for text in pair)
    except (AttributeError, UnicodeEncodeError):
        size = -1
    if size < 0 or len(texts) < len(labels):
        raise InvalidOptionError(f"volume {quoted(name)}: a label is not a text in UTF-8")
    if size > MOST_LABELS:
        raise InvalidOptionError(
            f"volume {quoted(name)}: its labels have {size} bytes; at most {MOST_LABELS} are kept"
        )
    return MappingProxyType(texts)


#: Judges the backend and the options of a volume in the journal, and raises ValueError.
Judge: TypeAlias = Callable[[str, Mapping[str, str]], None]


@frozen
class StoredVolume:
    """A volume as the journal keeps it.

    :ivar mountpoint: its directory: an absolute path without symbolic links.
    :ivar created: to the second, with a time zone.
    :ivar options: their canonical texts, by name.
    :ivar backend: the kind of storage.
    :ivar place: which file system its directory lies in, as a text that is the same after a
        reboot; empty if that has not been noted, or the driver itself mounts it.
    :ivar labels: those that an engine has for it, as far as an administrator's command has told.
    """

    name: str
    mountpoint: str
    created: datetime
    options: Mapping[str, str]
    backend: str = DIRECTORY
    place: str = ""
    labels: Mapping[str, str] = NO_LABELS

    def difference(self, wanted: Wanted) -> str:
        """Say how what is wanted differs, or return an empty string."""
        if wanted.backend != self.backend:
            return f"backend is {self.backend}, asked for is {wanted.backend}"
        return difference(self.options, wanted.options)

    def to_json(self) -> dict[str, object]:
        """Return the journal's value for this volume; its key is the name."""
        value: dict[str, object] = {
            "backend": self.backend,
            "created": rfc3339(self.created),
            "mountpoint": self.mountpoint,
            "options": dict(self.options),
        }
        if self.place:
            value["place"] = self.place
        if self.labels:
            value["labels"] = dict(self.labels)
        return value

    @classmethod
    def from_json(
        cls, name: str, value: Mapping[str, object], judge: Judge | None = None
    ) -> StoredVolume:
        """Read a value of :meth:`to_json`.

        :param judge: is asked about each backend with its options, once for those of many volumes.
        :raises ValueError: it is none, or a newer version's; the text names the volume.
        """
        try:
            return cls._from_json(name, value, judge)
        except (ValueError, BadRequest) as error:
            raise ValueError(
                f"the journal's entry of volume {quoted(name)} is not one of this version of "
                f"exampledriver: {error}"
            ) from None

    @classmethod
    def _from_json(
        cls, name: str, value: Mapping[str, object], judge: Judge | None
    ) -> StoredVolume:
        check_name(name)
        mountpoint = value.get("mountpoint")
        created = value.get("created")
        options = value.get("options")
        backend = value.get("backend")
        place = value.get("place", "")
        labels = value.get("labels", {})
        if not (
            isinstance(mountpoint, str)
            and isinstance(created, str)
            and isinstance(options, dict)
            and isinstance(backend, str)
            and isinstance(place, str)
            and isinstance(labels, dict)
        ):
            raise ValueError("it lacks a field")
        # Python 3.10 reads no "Z".
        moment = datetime.fromisoformat(created.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            raise ValueError(f"created={quoted(created)} has no time zone")
        kept = _stored_options(backend, options, judge)
        known = check_labels(name, labels) if labels else NO_LABELS
        return cls(name, mountpoint, moment, kept, backend, place, known)


#: Backends and options that were judged before: many volumes have the same, and share them.
_SHARED: dict[tuple[str, tuple[tuple[str, str], ...]], Mapping[str, str]] = {}
_MOST_SHARED = 1024


def _stored_options(
    backend: str, given: Mapping[str, object], judge: Judge | None
) -> Mapping[str, str]:
    key = backend, tuple(given.items())
    try:
        return _SHARED[key]  # type: ignore[index]
    except (KeyError, TypeError):
        if not all(isinstance(text, str) for text in given.values()):
            raise ValueError("an option is not a text") from None
    texts = MappingProxyType({key: str(text) for key, text in given.items()})
    if judge is not None:
        judge(backend, texts)
        if len(_SHARED) < _MOST_SHARED:
            _SHARED[backend, tuple(texts.items())] = texts
    return texts
