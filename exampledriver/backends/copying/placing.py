"""The data of a new volume, which appears whole at its place before the journal knows the volume.

A note beside it, ``.HASH.exampledriver-unanswered``, says what was made so: a crash
before the journal's word leaves both, and the same work again then puts that, which was
nobody's yet, into the trash and makes another. What is there without a note is in the way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from ...volumes.errors import VolumeError
from ..durable import is_left, make_parents, sync
from ..trash import Trash
from .nodes import identity
from .notes import read_note, text, write_note
from .progress import Progress, StoppedError
from .staging import Stage
from .trees import Copied

SUFFIX = ".exampledriver-unanswered"

#: Makes the data at the first path; the second is a directory for what else it needs.
Fill: TypeAlias = Callable[[Path, Path], Copied]


def _note(final: Path) -> Path:
    digest = sha256(os.fsencode(final.name)).hexdigest()[:16]
    return final.parent / f".{digest}{SUFFIX}"


def place(
    name: str, final: Path, fill: Fill, about: bytes, trash: Trash, progress: Progress
) -> Copied:
    """Make the data of a volume that is new, durably.

    :param name: the volume's.
    :param final: where its data is, such as ``ROOT/NAME``.
    :param about: what the trash keeps of the volume.
    :raises VolumeError: something is there already, or it could not be made; nothing is left.
    :raises OSError: it could not be made; nothing is left.
    :raises StoppedError: the work was told to stop; nothing is left.
    """
    note = _note(final)
    if os.path.lexists(final):
        found = read_note(note)
        if found is None or text(found, "identity") != identity(final):
            raise VolumeError(
                f"{final} is in the way and belongs to no volume: move it away, or give another "
                "name"
            )
        trash.put(final, about, name)
        trash.sync()
    make_parents(final, 0o700)
    with Stage(final) as stage:
        made = fill(stage.content, stage.directory)
        # Durable with the content, by the stage's sync of the whole file system.
        write_note(note, {"name": name, "identity": identity(stage.content)})
        try:
            stage.publish(progress)
        except StoppedError:
            note.unlink()
            raise
    return made


def take_back(final: Path) -> None:
    """Delete what :func:`place` has made and the journal does not know.

    :raises OSError: not all of it could be deleted; it has no name any more.
    """
    with Stage(final) as stage:
        os.rename(final, stage.content)
        sync(final.parent)
    forget(final)


def forget(final: Path) -> None:
    """Remove the note: the journal knows the volume now.

    :raises OSError: it could not be done.
    """
    _note(final).unlink(missing_ok=True)


def _notes(paths: Iterable[Path]) -> Iterator[tuple[Path, Mapping[str, object] | None]]:
    """Yield those of these entries that are notes, and what they say, if they can be read."""
    for path in paths:
        if is_left(path.name, SUFFIX):
            yield path, read_note(path)


def forget_known(paths: Iterable[Path], known: Container[str]) -> None:
    """Remove the notes among these entries whose volumes the journal knows; for the start.

    :raises OSError: one could not be removed.
    """
    for path, found in _notes(paths):
        if found is not None and text(found, "name") in known:
            path.unlink(missing_ok=True)


def forget_unmade(paths: Iterable[Path]) -> None:
    """Remove the notes of what is not there; while nothing is made, at the start.

    :param paths: entries of directories in which data of volumes is.
    :raises OSError: one could not be removed.
    """
    for path, found in _notes(paths):
        if found is None or not any(
            os.path.lexists(path.parent / name)
            for name in (text(found, "name"), f"{text(found, 'name')}.img")
        ):
            path.unlink(missing_ok=True)
