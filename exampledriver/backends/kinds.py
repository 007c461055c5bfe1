"""The kinds of storage by name, and what a Create asks for of them; nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from attrs import field, frozen

from ..volumes.errors import InvalidOptionError, quoted
from ..volumes.model import DIRECTORY, Wanted
from ..volumes.values import Reader
from . import btrfs, directory, given, imageoptions, podman, sharing, tmpfs

Parse: TypeAlias = Callable[[str, Mapping[str, str]], Wanted]

#: How the options of each kind are read.
PARSE: Mapping[str, Parse] = {
    DIRECTORY: directory.parse,
    imageoptions.IMAGE: imageoptions.parse,
    tmpfs.TMPFS: tmpfs.parse,
    btrfs.BTRFS: btrfs.parse,
    sharing.MOUNT: sharing.parse,
}

#: The options of each kind, and how their values are read.
READERS: Mapping[str, Mapping[str, Reader]] = {
    DIRECTORY: directory.READERS,
    imageoptions.IMAGE: imageoptions.READERS,
    tmpfs.TMPFS: tmpfs.READERS,
    btrfs.BTRFS: btrfs.READERS,
    sharing.MOUNT: sharing.READERS,
}

#: The names of the options of each kind, and of all.
OPTIONS: Mapping[str, frozenset[str]] = {kind: frozenset(of) for kind, of in READERS.items()}
KNOWN = frozenset({"backend"}.union(*OPTIONS.values()))

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

    def parse(self, name: str, asked: Mapping[str, str], whole: bool = False) -> Wanted:
        """Read the options of a Create.

        :param whole: they are all of the volume's: it takes no defaults.
        :raises InvalidOptionError: one is not known, missing, or malformed, or has a secret in
            it; or the kind is not allowed.
        """
        if asked:
            check(name, asked)
        backend = asked.get("backend")
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
        options = podman.plain(name, backend, asked, READERS[backend]) if asked else asked
        if "backend" in options:
            options = {key: value for key, value in options.items() if key != "backend"}
        elif not options.keys() <= OPTIONS[backend]:
            self._tell(name, backend, options)
        defaults = self.defaults.get(backend)
        if defaults and not whole:
            kind = defaults.get("type")
            if kind is not None and options.get("type", kind) != kind:
                # What else is given there is for that type.
                defaults = {key: value for key, value in defaults.items() if key == "timeout"}
            options = {**defaults, **options}
        return PARSE[backend](name, options)

    def _tell(self, name: str, backend: str, options: Mapping[str, str]) -> None:
        """Refuse options of another kind than the default one, and say of which they are."""
        for key in options:
            other = _TELLING.get(key)
            if key not in OPTIONS[backend] and other in self.allowed:
                raise InvalidOptionError(
                    f"volume {quoted(name)}: option {quoted(key)} is not one of backend {backend}: "
                    f"it is one of {other}; add -o backend={other}"
                )


def check(name: str, asked: Mapping[str, str]) -> None:
    """Raise if an option has a secret in it, or is plainly a mistake; see :func:`.given.check`.

    :raises InvalidOptionError: the text names the option, and repeats no secret.
    """
    given.check(name, asked, KNOWN)


def judge(backend: str, options: Mapping[str, str]) -> None:
    """Judge what the journal says of a volume.

    :raises ValueError: this version knows no such backend.
    :raises InvalidOptionError: or no such option.
    """
    parse = PARSE.get(backend)
    if parse is None:
        raise ValueError(f"backend {backend!r} is not known")
    parse("", options)
