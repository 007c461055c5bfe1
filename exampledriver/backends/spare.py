"""A slot of the trash that is kept ready for a full file system.

It has its inodes, its directory and the blocks of a manifest already, and a rename makes it a
slot. The new name needs a place in the trash's directory, too: another entry, which is removed
then, keeps that. Where data is never overwritten in place (Btrfs), none of this is certain.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from attrs import define

#: More than most manifests have, in bytes. Blanks behind a JSON object are a part of it.
_BYTES = 4096


@define(eq=False)
class Spare:
    """The spare slot of one trash. All methods block.

    :ivar trash: its directory.
    :ivar manifest: what a slot's manifest is called.
    """

    trash: Path
    manifest: str

    @property
    def path(self) -> Path:
        """Where it is, if there is one."""
        return self.trash / ".spare"

    @property
    def _placeholder(self) -> Path:
        return self.trash / f".spare-{'x' * 200}"

    def prepare(self) -> None:
        """Make it, if there is none.

        :raises OSError: it could not be made; a slot that was whole is kept.
        """
        manifest = self.path / self.manifest
        whole = False
        with suppress(FileNotFoundError):
            whole = manifest.stat().st_size >= _BYTES
            if whole and self._placeholder.exists():
                return
        try:
            if not whole:
                self.path.mkdir(mode=0o700, exist_ok=True)
                _write(manifest, b"", os.O_CREAT, os.fsync)
            os.close(os.open(self._placeholder, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        except OSError:
            if not whole:
                for remove in (manifest.unlink, self.path.rmdir, self._placeholder.unlink):
                    with suppress(OSError):
                        remove()
            raise

    def give_way(self) -> None:
        """Leave the place that is kept in the trash's directory to another name."""
        with suppress(OSError):
            self._placeholder.unlink()

    def take(self, content: bytes, slot: Path) -> None:
        """Make it the slot `slot`, with a manifest.

        :raises FileNotFoundError: there is none.
        :raises OSError: it could not be done; it is as it was.
        """
        _write(self.path / self.manifest, content)
        self.give_way()
        os.rename(self.path, slot)


def _write(
    path: Path, content: bytes, more: int = 0, then: Callable[[int], None] = lambda fd: None
) -> None:
    """Write a manifest over what is there, in its own blocks."""
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | more, 0o600)
    with open(fd, "wb", buffering=0) as file:
        left = memoryview(content.ljust(_BYTES))
        while left:
            left = left[file.write(left) :]
        then(fd)
