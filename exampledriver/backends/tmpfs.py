"""Volumes in memory: a tmpfs that is gone with the last Unmount."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, frozen
from zope.interface import implementer

from ..volumes import values
from ..volumes.errors import VolumeError, quoted
from ..volumes.model import StoredVolume, Wanted
from . import mounting, owned
from .commands import CommandError, run
from .explaining import explained
from .interfaces import IBackend, IResizable
from .measuring import Measure, measure_whole
from .mounted import MountedBackend, failed

TMPFS = "tmpfs"

#: The options that there are.
READERS: Mapping[str, values.Reader] = {**owned.READERS, "size": values.size}


@frozen
class TmpfsOptions:
    """The options of a volume.

    :ivar size: how much it may hold, in bytes.
    """

    size: int
    access: owned.Access

    @classmethod
    def of(cls, options: Mapping[str, str]) -> TmpfsOptions:
        """Read canonical texts."""
        return cls(values.size_bytes(options["size"]), owned.Access.of(options))


def parse(name: str, given: Mapping[str, str]) -> Wanted:
    """Read the options of a Create.

    :raises InvalidOptionError: one cannot be used.
    """
    options = values.canonical(name, TMPFS, given, READERS)
    if "size" not in options:
        raise values.missing(name, TMPFS, "size", "how much memory it may take, such as 64M")
    return Wanted(TMPFS, options)


@implementer(IBackend, IResizable)
@define(eq=False)
class TmpfsBackend(MountedBackend):
    """The backend ``tmpfs``.

    :ivar owner: of volumes.
    """

    kind = TMPFS
    owner: owned.Owner = owned.DAEMON

    def parse(self, name: str, given: Mapping[str, str]) -> Wanted:
        """Read the options."""
        return parse(name, given)

    def judge(self, backend: str, options: Mapping[str, str]) -> None:
        """Judge the options of the journal."""
        parse("", options)

    def mount_at(self, volume: StoredVolume, target: str) -> None:
        """Mount a new tmpfs."""
        options = TmpfsOptions.of(volume.options)
        access = options.access.by(self.owner)
        words = [f"size={options.size}", f"mode={access.mode:04o}"]
        if access.uid is not None:
            words.append(f"uid={access.uid}")
        if access.gid is not None:
            words.append(f"gid={access.gid}")
        try:
            mounting.mount(TMPFS, words, TMPFS, target, mounting.LOCAL)
        except CommandError as error:
            hint = mounting.hint(TMPFS, error, mounting.LOCAL)
            raise failed(volume, "mounting a tmpfs", error, hint) from error

    def measure_unmounted(self, volume: StoredVolume) -> Measure:
        """Return that a tmpfs which is not mounted takes nothing."""
        return Measure(0, 0, TmpfsOptions.of(volume.options).size)

    def resize(self, volume: StoredVolume, size: int) -> None:
        """Give the mounted tmpfs another size; it refuses one that is too small."""
        if mounting.layers(volume.mountpoint):
            with explained(volume, f"giving it {values.size_text(size)}"):
                used = measure_whole(volume.mountpoint).bytes
                if used > size:
                    raise VolumeError(
                        f"volume {quoted(volume.name)}: holds {used} bytes, asked for is "
                        f"{values.size_text(size)}: delete some of it first"
                    )
                argv = ["mount", "-o", f"remount,size={size}", "--", volume.mountpoint]
                run(argv, mounting.LOCAL)
