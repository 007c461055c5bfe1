"""A plugin: drivers in, a web resource and an HTTP server out."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.web.resource import IResource

from .errors import named
from .protocol import Protocol, protocols_of
from .site import PluginSite
from .wire import Call, Wire

if TYPE_CHECKING:
    from .serving import PluginService

#: What a plugin may be called: its name is a part of paths.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")


def check_name(name: object) -> None:
    """Go on if a plugin can be called so.

    :raises ValueError: it cannot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"a plugin's name is 1 to 63 letters, digits, _ . and -, the first a letter or "
            f"digit; it is not {name!r}"
        )


def _check_drivers(name: str, drivers: object) -> None:
    if isinstance(drivers, (str, bytes)) or not isinstance(drivers, Sequence):
        raise TypeError(
            f"plugin {name}: drivers is {named(drivers)}; a list of drivers is expected, such as "
            f"Plugin({name!r}, [driver])"
        )
    if not drivers:
        raise ValueError(f"plugin {name}: drivers is empty; give it at least one")


def check_reactor(reactor: object) -> None:
    """Go on if something can be a reactor, or is a Clock.

    :raises TypeError: it cannot.
    """
    if not hasattr(reactor, "callLater"):
        raise TypeError(f"reactor: {reactor!r} is {named(reactor)}; Twisted's reactor is expected")


class _Monotonic:
    """The time, for a plugin without a reactor."""

    def seconds(self) -> float:
        return time.monotonic()


@define(eq=False)
class Plugin:
    """A Docker plugin made of one or more drivers.

    :ivar name: how engines find it, as in ``docker volume create -d NAME``.
    :ivar drivers: each provides the interface of one or more plugin protocols,
        such as :class:`exampledriver.plugin.volume.IVolumeDriver`.
    :ivar reactor: for :meth:`site`; :meth:`service` and :meth:`run` have their own.
    :raises TypeError: `drivers` is no list, or `reactor` no reactor; a driver provides no
        protocol, or not all of one, or two provide the same; a message of a protocol is not as it
        must be.
    :raises ValueError: it cannot be called so, or has no driver.
    """

    name: str
    drivers: Sequence[object]
    reactor: Any = None
    wire: Wire = field(init=False)
    max_body: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Add the routes of every driver, and those of activation."""
        check_name(self.name)
        _check_drivers(self.name, self.drivers)
        if self.reactor is not None:
            check_reactor(self.reactor)
        self.wire = Wire(self.reactor or _Monotonic())
        owners: dict[Protocol, str] = {}
        for driver in self.drivers:
            for protocol in protocols_of(driver):
                if protocol in owners:
                    name = protocol.implements or f"a part of {protocol.part_of}"
                    raise TypeError(
                        f"driver {type(driver).__name__}: driver {owners[protocol]} provides "
                        f"{name} already: give the plugin one of them"
                    )
                owners[protocol] = type(driver).__name__
                protocol.add_routes(self.wire, driver)
        self.max_body = max((protocol.max_body for protocol in owners), default=0)

        implements = [protocol.implements for protocol in owners if protocol.implements]
        answer = {"Implements": implements}
        self.wire.route(
            Call(
                "Plugin.Activate",
                lambda message: answer,
                lambda fields, message: fields,
                body=False,
            )
        )

    def resource(self) -> IResource:
        """Return the plugin as a resource for any Twisted web server."""
        return self.wire.app.resource()

    def site(self) -> PluginSite:
        """Return the plugin as an HTTP server that behaves as engines need it to.

        :raises ValueError: the plugin was made without a reactor.
        """
        if self.reactor is None:
            raise ValueError(
                f"plugin {self.name}: a site needs a reactor: Plugin({self.name!r}, drivers, "
                "reactor), or use service() or run()"
            )
        return self.make_site(self.reactor)

    def make_site(self, reactor: Any) -> PluginSite:
        """Return the plugin as an HTTP server, as :meth:`site` does, for a reactor."""
        site = PluginSite(self.resource(), self.wire.refuse, reactor, self.wire.table())
        site.max_body = max(site.max_body, self.max_body)
        return site

    def service(
        self, reactor: Any, endpoints: str | Sequence[str] = (), **more: Any
    ) -> PluginService:
        """Return a Twisted service; see :func:`exampledriver.plugin.serving.make_service`."""
        from .serving import make_service

        return make_service(self, reactor, endpoints, **more)

    def run(self, argv: Sequence[str] | None = None, *, asyncio: bool = False) -> None:
        """Serve until SIGTERM or Ctrl-C, and exit; see :func:`exampledriver.plugin.serving.run`.

        :param argv: options, in place of the command line's.
        :param asyncio: use Twisted's asyncio reactor, for drivers that await asyncio's futures.
        """
        from .serving import run

        run(self, argv, asyncio=asyncio)
