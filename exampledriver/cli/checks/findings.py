"""What a check finds, and how it says that it could not look."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

from attrs import frozen

#: A problem wants to be mended; a note is worth knowing, and everything works.
Severity = Literal["problem", "note"]


@frozen
class Finding:
    """One thing that is wrong.

    :ivar check: the name of the check that found it.
    :ivar what: what is wrong, and where.
    :ivar why: how it hurts, in a sentence.
    :ivar fix: the commands that mend it, a line each.
    """

    check: str
    severity: Severity
    what: str
    why: str
    fix: str


def quoted(path: Path | str) -> str:
    """Return a path or another word as a shell's command has it."""
    return shlex.quote(str(path))


class CannotLookError(Exception):
    """A check, or a part of it, could not be made; the text says why and what to do."""
