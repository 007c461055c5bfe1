"""A start that finds no journal in a root that has volumes (J13).

An empty map would be a wrong answer to every Get, and make Docker forget each volume. So such a
start is refused, unless the operator says that the journal is lost.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from ..volumes.model import StoredVolume, is_name
from .imagefiles import IMAGES

#: How many names an error shows.
_SHOWN = 5


def first_entries(
    root: Path, state: Path, adopt: bool, now: datetime
) -> Mapping[str, Mapping[str, object]]:
    """Return the map with which a new journal begins.

    :param adopt: make each directory of the root that has data in it a volume again. Empty
        directories and images are left to a Create with their options, which adopts them: an
        empty directory may be where a file system belongs.
    :param now: when the volumes are said to be created.
    :raises ValueError: the root has volumes, and `adopt` is not set.
    :raises OSError: the root cannot be read.
    """
    images = _images(root)
    with os.scandir(root) as entries:
        found = {entry.name: entry for entry in entries if is_name(entry.name)}
    names = sorted(found.keys() | images)
    if names and not adopt:
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        raise ValueError(
            f"--state={state} has no journal, and --root={root} has {len(names)} volumes "
            f"({shown}): if the journal was moved, or its file system is not mounted, put it "
            "back and start again; if it is lost, restore the directory from a backup, or start "
            "once with --adopt, which makes each directory a volume without options"
        )
    device = os.stat(root).st_dev
    return {
        name: StoredVolume(name, str(root / name), now, {}).to_json()
        for name in names
        if name not in images and _has_data(found[name], device)
    }


def _images(root: Path) -> set[str]:
    """Return the names of the volumes that have an image file."""
    try:
        files = os.listdir(root / IMAGES)
    except FileNotFoundError:
        return set()
    return {name.removesuffix(".img") for name in files if is_name(name)}


def _has_data(entry: os.DirEntry[str], device: int) -> bool:
    """Return whether an entry is a directory with something in it, and nothing mounted on it."""
    if not entry.is_dir(follow_symlinks=False):
        return False
    if entry.stat(follow_symlinks=False).st_dev != device:
        return False  # mounted, or a Btrfs subvolume, which has a backend of its own
    with os.scandir(entry.path) as inside:
        return next(inside, None) is not None
