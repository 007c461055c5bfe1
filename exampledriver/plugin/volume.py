"""The ``VolumeDriver`` protocol: what a driver implements, and the routes that call it.

Source of the calls and fields: Docker's plugin documentation and moby's
``volume/drivers``; what engines do with the answers is in ``docs/protocol.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Literal

from attrs import define, field, frozen
from zope.interface import Interface

from .errors import check_done, mistake, named, wrong_part, wrong_type
from .message import Message, encode
from .protocol import Protocol, bind
from .wire import Answer, Call, Fields, Wire

#: The name of this protocol in the answer to ``Plugin.Activate``.
IMPLEMENTS = "VolumeDriver"

_SUCCESS: Mapping[str, object] = {"Err": ""}

#: How a mountpoint begins, and what is said of one that begins otherwise.
_ABSOLUTE = ("", "/")
_EXPECTED = "an absolute path is expected, or an empty text while it is not mounted"


@frozen
class Volume:
    """A volume as engines see it.

    :ivar name: as it was created.
    :ivar mountpoint: an absolute path, or empty while the volume is not mounted.
    :ivar created: when it was created, with a time zone; ``None`` when not known.
        Docker forgets a volume whose ``CreatedAt`` it cannot read.
    :ivar status: what ``docker volume inspect`` shows under ``Status``; JSON values. It is
        read once: for another status, make another volume.
    """

    name: str
    mountpoint: str = ""
    created: datetime | None = None
    status: Mapping[str, object] = field(factory=dict)
    _json: bytes | None = field(default=None, init=False, eq=False, repr=False)

    def as_json(self) -> bytes:
        """Return the volume as JSON: made once, for a driver that gives it as an answer again."""
        if self._json is None:
            object.__setattr__(self, "_json", encode(_shown(self)))
            assert self._json is not None
        return self._json


def encoded(volumes: Iterable[Volume]) -> bytes:
    """Return volumes as JSON, separated by commas, for a driver that keeps it for many Lists."""
    return encode([_shown(volume) for volume in volumes])[1:-1]


@frozen
class Capabilities:
    """What a driver can do.

    :ivar scope: ``local`` (a volume is known to one engine) or ``global`` (to a whole swarm).
    """

    scope: Literal["local", "global"] = "local"


class IVolumeDriver(Interface):
    """What the author of a volume driver writes.

    A method returns its value, a Deferred of it, or a coroutine. It refuses by
    raising :class:`exampledriver.plugin.errors.PluginError`; anything else
    raised is logged as a bug. Names and options come as the engine sent them:
    Docker checks neither, so ``..``, ``a/b`` and newlines arrive.

    Creates of one name come one at a time; mounts of one volume come in
    parallel, and the same ID may be mounted more than once.
    """

    def create(name: str, options: Mapping[str, str]) -> Answer[None]:
        """Make the volume ``name``. It outlives its client: once begun, it is not cancelled."""

    def remove(name: str) -> Answer[None]:
        """Remove the volume ``name``. It outlives its client."""

    def mount(name: str, mount_id: str) -> Answer[str]:
        """Make the volume usable for the container ``mount_id``; return an absolute path.

        It outlives its client. Docker binds whatever it is told: an empty path
        is its own runtime directory, so one is never sent on.
        """

    def unmount(name: str, mount_id: str) -> Answer[None]:
        """Take note that ``mount_id`` has done with the volume. It outlives its client."""

    def path(name: str) -> Answer[str]:
        """Return the mountpoint, or an empty string while the volume is not mounted."""

    def get(name: str) -> Answer[Volume]:
        """Return the volume ``name``; raise only if it does not exist.

        Docker takes *any* error for "there is no such volume", forgets it, and
        creates an empty one in its place.
        """

    # Last, because its name hides the builtin from the annotations below it.
    def list() -> Answer[Iterable[Volume | bytes]]:
        """Return all volumes, or of some what :func:`encoded` has made of them."""

    def capabilities() -> Answer[Capabilities]:
        """Return the driver's capabilities, at once."""


@lru_cache(maxsize=1024)
def rfc3339(moment: datetime) -> str:
    """Return ``moment`` to the second in RFC 3339, in UTC: the one form every engine reads.

    :raises ValueError: it has no time zone.
    """
    if moment.utcoffset() is None:
        raise ValueError("a time for CreatedAt needs a time zone")
    # Not strftime: it writes a year below 1000 with fewer than four digits.
    return moment.astimezone(timezone.utc).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def _shown(volume: Volume) -> dict[str, object]:
    if not (isinstance(volume.name, str) and isinstance(volume.mountpoint, str)):
        raise TypeError("a name or mountpoint is no str")
    if volume.mountpoint[:1] not in _ABSOLUTE:
        raise ValueError(f"a mountpoint is {volume.mountpoint[:80]!r}; {_EXPECTED}")
    shown: dict[str, object] = {
        "Name": volume.name,
        "Mountpoint": volume.mountpoint,
        "Status": dict(volume.status),
    }
    if volume.created is not None:
        shown["CreatedAt"] = rfc3339(volume.created)
    return shown


