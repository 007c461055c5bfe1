"""What is in the trash, and the way back from there.

A slot has the directory of one removed volume, and beside it, in :data:`~.trash.MANIFEST`,
what the volume was. Slots of older versions have the directory alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from attrs import frozen

from ..volumes.errors import NoSuchVolumeError, VolumeError, brief, quoted
from .durable import sync
from .trash import MANIFEST, Slot, Trash


@frozen
class Removed:
    """A removed volume.

    :ivar slot: the name of its slot.
    :ivar place: where its slot is.
    :ivar path: where its directory is.
    :ivar at: when it was removed, by the wall clock.
    :ivar age: how long ago that was: what both clocks agree on.
    :ivar created: when it was created, in RFC 3339; empty if that is not known.
    :ivar there: its directory is there; not so where a restore was cut short.
    :ivar partial: a purge has begun to delete it: what is there may not be whole.
    """

    slot: str
    place: str
    name: str
    path: str
    at: datetime
    age: timedelta
    backend: str
    created: str
    options: Mapping[str, str]
    there: bool
    partial: bool
    labels: Mapping[str, str]


def removed(trash: Trash) -> list[Removed]:
    """Return what is in the trash, oldest first.

    :raises OSError: it cannot be read.
    """
    found: list[Removed] = []
    for slot in sorted(trash.slots(), key=trash.by_age):
        if slot.bare:
            continue
        # A purge may be at work in it.
        with suppress(FileNotFoundError):
            found += _in_slot(slot, trash.age(slot))
    return found


def _in_slot(slot: Slot, age: timedelta) -> list[Removed]:
    manifest = _manifest(slot.path / MANIFEST)
    # Names of volumes begin with no dot; notes do.
    names = {entry.name for entry in os.scandir(slot.path) if not entry.name.startswith(".")}
    told = manifest.get("name")
    names_told = {told} if isinstance(told, str) else set()
    found = []
    for name in sorted(names | names_told):
        mine = manifest if name in names_told else {}
        options, labels = (_texts(mine.get(key)) for key in ("options", "labels"))
        found.append(
            Removed(
                slot.name,
                str(slot.path),
                name,
                str(slot.path / name),
                slot.at,
                age,
                str(mine.get("backend", "directory")),
                str(mine.get("created", "")),
                options,
                name in names,
                slot.deleting,
                labels,
            )
        )
    return found


def _texts(value: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def _manifest(path: Path) -> Mapping[str, object]:
    try:
        found = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}  # an older version's, or damaged: the directory is what counts
    return found if isinstance(found, dict) else {}


def bring_back(trash: Trash, what: Removed, name: str, target: str) -> None:
    """Move a removed volume's directory to `target`, durably; done already, it is a success.

    :param name: the volume's from now on, for error texts.
    :raises NoSuchVolumeError: it is in the trash no longer.
    :raises VolumeError: something is at `target`, or it cannot be moved.
    """
    with trash.claimed(what.slot) as mine:
        if not mine:
            raise VolumeError(f"trash {what.slot}: is being purged, or just being filled")
        there, done = os.path.lexists(what.path), os.path.lexists(target)
        if os.path.islink(what.path):
            real = brief(os.path.realpath(what.path))
            raise VolumeError(
                f"volume {quoted(name)}: what was removed is a symbolic link to {real}, where the "
                f"data still is: make a volume of that directory, with -o mountpoint={real}"
            )
        if there and done:
            raise VolumeError(
                f"volume {quoted(name)}: {target} is in the way and belongs to no volume: move "
                "it away, or restore under another name"
            )
        if not there and not (done and os.path.lexists(os.path.join(what.place, MANIFEST))):
            raise NoSuchVolumeError(f"trash {what.slot}: {what.path} is gone: purged, or restored")
        try:
            if there:
                os.rename(what.path, target)
            sync(os.path.dirname(target))
            sync(what.place)
        except OSError as error:
            raise VolumeError(
                f"volume {quoted(name)}: moving {what.path} to {target}: {error.strerror}"
            ) from error


def forget(trash: Trash, what: Removed) -> None:
    """Take away the slot of a volume that was brought back.

    :raises OSError: it could not be done; there is no data in it.
    """
    with trash.claimed(what.slot) as mine:
        slot = Path(what.place)
        if mine and not os.path.lexists(what.path):
            (slot / MANIFEST).unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                slot.rmdir()
