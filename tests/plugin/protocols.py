"""A plugin of any protocol in memory, and what its messages are judged by."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin import Plugin
from exampledriver.plugin.convert import read, wire_names, write

from .memory import CONTENT_TYPE, Client, Response, post

#: What engines sent to a plugin of each kind, and what it answered.
RECORDED = Path(__file__).parent / "recorded"


class Exchange(NamedTuple):
    """A call that an engine made, and the answer with which it was content, or not."""

    path: str
    request: bytes
    message: Any
    status: int
    answer: Any


def exchanges(name: str) -> Iterator[Exchange]:
    """Yield what was recorded of a kind."""
    for line in (RECORDED / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield Exchange(
            row["path"].lstrip("/"),
            row["raw_request"].encode("utf-8"),
            row["body"],
            row["status"],
            row["response"],
        )


class ProtocolCase(SynchronousTestCase):
    """A plugin of one driver, which a test makes, and one client."""

    def serve(self, driver: object) -> None:
        """Make the plugin."""
        self.plugin = Plugin("x", [driver], Clock())
        self.client = Client(self.plugin.site())

    def call(self, call: str, message: object = b"") -> Response:
        """Return the answer to a call."""
        return self.client.ask(post(call, message))

    def answer(self, call: str, message: object = b"") -> dict[str, Any]:
        """Return the answer to a call that succeeds."""
        response = self.call(call, message)
        self.assertEqual((response.status, response.body), (200, response.body))
        self.assertEqual(response.headers["content-type"], [CONTENT_TYPE])
        found: dict[str, Any] = response.answer
        return found

    def refused(self, call: str, message: object, status: int = 500) -> dict[str, Any]:
        """Return the answer to a call that is refused."""
        response = self.call(call, message)
        self.assertEqual((response.status, response.body), (status, response.body))
        found: dict[str, Any] = response.answer
        return found

    def round_trip(self, message: object, sent: Mapping[str, object]) -> None:
        """Check that a message has every field of its class, and is read and written as `sent`."""
        cls = type(message)
        self.assertEqual(set(wire_names(cls).values()), set(sent), cls)
        found = read(cls, json.loads(json.dumps(sent)), "X.Y")
        self.assertEqual(write(found), sent)
        self.assertEqual(write(message), sent)
        # Go sends null for what is empty, and a newer engine may say more.
        needed = _required(cls)
        least = {name: value for name, value in sent.items() if name in needed}
        empty = {name: None for name in sent if name not in needed}
        self.assertEqual(read(cls, {**least, **empty, "New": 1}, "X.Y"), read(cls, least, "X.Y"))


def _required(cls: type[Any]) -> set[str]:
    names = wire_names(cls)
    return {names[a.name] for a in attrs.fields(cls) if a.default is attrs.NOTHING}
