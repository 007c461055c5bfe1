"""The ``VolumeDriver`` protocol: what a driver implements, and the routes that call it.

Source of the calls and fields: Docker's plugin documentation and moby's
``volume/drivers``; what engines do with the answers is in ``docs/protocol.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

from attrs import field, frozen
from zope.interface import Interface

from .errors import PluginError
from .message import Message
from .wire import Answer, Wire, settled

#: The name of this protocol in the answer to ``Plugin.Activate``.
IMPLEMENTS = "VolumeDriver"

_SUCCESS: Mapping[str, object] = {"Err": ""}


@frozen
class Volume:
    """A volume as engines see it.

    :ivar name: as it was created.
    :ivar mountpoint: an absolute path, or empty while the volume is not mounted.
    :ivar created: when it was created, with a time zone; ``None`` when not known.
        Docker forgets a volume whose ``CreatedAt`` it cannot read.
    :ivar status: what ``docker volume inspect`` shows under ``Status``; JSON values.
    """

    name: str
    mountpoint: str = ""
    created: datetime | None = None
    status: Mapping[str, object] = field(factory=dict)


@frozen
class Capabilities:
    """What a driver can do.

    :ivar scope: ``local`` (a volume is known to one engine) or ``global`` (to a whole swarm).
    """

    scope: str = "local"


class IVolumeDriver(Interface):
    """What the author of a volume driver writes.

    A method returns its value, a Deferred of it, or a coroutine. It refuses by
    raising :class:`~exampledriver.plugin.errors.PluginError`; anything else
    raised is logged as a bug. Names and options come as the engine sent them:
    Docker checks neither, so ``..``, ``a/b`` and newlines arrive.

    Creates of one name come one at a time; mounts of one volume come in
    parallel, and the same ID may be mounted more than once.
    """

    def create(name: str, options: Mapping[str, str]) -> Answer[None]:
        """Make the volume `name`. It outlives its client: once begun, it is not cancelled."""

    def remove(name: str) -> Answer[None]:
        """Remove the volume `name`. It outlives its client."""

    def mount(name: str, mount_id: str) -> Answer[str]:
        """Make the volume usable for the container `mount_id`; return an absolute path.

        It outlives its client. Docker binds whatever it is told: an empty path
        is its own runtime directory, so one is never sent on.
        """

    def unmount(name: str, mount_id: str) -> Answer[None]:
        """Take note that `mount_id` has done with the volume. It outlives its client."""

    def path(name: str) -> Answer[str]:
        """Return the mountpoint, or an empty string while the volume is not mounted."""

    def get(name: str) -> Answer[Volume]:
        """Return the volume `name`; raise only if it does not exist.

        Docker takes *any* error for "there is no such volume", forgets it, and
        creates an empty one in its place.
        """

    # Last, because its name hides the builtin from the annotations below it.
    def list() -> Answer[Iterable[Volume]]:
        """Return all volumes."""

    def capabilities() -> Answer[Capabilities]:
        """Return the driver's capabilities, at once."""


def rfc3339(moment: datetime) -> str:
    """Return `moment` to the second in RFC 3339, in UTC: the one form every engine reads.

    :raises ValueError: it has no time zone.
    """
    if moment.utcoffset() is None:
        raise ValueError("a time for CreatedAt needs a time zone")
    # Not strftime: it writes a year below 1000 with fewer than four digits.
    return moment.astimezone(timezone.utc).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def _shown(volume: Volume) -> dict[str, object]:
    shown: dict[str, object] = {
        "Name": volume.name,
        "Mountpoint": volume.mountpoint,
        "Status": dict(volume.status),
    }
    if volume.created is not None:
        shown["CreatedAt"] = rfc3339(volume.created)
    return shown


def add_routes(wire: Wire, driver: IVolumeDriver) -> None:
    """Serve `driver` under ``/VolumeDriver.*``."""

    async def create(message: Message) -> Mapping[str, object]:
        name, options = message.text("Name"), message.text_map("Opts")
        await settled(driver.create(name, options))
        return _SUCCESS

    async def remove(message: Message) -> Mapping[str, object]:
        await settled(driver.remove(message.text("Name")))
        return _SUCCESS

    async def mount(message: Message) -> Mapping[str, object]:
        name = message.text("Name")
        mountpoint = await settled(driver.mount(name, message.text("ID")))
        if not mountpoint.startswith("/"):
            raise PluginError(f"volume {name!r}: the driver gave no absolute path to mount")
        return {"Mountpoint": mountpoint, "Err": ""}

    async def unmount(message: Message) -> Mapping[str, object]:
        await settled(driver.unmount(message.text("Name"), message.text("ID")))
        return _SUCCESS

    async def path(message: Message) -> Mapping[str, object]:
        return {"Mountpoint": await settled(driver.path(message.text("Name"))), "Err": ""}

    async def get(message: Message) -> Mapping[str, object]:
        volume = await settled(driver.get(message.text("Name")))
        return {"Volume": _shown(volume), "Err": ""}

    async def list_(message: Message) -> Mapping[str, object]:
        return {"Volumes": [_shown(v) for v in await settled(driver.list())], "Err": ""}

    async def capabilities(message: Message) -> Mapping[str, object]:
        return {"Capabilities": {"Scope": (await settled(driver.capabilities())).scope}}

    wire.route("VolumeDriver.Create", create, changes="Name")
    wire.route("VolumeDriver.Remove", remove, changes="Name")
    wire.route("VolumeDriver.Mount", mount, changes="Name")
    wire.route("VolumeDriver.Unmount", unmount, changes="Name")
    wire.route("VolumeDriver.Path", path)
    wire.route("VolumeDriver.Get", get)
    wire.route("VolumeDriver.List", list_, body=False)
    wire.route("VolumeDriver.Capabilities", capabilities, body=False)
