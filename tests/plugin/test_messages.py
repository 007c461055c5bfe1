"""The JSON of a request: an object with the fields that are needed, or an error that says which."""

from __future__ import annotations

import json
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin import BadRequest
from exampledriver.plugin.message import Message, encode

from .memory import NAMED, UNHURRIED, PluginCase

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class NoMessageCase(PluginCase):
    """Bodies that are no message."""

    def refused(self, body: object) -> str:
        """Check that every call that names a volume refuses a body; return the last text."""
        text = ""
        for call in NAMED:
            text = self.assertRefused(self.call(call, body), 400)
            self.assertTrue(text.startswith(call), text)
        self.assertEqual(self.driver.calls, [])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.plugin.wire.pending, 0)
        return text


class NoMessageTests(NoMessageCase):
    """What is no JSON object."""

    def test_empty(self) -> None:
        """Docker's retry has an empty body: it is an error for whatever names a volume."""
        for body in (b"", b"\n", b" \r\n\t"):
            text = self.refused(body)
            self.assertIn("no body", text)
            self.assertIn("repeat the command", text)

    def test_no_object(self) -> None:
        """A list, a string, a number, null or NaN is no message."""
        for body in (b"[]", b'"x"', b'["Name"]', b"null\n", b"NaN", b"-Infinity", b"0", b"true"):
            self.assertIn("not a JSON object", self.refused(body))

    def test_no_json(self) -> None:
        """What is not JSON is an error, never half read."""
        for body in (
            b"{",
            b'{"Name":"db"',
            b'{"Name":"db"}}',
            b'{"Name":"db"}{"Name":"db"}',
            b"{'Name':'db'}",
            b'{"Name":"d\nb"}',
            b'{"Name":"db",}',
            b'{"Name":"db"}\0',
            b"Name=db",
            b"\x1f\x8b\x08",
        ):
            self.assertIn("not JSON", self.refused(body))

    def test_not_utf8(self) -> None:
        """A body that is not UTF-8 is an error."""
        for body in (b'{"Name":"\xff"}', b'{"Name":"\xc3"}', b"\xff\xfe{", b'{"Name":"\xe4"}'):
            self.refused(body)

    def test_almost_utf8(self) -> None:
        """So is one in another encoding, or with a surrogate that UTF-8 does not have."""
        text = '{"Name":"db","ID":"c1"}'
        for body in (
            b'{"Name":"\xed\xa0\x80","ID":"c1"}',
            text.encode("utf-16"),
            text.encode("utf-16-le"),
            text.encode("utf-32-be"),
        ):
            self.refused(body)

    def test_deep(self) -> None:
        """Brackets nested thousands deep are an error of the request, not of the plugin."""
        for inner in (b"[" * 100_000, b'{"a":' * 100_000):
            for body in (inner, b'{"Name":"db","ID":"c1","Opts":' + inner):
                self.assertIn("not JSON", self.refused(body))

    def test_huge_number(self) -> None:
        """So is a number of more digits than are read."""
        self.refused(b'{"Name":' + b"9" * 100_000 + b"}")


class FieldTests(NoMessageCase):
    """Fields that are missing or wrong."""

    def test_name(self) -> None:
        """A Name that is missing, null, empty or no string is an error that says so."""
        rest = {"ID": "c1", "Opts": {}}
        self.assertIn('"Name" is missing', self.refused({}))
        self.assertIn('"Name" is missing', self.refused({**rest, "name": "db"}))
        self.assertIn('"Name" is missing', self.refused({**rest, "Name": None}))
        self.assertIn('"Name" is empty', self.refused({**rest, "Name": ""}))
        for name in (1, True, 1.5, ["db"], {"db": "db"}, float("nan")):
            self.assertIn('"Name" is not a string', self.refused({**rest, "Name": name}))

    def test_id(self) -> None:
        """So is the ID of Mount and Unmount."""
        for fields, says in (
            ({}, '"ID" is missing'),
            ({"ID": None}, '"ID" is missing'),
            ({"ID": ""}, '"ID" is empty'),
            ({"ID": 7}, '"ID" is not a string'),
            ({"ID": ["c1"]}, '"ID" is not a string'),
        ):
            for call in ("VolumeDriver.Mount", "VolumeDriver.Unmount"):
                response = self.call(call, {"Name": "db", **fields})
                self.assertIn(says, self.assertRefused(response, 400))
        self.assertEqual(self.driver.calls, [])

    def test_options(self) -> None:
        """Opts that are no object, or have a value that is no string, are an error."""
        for options, says in (
            ([], '"Opts" is not an object'),
            ("size=1G", '"Opts" is not an object'),
            (False, '"Opts" is not an object'),
            (0, '"Opts" is not an object'),
            ({"size": 1}, 'value of "size" is not a string'),
            ({"a": "b", "size": None}, 'value of "size" is not a string'),
            ({"size": float("nan")}, 'value of "size" is not a string'),
            ({"size": {"a": "b"}}, 'value of "size" is not a string'),
        ):
            response = self.call("VolumeDriver.Create", {"Name": "db", "Opts": options})
            self.assertIn(says, self.assertRefused(response, 400))
        self.assertEqual(self.driver.calls, [])
        self.assertEqual(self.plugin.wire.pending, 0)


class MessageTests(SynchronousTestCase):
    """Message and encode, by themselves."""

    @UNHURRIED
    @given(st.binary())
    def test_any_bytes(self, body: bytes) -> None:
        """Any bytes are a message or a BadRequest."""
        try:
            Message.decode("Call", body)
        except BadRequest as error:
            self.assertIn("Call: ", str(error))

    @UNHURRIED
    @given(st.dictionaries(st.sampled_from(["Name", "Opts", "x"]), JSON))
    def test_any_fields(self, fields: dict[str, object]) -> None:
        """A field of any value is of the type that was asked for, or a BadRequest."""
        message = Message("Call", fields)
        try:
            name, options = message.text("Name"), message.text_map("Opts")
        except BadRequest as error:
            self.assertIn("Call: ", str(error))
        else:
            self.assertTrue(name)
            self.assertTrue(all(isinstance(value, str) for value in options.values()))

    @UNHURRIED
    @given(st.dictionaries(st.text(), st.text(st.characters())))
    def test_round_trip(self, fields: dict[str, str]) -> None:
        """What is encoded is read back the same, lone surrogates and all."""
        message = Message.decode("Call", encode(fields))
        self.assertEqual(message, Message("Call", fields))

    def test_nan(self) -> None:
        """NaN is never sent: engines cannot read it."""
        for value in ("nan", "inf", "-inf"):
            self.assertEqual(encode({"x": float(value)}), b'{"x":null}')

    def test_subclasses(self) -> None:
        """Texts, numbers and mappings of classes of their own are written as what they are."""

        class Text(str):
            __slots__ = ()

        class Number(int):
            __slots__ = ()

        values = {"a": Text("ä"), "b": Number(7), "c": MappingProxyType({"d": 1}), "e": 1 << 64}
        self.assertEqual(
            json.loads(encode(values)), {"a": "ä", "b": 7, "c": {"d": 1}, "e": 1 << 64}
        )
        self.assertRaises(TypeError, encode, {"a": object()})

    def test_quiet(self) -> None:
        """A message's representation does not show its fields: options may be secrets."""
        self.assertNotIn("hunter2", repr(Message("Call", {"Opts": {"password": "hunter2"}})))