@define
class _Told:
    """The answers' JSON objects. A wrong type is looked for when something has gone wrong."""

    driver: IVolumeDriver

    def mounted(self, mountpoint: str, message: Message) -> Fields:
        if not isinstance(mountpoint, str):
            raise wrong_type(self.driver.mount, mountpoint, "a str")
        if mountpoint[:1] != "/":
            of = f"{mountpoint[:80]!r} for volume {message.text('Name')!r}"
            raise mistake(self.driver.mount, f"returned {of}; an absolute path is expected")
        return {"Mountpoint": mountpoint, "Err": ""}

    def path(self, mountpoint: str, message: Message) -> Fields:
        if not isinstance(mountpoint, str):
            raise wrong_type(self.driver.path, mountpoint, "a str")
        if mountpoint[:1] not in _ABSOLUTE:
            what = f"returned {mountpoint[:80]!r}; {_EXPECTED}"
            raise mistake(self.driver.path, what)
        return {"Mountpoint": mountpoint, "Err": ""}

    def volume(self, volume: Volume, message: Message) -> Fields:
        if not isinstance(volume, Volume):
            of_none = "; for one that does not exist, raise a PluginError"
            raise mistake(
                self.driver.get,
                f"returned {named(volume)}; a Volume is expected{of_none * (volume is None)}",
            )
        try:
            return b'{"Volume":%s,"Err":""}' % volume.as_json()
        except (AttributeError, TypeError, ValueError):
            self.check(self.driver.get, volume)
            raise

    def volumes(self, volumes: Iterable[Volume | bytes], message: Message) -> Fields:
        volume: object = b""
        try:
            pieces = [b'{"Volumes":[']
            for volume in volumes:
                pieces += volume if isinstance(volume, bytes) else encoded([volume]), b","
        except (AttributeError, TypeError, ValueError):
            if not isinstance(volumes, Iterable):
                raise wrong_type(self.driver.list, volumes, "an iterable of Volumes") from None
            if not isinstance(volume, (Volume, bytes)):
                what = f"{named(volumes)} with {named(volume)} in it"
                raise mistake(
                    self.driver.list, f"returned {what}; an iterable of Volumes is expected"
                ) from None
            self.check(self.driver.list, volume)
            raise
        # The last comma, if there is one, gives way to the end.
        pieces[(len(pieces) > 1 and -1) or 1 :] = [b'],"Err":""}']
        return pieces

    def capabilities(self, found: Capabilities, message: Message) -> Fields:
        if not isinstance(found, Capabilities):
            raise wrong_type(self.driver.capabilities, found, "a Capabilities")
        self.check(self.driver.capabilities, found)
        return {"Capabilities": {"Scope": found.scope}}

    def check(self, method: Callable[..., object], value: object) -> None:
        """Go on if what a method returned has no wrong part."""
        from .checking import wrong_part as found

        if not isinstance(value, bytes) and (part := found(value)):
            raise wrong_part(method, value, part) from None
        if isinstance(value, Volume) and value.mountpoint[:1] not in _ABSOLUTE:
            part = f"mountpoint is {value.mountpoint[:80]!r}; {_EXPECTED}"
            raise wrong_part(method, value, part) from None


def add_routes(wire: Wire, driver: IVolumeDriver) -> None:
    """Serve ``driver`` under ``/VolumeDriver.*``."""
    told = _Told(driver)

    def name(message: Message) -> str:
        return message.text("Name")

    def done(method: Callable[..., object]) -> Callable[[object, Message], Fields]:
        def tell(nothing: object, message: Message) -> Fields:
            if nothing is not None:
                check_done(method, nothing)
            return _SUCCESS

        return tell

    for call in (
        Call(
            "VolumeDriver.Create",
            lambda message: driver.create(name(message), message.text_map("Opts")),
            done(driver.create),
            changes="Name",
        ),
        Call(
            "VolumeDriver.Remove",
            lambda message: driver.remove(name(message)),
            done(driver.remove),
            changes="Name",
        ),
        Call(
            "VolumeDriver.Mount",
            lambda message: driver.mount(name(message), message.text("ID")),
            told.mounted,
            changes="Name",
        ),
        Call(
            "VolumeDriver.Unmount",
            lambda message: driver.unmount(name(message), message.text("ID")),
            done(driver.unmount),
            changes="Name",
        ),
        Call("VolumeDriver.Path", lambda message: driver.path(name(message)), told.path),
        Call("VolumeDriver.Get", lambda message: driver.get(name(message)), told.volume),
        Call("VolumeDriver.List", lambda message: driver.list(), told.volumes, body=False),
        Call(
            "VolumeDriver.Capabilities",
            lambda message: driver.capabilities(),
            told.capabilities,
            body=False,
        ),
    ):
        wire.route(call)


bind(IVolumeDriver, Protocol(IMPLEMENTS, add_routes))
