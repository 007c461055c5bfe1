"""What can be wrong with what was asked of a volume. Engines show the texts to their users."""

from __future__ import annotations

import errno

from ..plugin.errors import BadRequest, PluginError, short
from ..plugin.redaction import hidden_option, quoted

# Load the codec now: with no file descriptor left, an error about that could not be written.
"".encode("unicode_escape")

#: How much of a path an error repeats, in characters.
_PATH = 256

__all__ = ["advice", "brief", "quoted", "quoted_option"]


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


def brief(text: str) -> str:
    """Return `text`, such as a path, as it is if it is short and plain, else as :func:`quoted`."""
    found = quoted(text, _PATH)
    return text if found == f'"{text}"' else found


def quoted_option(key: str, value: str) -> str:
    """Return the value of an option as :func:`quoted` does, or ``"***"`` for a secret."""
    return quoted(hidden_option(key, value))


def advice(error: OSError) -> str:
    """Return what to do about an error of the file system, to be added to its text."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            '; free some space: "exampledriver volume usage" and "exampledriver trash list" show '
            "what takes it"
        )
    return f": {advised}" if (advised := short(error)) else ""
