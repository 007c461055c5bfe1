"""Files as a disk keeps them across a power cut: a page cache, and what a crash makes of it.

What is promised by the model, and no more:

- bytes that were synced stay, and so do names that were synced with their directory;
- bytes that were not synced are there, or not, or in part: the file may end
  anywhere among them, and blocks of them may be missing (zeros) while later ones
  are there;
- each directory operation that was not synced has happened or not, on its own;
- a call that the crash interrupts has had any part of its effect.

Faults are put in by a *plan*: a function that is asked before each call.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from random import Random

from attrs import define, field
from zope.interface import implementer

from exampledriver.journal.interfaces import IFile, IFiles

#: How large a block is kept or lost as one, in bytes. Disks have 512 and more;
#: smaller blocks are more ways to be torn.
BLOCK = 16


class Crash(BaseException):
    """The power is cut."""


#: What a plan says of a call: go on, crash, fail without an effect, or fail half way.
#: The text is ``before``, ``during`` or ``after`` for a crash; an int is an errno.
Plan = Callable[[str], "str | int | None"]


def no_faults(call: str) -> None:
    """Let every call go on."""


@define(eq=False)
class _Inode:
    """A file's bytes: those that a crash leaves, and those that reads see."""

    durable: bytes = b""
    cached: bytes = b""

    def crash(self, random: Random) -> bytes:
        """Return what is left of the file."""
        if not self.cached.startswith(self.durable):
            # A truncation that was interrupted: it has happened, or it has not.
            return random.choice([self.durable, self.cached])
        end = random.randint(len(self.durable), len(self.cached))
        left = bytearray(self.cached[:end])
        if random.random() < 0.5:
            for start in range(len(self.durable), end, BLOCK):
                if random.random() < 0.3:
                    stop = min(start + BLOCK, end)
                    left[start:stop] = bytes(stop - start)
        return bytes(left)


#: A directory operation that is not durable yet: changes the names.
_DirectoryOperation = Callable[["dict[str, _Inode]"], None]


@implementer(IFiles)
@define(eq=False)
class CrashFiles:
    """The files of one directory in memory, with a page cache.

    :ivar plan: asked before each call, by the call's name.
    :ivar space: how many bytes fit, or ``None``.
    :ivar calls: how many calls there have been.
    :ivar elsewhere: another file system was mounted at the directory's path.
    """

    path: str = "/state"
    plan: Plan = no_faults
    space: int | None = None
    calls: int = 0
    elsewhere: bool = False
    _durable: dict[str, _Inode] = field(factory=dict)
    _names: dict[str, _Inode] = field(factory=dict)
    _unsynced: list[_DirectoryOperation] = field(factory=list)

    def asked(self, call: str) -> str | int | None:
        """Ask the plan; crash or fail before the call if it says so."""
        self.calls += 1
        verdict = self.plan(call)
        if verdict == "before":
            raise Crash(call)
        return verdict

    def used(self) -> int:
        """Return how many bytes the files have."""
        return sum(len(inode.cached) for inode in self._names.values())

    def _change(self, call: str, operation: _DirectoryOperation) -> None:
        verdict = self.asked(call)
        if isinstance(verdict, int):
            raise OSError(verdict, os.strerror(verdict))
        operation(self._names)
        self._unsynced.append(operation)
        if verdict:
            raise Crash(call)

    def names(self) -> set[str]:
        self.asked("names")
        return set(self._names)

    def read(self, name: str) -> bytes:
        self.asked("read")
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self._names[name].cached

    def create(self, name: str) -> IFile:
        inode = _Inode()

        def create(names: dict[str, _Inode]) -> None:
            names[name] = inode

        self._change("create", create)
        return CrashFile(self, inode)

    def append(self, name: str) -> IFile:
        self.asked("append")
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return CrashFile(self, self._names[name])

    def rename(self, old: str, new: str) -> None:
        inode = self._names.get(old)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), old)

        def rename(names: dict[str, _Inode]) -> None:
            names.pop(old, None)
            names[new] = inode

        self._change("rename", rename)

    def remove(self, name: str) -> None:
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        self._change("remove", lambda names: void(names.pop(name, None)))

    def link(self, old: str, new: str) -> None:
        inode = self._names[old]

        def link(names: dict[str, _Inode]) -> None:
            names[new] = inode

        self._change("link", link)

    def is_current(self, name: str, file: IFile) -> bool:
        assert isinstance(file, CrashFile)
        return self._names.get(name) is file._inode

    def renew(self) -> None:
        if self.elsewhere:
            raise OSError(errno.EXDEV, "another file system is there")

    def sync_directory(self) -> None:
        verdict = self.asked("sync_directory")
        if isinstance(verdict, int):
            raise OSError(verdict, os.strerror(verdict))
        if verdict != "during":
            self._durable = dict(self._names)
            self._unsynced.clear()
        if verdict:
            raise Crash("sync_directory")

    def after_crash(self, random: Random) -> CrashFiles:
        """Return the directory as the next start finds it."""
        names = dict(self._durable)
        for operation in self._unsynced:
            if random.random() < 0.5:
                operation(names)
        left: dict[int, _Inode] = {}
        for inode in names.values():
            if id(inode) not in left:
                content = inode.crash(random)
                left[id(inode)] = _Inode(content, content)
        survivors = {name: left[id(inode)] for name, inode in names.items()}
        return CrashFiles(self.path, durable=dict(survivors), names=survivors)


def void(_: object) -> None:
    """Take a value and give none."""


@implementer(IFile)
@define(eq=False)
class CrashFile:
    """One open file of :class:`CrashFiles`."""

    _files: CrashFiles
    _inode: _Inode

    def write(self, data: bytes) -> None:
        verdict = self._files.asked("write")
        room = len(data)
        if self._files.space is not None:
            room = max(0, min(room, self._files.space - self._files.used()))
        if verdict == "during" or isinstance(verdict, int):
            room = min(room, len(data) // 2)
        self._inode.cached += data[:room]
        if isinstance(verdict, int):
            raise OSError(verdict, os.strerror(verdict))
        if verdict:
            raise Crash("write")
        if room < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        verdict = self._files.asked("sync")
        if isinstance(verdict, int):
            # What fsync failed to write may be gone, or not; the error is told once.
            raise OSError(verdict, os.strerror(verdict))
        if verdict != "during":
            self._inode.durable = self._inode.cached
        if verdict:
            raise Crash("sync")

    def truncate(self, size: int) -> None:
        verdict = self._files.asked("truncate")
        if isinstance(verdict, int):
            raise OSError(verdict, os.strerror(verdict))
        self._inode.cached = self._inode.cached[:size]
        if verdict != "during":
            self._inode.durable = self._inode.cached
        if verdict:
            raise Crash("truncate")

    def close(self) -> None:
        self._files.asked("close")
