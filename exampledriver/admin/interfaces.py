"""What the administrator's routes need from the volume driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from zope.interface import Interface

from ..plugin.wire import Answer

#: A JSON object.
Fields: TypeAlias = Mapping[str, object]

#: Reports, in the reactor's thread, how far a long job has come; without fields it reports
#: nothing. Returns False when the client has gone, and anything else while it waits.
Report: TypeAlias = Callable[[Fields], object]


class IAdministration(Interface):
    """What an administrator can ask, beyond what engines do.

    Methods refuse by raising :class:`~exampledriver.plugin.errors.PluginError` with a text
    for people. What changes something outlives its client, except the copy that a
    :meth:`create` or :meth:`bring` makes. Names come as they were sent.
    """

    def about() -> Answer[Fields]:
        """Return what the daemon is: what engines call it, and what it does by default.

        ``Version``, ``Root``, ``Volumes`` (how many), ``TrashRetention`` (seconds), ``Driver`` and
        ``DefaultBackend``.
        """

    def names() -> Answer[Sequence[str]]:
        """Return the names of the volumes, in order, at once."""

    def volumes(names: Sequence[str]) -> Answer[Sequence[Fields]]:
        """Return what is known of the volumes, or of all; they are looked at, for a moment.

        :raises PluginError: one of `names` is none.
        """

    def mounts(names: Sequence[str]) -> Answer[Sequence[Fields]]:
        """Return who has mounted what: counts, and holders as the kernel says.

        Without `names`, of the volumes that are counted as mounted.
        """

    def usage(names: Sequence[str], fresh: bool, report: Report) -> Answer[Sequence[Fields]]:
        """Return what the volumes take on the disk, as it was measured.

        :param fresh: measure them now, and wait for that.
        """

    def check(name: str, options: Mapping[str, str], source: str, move: bool) -> Answer[Fields]:
        """Judge a Create, or with a `source` a :meth:`bring`, without making anything.

        :return: ``Exists``: whether the volume is there already, with these options.
        """

    def create(name: str, options: Mapping[str, str], report: Report) -> Answer[Fields]:
        """Make a volume; return it. A copy of another one is undone when its client goes."""

    def remove(name: str, now: bool = False) -> Answer[Fields]:
        """Remove a volume; return ``Kept``: whether its data is in the trash.

        :param now: delete its data for good, without the trash.
        :raises PluginError: there is none, or it is in use.
        """

    def resize(name: str, size: str) -> Answer[Fields]:
        """Give a volume another size, mounted or not; return it.

        :raises PluginError: there is none, or it cannot have that size.
        """

    def release(name: str, mount_id: str) -> Answer[Fields]:
        """Drop mount counts that an engine left behind; with an empty `mount_id`, all.

        :return: ``Released``: the counts by mount ID.
        :raises PluginError: the kernel says that the volume is in use, or the ID is not counted.
        """

    def label(name: str, labels: Mapping[str, str]) -> Answer[Fields]:
        """Keep the labels that an engine has for a volume: a restore and an archive have them.

        :return: ``Name`` and ``Labels``.
        :raises PluginError: there is no such volume, or the labels cannot be kept.
        """

    def accept(name: str) -> Answer[Fields]:
        """Note that a volume's directory is meant to be in the file system that it is in now.

        :return: the volume, with ``Was`` and ``Place``, which are empty if not known.
        :raises PluginError: it cannot be reached, or there is no such volume.
        """

    def bring(
        name: str, options: Mapping[str, str], source: str, move: bool, report: Report
    ) -> Answer[Fields]:
        """Make a volume of a directory of the host; return it.

        :param source: an absolute path, which nobody uses.
        :param move: rename the directory; otherwise copy what is in it.
        """

    def trash() -> Answer[Sequence[Fields]]:
        """Return what is in the trash, oldest first."""

    def restore(which: str, name: str, partial: bool = False) -> Answer[Fields]:
        """Bring a removed volume back; return it, with ``Slot``: where it was.

        :param which: a slot of the trash, or the name of a volume: the one removed last.
        :param name: its name from now on, or an empty text for the one that it had.
        :param partial: bring back what is left of one that a purge has begun to delete.
        """

    def purge(which: Sequence[str], older_than: float, report: Report) -> Answer[Fields]:
        """Delete for good what is in the trash.

        :param which: slots, or names of volumes; empty for all.
        :param older_than: only what was removed so many seconds ago.
        :return: ``Purged`` and ``Kept``, lists of slots, the latter with ``Why``.
        """


class ICopying(Interface):
    """What an administrator can ask of copies of volumes. Each is made whole, or not at all.

    Within two seconds of its client's going a copy ends, undone.
    """

    def snapshot(name: str, label: str, report: Report) -> Answer[Fields]:
        """Make a snapshot; return it.

        :param label: empty for the time.
        """

    def snapshots(name: str) -> Answer[Sequence[Fields]]:
        """Return a volume's snapshots, oldest first."""

    def delete_snapshot(name: str, label: str, report: Report) -> Answer[Fields]:
        """Delete a snapshot."""

    def roll_back(name: str, label: str, report: Report) -> Answer[Fields]:
        """Give a volume the data of a snapshot; what it had goes to the trash.

        :raises PluginError: it is in use, or there is no such snapshot.
        """

    def export(name: str, label: str, channel: str, report: Report) -> Answer[Fields]:
        """Send an archive of a volume, or of a snapshot, and return what was sent.

        :param channel: the name of a socket, beside the administrator's, where somebody listens.
        """

    def import_(
        name: str, options: Mapping[str, str], channel: str, report: Report
    ) -> Answer[Fields]:
        """Make a volume of an archive; return what was read.

        :param channel: as that of :meth:`export`.
        """
