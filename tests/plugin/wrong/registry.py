"""Which wrong plugin breaks which rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .right import Right

P = TypeVar("P", bound=type[Right])

#: The wrong plugin for each rule's id.
WRONG: dict[str, type[Right]] = {}


def breaks(rule_id: str) -> Callable[[P], P]:
    """Enter a plugin as the one that breaks a rule, and no other."""

    def enter(plugin: P) -> P:
        assert rule_id not in WRONG, rule_id
        WRONG[rule_id] = plugin
        return plugin

    return enter
