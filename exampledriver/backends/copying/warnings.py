"""What a copy leaves out or cannot keep: counted for each kind, with the first node of each."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from .nodes import shown

SOCKETS = "sockets left out, which an archive cannot hold"
TIMES = "times before 1901 or after 2446, which ext4 cannot hold"
CLAMPED = "times changed to the nearest that this file system can hold"
ATTRIBUTES = "attributes left out, because there are more of one file than can be copied"


@define(eq=False)
class Warnings:
    """The warnings of one copy."""

    _found: dict[str, tuple[int, str]] = field(factory=dict, init=False)

    def add(self, what: str, parts: Sequence[str]) -> None:
        """Count a node that a constant of this module warns of."""
        count, first = self._found.get(what, (0, shown(parts)))
        self._found[what] = count + 1, first

    def texts(self) -> tuple[str, ...]:
        """Return a sentence for each kind."""
        return tuple(
            f"{what}: {count}, the first at {first}" for what, (count, first) in self._found.items()
        )
