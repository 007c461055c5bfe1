"""What can be wrong with what was asked of a volume. Engines show the texts to their users."""

from __future__ import annotations

import errno

from ..plugin.errors import BadRequest, PluginError, short

# Load the codec now: with no file descriptor left, an error about that could not be written.
"".encode("unicode_escape")

#: How much of a text from outside an error repeats, in characters.
_SHOWN = 80


class VolumeError(PluginError):
    """A volume cannot do what was asked of it."""


class NoSuchVolumeError(VolumeError):
    """There is no volume of that name."""


class BusyError(VolumeError):
    """The volume is in use, and what was asked would take it away."""


class InvalidNameError(BadRequest):
    """The name cannot be a volume's name."""


class InvalidOptionError(BadRequest):
    """An option is not known, or its value cannot be used."""


class ConflictError(BadRequest):
    """The volume exists with other options."""


def quoted(text: str) -> str:
    """Return `text` in double quotes on one line, cut where it is long."""
    shown = text[:_SHOWN].encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{shown}"' if len(text) <= _SHOWN else f'"{shown}…" ({len(text)} characters)'


def advice(error: OSError) -> str:
    """Return what to do about an error of the file system, to be added to its text."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return '; free some space: "exampledriver trash purge" deletes for good what was removed'
    return f": {advised}" if (advised := short(error)) else ""
