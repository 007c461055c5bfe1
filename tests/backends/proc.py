"""A /proc in memory: what processes show to whoever asks."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping, Set

from attrs import field, frozen

from exampledriver.processes import Proc


@frozen
class MemoryProc(Proc):
    """Processes that do not exist.

    :ivar files: the files of each process, or the number of the error that reading one gives.
    :ivar spaces: each process's mount namespace and root directory.
    :ivar ours: the processes that have the same root directory as the daemon.
    """

    files: Mapping[tuple[int | str, str], bytes | int] = field(factory=dict)
    spaces: Mapping[int, tuple[str, str]] = field(factory=dict)
    ours: Set[int] = frozenset()

    @classmethod
    def of(cls, own: bytes, others: Iterable[bytes | int] = ()) -> MemoryProc:
        """Return one of these mountinfo files: the daemon's, and of a container each."""
        files: dict[tuple[int | str, str], bytes | int] = {("self", "mountinfo"): own}
        files.update({(pid, "mountinfo"): text for pid, text in enumerate(others, 101)})
        spaces = {pid: (f"mnt:[{pid}]", "/") for pid in range(101, 100 + len(files))}
        return cls(files=files, spaces=spaces)

    def read(self, process: int | str, name: str) -> bytes:
        found = self.files.get((process, name), errno.ENOENT)
        if isinstance(found, int):
            raise OSError(found, os.strerror(found))
        return found

    def link(self, process: int | str, name: str) -> str:
        if process == "self":
            return "mnt:[1]"
        return self.spaces[int(process)][name == "root"]

    def processes(self) -> list[int]:
        return list(self.spaces)

    def has_our_root(self, process: int) -> bool:
        return process in self.ours
