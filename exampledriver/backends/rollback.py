"""Putting a copy in the place of a volume's data, and the data into the trash.

Nobody sees the volume without data: the copy is made in
``ROOT/.trash/.HASH.exampledriver-rollback/``, and then the two change places in one step
(renameat2(2), RENAME_EXCHANGE). A note says which directory the volume had, so after
a crash it is clear which of the two is which; :func:`recover` then ends what had begun. What
was the volume's is never deleted here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

from ..volumes.errors import VolumeError
from .copiers import ICopier, duplicate
from .durable import make_directory, sync
from .notes import read_note, text, write_note
from .progress import Progress
from .syscalls import UNSUPPORTED, exchange, rename_new
from .trash import MANIFEST
from .trees import Copied

SUFFIX = ".exampledriver-rollback"
#: In a rollback that has not ended, what it is of.
NOTE, _NEW = ".rollback.json", ".new"
_FORMAT = "%Y%m%dT%H%M%S.%fZ"


def roll_back(
    place: Path,
    source: Path,
    trash: Path,
    about: Mapping[str, object],
    copier: ICopier,
    progress: Progress,
) -> Copied:
    """Make the directory `place` a copy of `source`, and put what was there into the trash.

    :param place: ``ROOT/NAME``; nobody uses it.
    :param trash: ``ROOT/.trash``.
    :param about: what :data:`.trash.MANIFEST` beside the old data says.
    :raises VolumeError: it could not be done; the volume is as it was.
    :raises OSError: it could not be done, or not to its end: :func:`recover` then ends it.
    """
    make_directory(trash, 0o700, None, None)
    aside = trash / f".{sha256(os.fsencode(place.name)).hexdigest()[:16]}{SUFFIX}"
    if os.path.lexists(aside):
        _finish(aside, place.parent, copier)
    make_directory(aside, 0o700, None, None)
    try:
        write_note(
            aside / NOTE,
            {"name": place.name, "identity": copier.identity(place), "about": dict(about)},
        )
        copied = duplicate(source, aside / _NEW, copier, progress)
    except BaseException:
        copier.remove(aside)
        raise
    try:
        _change_places(aside / _NEW, place, aside / place.name)
    except OSError:
        _finish(aside, place.parent, copier)
        raise
    _finish(aside, place.parent, copier)
    return copied


def _change_places(new: Path, place: Path, old: Path) -> None:
    try:
        exchange(new, place)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        os.rename(place, old)  # in two steps, for a file system that knows no other way
        os.rename(new, place)


def _finish(aside: Path, root: Path, copier: ICopier) -> str:
    """Bring a rollback to one of its two ends; return the volume's name, if it was done."""
    note = read_note(aside / NOTE) or {}
    name, identity = text(note, "name"), text(note, "identity")
    if not name or not identity or os.path.basename(name) != name:
        # Only what is made before a note is whole may be deleted without one.
        if any(not entry.startswith(".") or entry == _NEW for entry in os.listdir(aside)):
            raise VolumeError(
                f"{aside}: {NOTE} is damaged: this may be a volume's data; "
                "look at it, and move it away"
            )
        copier.remove(aside)  # the note was not even written
        return ""
    place, new, old = root / name, aside / _NEW, aside / name
    if os.path.lexists(new):
        if os.path.lexists(old) and not os.path.lexists(place):
            os.rename(new, place)
        elif copier.identity(new) == identity:
            os.rename(new, old)
        else:
            copier.remove(aside)  # a copy that never became the volume's data
            return ""
    if not os.path.lexists(old):
        copier.remove(aside)
        return ""
    about = note.get("about")
    if isinstance(about, dict):
        write_note(aside / MANIFEST, about)
    for changed in (aside, root):
        sync(changed)
    slot = _name_slot(aside)
    sync(aside.parent)
    # Not before: without its note the old data would be nobody's.
    (slot / NOTE).unlink()
    return name


def _name_slot(aside: Path) -> Path:
    moment = datetime.now(timezone.utc)
    while os.path.lexists(aside.parent / moment.strftime(_FORMAT)):
        moment += timedelta(microseconds=1)
    slot = aside.parent / moment.strftime(_FORMAT)
    rename_new(aside, slot)
    return slot


def recover(root: Path, trash: Path, copier: ICopier) -> list[str]:
    """End the rollbacks that a crash cut off; return the volumes that are rolled back.

    Those that are not named are as they were before.
    """
    try:
        names = sorted(os.listdir(trash))
    except FileNotFoundError:
        return []
    done = [_finish(trash / name, root, copier) for name in names if name.endswith(SUFFIX)]
    return [name for name in done if name]


def check_place(place: Path, root: Path) -> None:
    """Refuse to roll back what is no directory of the root.

    :raises VolumeError: it lives elsewhere.
    """
    if place.parent != root:
        raise VolumeError(
            f"{place} is not below {root}: only a volume there can be rolled back; make a clone"
        )
