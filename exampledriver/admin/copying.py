"""The calls about copies of volumes: snapshots, rollbacks, archives."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..plugin.errors import BadRequest
from ..plugin.message import Message
from ..plugin.wire import Answer
from .interfaces import ICopying, Report

#: The name of a socket beside the administrator's.
_CHANNEL = re.compile(r"\.x[0-9a-f]{8}", re.ASCII)


def long_calls(copying: ICopying) -> dict[str, Callable[[Message, Report], Answer[Any]]]:
    """Return what puts the calls' messages, by name; each changes ``Name``, and answers fields."""

    def snapshot(message: Message, report: Report) -> Answer[Any]:
        return copying.snapshot(message.text("Name"), _label(message), report)

    def delete(message: Message, report: Report) -> Answer[Any]:
        return copying.delete_snapshot(message.text("Name"), message.text("Label"), report)

    def roll_back(message: Message, report: Report) -> Answer[Any]:
        return copying.roll_back(message.text("Name"), message.text("Label"), report)

    def export(message: Message, report: Report) -> Answer[Any]:
        name = message.text("Name")
        return copying.export(name, _label(message), _channel(message), report)

    def import_(message: Message, report: Report) -> Answer[Any]:
        name, options = message.text("Name"), message.text_map("Opts")
        return copying.import_(name, options, _channel(message), report)

    return {
        "Admin.Snapshot": snapshot,
        "Admin.DeleteSnapshot": delete,
        "Admin.Rollback": roll_back,
        "Admin.Export": export,
        "Admin.Import": import_,
    }


def _label(message: Message) -> str:
    return message.text("Label") if message.value("Label") not in (None, "") else ""


def _channel(message: Message) -> str:
    name = message.text("Channel")
    if not _CHANNEL.fullmatch(name):
        raise BadRequest(f'{message.call}: "Channel" is not .x and 8 hexadecimal digits')
    return name
