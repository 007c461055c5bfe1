"""A right plugin whose volumes are wherever their option says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .right import Refused, Right


class Placed(Right):
    """A driver whose option says where the data is, which outlives the volume, as sshfs's does."""

    def make(self, name: str, options: Any) -> None:
        if set(options) != {"place"}:
            raise Refused("give -o place=PATH, and nothing else")
        self.places[name] = Path(options["place"])
        super().make(name, options)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.places: dict[str, Path] = {}

    def place(self, name: str) -> Path:
        return self.places[name]

    def forget(self, name: str) -> None:
        del self.created[name], self.mounts[name], self.places[name]
