"""The kinds of storage by name, and what a Create asks for of them; nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from attrs import field, frozen

from ..volumes.errors import InvalidOptionError, quoted
from ..volumes.model import DIRECTORY, Wanted
from . import btrfs, directory, imageoptions, sharing, tmpfs

Parse: TypeAlias = Callable[[str, Mapping[str, str]], Wanted]

#: How the options of each kind are read.
PARSE: Mapping[str, Parse] = {
    DIRECTORY: directory.parse,
    imageoptions.IMAGE: imageoptions.parse,
    tmpfs.TMPFS: tmpfs.parse,
    btrfs.BTRFS: btrfs.parse,
    sharing.MOUNT: sharing.parse,
}

#: The options of each kind.
OPTIONS: Mapping[str, frozenset[str]] = {
    DIRECTORY: frozenset(directory.READERS),
    imageoptions.IMAGE: frozenset(imageoptions.READERS),
    tmpfs.TMPFS: frozenset(tmpfs.READERS),
    btrfs.BTRFS: frozenset(btrfs.READERS),
    sharing.MOUNT: frozenset(sharing.READERS),
}

#: The kinds whose volumes are mounted at the root's directory of their name.
MOUNTED = frozenset({imageoptions.IMAGE, tmpfs.TMPFS, sharing.MOUNT})

#: Options by which a kind is recognised that was not asked for.
_TELLING = {
    **dict.fromkeys(("type", "device", "o", "share"), sharing.MOUNT),
    **dict.fromkeys(("fs", "reserve"), imageoptions.IMAGE),
    **dict.fromkeys(("compression", "cow", "copyonwrite"), btrfs.BTRFS),
}


@frozen
class Choice:
    """What of the kinds an operator lets users have.

    :ivar allowed: the kinds that may be created.
    :ivar default: the kind when none is asked for.
    :ivar defaults: for each kind, options that are taken when they are not given.
    """

    allowed: Sequence[str] = tuple(PARSE)
    default: str = DIRECTORY
    defaults: Mapping[str, Mapping[str, str]] = field(factory=dict)

    def parse(self, name: str, given: Mapping[str, str], whole: bool = False) -> Wanted:
        """Read the options of a Create.

        :param whole: they are all of the volume's: it takes no defaults.
        :raises InvalidOptionError: one is not known, missing, or malformed; or the kind is not
            allowed.
        """
        backend = given.get("backend")
        if backend is None:
            backend = self.default
        elif backend not in PARSE:
            known = ", ".join(sorted(self.allowed))
            raise InvalidOptionError(
                f"volume {quoted(name)}: option backend={quoted(backend)}: give one of {known}"
            )
        if backend not in self.allowed:
            raise InvalidOptionError(
                f"volume {quoted(name)}: option backend={quoted(backend)}: the configuration of "
                f"this driver allows {', '.join(self.allowed)}"
            )
        options = given
        if "backend" in given:
            options = {key: value for key, value in given.items() if key != "backend"}
        elif not given.keys() <= OPTIONS[backend]:
            self._tell(name, backend, given)
        defaults = self.defaults.get(backend)
        if defaults and not whole:
            options = {**defaults, **options}
        return PARSE[backend](name, options)

    def _tell(self, name: str, backend: str, given: Mapping[str, str]) -> None:
        """Refuse options of another kind than the default one, and say of which they are."""
        for key in given:
            other = _TELLING.get(key)
            if key not in OPTIONS[backend] and other in self.allowed:
                raise InvalidOptionError(
                    f"volume {quoted(name)}: option {quoted(key)} is not one of backend {backend}: "
                    f"it is one of {other}; add -o backend={other}"
                )


def judge(backend: str, options: Mapping[str, str]) -> None:
    """Judge what the journal says of a volume.

    :raises ValueError: this version knows no such backend.
    :raises InvalidOptionError: or no such option.
    """
    parse = PARSE.get(backend)
    if parse is None:
        raise ValueError(f"backend {backend!r} is not known")
    parse("", options)
