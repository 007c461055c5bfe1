"""Bringing removed volumes back out of the trash.

A slot is ``ROOT/.trash/TIME/``: the volume's directory, and ``.volume.json``, which says what
the volume was. A slot of an older version has the directory alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from attrs import field, frozen

from ..volumes.errors import VolumeError, quoted
from . import rollback
from .durable import sync
from .notes import number, read_note, text, write_note
from .syscalls import rename_new
from .trash import MANIFEST

_FORMAT = "%Y%m%dT%H%M%S.%fZ"
_NOTE = ".restoring.json"


@frozen
class Removed:
    """A volume in the trash.

    :ivar slot: the directory in the trash; its name is when the volume was removed.
    :ivar created: when the volume was made, as in the journal; empty if nobody wrote it down.
    :ivar options: as in the journal; empty if nobody wrote them down.
    """

    slot: Path
    name: str
    removed: datetime
    backend: str = "directory"
    created: str = ""
    options: Mapping[str, str] = field(factory=dict)

    @property
    def directory(self) -> Path:
        """Where its data is."""
        return self.slot / self.name


def removed_volumes(trash: Path) -> list[Removed]:
    """Return what is in the trash, the last removed first."""
    try:
        names = os.listdir(trash)
    except FileNotFoundError:
        return []
    found = (read_slot(trash / name) for name in sorted(names, reverse=True))
    return [removed for removed in found if removed is not None]


def read_slot(slot: Path) -> Removed | None:
    """Return what a slot holds; None if it is no slot, or nothing of a volume is in it."""
    try:
        removed = datetime.strptime(slot.name, _FORMAT).replace(tzinfo=timezone.utc)
        name = _directory(slot)
    except (OSError, ValueError):
        return None
    if name is None:
        return None
    note = read_note(slot / MANIFEST) or {}
    options = note.get("options")
    return Removed(
        slot,
        name,
        removed,
        text(note, "backend") or "directory",
        text(note, "created"),
        {str(key): str(value) for key, value in options.items()}
        if isinstance(options, dict)
        else {},
    )


def _directory(slot: Path) -> str | None:
    for name in sorted(os.listdir(slot)):
        if not name.startswith(".") and stat.S_ISDIR(os.lstat(slot / name).st_mode):
            return name
    return None


def restore(removed: Removed, final: Path) -> None:
    """Move a removed volume's directory back to the root, durably, under any name.

    The slot's ``.volume.json`` stays: when the volume is in the journal again, call
    :func:`clear_slot`. Called again after a crash, with the same two, it ends what it began.

    :raises VolumeError: the name is taken, or the slot is gone.
    :raises OSError: it could not be done, and the volume is in the trash.
    """
    note = read_note(removed.slot / _NOTE)
    if not os.path.lexists(removed.directory):
        if not _is_moved(note, final):
            raise VolumeError(
                f"volume {quoted(removed.name)}, removed at {removed.removed.isoformat()}, is not "
                "in the trash any more"
            )
    else:
        status = os.lstat(removed.directory)
        write_note(removed.slot / _NOTE, {"to": final.name, "inode": status.st_ino})
        sync(removed.slot)
        try:
            rename_new(removed.directory, final)
        except FileExistsError:
            (removed.slot / _NOTE).unlink()
            raise VolumeError(
                f"volume {quoted(final.name)}: {final} is there already: restore under another name"
            ) from None
    sync(final.parent)
    sync(removed.slot)


def _is_moved(note: Mapping[str, object] | None, final: Path) -> bool:
    """Tell whether a crash came after the move of which a note was made."""
    if note is None or text(note, "to") != final.name:
        return False
    try:
        return os.lstat(final).st_ino == number(note, "inode")
    except FileNotFoundError:
        return False


def half_restored(trash: Path) -> list[tuple[Path, str]]:
    """Return the slots whose volume was moved out when a crash came, and the name that it got.

    Its ``.volume.json`` is still in the slot: the caller journals the volume with it and then
    calls :func:`clear_slot`. A slot that was not yet moved out is as it was. For the start:
    while nobody else works in the trash.
    """
    found = []
    try:
        names = sorted(os.listdir(trash))
    except FileNotFoundError:
        return []
    for name in names:
        slot = trash / name
        note = read_note(slot / _NOTE)
        if note is None:
            _forget_empty(slot)
        elif _directory(slot) is not None:
            (slot / _NOTE).unlink()
        elif _is_moved(note, trash.parent / text(note, "to")):
            found.append((slot, text(note, "to")))
    return found


def _forget_empty(slot: Path) -> None:
    """Remove a slot that a crash kept :func:`clear_slot` from removing."""
    try:
        slot.rmdir()
    except OSError:
        return  # there is something in it, or it is no slot


def clear_slot(slot: Path) -> None:
    """Remove the slot of a restored volume, in which notes alone are left.

    :raises OSError: something else is in it.
    """
    # The volume's note first: without it the other one still says that the move was done.
    for name in (MANIFEST, rollback.NOTE, _NOTE):
        (slot / name).unlink(missing_ok=True)
    slot.rmdir()
    sync(slot.parent)
