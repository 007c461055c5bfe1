"""Putting a copy in the place of a volume's data, and the data into the trash.

Nobody sees the volume without data: the copy is made in
``ROOT/.trash/.HASH.exampledriver-rollback/``, and then the two change places in one step
(renameat2(2), RENAME_EXCHANGE). That directory then becomes a slot of the trash. Its manifest
says what the volume had, so after a crash it is clear which of the two is which;
:func:`recover` then ends what had begun. What was the volume's is never deleted here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

from ...volumes.errors import VolumeError
from ..durable import make_directory, sync
from ..trash import MANIFEST, TRASH, free_slot_name
from .copiers import ICopier, duplicate
from .nodes import identity
from .notes import read_note, text, write_note
from .progress import Progress
from .removing import remove_tree
from .syscalls import UNSUPPORTED, exchange, rename_new
from .trees import Copied

SUFFIX = ".exampledriver-rollback"
_NEW = ".new"


def roll_back(
    root: Path,
    place: Path,
    source: Path,
    about: Mapping[str, object],
    copier: ICopier,
    progress: Progress,
) -> Copied:
    """Make what is at `place` a copy of `source`, and put what was there into the trash.

    :param place: the volume's data, below `root`; nobody uses it.
    :param about: what the trash's manifest says of the old data; its ``name`` is the volume's.
    :raises VolumeError: it could not be done; the volume is as it was.
    :raises OSError: it could not be done, or not to its end: :func:`recover` then ends it.
    """
    name, trash = str(about["name"]), root / TRASH
    try:
        relative = place.relative_to(root)
    except ValueError:
        raise VolumeError(
            f"{place} is not below {root}: only a volume there can be rolled back; make a clone"
        ) from None
    make_directory(trash, 0o700, None, None)
    aside = trash / f".{sha256(os.fsencode(name)).hexdigest()[:16]}{SUFFIX}"
    if os.path.lexists(aside):
        _finish(aside, root)
    make_directory(aside, 0o700, None, None)
    try:
        held = {"place": str(relative), "identity": identity(place)}
        write_note(aside / MANIFEST, {**about, "rollback": held})
        copied = duplicate(source, aside / _NEW, copier, progress)
    except BaseException:
        remove_tree(aside)
        raise
    try:
        _change_places(aside / _NEW, place, aside / name)
    except OSError:
        _finish(aside, root)
        raise
    _finish(aside, root)
    return copied


def _change_places(new: Path, place: Path, old: Path) -> None:
    try:
        exchange(new, place)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        os.rename(place, old)  # in two steps, for a file system that knows no other way
        os.rename(new, place)


def _finish(aside: Path, root: Path) -> str:
    """Bring a rollback to one of its two ends; return the volume's name, if it was done."""
    note = read_note(aside / MANIFEST) or {}
    held = note.get("rollback")
    if not isinstance(held, dict):
        # Only what is made before the manifest is whole may be deleted without one.
        if any(not entry.startswith(".") or entry == _NEW for entry in os.listdir(aside)):
            raise VolumeError(
                f"{aside}: {MANIFEST} is damaged: this may be a volume's data; look at it, and "
                "move it away"
            )
        remove_tree(aside)
        return ""
    name = text(note, "name")
    place, new, old = root / text(held, "place"), aside / _NEW, aside / name
    if os.path.lexists(new):
        if os.path.lexists(old) and not os.path.lexists(place):
            os.rename(new, place)
        elif identity(new) == text(held, "identity"):
            os.rename(new, old)
        else:
            remove_tree(aside)  # a copy that never became the volume's data
            return ""
    if not os.path.lexists(old):
        remove_tree(aside)
        return ""
    for changed in (aside, place.parent):
        sync(changed)
    _make_slot(aside)
    sync(aside.parent)
    return name


def _make_slot(aside: Path) -> None:
    trash = aside.parent
    rename_new(aside, trash / free_slot_name(trash, datetime.now(timezone.utc)))


def recover(root: Path) -> list[str]:
    """End the rollbacks that a crash cut off; return the volumes that are rolled back.

    Those that are not named are as they were before.

    :raises VolumeError: it is not clear what one is; the text says where it is. The others are
        ended all the same.
    :raises OSError: one could not be ended; the others are.
    """
    trash = root / TRASH
    try:
        names = sorted(os.listdir(trash))
    except FileNotFoundError:
        return []
    done: list[str] = []
    troubles: list[OSError | VolumeError] = []
    for name in names:
        if name.endswith(SUFFIX):
            try:
                done.append(_finish(trash / name, root))
            except (OSError, VolumeError) as error:
                troubles.append(error)
    if troubles:
        raise troubles[0]
    return [name for name in done if name]
