"""The checks of ``exampledriver doctor``.

A check looks at an :class:`Installation` and yields findings; if it cannot look
it raises :class:`CannotLookError`, after what it has found so far. It changes
nothing and takes no lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from .compose import compose
from .engine import shadowed, start_order
from .files import disk, journal, modes
from .findings import CannotLookError, Finding, Severity
from .installation import Installation
from .sockets import sockets
from .specs import specs
from .volumes import counts, directories, secrets

__all__ = ["CannotLookError", "Check", "Finding", "Installation", "Severity", "checks_for"]

Check: TypeAlias = Callable[[Installation], Iterator[Finding]]


def checks_for(at: Installation) -> dict[str, Check]:
    """Return the checks that there are for an installation, by their names."""
    checks: dict[str, Check] = {
        "sockets": sockets,
        "specs": specs,
        "modes": modes,
        "disk": disk,
        "journal": journal,
        "directories": directories,
        "counts": counts,
        "secrets": secrets,
    }
    if at.docker is not None:
        checks |= {"shadowed": shadowed, "start-order": start_order}
    if at.compose:
        checks["compose"] = compose
    return checks
