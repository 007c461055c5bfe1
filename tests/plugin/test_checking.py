"""Values of wrong types in what drivers return: found, and said by the field's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from attrs import field, frozen
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementer

from exampledriver.plugin import Plugin
from exampledriver.plugin.checking import wrong_part
from exampledriver.plugin.convert import call
from exampledriver.plugin.ipam import Address, Pool
from exampledriver.plugin.logdriver import LogEntry, Partial
from exampledriver.plugin.network import (
    CreatedEndpoint,
    EndpointDetails,
    EndpointInterface,
    InterfaceName,
    Joined,
    NetworkCapabilities,
    StaticRoute,
)
from exampledriver.plugin.protocol import Protocol, bind
from exampledriver.plugin.wire import Wire

from .protocols import ProtocolCase

NOON = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


@frozen
class Inner:
    """A part of a message."""

    n: Annotated[int, "N"] = 0


@frozen
class Everything:
    """A message with a field of each type that messages have."""

    text: Annotated[str, "Text"] = ""
    number: Annotated[int, "Number"] = 0
    ratio: Annotated[float, "Ratio"] = 0.0
    flag: Annotated[bool, "Flag"] = False
    data: Annotated[bytes, "Data"] = b""
    when: Annotated[datetime | None, "When"] = None
    choice: Annotated[Literal["a", "b"], "Choice"] = "a"
    texts: Annotated[Sequence[str], "Texts"] = ()
    pair: Annotated[tuple[str, int], "Pair"] = ("", 0)
    names: Annotated[Mapping[str, str], "Names"] = field(factory=dict)
    inner: Annotated[Inner, "Inner"] = Inner()
    maybe: Annotated[Inner | None, "Maybe"] = None
    inners: Annotated[Sequence[Inner], "Inners"] = ()
    anything: Annotated[object, "Anything"] = None


class WrongPartTests(SynchronousTestCase):
    """What is right, and what is wrong."""

    def test_right(self) -> None:
        """What messages declare is right, as are lists and tuples, and ints for floats."""

        class Text(str):
            __slots__ = ()

        for given in (
            {},
            {"text": Text("x"), "number": 1 << 70, "ratio": 1, "flag": True, "data": bytearray(1)},
            {"when": NOON, "choice": "b", "texts": ["a"], "pair": ["a", 1], "names": {"a": "b"}},
            {"inner": Inner(1), "maybe": Inner(2), "inners": (Inner(3),)},
            {"anything": {"a": [1, None, 1.5, "\ud800", b"x", NOON, Inner(1), Decimal(1)]}},
        ):
            self.assertEqual(wrong_part(Everything(**given)), "", given)

    def test_wrong(self) -> None:
        """Each wrong value is named with its field, what it is and what is expected."""
        zone = "one is expected, as of datetime.now(timezone.utc)"
        naive = NOON.replace(tzinfo=None)
        for name, value, says in (
            ("text", None, "text is None; a str is expected"),
            ("text", Path("/"), "text is a PosixPath; a str is expected"),
            ("number", True, "number is a bool; an int is expected"),
            ("number", 1.0, "number is a float; an int is expected"),
            ("ratio", False, "ratio is a bool; a float is expected"),
            ("flag", 1, "flag is an int; a bool is expected"),
            ("data", "x", "data is a str; a bytes is expected"),
            ("when", naive, f"when has no time zone; {zone}"),
            ("when", 7, "when is an int; a datetime is expected"),
            ("choice", "c", "choice is 'c'; 'a' or 'b' is expected"),
            ("texts", "abc", "texts is a str; a Sequence is expected"),
            ("texts", (text for text in "abc"), "texts is a generator; a Sequence is expected"),
            ("texts", ["a", 1], "texts[1] is an int; a str is expected"),
            ("pair", ("a", "b"), "pair[1] is a str; an int is expected"),
            ("names", [("a", "b")], "names is a list; a Mapping is expected"),
            ("names", {"a": 1}, "names['a'] is an int; a str is expected"),
            ("names", {1: "a"}, "a key of names is an int; a str is expected"),
            ("inner", {}, "inner is a dict; an Inner is expected"),
            ("inner", Inner("x"), "inner.n is a str; an int is expected"),  # type: ignore[arg-type]
            ("maybe", 1, "maybe is an int; an Inner is expected"),
            ("inners", [Inner(), Inner(True)], "inners[1].n is a bool; an int is expected"),
            ("anything", object(), "anything is an object; a JSON value is expected"),
            ("anything", {"a": [naive]}, f"anything['a'][0] has no time zone; {zone}"),
            ("anything", {"a": {1: 2}}, "a key of anything['a'] is an int; a str is expected"),
        ):
            wrong: Any = {name: value}
            self.assertEqual(wrong_part(Everything(**wrong)), says)

    def test_protocols(self) -> None:
        """The mistakes that are easily made with the messages of networks, pools and logs."""
        net: Any = ip_network("10.0.0.0/24")
        address: Any = ip_interface("10.0.0.2/24")
        wrong: Any = "globl"
        for message, says in (
            (Pool("p", net), "pool is an IPv4Network; a str is expected"),
            (Address(address), "address is an IPv4Interface; a str is expected"),
            (
                CreatedEndpoint(EndpointInterface(address)),
                "interface.address is an IPv4Interface; a str is expected",
            ),
            (
                Joined(InterfaceName("veth"), static_routes=[StaticRoute(net)]),
                "static_routes[0].destination is an IPv4Network; a str is expected",
            ),
            (
                EndpointDetails({"address": address}),
                "value['address'] is an IPv4Interface; a JSON value is expected",
            ),
            (NetworkCapabilities(wrong), "scope is 'globl'; 'local' or 'global' is expected"),
            (LogEntry(wrong, wrong, b""), "time_nano is a str; an int is expected"),
            (
                LogEntry("stdout", 1, b"", partial_metadata=Partial(ordinal=wrong)),
                "partial_metadata.ordinal is a str; an int is expected",
            ),
        ):
            self.assertEqual(wrong_part(message), says)


class IMine(Interface):
    """A protocol of a user's own."""

    def give(request: Inner) -> Everything:
        """Give everything."""


