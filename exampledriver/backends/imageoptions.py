"""The options of volumes that are file systems in files."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from ..volumes import values
from ..volumes.errors import InvalidNameError, quoted
from ..volumes.model import FROM, Wanted
from . import owned

IMAGE = "image"

#: The smallest file systems, in bytes. A Btrfs can be smaller, and would then never grow.
_SMALLEST = {"ext4": 8 << 20, "xfs": 300 << 20, "btrfs": 256 << 20}

#: The options that there are.
READERS: Mapping[str, values.Reader] = {
    **owned.READERS,
    FROM: values.source,
    "fs": values.choice(*_SMALLEST),
    "reserve": values.yes_no,
    "size": values.size,
}

#: So that there is room for what follows a name, in 255 characters.
_LONGEST_NAME = 240


@frozen
class ImageOptions:
    """The options of a volume.

    :ivar size: of the file, in bytes; the file system in it holds a little less.
    :ivar fs: the type of the file system.
    :ivar reserve: take all of the space at once.
    """

    size: int
    fs: str
    reserve: bool
    access: owned.Access

    @classmethod
    def of(cls, options: Mapping[str, str]) -> ImageOptions:
        """Read canonical texts."""
        size = values.size_bytes(options["size"])
        reserve = options.get("reserve") == "yes"
        return cls(size, options.get("fs", "ext4"), reserve, owned.Access.of(options))


def parse(name: str, given: Mapping[str, str]) -> Wanted:
    """Read the options of a Create.

    :raises InvalidOptionError: one cannot be used.
    """
    options = values.canonical(name, IMAGE, given, READERS)
    if len(name) > _LONGEST_NAME:
        raise InvalidNameError(
            f"volume {quoted(name)}: the name is too long for backend {IMAGE}: its file needs a "
            f"name too; give at most {_LONGEST_NAME} characters"
        )
    if "size" not in options:
        raise values.missing(name, IMAGE, "size", "how much it may hold, such as 10G")
    options = dict(sorted({"fs": "ext4", **options}.items()))
    smallest = _SMALLEST[options["fs"]]
    if values.size_bytes(options["size"]) < smallest:
        rule = f"a file system {options['fs']} needs at least {values.size_text(smallest)}"
        raise values.bad(name, "size", options["size"], rule)
    return Wanted(IMAGE, options)
