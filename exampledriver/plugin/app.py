"""A plugin: drivers in, a web resource and an HTTP server out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from zope.interface import Interface

from . import volume
from .site import PluginSite
from .wire import Call, Wire

#: Each protocol: the interface that a driver provides, its name for Activate, its routes.
_PROTOCOLS: Sequence[tuple[type[Interface], str, Callable[[Wire, Any], None]]] = [
    (volume.IVolumeDriver, volume.IMPLEMENTS, volume.add_routes),
]


@define(eq=False)
class Plugin:
    """A Docker plugin made of one or more drivers.

    :param drivers: each provides the interface of one or more plugin protocols,
        such as :class:`~exampledriver.plugin.volume.IVolumeDriver`.
    :raises TypeError: a driver provides no protocol, or two provide the same.
    """

    reactor: IReactorTime
    drivers: Sequence[object]
    wire: Wire = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Add the routes of every driver, and those of activation."""
        self.wire = Wire(self.reactor)
        implements: list[str] = []
        for driver in self.drivers:
            found = [p for p in _PROTOCOLS if p[0].providedBy(driver)]
            if not found:
                raise TypeError(
                    f"{driver!r} provides no plugin protocol; declare its interface "
                    "with @implementer"
                )
            for _, name, add_routes in found:
                if name in implements:
                    raise TypeError(f"{driver!r}: another driver already provides {name}")
                implements.append(name)
                add_routes(self.wire, driver)

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
        """Return the plugin as an HTTP server that behaves as engines need it to."""
        return PluginSite(self.resource(), self.wire.refuse, self.reactor, self.wire.table())
