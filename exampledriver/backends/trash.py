"""Where removed volumes wait: ``ROOT/.trash/TIME/NAME``, and beside it what it was.

The time is when the volume was removed, in UTC to the microsecond. A name that
comes again does not collide, and a name of 255 characters still fits.

Before the first file of a slot is deleted, the slot is renamed to ``TIME.deleting``, durably:
what a purge has begun to delete is never taken for whole.

How long ago something was removed, two clocks say: see :mod:`.ages`. What is removed without
the trash is renamed to ``TIME.now``, which needs no inode and no block, and then deleted. For
a full file system one slot is kept ready: see :mod:`.spare`.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Lock

import msgspec
from attrs import define, field, frozen
from twisted.logger import Logger

from ..volumes.model import StoredVolume
from .ages import Ages, Uptime, uptime
from .copying.removing import remove_tree
from .durable import sync
from .measuring import weigh
from .mounts import holders, mounts_inside, named
from .spare import Spare

_log = Logger()

#: The directory of the trash, in the root; it cannot be a volume's name.
TRASH = ".trash"

#: In a slot, beside the directory: what is needed to bring the volume back, as JSON. The dot
#: keeps it apart from every volume's name. Slots of older versions have none.
MANIFEST = ".volume.json"

#: Ends the name of a slot whose deletion has begun. Older versions leave such a slot alone.
DELETING = ".deleting"

#: Ends the name of a removed volume's data that is deleted without having been in a slot.
NOW = ".now"

#: The errors of a full file system.
FULL = (errno.ENOSPC, errno.EDQUOT)

#: In the trash: how much time was counted since each slot was filled.
_AGES = ".ages.json"
#: What is added to a slot's name for the time since it was seen to be without data.
_EMPTY = " empty"
#: Two clocks that agree may differ by so much.
_A_WHILE = timedelta(minutes=1)

_FORMAT = "%Y%m%dT%H%M%S.%fZ"
#: What the name of a slot may end in.
_ENDS = (DELETING, NOW, "")
#: For how many seconds it is looked how much something takes, for an error and for a purge.
_GLANCE, _LOOK = 0.3, 10.0
#: How many slots one step marks: a crash leaves no more than these to be finished.
_MOST = 256


@frozen
class Slot:
    """A place in the trash.

    :ivar name: the name for people and programs, which is the time alone.
    :ivar at: when what is in it was removed, by the wall clock.
    :ivar deleting: its deletion has begun: what is in it may not be whole.
    :ivar bare: it is a volume's data itself, which is to be deleted at once.
    """

    path: Path
    name: str
    at: datetime
    deleting: bool
    bare: bool = False


@frozen
class Purged:
    """What became of a slot that was to be deleted.

    :ivar volumes: how many volumes were deleted with it.
    :ivar why: why it is still there, or an empty text.
    """

    slot: str
    volumes: int
    why: str


@define(eq=False)
class Trash:
    """The trash of a root directory. All methods block.

    :ivar path: its directory.
    :ivar now: the wall clock, in UTC.
    :ivar uptime: a clock that cannot be set.
    """

    root: Path
    path: Path = field(init=False)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(timezone.utc), kw_only=True)
    uptime: Uptime = field(default=uptime, kw_only=True)
    #: Returns the largest volumes that were measured, with their bytes; for advice.
    largest: Callable[[], Sequence[tuple[str, int]]] = field(default=tuple, init=False)
    #: The slots that somebody is at work in; everybody else leaves them alone.
    _claimed: set[str] = field(factory=set, init=False)
    #: The slots that are not durable yet.
    _unsynced: set[str] = field(factory=set, init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _ages: Ages = field(init=False)
    #: The slots that the log has said are kept longer than the wall clock says.
    _longer: set[str] = field(factory=set, init=False)
    #: What was removed without the trash and cannot be deleted, and why, as the log has said.
    _unfinished: dict[str, str] = field(factory=dict, init=False)
    _spare: Spare = field(init=False)
    #: The log has said that there is no spare slot.
    _no_spare: bool = field(default=False, init=False)

    @path.default
    def _make_path(self) -> Path:
        return self.root / TRASH

    @_ages.default
    def _make_ages(self) -> Ages:
        return Ages(self.path / _AGES, self.uptime)

    @_spare.default
    def _make_spare(self) -> Spare:
        return Spare(self.path, MANIFEST)

    def prepare(self) -> None:
        """Make the trash's directory, if there is none.

        :raises OSError: it could not be made.
        """
        self.path.mkdir(mode=0o700, exist_ok=True)

    def put(self, directory: Path, manifest: bytes, name: str = "") -> None:
        """Move a directory of the root into the trash; :meth:`sync` makes that durable.

        :param name: what it is called in there, if not as it is.
        :param manifest: what is to be known of it to bring it back, as JSON.
        :raises FileNotFoundError: it is not there.
        :raises OSError: it could not be moved, and is where it was.
        """
        try:
            slot = self._new(manifest)
        except OSError as error:
            if error.errno not in FULL:
                raise
            slot = self._from_spare(manifest, error)
        try:
            os.rename(directory, slot / (name or directory.name))
        except OSError:
            _remove_empty(slot)
            raise
        finally:
            self._filled(slot.name)

    def put_now(self, directory: Path) -> None:
        """Move a directory of the root where :meth:`finish` deletes it for good.

        :raises OSError: it could not be moved, and is where it was.
        """
        self.prepare()
        with self._lock:
            slot = self.path / free_slot_name(self.path, self.now())
            os.rename(directory, f"{slot}{NOW}")
            self._unsynced.add(slot.name)

    def _filled(self, slot: str) -> None:
        """Leave a slot to others, and count its age."""
        self._ages.begin(slot)
        with self._lock:
            self._claimed.discard(slot)
            self._unsynced.add(slot)

    def _new(self, manifest: bytes) -> Path:
        """Return a new slot, which is claimed."""
        self.prepare()
        slot = self._slot(self.now())
        try:
            with open(slot / MANIFEST, "xb", opener=_private) as file:
                file.write(manifest)
        except OSError:
            with suppress(OSError):
                _remove_empty(slot)
            with self._lock:
                self._claimed.discard(slot.name)
            raise
        return slot

    def _from_spare(self, manifest: bytes, error: OSError) -> Path:
        """Return the spare slot, which is claimed."""
        with self._lock:
            slot = self.path / free_slot_name(self.path, self.now())
            try:
                self._spare.take(manifest, slot)
            except FileNotFoundError:
                raise error from None
            self._claimed.add(slot.name)
        return slot

    def reserve(self) -> None:
        """Keep a slot ready for a full file system, if there is space for one. Blocks."""
        try:
            self.prepare()
            with self._lock:
                self._spare.prepare()
        except OSError as error:
            if not self._no_spare:
                _log.warn(
                    "{path}: no space is in reserve for removals: {error}",
                    path=str(self.path),
                    error=error,
                )
            self._no_spare = True
        else:
            self._no_spare = False

    def advice(self, error: OSError) -> str:
        """Return what to do about an error in the root, to be added to its text. Blocks."""
        if error.errno not in FULL:
            where = [Path(error.filename)] if isinstance(error.filename, str | Path) else []
            return immutable(error, *where, self.path)
        largest = ", ".join(f"{name} {size >> 20} MiB" for name, size in self.largest()[:3])
        return (
            f"; free some space: {self._described()}; "
            f'"exampledriver volume usage" shows the largest volumes{largest and f" ({largest})"}, '
            '"exampledriver volume rm --now NAME" deletes one without the trash'
        )

    def _described(self) -> str:
        try:
            count = len(self.slots())
            taken, whole = weigh(str(self.path), _GLANCE)
            space = os.statvfs(self.root)
        except OSError as error:
            return f"the trash cannot be read: {error.strerror}"
        if not count:
            return "the trash is empty"
        size = space.f_blocks * space.f_frsize
        most = ", most of the file system" if taken.bytes * 2 > size else ""
        return (
            f'"exampledriver trash purge" permanently deletes the removed volumes ({count}, '
            f"{'' if whole else 'at least '}{taken.bytes >> 20} MiB{most})"
        )

    def sync(self) -> None:
        """Make durable what :meth:`put` has moved.

        :raises OSError: it could not be done.
        """
        with self._lock:
            slots = sorted(self._unsynced)
        for name in slots:
            # A purge may have been there first.
            with suppress(FileNotFoundError):
                for path in (self.path / name / MANIFEST, self.path / name):
                    sync(path)
        # Inside out: where it is first, where it was last.
        for path in (self.path, self.root):
            sync(path)
        with self._lock:
            self._unsynced.difference_update(slots)

    def _slot(self, moment: datetime) -> Path:
        while True:
            with self._lock, suppress(FileExistsError):
                slot = self.path / free_slot_name(self.path, moment)
                slot.mkdir(mode=0o700)
                self._claimed.add(slot.name)
                return slot

    def slots(self) -> list[Slot]:
        """Return the slots, oldest first.

        :raises OSError: the trash cannot be read.
        """
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        found = [slot for slot in (read_slot(self.path / name) for name in names) if slot]
        return sorted(found, key=lambda slot: slot.name)

    @contextmanager
    def claimed(self, slot: str) -> Iterator[bool]:
        """Keep everybody else out of a slot; give whether nobody is in it."""
        with self._lock:
            mine = slot not in self._claimed
            if mine:
                self._claimed.add(slot)
        try:
            yield mine
        finally:
            if mine:
                with self._lock:
                    self._claimed.discard(slot)

    def age(self, slot: Slot) -> timedelta:
        """Return how long ago a slot was filled: what both clocks agree on."""
        counted = self._ages.counted(slot.name)
        return min(counted, self._ages.by_wall(slot.name, slot.at, self.now()))

    def count(self) -> None:
        """Count the time that passes, and keep it for the next start and the next boot."""
        slots = self.slots()
        for slot in slots:
            self._ages.counted(slot.name)
        names = [slot.name for slot in slots]
        self._ages.keep([*names, *(name + _EMPTY for name in names)])
        self._longer.intersection_update(names)

    def purge(self, older_than: timedelta) -> int:
        """Delete for good what was removed more than `older_than` ago; return how many volumes.

        What an earlier purge began to delete goes as well. What cannot be deleted, and what has
        something mounted in it, stays and is logged.
        """
        slots = self.slots()
        due = [slot.name for slot in slots if slot.deleting or self._is_due(slot, older_than)]
        self._tell_longer(slots, set(due), older_than)
        purged = 0
        for start in range(0, len(due), _MOST):
            for one in self.purge_slots(due[start : start + _MOST]):
                purged += one.volumes
                if one.why:
                    where = str(self.path / one.slot)
                    _log.warn("{slot} is not purged: {why}", slot=where, why=one.why)
        self.count()
        return purged

    def _is_due(self, slot: Slot, older_than: timedelta) -> bool:
        if self.age(slot) < older_than:
            return False
        with suppress(FileNotFoundError):
            if set(os.listdir(slot.path)) <= {MANIFEST}:
                # A restore may have been cut short, which is completed with what is here.
                empty = slot.name + _EMPTY
                known = self._ages.is_known(empty)
                return self._ages.counted(empty) >= older_than and known
        return True

    def _tell_longer(self, slots: Collection[Slot], due: Set[str], older_than: timedelta) -> None:
        """Log what stays although the wall clock says that its time has come."""
        now = self.now()
        longer = {slot.name for slot in slots if now - slot.at >= older_than + _A_WHILE} - due
        new = longer - self._longer
        self._longer |= new
        if new:
            _log.info(
                "{count} removed volumes are kept longer than the wall clock suggests: their age "
                "is the time that this machine has run since their removal",
                count=len(new),
            )

    def finish(self) -> None:
        """Delete what was removed without the trash; the log says once what cannot be deleted."""
        done = self.purge_slots([slot.name for slot in self.slots() if slot.bare])
        kept = {one.slot: one.why for one in done if one.why}
        for slot, why in kept.items():
            if self._unfinished.get(slot) != why:
                _log.warn("{slot} is not deleted: {why}", slot=slot, why=why)
        self._unfinished = kept

    def relieve(self, below: float) -> int:
        """Delete the oldest slots while less than a part of the file system is free.

        They go whatever their age; the log names each. Space may come back late, as with Btrfs:
        what was deleted counts as free, until the next call. One that takes too long to be weighed
        is the last one of a call: it may have been enough.

        :param below: of the blocks and of the inodes, from 0 to 1.
        :return: how many volumes were deleted.
        """
        space = os.statvfs(self.root)
        blocks = files = purged = 0
        for slot in sorted(self.slots(), key=lambda slot: (not slot.deleting, self.by_age(slot))):
            free = _free(space, blocks, files)
            if free >= below:
                break
            names = "" if slot.bare else _names(slot)
            if not (names or slot.deleting):
                continue  # what a restore that was cut short needs takes nothing
            taken, whole = weigh(str(slot.path), _LOOK)
            for one in self.purge_slots([slot.name]):
                if one.volumes:
                    blocks += taken.bytes // (space.f_frsize or 1)
                    files += taken.files or 0
                    purged += one.volumes
                    _log.info(
                        "purged {slot} ({name}), removed {age} ago: only {free:.1f} % of {root} "
                        "was free, and purge-when-below is {below:g} %",
                        slot=slot.name,
                        name=names,
                        age=timedelta(seconds=int(self.age(slot).total_seconds())),
                        free=free * 100,
                        root=str(self.root),
                        below=below * 100,
                    )
                    if not whole:
                        return purged
        return purged

    def by_age(self, slot: Slot) -> tuple[int, str]:
        """Return what sorts slots, the oldest first, whatever the wall clock said.

        What an older version removed is all of one age, but for the time between two looks.
        """
        return -(self._ages.counted(slot.name) // _A_WHILE), slot.name

    def purge_slots(self, names: Collection[str]) -> list[Purged]:
        """Delete slots for good; return what became of each.

        All of them are marked durably before the first file is deleted.
        """
        with ExitStack() as claims:
            marked: list[Slot] = []
            done: list[Purged] = []
            for name in names:
                # Otherwise a removal or a restore is at work in it.
                if claims.enter_context(self.claimed(name)):
                    self._begin(name, marked, done)
            try:
                if marked:
                    sync(self.path)
            except OSError as error:
                return [*done, *(Purged(slot.name, 0, str(error)) for slot in marked)]
            return [*done, *map(_deleted, marked)]

    def _begin(self, name: str, marked: list[Slot], done: list[Purged]) -> None:
        """Mark a slot as being deleted, unless its content is in use."""
        slot = self._find(name)
        if slot is None:
            return  # another one was there first
        try:
            # In anybody's namespace: a container may have what was removed under it.
            where = named(mounts_inside(str(slot.path))) or ", ".join(
                holder.describe() for holder in holders(str(slot.path.resolve()))
            )
            if where:
                why = f"still mounted: {where}"
                done.append(Purged(name, 0, why))
                return
            with self._lock:
                unsynced = name in self._unsynced
            if unsynced:
                # A crash must not find the volume at its old place, half deleted.
                self.sync()
            marked.append(slot if slot.deleting else self._mark(slot))
        except FileNotFoundError:
            return
        except OSError as error:
            why = f"{error}{immutable(error, self.path, slot.path)}"
            done.append(Purged(name, 0, why))

    def _find(self, name: str) -> Slot | None:
        paths = [self.path / f"{name}{end}" for end in _ENDS]
        return next((read_slot(path) for path in paths if os.path.lexists(path)), None)

    def _mark(self, slot: Slot) -> Slot:
        path = slot.path.with_name(slot.name + DELETING)
        try:
            os.rename(slot.path, path)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._spare.give_way()
            os.rename(slot.path, path)
        return Slot(path, slot.name, slot.at, True)


def _names(slot: Slot) -> str:
    """Return what is in a slot; a restore may have been there first."""
    with suppress(FileNotFoundError):
        return " ".join(sorted(set(os.listdir(slot.path)) - {MANIFEST}))
    return ""


def _deleted(slot: Slot) -> Purged:
    """Delete a slot that is marked. What it was is deleted last."""
    try:
        if slot.bare:
            remove_tree(slot.path)
            return Purged(slot.name, 1, "")
        inside = [path for path in slot.path.iterdir() if path.name != MANIFEST]
        for path in inside:
            remove_tree(path)
        _remove_empty(slot.path)
    except FileNotFoundError:
        return Purged(slot.name, 0, "")  # another one was there first
    except OSError as error:
        return Purged(slot.name, 0, f"{error}{immutable(error, slot.path, recursive=True)}")
    return Purged(slot.name, len(inside) or 1, "")


def _remove_empty(slot: Path) -> None:
    """Remove a slot that has nothing in it but what was to be known."""
    (slot / MANIFEST).unlink(missing_ok=True)
    slot.rmdir()


def _free(space: os.statvfs_result, blocks: int, files: int) -> float:
    """Return which part of a file system is free, of blocks or inodes; some count as free."""
    parts = [(space.f_bavail + blocks) / space.f_blocks] if space.f_blocks else []
    if space.f_files:  # Btrfs has any number
        parts.append((space.f_favail + files) / space.f_files)
    return min(parts, default=1.0)


def immutable(error: OSError, *paths: Path, recursive: bool = False) -> str:
    """Return what to do about a file that root may not delete, to be added to an error's text."""
    if error.errno != errno.EPERM or os.geteuid() != 0:
        return ""
    where = " ".join(shlex.quote(str(path)) for path in paths)
    return (
        f'; it is immutable or append-only, as lsattr shows: "chattr {"-R " if recursive else ""}'
        f'-i -a {where}" '
        "ends that"
    )


