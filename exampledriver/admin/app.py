"""The administrator's calls as Klein routes: ``POST /Admin.NAME`` with a JSON object.

They are made as the plugin's are, by :class:`~exampledriver.plugin.wire.Wire`: a change
outlives its client and has a line in the log; an error is ``{"Err": text}``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from attrs import define, evolve, field
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IRequest

from ..plugin.errors import BadRequest
from ..plugin.message import Message
from ..plugin.site import PluginSite
from ..plugin.wire import Answer, Call, Wire, reply
from . import copying
from .interfaces import Fields, IAdministration, ICopying, Report
from .lines import Lines, content

#: Asks the administration for what takes a while.
_AskLong = Callable[[Message, Report], Answer[Any]]


def _list(key: str) -> Callable[[Any, Message], Fields]:
    return lambda found, message: {key: found, "Err": ""}


def _fields(found: Fields, message: Message) -> Fields:
    return {**found, "Err": ""}


@define(eq=False)
class AdminServer:
    """The routes over an administration, and their HTTP server.

    :ivar wire: counts the changes under way.
    """

    _administration: IAdministration
    _reactor: IReactorTime
    _copying: ICopying | None = None
    wire: Wire = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Add the routes."""
        self.wire = Wire(self._reactor)
        for call in self._calls():
            self.wire.route(call)
        for call, ask in self._long_calls():
            self._route_long(call, ask)
        if self._copying is not None:
            self._route_copies(self._copying)

    def _route_copies(self, copies: ICopying) -> None:
        self.wire.route(
            Call(
                "Admin.Snapshots",
                lambda message: copies.snapshots(message.text("Name")),
                _list("Snapshots"),
            )
        )
        for name, ask in copying.long_calls(copies).items():
            stops = name != "Admin.DeleteSnapshot"
            self._route_long(Call(name, _never, _fields, changes="Name", stops=stops), ask)

    @property
    def app(self) -> Klein:
        """The Klein application."""
        return self.wire.app

    def site(self) -> PluginSite:
        """Return the HTTP server."""
        return PluginSite(self.app.resource(), self.wire.refuse, self._reactor, self.wire.table())

    def _calls(self) -> list[Call[Any]]:
        administration = self._administration
        return [
            Call("Admin.About", lambda message: administration.about(), _fields, body=False),
            Call("Admin.Names", lambda message: administration.names(), _list("Names"), body=False),
            Call(
                "Admin.Volumes",
                lambda message: administration.volumes(_texts(message, "Names")),
                _list("Volumes"),
            ),
            Call(
                "Admin.Mounts",
                lambda message: administration.mounts(_texts(message, "Names")),
                _list("Volumes"),
            ),
            Call(
                "Admin.Check",
                lambda message: administration.check(
                    *_wanted(message), _optional(message, "Source"), _flag(message, "Move")
                ),
                _fields,
            ),
            Call(
                "Admin.Remove",
                lambda message: administration.remove(message.text("Name"), _flag(message, "Now")),
                _fields,
                changes="Name",
            ),
            Call(
                "Admin.Release",
                lambda message: administration.release(
                    message.text("Name"), _optional(message, "ID")
                ),
                _fields,
                changes="Name",
            ),
            Call(
                "Admin.Label",
                lambda message: administration.label(
                    message.text("Name"), message.text_map("Labels")
                ),
                _fields,
                changes="Name",
            ),
            Call(
                "Admin.Accept",
                lambda message: administration.accept(message.text("Name")),
                _fields,
                changes="Name",
            ),
            Call(
                "Admin.Resize",
                lambda message: administration.resize(message.text("Name"), message.text("Size")),
                _fields,
                changes="Name",
            ),
            Call("Admin.Trash", lambda message: administration.trash(), _list("Trash"), body=False),
            Call(
                "Admin.Restore",
                lambda message: administration.restore(
                    message.text("Which"), _optional(message, "Name"), _flag(message, "Partial")
                ),
                _fields,
                changes="Which",
            ),
        ]

    def _long_calls(self) -> list[tuple[Call[Any], _AskLong]]:
        """Return the calls that tell how far they are, in lines."""
        administration = self._administration

        def usage(message: Message, report: Report) -> Answer[Any]:
            return administration.usage(_texts(message, "Names"), _flag(message, "Fresh"), report)

        def create(message: Message, report: Report) -> Answer[Any]:
            return administration.create(*_wanted(message), report)

        def bring(message: Message, report: Report) -> Answer[Any]:
            source, move = message.text("Source"), _flag(message, "Move")
            return administration.bring(*_wanted(message), source, move, report)

        def purge(message: Message, report: Report) -> Answer[Any]:
            seconds = _seconds(message, "OlderThan")
            return administration.purge(_texts(message, "Which"), seconds, report)

        return [
            (Call("Admin.Usage", _never, _list("Volumes")), usage),
            (Call("Admin.Create", _never, _fields, changes="Name", stops=True), create),
            (Call("Admin.Bring", _never, _fields, changes="Name", stops=True), bring),
            (Call("Admin.Purge", _never, _fields, changes="What"), purge),
        ]

    def _route_long(self, call: Call[Any], ask: _AskLong) -> None:
        def handle(request: IRequest) -> bytes | Deferred[bytes]:
            lines = Lines(request)
            begun = evolve(call, ask=lambda message: ask(message, lines.report))
            answered = self.wire.begin(begun, content(request))
            if isinstance(answered, Deferred):
                return answered.addCallback(lambda found: lines.end(*found))
            return reply(request, *answered)

        self.app.route("/" + call.name, methods=["POST"], endpoint=call.name)(handle)


def _never(message: Message) -> Answer[Any]:
    raise AssertionError("a long call is asked with a report")


def _wanted(message: Message) -> tuple[str, dict[str, str]]:
    return message.text("Name"), message.text_map("Opts")


def _optional(message: Message, key: str) -> str:
    return message.text(key) if message.value(key) not in (None, "") else ""


def _texts(message: Message, key: str) -> list[str]:
    value = message.value(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise BadRequest(f'{message.call}: "{key}" is not a list of strings')
    return cast("list[str]", value)


def _flag(message: Message, key: str) -> bool:
    value = message.value(key)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f'{message.call}: "{key}" is not true or false')
    return bool(value)


def _seconds(message: Message, key: str) -> float:
    value = message.value(key)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise BadRequest(f'{message.call}: "{key}" is not a number of seconds')
    return float(value)
