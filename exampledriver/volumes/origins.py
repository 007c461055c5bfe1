"""Where the data of a new volume comes from, if it does not begin empty."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from threading import Event

from attrs import frozen
from zope.interface import Interface

from .model import DIRECTORY, NO_LABELS, StoredVolume, Wanted


@frozen
class Origin:
    """Where the data of a new volume comes from.

    :ivar bring: puts it where the volume's data is, durably, in a thread; called again after a
        crash, it completes what it began. It raises VolumeError, and then has left no trace.
    :ivar undo: takes it back; it raises VolumeError, and then the data is there.
    :ivar created: when the volume was created, if not now.
    :ivar backend: what kind of volume it can become.
    :ivar labels: of the new volume.
    """

    bring: Callable[[StoredVolume], None]
    undo: Callable[[StoredVolume], None]
    created: datetime | None = None
    backend: str = DIRECTORY
    labels: Mapping[str, str] = NO_LABELS


class ICloner(Interface):
    """Makes origins of what the option ``from`` names."""

    def options(name: str, given: Mapping[str, str]) -> Awaitable[Mapping[str, str]]:
        """Judge the option, and return all options of a new volume, ``backend`` too.

        :param given: the options of the Create.
        :raises PluginError: what ``from`` names is not there, or cannot be copied so.
        """

    def cloning(
        name: str, wanted: Wanted, stop: Event | None
    ) -> AbstractAsyncContextManager[Origin]:
        """Keep the source while the context lasts, and give the origin.

        :param name: the new volume's; its lock is held.
        :param stop: set when the copy is not wanted any more; it is undone then.
        :raises PluginError: as :meth:`options` does.
        """
