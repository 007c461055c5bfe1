"""Which volumes are being copied: they are not removed, rolled back or resized meanwhile.

Mounts and unmounts go on; a copy knows whether its source was mounted since it began.
"""

from __future__ import annotations

from attrs import define, field

from .errors import BusyError, quoted
from .model import StoredVolume


@define(eq=False)
class Hold:
    """A volume while it is copied.

    :ivar used: somebody has it, or has mounted it since the copy began; read in any thread.
    """

    volume: StoredVolume
    used: bool = False


@define(eq=False)
class Holds:
    """The copies under way, by volume. Used in the reactor's thread."""

    _held: dict[str, list[Hold]] = field(factory=dict, init=False)

    def take(self, volume: StoredVolume) -> Hold:
        """Begin a copy; several of one volume may be under way."""
        hold = Hold(volume)
        self._held.setdefault(volume.name, []).append(hold)
        return hold

    def let_go(self, hold: Hold) -> None:
        """End a copy."""
        name = hold.volume.name
        self._held[name].remove(hold)
        if not self._held[name]:
            del self._held[name]

    def is_held(self, name: str) -> bool:
        """Tell whether a volume is being copied."""
        return name in self._held

    def mounted(self, name: str) -> None:
        """Note that somebody mounts a volume: from now on a copy of it may be torn."""
        for hold in self._held.get(name, ()):
            hold.used = True

    def refuse(self, name: str, done: str) -> None:
        """Refuse a change that a copy does not bear.

        :param done: what was asked for, such as ``removed``.
        :raises BusyError: the volume is being copied.
        """
        if name in self._held:
            raise BusyError(
                f"volume {quoted(name)}: not {done}, it is being copied (a snapshot, a clone or an "
                "export); do it again when that has ended"
            )
