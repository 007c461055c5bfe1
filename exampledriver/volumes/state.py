"""What the parts of the volume service share: what is known, and what keeps changes apart."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred

from ..backends.interfaces import IBackend, IPlaced, IRooted
from ..journal.interfaces import ICatalog
from .errors import NoSuchVolumeError, quoted
from .health import HealthChecks, Threads
from .holds import Holds
from .ledger import MountLedger
from .listing import Listing
from .locks import Locks
from .model import StoredVolume, check_name
from .packed import Packer, Volumes
from .settling import Settler


@define(eq=False)
class State:
    """Used in the reactor's thread.

    :ivar threads: for what may block: a change's steps on the disk.
    :ivar volumes: by name, as they have been answered; it changes with them.
    :ivar locks: changes of one volume wait for each other.
    :ivar holds: the volumes that are being copied.
    :ivar settler: keeps what the journal has promised.
    """

    catalog: ICatalog
    ledger: MountLedger
    backend: IBackend
    health: HealthChecks
    threads: Threads
    settler: Settler
    volumes: Volumes = field(init=False)
    listing: Listing = field(init=False)
    locks: Locks = field(factory=Locks, init=False)
    holds: Holds = field(factory=Holds, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with no volume, and nothing listed."""
        self.volumes = Volumes(Packer(self.backend.mountpoint, self.backend.judge))
        self.listing = Listing(self.volumes, self.ledger, self.threads)

    def known(self, name: str) -> StoredVolume:
        """Return the volume `name`.

        :raises InvalidNameError: that is no name.
        :raises NoSuchVolumeError: there is none.
        """
        volume: StoredVolume | None = self.volumes.get(name)
        if volume is None:
            check_name(name)
            raise NoSuchVolumeError(
                f"volume {quoted(name)}: no such volume; create it first; "
                '"exampledriver volume ls" lists the volumes'
            )
        return volume

    def root_trouble(self) -> str:
        """Return why nothing may be done where volumes live; empty if all is well. Blocks."""
        rooted = IRooted(self.backend, None)
        return rooted.trouble() if rooted else ""

    def place(self, volume: StoredVolume) -> str:
        """Return which file system a volume's directory lies in. Blocks.

        Empty for a volume that the driver itself mounts.

        :raises VolumeError: it cannot be reached.
        """
        placed = IPlaced(self.backend, None)
        found: str = placed.place(volume) if placed else ""
        return found

    def file_system(self, path: str) -> str:
        """Return the file system of a path, or of the root, for people. It is not touched."""
        rooted = IRooted(self.backend, None)
        return str(rooted.file_system(path)) if rooted else f"the file system of {path}"

    def publish(self, volume: StoredVolume) -> None:
        """Let everybody see a volume, or how it is now."""
        self.volumes[volume.name] = volume
        self.listing.changed(volume.name)

    def is_idle(self, name: str) -> bool:
        """Tell whether nobody is counted as using a volume, and nobody copies it."""
        return not self.ledger.of(name) and not self.holds.is_held(name)

    async def posted(self, written: Deferred[None]) -> None:
        """Wait for a change that a thread has posted, and most likely written."""
        if not written.called:
            self.catalog.begin()
        await written
