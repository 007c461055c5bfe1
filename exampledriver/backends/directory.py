"""Volumes that are directories: ``ROOT/NAME``, or any directory by ``-o mountpoint=``.

What lies under the root is the driver's: removed, it goes to the trash. A
directory elsewhere is the user's: it is made if missing, and never deleted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from attrs import define, evolve, field
from twisted.logger import Logger
from zope.interface import implementer

from ..volumes import values
from ..volumes.errors import BusyError, InvalidOptionError, VolumeError, advice, quoted
from ..volumes.model import DIRECTORY, FROM, StoredVolume, Wanted
from . import owned, places, projects
from .clones import clone_options, taken_over
from .copying.copiers import ICopier, TreeCopier
from .copying.progress import Progress
from .copying.trees import Copied
from .durable import clear_staged, make_directory, make_parents, place_directory, sync
from .explaining import described, explained, failures
from .gates import Gate, SilentError
from .interfaces import SIZE_LIMITS, IBackend, ICopyable, IPlaced, IResizable
from .mounts import Holder, holders, inside, mounts_inside, named
from .trash import Trash, manifest

_log = Logger()

#: Where no volume's mountpoint may be: the kernel's, and what dies with the boot.
FORBIDDEN = ("/proc", "/sys", "/dev", "/run")

#: So many symbolic links are followed, as by the kernel; path_resolution(7).
_MOST_LINKS = 40

#: The options that there are.
READERS: Mapping[str, values.Reader] = {
    **owned.READERS,
    FROM: values.source,
    "mountpoint": values.path,
    "size": values.size,
}


@contextmanager
def _limited(volume: StoredVolume) -> Iterator[None]:
    """Turn a size that cannot be into the error of the option."""
    try:
        yield
    except projects.NoQuotaError as error:
        size = volume.options.get("size", "")
        raise values.bad(volume.name, "size", size, str(error)) from None


def _existing(path: Path) -> str:
    """Return the path, or the first of its parents that is there."""
    while not path.exists():
        path = path.parent
    return str(path)


def parse(name: str, given: Mapping[str, str]) -> Wanted:
    """Read the options of a Create.

    :raises InvalidOptionError: one cannot be used.
    """
    options = values.canonical(name, DIRECTORY, given, READERS)
    if FROM in options and "mountpoint" in options:
        rule = "not together with mountpoint: a copy lives under the root"
        raise values.bad(name, FROM, options[FROM], rule)
    return Wanted(DIRECTORY, options, "mountpoint" in options)


@define(eq=False)
class DirectoryCopier(TreeCopier):
    """Copies trees; where the volume has a size, that is there before the first file."""

    volume: StoredVolume

    def clone(self, source: Path, target: Path, progress: Progress, new: bool) -> Copied:
        """Copy a tree, and give it the owner and permissions that are asked for."""
        self._limit(target)
        copied = super().clone(source, target, progress, new)
        if new:
            owned.change(target, self.volume.options)
        return copied

    @contextmanager
    def filling(self, target: Path) -> Iterator[Path]:
        """Give the directory."""
        self._limit(target)
        yield target

    def _limit(self, target: Path) -> None:
        if "size" in self.volume.options:
            with _limited(self.volume):
                projects.check(os.path.dirname(self.volume.mountpoint))  # not the stage, for people
                target.mkdir(mode=0o700)
                projects.limit(str(target), values.size_bytes(self.volume.options["size"]))


@implementer(IBackend, ICopyable, IPlaced, IResizable)
@define(eq=False)
class DirectoryBackend:
    """The backend ``directory``.

    :ivar root: a real path, without symbolic links.
    :ivar private: the daemon's own directories, which no volume may show or hide.
    :ivar find_holders: who uses a directory; from :mod:`exampledriver.backends.mounts`.
    :ivar root_only: refuse volumes elsewhere: this process and the engine do not see the same
        directories there.
    :ivar bases: if there are any, a mountpoint is below one of them; real paths.
    :ivar owner: of new directories.
    """

    root: Path
    private: Sequence[Path]
    trash: Trash
    find_holders: Callable[[str], list[Holder]] = holders
    root_only: bool = False
    bases: Sequence[Path] = ()
    owner: owned.Owner = owned.DAEMON
    #: The volumes that a crash may have undone.
    _fresh: set[str] = field(factory=set, init=False)
    #: The root's hidden entries at the start: a root of a hundred thousand is listed once.
    _hidden: Sequence[Path] = field(default=(), init=False)
    #: Before the file systems that hold volumes outside the root.
    _gate: Gate = field(factory=Gate, init=False)

    def parse(self, name: str, given: Mapping[str, str]) -> Wanted:
        """Read the options; that they are those of a directory may be said."""
        if given.get("backend") == DIRECTORY:
            given = {key: value for key, value in given.items() if key != "backend"}
        return parse(name, given)

    def judge(self, backend: str, options: Mapping[str, str]) -> None:
        """Judge the options of the journal."""
        if backend != DIRECTORY:
            raise ValueError(f"backend {backend!r} is not known")
        parse("", options)

    def resolve(self, name: str, wanted: Wanted) -> Wanted:
        """Resolve and judge the mountpoint option."""
        given = wanted.options.get("mountpoint")
        if given is None:
            return wanted
        try:
            path = self._real(given)
        except OSError as error:
            raise InvalidOptionError(
                f"volume {quoted(name)}: option mountpoint={quoted(given)}: {error.strerror}"
            ) from None
        shown = quoted(given) + (f" (which is {quoted(path)})" if path != given else "")

        def refuse(why: str) -> InvalidOptionError:
            return InvalidOptionError(f"volume {quoted(name)}: option mountpoint={shown}: {why}")

        if self.root_only:
            raise refuse("this driver runs with --root-only; leave the option out")
        if path == "/":
            raise refuse("the whole host is no volume")
        for place in FORBIDDEN:
            if inside(path, place):
                raise refuse(f"a volume cannot live in {place}")
        for own in (self.root, *self.private):
            if inside(path, str(own)) or inside(str(own), path):
                raise refuse(
                    f"{own} is the driver's own; leave the option out for a directory there"
                )
        if self.bases and not any(inside(path, str(base)) for base in self.bases):
            raise refuse(f"allowed are directories below {', '.join(map(str, self.bases))}")
        return evolve(wanted, options={**wanted.options, "mountpoint": path}, unresolved=False)

    def _real(self, path: str) -> str:
        """Return a path without symbolic links, as :func:`os.path.realpath` does.

        Each step passes the gate of where it is: a link may lead to a server that does not answer,
        and the file system that has the link is not to blame.

        :raises OSError: it cannot be followed.
        """
        found, left, links = "/", path.split("/")[::-1], 0
        while left:
            part = left.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                found = os.path.dirname(found)
                continue
            found = os.path.join(found, part)
            target = ""
            # It is no link, or it is not there.
            with self._gate.passing(found), suppress(OSError):
                target = os.readlink(found)
            if not target:
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            found = os.path.dirname(found)
            if target.startswith("/"):
                found = "/"
            left += target.split("/")[::-1]
        return found

    def mountpoint(self, name: str, wanted: Wanted) -> str:
        """Return the option's path, or the one under the root."""
        return wanted.options.get("mountpoint") or f"{self.root}/{name}"

    def keeps_data(self, volume: StoredVolume) -> bool:
        """Tell whether the volume lives under the root."""
        return "mountpoint" not in volume.options

    def create(self, volume: StoredVolume) -> bool:
        """Make or adopt the directory."""
        advise = self.trash.advice if self.keeps_data(volume) else advice
        with explained(volume, "creating", advise):
            if self.settles(volume) and self._place(volume):
                return True
            path = Path(volume.mountpoint)
            with self._gated(volume):
                if "size" in volume.options:
                    # Before anything is made.
                    with _limited(volume):
                        projects.check(_existing(path))
                    why = SIZE_LIMITS[DIRECTORY]
                    _log.info("volume {name}: its size limit is {why}", name=volume.name, why=why)
                make_parents(path)
                new = make_directory(path, *self._access(volume))
        if "size" in volume.options:
            try:
                self.resize(volume, values.size_bytes(volume.options["size"]))
            except VolumeError:
                if new:
                    self.undo_create(volume)
                raise
        return new

    def copier(self, volume: StoredVolume) -> ICopier:
        """Return what copies trees."""
        return DirectoryCopier(volume)

    def users(self, volume: StoredVolume) -> str:
        """Ask the kernel for mounts of the directory."""
        self._check(volume)
        return described(self.find_holders(volume.mountpoint))

    def open(self, volume: StoredVolume) -> None:
        """Do nothing: a directory is always ready."""

    def close(self, volume: StoredVolume) -> StoredVolume:
        """Do nothing: a directory is changed by nobody but its users."""
        return volume

    def taken_over(self, backend: str, options: Mapping[str, str]) -> Mapping[str, str]:
        """Return the size."""
        return taken_over(backend, options)

    def clone_options(
        self, name: str, backend: str, options: Mapping[str, str], given: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Return all options of a clone."""
        return clone_options(name, backend, options, given)

    def leftovers(self) -> Sequence[Path]:
        """Return the root's hidden entries, as they were at the start."""
        return self._hidden

    def resize(self, volume: StoredVolume, size: int) -> None:
        """Give the directory's project another limit."""
        self._check(volume)
        with explained(volume, "limiting"), _limited(volume):
            projects.limit(volume.mountpoint, size)

    def _access(self, volume: StoredVolume) -> tuple[int, int | None, int | None]:
        """Return the mode of a volume's new directory, its owner and its group."""
        access = owned.Access.of(volume.options).by(self.owner)
        return access.mode, access.uid, access.gid

    def _place(self, volume: StoredVolume) -> bool:
        return place_directory(volume.mountpoint, *self._access(volume))

    def undo_create(self, volume: StoredVolume) -> None:
        """Remove the directory if nothing is in it."""
        with explained(volume, "undoing the creation of"):
            os.rmdir(volume.mountpoint)

    def mount(self, volume: StoredVolume) -> str:
        """Check that the directory is there, and is not another one."""
        self._check(volume)
        return volume.mountpoint

    def unmount(self, volume: StoredVolume) -> None:
        """Do nothing: a directory is always there."""

    def mounted(self) -> Set[str]:
        """Return nothing: a directory is not unmounted."""
        return frozenset()

    def _check(self, volume: StoredVolume) -> None:
        """Refuse to work on another directory than the volume's.

        :raises VolumeError: it is not there, or another one is.
        """
        trouble = self._trouble(volume)
        if trouble:
            raise VolumeError(f"volume {quoted(volume.name)}: {trouble}")

    def _trouble(self, volume: StoredVolume) -> str:
        path = volume.mountpoint
        try:
            with self._gated(volume):
                return places.trouble(volume.name, path, self._home(volume), volume.place)
        except SilentError as error:
            return f"its directory {path} cannot be reached: {error.strerror}"

    def _home(self, volume: StoredVolume) -> str:
        """Return the directory in whose mount the volume's lies if nothing else is mounted."""
        return str(self.root) if self.keeps_data(volume) else "/"

    def _gated(self, volume: StoredVolume) -> AbstractContextManager[None]:
        """Return the gate of a volume elsewhere: if the root hangs, so does all that is in it."""
        return nullcontext() if self.keeps_data(volume) else self._gate.passing(volume.mountpoint)

    def place(self, volume: StoredVolume) -> str:
        """Return which file system the directory lies in."""
        with explained(volume, "looking at"), self._gated(volume):
            return places.place(volume.mountpoint, self._home(volume))

    def check_unused(self, volume: StoredVolume) -> None:
        """Ask the kernel for mounts of the directory, and for mounts inside it."""
        found = self.find_holders(volume.mountpoint)
        if found:
            raise BusyError(
                f"volume {quoted(volume.name)}: in use by {described(found)}; stop the "
                "containers that use it, then remove it"
            )
        if self.keeps_data(volume):
            mounted = mounts_inside(volume.mountpoint)
            if mounted:
                raise BusyError(
                    f"volume {quoted(volume.name)}: {named(mounted)} is mounted inside it; "
                    "unmount that, then remove the volume"
                )

    def remove(self, volume: StoredVolume, now: bool = False) -> None:
        """Move a directory under the root to the trash, or where it is deleted."""
        if not self.keeps_data(volume):
            return
        doing = "removing" if now else "moving to the trash"
        with explained(volume, doing, self.trash.advice):
            if now and os.path.lexists(volume.mountpoint):
                self.trash.put_now(Path(volume.mountpoint))
            elif os.path.lexists(volume.mountpoint):
                self.trash.put(Path(volume.mountpoint), manifest(volume))
            else:
                # So that the start sees, should it have to do this again, that it has been done.
                self.trash.prepare()

    def trashes(self, volume: StoredVolume) -> bool:
        """Tell whether the volume lives under the root."""
        return self.keeps_data(volume)

    def data_path(self, volume: StoredVolume) -> str:
        """Return the mountpoint."""
        return volume.mountpoint

    def settles(self, volume: StoredVolume) -> bool:
        """Tell whether the volume lives under the root, and has no size.

        Elsewhere is another file system, which may hang: that must not keep the others.
        """
        return "mountpoint" not in volume.options and "size" not in volume.options

    def settle(
        self, made: Sequence[StoredVolume], removed: Sequence[StoredVolume]
    ) -> Mapping[str, str]:
        """Sync each new directory, and the names of all."""
        failed = failures(self._make_again, made) | failures(self._remove_again, removed)
        try:
            if removed and self.trash.path.is_dir():
                self.trash.sync()  # the root too
            else:
                sync(self.root)
        except OSError as error:
            raise VolumeError(f"syncing {self.root}: {error.strerror or error}") from error
        return failed

    def _make_again(self, volume: StoredVolume) -> None:
        with explained(volume, "making durable"):
            if volume.name in self._fresh:
                self._place(volume)
                self._fresh.discard(volume.name)
            # One that was made by this process and is missing was not undone by a crash: what
            # has happened to it is for Mount and Get to say.
            with suppress(FileNotFoundError):
                sync(volume.mountpoint)

    def _remove_again(self, volume: StoredVolume) -> None:
        if os.path.lexists(volume.mountpoint):
            self.remove(volume)
        elif not self.trash.path.is_dir():
            raise VolumeError(
                f"volume {quoted(volume.name)}: was removed, and {self.root} has neither its "
                "directory nor a trash: is the file system that holds them mounted?"
            )

    def look(self, volume: StoredVolume, mounted: bool) -> tuple[str, str | None]:
        """Read the directory's first entries and ask the kernel."""
        trouble = self._trouble(volume)
        return trouble, described(self.find_holders(volume.mountpoint)) if mounted else None

    def recover(self, known: Mapping[str, StoredVolume], fresh: Set[str]) -> list[str]:
        """Clear half-made directories; list the root's entries that are no volume's."""
        names = os.listdir(self.root)
        # Of a hundred thousand all but a few are known.
        others = {name for name in names if name not in known}
        hidden = sorted(name for name in others if name.startswith("."))
        clear_staged(self.root, hidden)
        self._hidden = [self.root / name for name in hidden]
        self._fresh = set(fresh)
        return sorted(others.difference(hidden))
