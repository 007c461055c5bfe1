"""Where the data of a new volume comes from, if it does not begin empty."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from attrs import frozen
from zope.interface import Interface

from .model import DIRECTORY, StoredVolume, Wanted


@frozen
class Origin:
    """Where the data of a new volume comes from.

    :ivar bring: puts it at the volume's mountpoint, durably, in a thread; called again after a
        crash, it completes what it began. It raises VolumeError, and then has left no trace.
    :ivar undo: takes it back; it raises VolumeError, and then the data is at the mountpoint.
    :ivar created: when the volume was created, if not now.
    :ivar backend: what kind of volume it can become.
    """

    bring: Callable[[StoredVolume], None]
    undo: Callable[[StoredVolume], None]
    created: datetime | None = None
    backend: str = DIRECTORY


class ICloner(Interface):
    """Makes origins of what the option ``from`` names."""

    def check(name: str, wanted: Wanted) -> Awaitable[None]:
        """Judge the option for a new volume.

        :raises PluginError: what it names is not there, or cannot be copied.
        """

    def cloning(name: str, wanted: Wanted) -> AbstractAsyncContextManager[Origin]:
        """Keep the source as it is while the context lasts, and give the origin.

        :param name: the new volume's; its lock is held.
        :raises PluginError: as :meth:`check` does.
        """