def _add_routes(wire: Wire, driver: Any) -> None:
    wire.route(call("Mine.Give", driver.give, Inner, Everything))


bind(IMine, Protocol("Mine", _add_routes))


class AnswerTests(ProtocolCase):
    """What the engine is told."""

    def test_told(self) -> None:
        """Engine and log are told the method, the message, the field and the types."""

        @implementer(IMine)
        class Mine:
            def give(self, request: Inner) -> Everything:
                return Everything(number=1 if request.n else "1")  # type: ignore[arg-type]

        self.serve(Mine())
        self.assertEqual(self.answer("Mine.Give", {"N": 1})["Number"], 1)
        text = "driver Mine.give returned an Everything whose number is a str; an int is expected"
        self.assertEqual(self.refused("Mine.Give", {}), {"Err": text})
        (logged,) = self.flushLoggedErrors()
        self.assertEqual(logged.getErrorMessage(), text)


class MessageClassTests(SynchronousTestCase):
    """Messages of a user's own, when their plugin is made."""

    def mistake(self, request: Any, answer: Any = Inner) -> str:
        """Return what is said of a plugin with such messages."""

        class IOwn(Interface):
            def give(request: object) -> object:
                """Give it."""

        def add_routes(wire: Wire, driver: Any) -> None:
            wire.route(call("Own.Give", driver.give, request, answer))

        bind(IOwn, Protocol("Own", add_routes))

        @implementer(IOwn)
        class Own:
            def give(self, request: object) -> object:
                return None

        return str(self.assertRaises(TypeError, Plugin, "x", [Own()]))

    def test_annotations(self) -> None:
        """What is wrong with a message's class is said at once, wherever it is."""

        @frozen
        class Bare:
            n: int = 0

        @frozen
        class Number:
            n: Annotated[int, 7] = 0

        @frozen
        class Foreign:
            paths: Annotated[Sequence[Path], "Paths"] = ()

        @frozen
        class Unknown:
            n: Annotated[Nothing, "N"] = 0  # type: ignore[name-defined]  # noqa: F821

        @frozen
        class Outer:
            inner: Annotated[Sequence[Bare], "Inner"] = ()

        class Plain:
            pass

        # As they are at the top of a module.
        Outer.__annotations__["inner"] = Annotated[Sequence[Bare], "Inner"]
        name = 'n does not say its name on the wire; annotate it as n: Annotated[TYPE, "NAME"]'
        for cls, says in (
            (Bare, f"message Bare: {name}"),
            (Number, f"message Number: {name}"),
            (Foreign, "message Foreign: paths is annotated with Path, which is not of JSON"),
            (Unknown, "message Unknown: an annotation cannot be read: name 'Nothing' is not"),
            (Outer, f"message Bare: {name}"),
            (Plain, "message Plain is no attrs class: make it one with @frozen"),
        ):
            self.assertIn(says, self.mistake(cls))
            self.assertIn(says, self.mistake(None, cls))
