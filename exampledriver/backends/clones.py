"""Which options the copy of a volume takes over, and which it may have otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from ..volumes import values
from . import owned, podman

#: What a volume's data is made by: another volume with that data has the same, by kind.
_TAKEN: Mapping[str, tuple[str, ...]] = {
    "btrfs": ("compression", "cow", "size"),
    "directory": ("size",),
    "image": ("fs", "reserve", "size"),
}
#: What Podman gives in ``o``.
_IN_O: Mapping[str, values.Reader] = {**owned.READERS, "size": values.size}
#: Options that a clone cannot have otherwise than its source.
_FIXED = ("compression", "copyonwrite", "cow", "fs")


def taken_over(backend: str, options: Mapping[str, str]) -> dict[str, str]:
    """Return the options that another volume with a volume's data has too, ``backend`` too.

    :param options: the volume's, canonical.
    """
    taken = {key: options[key] for key in _TAKEN.get(backend, ()) if key in options}
    if "mountpoint" in options:
        taken.pop("size", None)  # of another file system
    return {"backend": backend, **taken}


def clone_options(
    name: str, backend: str, options: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """Return the options of a clone, of what was given and of the source's kind and options.

    :raises InvalidOptionError: one cannot be.
    """
    taken = taken_over(backend, options)
    given = podman.plain(name, backend, given, _IN_O)
    for key in ("backend", *_FIXED):
        if key not in given:
            continue
        theirs, asked = taken.get(key), given[key]
        if key in ("cow", "copyonwrite"):
            theirs, asked = taken.get("cow", "yes"), values.read(name, key, asked, values.yes_no)
        if asked != theirs:
            rule = (
                f"a clone has its source's{f', which is {theirs}' if theirs else ''}: leave it out"
            )
            raise values.bad(name, key, given[key], rule)
    if backend == "image" and "size" in given:
        size = values.read(name, "size", given["size"], values.size)
        if values.size_bytes(size) < values.size_bytes(options["size"]):
            rule = f"the source has {options['size']}, and an image can only grow"
            raise values.bad(name, "size", size, rule)
    return {**taken, **given}