def manifest(volume: StoredVolume) -> bytes:
    """Return what :meth:`Trash.put` keeps of a volume."""
    return msgspec.json.encode({"name": volume.name, **volume.to_json()})


def slot_name(moment: datetime) -> str:
    """Return the name of the slot of what is removed at a moment, which is in UTC."""
    return moment.strftime(_FORMAT)


def slot_time(name: str) -> datetime | None:
    """Return when what is in a slot was removed; ``None`` if that is no slot's name."""
    try:
        return datetime.strptime(name, _FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def read_slot(path: Path) -> Slot | None:
    """Return the slot at a path of the trash; ``None`` if the name is not a slot's."""
    name = path.name.removesuffix(DELETING).removesuffix(NOW)
    at = slot_time(name)
    bare = path.name.endswith(NOW)
    return None if at is None else Slot(path, name, at, name != path.name, bare)


def free_slot_name(trash: Path, moment: datetime) -> str:
    """Return the name of a slot that is not in the trash yet, deleted or not.

    :param moment: in UTC, for the name, or as little later as needed.
    """
    while True:
        name = slot_name(moment)
        path = f"{trash}/{name}"
        # Not in a loop, nor with pathlib: each removal asks.
        if not (
            os.path.lexists(path) or os.path.lexists(path + DELETING) or os.path.lexists(path + NOW)
        ):
            return name
        moment += timedelta(microseconds=1)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
