"""What a driver returns, judged by the types that its message classes declare.

Python does not look at them: without this, a path object is an error in the depths of an
encoder, and a text in place of bytes another secret.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import attrs
import msgspec

from .errors import article, named
from .message import encode


@cache
def _parts(cls: Hashable) -> tuple[tuple[str, Any], ...]:
    assert isinstance(cls, type)
    hints = get_type_hints(cls)
    return tuple((part.name, hints[part.name]) for part in attrs.fields(cls) if part.init)


def wrong_part(message: object, at: str = "") -> str:
    """Return what is wrong inside an object of an attrs class; an empty text if nothing is.

    It is such as ``mountpoint is a PosixPath; a str is expected``, and shows no values but
    those of enumerations: they may be secrets.
    """
    for name, kind in _parts(cast(Hashable, type(message))):
        if found := _wrong(getattr(message, name), kind, f"{at}{name}"):
            return found
    return ""


def _wrong(value: object, kind: Any, at: str) -> str:
    if kind is object or kind is Any:
        return _unwritable(value, at)
    inner, cls = get_args(kind), get_origin(kind) or kind
    if cls is Literal:
        expected = " or ".join(map(repr, inner))
        return "" if value in inner else f"{at} is {value!r}; {expected} is expected"
    if cls in (Union, UnionType):
        return _none_of(value, inner, at)
    if not isinstance(cls, type):
        return ""
    if not _is(value, cls):
        return f"{at} is {named(value)}; {article(cls.__name__)} is expected"
    if attrs.has(cls):
        return wrong_part(value, f"{at}.")
    if isinstance(value, datetime):
        return _zoneless(value, at)
    return _first(_items(value, inner, at)) if inner else ""


def _is(value: object, cls: type[Any]) -> bool:
    if isinstance(value, bool):
        # To Python it is an int.
        return cls is bool
    if cls is float:
        return isinstance(value, (int, float))
    if cls is bytes:
        return isinstance(value, (bytes, bytearray))
    if cls is tuple:
        return isinstance(value, (tuple, list))
    if cls is Sequence and isinstance(value, (str, bytes, bytearray)):
        return False
    return isinstance(value, cls)


#: A value, what it has to be, and where it is.
_Item = tuple[object, Any, str]


def _first(items: Iterable[_Item]) -> str:
    return next(filter(None, (_wrong(*item) for item in items)), "")


def _items(value: object, kinds: Sequence[Any], at: str) -> Iterator[_Item]:
    """Yield what is in a collection."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key, kinds[0], f"a key of {at}"
            yield item, kinds[-1], f"{at}[{key!r}]"
    elif isinstance(value, (Sequence, Set)):
        for n, item in enumerate(value):
            # Of a tuple each may have its own.
            yield item, kinds[min(n, len(kinds) - 1)], f"{at}[{n}]"


def _none_of(value: object, kinds: Sequence[Any], at: str) -> str:
    found = [_wrong(value, kind, at) for kind in kinds]
    if not all(found):
        return ""
    # What is said of the one that is not None says most.
    return next(text for text, kind in zip(found, kinds, strict=True) if kind is not NoneType)


def _zoneless(value: datetime, at: str) -> str:
    if value.utcoffset() is not None:
        return ""
    return f"{at} has no time zone; one is expected, as of datetime.now(timezone.utc)"


def _unwritable(value: object, at: str) -> str:
    """Return what in a value of any type cannot be written as JSON."""
    if attrs.has(type(value)):
        return wrong_part(value, f"{at}.")
    if isinstance(value, Mapping):
        return _first(_items(value, (str, object), at))
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return _first(_items(value, (object,), at))
    if isinstance(value, datetime):
        return _zoneless(value, at)
    try:
        encode(value)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return f"{at} is {named(value)}; a JSON value is expected"
    return ""
