"""Snapshots of volumes: ``ROOT/.snapshots/NAME/LABEL/``, on the file system of the volumes.

In it are ``data``, the copy, and ``snapshot.json``, which says what it is. Both appear with
one rename. A snapshot that is deleted leaves its name first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from attrs import define, field, frozen

from ...volumes.errors import InvalidNameError, VolumeError, quoted
from ..durable import make_directory, make_parents, sync
from .copiers import ICopier, TreeCopier
from .notes import number, read_note, text, write_note
from .progress import Progress
from .staging import Stage, clear_stages

#: The directory of all snapshots, in the root; it cannot be a volume's name.
SNAPSHOTS = ".snapshots"

_LABEL = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}", re.ASCII)
_NOTE, _DATA = "snapshot.json", "data"


class NoSuchSnapshotError(VolumeError):
    """The volume has no snapshot of that label."""


@frozen
class Snapshot:
    """A snapshot that is there.

    :ivar volume: the name of the volume that it is of.
    :ivar created: when it was begun; RFC 3339, UTC.
    :ivar method: ``reflink``, ``copy`` or another copier's.
    :ivar consistency: one of :mod:`.copiers`.
    :ivar files: how many; None if nobody counted, as in a Btrfs subvolume.
    :ivar size: bytes of data, shared or not; None if nobody counted.
    :ivar changed: how many files were seen to change meanwhile.
    :ivar warnings: sentences about what the snapshot lacks.
    :ivar backend: the volume's kind of storage.
    :ivar options: what the volume's were.
    """

    volume: str
    label: str
    created: str
    method: str
    consistency: str
    files: int | None = None
    size: int | None = None
    changed: int = 0
    backend: str = "directory"
    options: Mapping[str, str] = field(factory=dict)
    warnings: tuple[str, ...] = ()


def check_label(label: str) -> None:
    """Refuse what cannot be a label, before any path is made of it.

    :raises InvalidNameError: it is not 1 to 128 letters, digits, ``_``, ``.`` and ``-``.
    """
    if not _LABEL.fullmatch(label):
        raise InvalidNameError(
            f"label {quoted(label)} is not valid: it needs 1 to 128 characters, ASCII letters, "
            "digits, _ . and -, the first a letter or digit"
        )


@define(eq=False)
class Snapshots:
    """The snapshots below a root directory. All methods block; one volume's one at a time."""

    root: Path
    copier: ICopier = field(factory=TreeCopier)

    def directory(self, name: str) -> Path:
        """Return where the snapshots of a volume are."""
        return self.root / SNAPSHOTS / name

    def data(self, name: str, label: str) -> Path:
        """Return where a snapshot's data is.

        :raises NoSuchSnapshotError: there is none.
        """
        self.get(name, label)
        return self.directory(name) / label / _DATA

    def make(
        self,
        name: str,
        source: Path,
        label: str | None,
        in_use: Callable[[], bool],
        progress: Progress,
        backend: str = "directory",
        options: Mapping[str, str] | None = None,
    ) -> Snapshot:
        """Make a snapshot of a volume's directory.

        :param label: None for the time, in UTC.
        :param in_use: tells, at the end, whether somebody may have written to it meanwhile.
        :raises VolumeError: it could not be done, or the label is taken; nothing of it is left.
        """
        now = datetime.now(timezone.utc)
        label = label or self._free_label(name, now)
        check_label(label)
        final = self.directory(name) / label
        if os.path.lexists(final):
            raise self._taken(name, label)
        make_parents(final, 0o700)
        with Stage(final) as stage:
            make_directory(stage.content, 0o700, None, None)
            copied = self.copier.copy(source, stage.content / _DATA, progress)
            snapshot = Snapshot(
                name,
                label,
                now.isoformat(timespec="seconds").replace("+00:00", "Z"),
                copied.method,
                self.copier.consistency(in_use()),
                copied.files,
                copied.size,
                copied.changed,
                backend,
                dict(options or {}),
                copied.warnings,
            )
            write_note(stage.content / _NOTE, _to_json(snapshot))
            try:
                stage.publish(progress)
            except FileExistsError:
                raise self._taken(name, label) from None
        return snapshot

    def _free_label(self, name: str, now: datetime) -> str:
        plain = now.strftime("%Y%m%dT%H%M%SZ")
        precise = now.strftime("%Y%m%dT%H%M%S.%fZ")
        return precise if os.path.lexists(self.directory(name) / plain) else plain

    def _taken(self, name: str, label: str) -> VolumeError:
        return VolumeError(
            f"volume {quoted(name)} has a snapshot {quoted(label)} already: give another label, or "
            "delete it first"
        )

    def of(self, name: str) -> list[Snapshot]:
        """Return a volume's snapshots, the oldest first."""
        try:
            labels = os.listdir(self.directory(name))
        except FileNotFoundError:
            return []
        found = [self._read(name, label) for label in labels if _LABEL.fullmatch(label)]
        return sorted(
            (snapshot for snapshot in found if snapshot),
            key=lambda snapshot: (snapshot.created, snapshot.label),
        )

    def get(self, name: str, label: str) -> Snapshot:
        """Return one snapshot.

        :raises NoSuchSnapshotError: there is none; the text lists those that are.
        """
        found = self._read(name, label) if _LABEL.fullmatch(label) else None
        if found is None:
            labels = ", ".join(snapshot.label for snapshot in self.of(name)[-10:])
            raise NoSuchSnapshotError(
                f"volume {quoted(name)} has no snapshot {quoted(label)}; "
                + (f"it has: {labels}" if labels else "it has none")
            )
        return found

    def _read(self, name: str, label: str) -> Snapshot | None:
        note = read_note(self.directory(name) / label / _NOTE)
        if note is None:
            return None
        return Snapshot(
            name,
            label,
            text(note, "created"),
            text(note, "method"),
            text(note, "consistency"),
            number(note, "files"),
            number(note, "size"),
            number(note, "changed") or 0,
            text(note, "backend") or "directory",
            _options(note),
            _warnings(note),
        )

    def delete(self, name: str, label: str) -> None:
        """Delete a snapshot.

        :raises NoSuchSnapshotError: there is none.
        :raises VolumeError: it is being made.
        :raises OSError: not all of it could be deleted; it has no name any more.
        """
        self.get(name, label)
        final = self.directory(name) / label
        with Stage(final) as stage:
            os.rename(final, stage.content)
            sync(final.parent)
        self._forget_empty(name)

    def _forget_empty(self, name: str) -> None:
        try:
            os.rmdir(self.directory(name))
        except OSError:
            return  # others are in it

    def recover(self) -> list[Path]:
        """Clear what crashes left half made or half deleted; return what that was."""
        try:
            names = sorted(os.listdir(self.root / SNAPSHOTS))
        except FileNotFoundError:
            return []
        found: list[Path] = []
        for name in names:
            place = self.directory(name)
            with suppress(FileNotFoundError):
                found += clear_stages(place / entry for entry in sorted(os.listdir(place)))
            self._forget_empty(name)
        return found


def _options(note: Mapping[str, object]) -> Mapping[str, str]:
    found = note.get("options")
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _warnings(note: Mapping[str, object]) -> tuple[str, ...]:
    found = note.get("warnings")
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _to_json(snapshot: Snapshot) -> dict[str, object]:
    return {
        "version": 1,
        "volume": snapshot.volume,
        "label": snapshot.label,
        "created": snapshot.created,
        "method": snapshot.method,
        "consistency": snapshot.consistency,
        "files": snapshot.files,
        "size": snapshot.size,
        "changed": snapshot.changed,
        "warnings": list(snapshot.warnings),
        "backend": snapshot.backend,
        "options": dict(snapshot.options),
    }
