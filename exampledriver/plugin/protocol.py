"""What makes an interface a plugin protocol: its name for engines, and its calls.

A protocol is bound to its interface, so that a plugin finds it at the driver, and a daemon
imports none but those that its drivers implement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import isclass
from typing import Any

from attrs import frozen
from zope.interface import Interface, providedBy
from zope.interface.exceptions import Invalid
from zope.interface.interface import InterfaceClass, Method
from zope.interface.verify import verifyObject

from .wire import Wire

_TAG = "exampledriver.plugin.protocol"

#: The largest body of a protocol's requests, in bytes, unless it needs more.
MAX_BODY = 1 << 20


@frozen
class Protocol:
    """A plugin protocol.

    :ivar implements: its name in the answer to ``Plugin.Activate``; empty for the optional
        part of another one.
    :ivar add_routes: serves a driver's calls.
    :ivar max_body: the largest body of its requests, in bytes.
    :ivar part_of: the protocol that an optional part belongs to.
    """

    implements: str
    add_routes: Callable[[Wire, Any], None]
    max_body: int = MAX_BODY
    part_of: str = ""


def bind(interface: type[Interface], protocol: Protocol) -> None:
    """Make an interface the one that drivers of a protocol implement."""
    interface.setTaggedValue(_TAG, protocol)


def protocols_of(driver: object) -> list[Protocol]:
    """Return the protocols that a driver implements, in the order in which it declares them.

    :raises TypeError: it implements none, or one of them not wholly.
    """
    if isclass(driver):
        raise TypeError(f"{driver.__name__} is a class: give the plugin an instance of it")
    found = list(_declared(driver))
    if not found:
        raise TypeError(
            f"driver {type(driver).__name__} provides no plugin protocol; declare its interface "
            "with @implementer, such as @implementer(IVolumeDriver)"
        )
    names = {protocol.implements for _, protocol in found}
    for interface, protocol in found:
        _verify(interface, driver)
        if protocol.part_of and protocol.part_of not in names:
            raise TypeError(
                f"driver {type(driver).__name__}: {interface.__name__} is a part of "
                f"{protocol.part_of}: implement that too"
            )
    _check_apart(driver, [interface for interface, _ in found])
    return [protocol for _, protocol in found]


def _check_apart(driver: object, interfaces: list[InterfaceClass]) -> None:
    """Refuse an object whose one method would have to answer for two protocols.

    ``capabilities`` of a volume, a network and an IPAM driver return different things.
    """
    owner: dict[str, InterfaceClass] = {}
    for interface in interfaces:
        for name in interface.names():
            other = owner.setdefault(name, interface)
            if other is not interface:
                raise TypeError(
                    f"driver {type(driver).__name__}: {other.__name__} and {interface.__name__} "
                    f"both have a method {name}: give the plugin two drivers, one for each"
                )


def _declared(driver: object) -> Iterator[tuple[InterfaceClass, Protocol]]:
    for interface in providedBy(driver):
        protocol = interface.queryDirectTaggedValue(_TAG)
        if protocol is not None:
            yield interface, protocol


def _verify(interface: InterfaceClass, driver: object) -> None:
    """Check that a driver has each method of an interface, with its parameters."""
    try:
        verifyObject(interface, driver)
    except Invalid as error:
        # All of them, or the one that there is.
        errors = getattr(error, "exceptions", (error,))
    else:
        return
    what = "; ".join(_said(error) for error in errors)
    raise TypeError(f"driver {type(driver).__name__}: {interface.__name__}: {what}") from None


def _said(error: Any) -> str:
    method = getattr(error, "method", None)
    if method is not None:
        return f"{method.getName()}{method.getSignatureString()} is expected, {error.mess}"
    missing = getattr(error, "name", None)
    if isinstance(missing, Method):
        return f"{missing.getName()}{missing.getSignatureString()} is missing"
    return str(error)
