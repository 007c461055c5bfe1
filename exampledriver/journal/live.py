"""The live map: what the changes of a journal have made, one by one or many at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec
from attrs import define, field

from .interfaces import Codec

#: Values are kept as their JSON.
PLAIN = Codec()
#: A change: a key with its value's JSON, or with ``None`` for a deletion.
Change: TypeAlias = tuple[str, "bytes | None"]

#: Bytes of a record beside its key and value, about; and those of them that its change has.
_FRAME = 40
_SYNTAX = len(b'["put","",]')
#: So many changes are applied one by one.
_FEW = 8

_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_key = msgspec.json.Decoder(str).decode


def record_size(key: str, value: bytes) -> int:
    """Return how many bytes the record of a key and its value's JSON has, about."""
    return len(key) + len(value) + _FRAME


@define(eq=False)
class LiveMap:
    """A map to which changes are applied.

    :ivar codec: how values are kept.
    :ivar entries: the map, with what is kept of the values.
    :ivar size: how many bytes its records have, about.
    """

    codec: Codec = PLAIN
    entries: dict[str, Any] = field(factory=dict)
    size: int = field(default=0, init=False)
    _decode: Callable[[bytes], Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Prepare to read many values at once."""
        change = tuple[Literal["put"], str, self.codec.kind]  # type: ignore[name-defined]
        self._decode = msgspec.json.Decoder(list[change]).decode

    def apply(self, changes: list[bytes]) -> int:
        """Apply changes, given as the JSON of their records.

        :return: how many of them, from the first, are changes that this version knows.
        """
        if len(changes) <= _FEW:
            for number, change in enumerate(changes):
                if not self._apply(change):
                    return number
            return len(changes)
        if self._put_all(changes):
            return len(changes)
        half = len(changes) // 2
        known = self.apply(changes[:half])
        return known if known < half else half + self.apply(changes[half:])

    def _put_all(self, changes: list[bytes]) -> bool:
        """Apply changes at once, if each of them sets another new key."""
        text = b"[%s]" % b",".join(changes)
        # In the one form that is written, as far as that is quickly seen.
        if not (
            text.isascii()
            and text.startswith(b'[["put","')
            and text.count(b'}],["put","') >= len(changes) - 1
            and text.endswith(b"}]]")
        ):
            return False
        pack = self.codec.pack
        try:
            entries = {key: pack(value) for _, key, value in self._decode(text)}
        except (msgspec.MsgspecError, ValueError):
            return False
        if len(entries) < len(changes) or not self.entries.keys().isdisjoint(entries):
            return False
        self.entries.update(entries)
        self.size += sum(map(len, changes)) + len(changes) * (_FRAME - _SYNTAX)
        return True

    def _apply(self, change: bytes) -> bool:
        """Apply one change; return whether it is one that this version knows."""
        try:
            # The parts are read, and kept as they stand in the file: in the one form that is
            # written.
            kind, *parts = map(bytes, _parts(change))
            if not change.isascii() or b"[%s]" % b",".join([kind, *parts]) != change:
                return False
            if kind == b'"put"' and len(parts) == 2 and parts[1].startswith(b"{"):
                self.replace(_key(parts[0]), parts[1])
            elif kind == b'"delete"' and len(parts) == 1:
                self.replace(_key(parts[0]), None)
            else:
                return kind == b'"synced"' and not parts
        except (msgspec.MsgspecError, ValueError):
            return False
        return True

    def replace(self, key: str, value: bytes | None) -> None:
        """Set a key to a value's JSON, or take it out."""
        old = self.entries.pop(key, None)
        if old is not None:
            self.size -= record_size(key, self.codec.write(key, old))
        if value is not None:
            self.entries[key] = self.codec.read(value)
            self.size += record_size(key, value)
