"""Between messages, which are frozen attrs classes, and JSON as engines have it.

A field says its name on the wire in its annotation::

    network_id: Annotated[str, "NetworkID"]

Go leaves out what is empty, or sends ``null``: a field with a default need not come. What is
not known is passed over, so that a newer engine can say more.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import attrs
import msgspec
from attrs import frozen
from msgspec.inspect import CustomType, type_info

from . import checking
from .errors import BadRequest, article, check_done, wrong_part, wrong_type
from .message import Message
from .wire import Answer, Call, Fields, refused

T = TypeVar("T")


@frozen
class _Field:
    """One field of a message class.

    :ivar nested: the message class that it holds, if it does.
    :ivar many: it holds a sequence of them.
    """

    name: str
    wire: str
    kind: Any
    required: bool
    nested: type[Any] | None
    many: bool


@cache
def _fields(cls: Hashable) -> tuple[_Field, ...]:
    assert isinstance(cls, type)
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError) as error:
        raise TypeError(
            f"message {cls.__name__}: an annotation cannot be read: {error}; what it names has to "
            "be at the top of its module"
        ) from None
    return tuple(_field(cls, part, hints.get(part.name)) for part in attrs.fields(cls))


def _field(cls: type[Any], attribute: attrs.Attribute[Any], hint: Any) -> _Field:
    kind, *wire = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if len(wire) != 1 or not isinstance(wire[0], str):
        raise TypeError(
            f"message {cls.__name__}: {attribute.name} does not say its name on the wire; "
            f'annotate it as {attribute.name}: Annotated[TYPE, "NAME"]'
        )
    inner = [word for word in (kind, *get_args(kind)) if attrs.has(word)]
    return _Field(
        attribute.name,
        wire[0],
        kind,
        attribute.default is attrs.NOTHING,
        inner[0] if inner else None,
        get_origin(kind) is Sequence,
    )


def check_message(cls: type[Any], within: tuple[type[Any], ...] = ()) -> None:
    """Go on if a class, and those inside of it, can be read and written as a message.

    :param within: those that it is inside of.
    :raises TypeError: it is no attrs class, or one of its annotations is not as it must be.
    """
    if not isinstance(cls, type) or not attrs.has(cls):
        name = getattr(cls, "__name__", cls)
        raise TypeError(f"message {name} is no attrs class: make it one with @frozen")
    for field in _fields(cast(Hashable, cls)):
        if foreign := _foreign(field.kind):
            raise TypeError(
                f"message {cls.__name__}: {field.name} is annotated with {foreign}, which is not "
                "of JSON: give a type such as str, int, Sequence[str], or a message's class"
            )
        if field.nested is not None and field.nested not in (cls, *within):
            check_message(field.nested, (cls, *within))


def _foreign(kind: Any) -> str:
    """Return the name of a type in an annotation that is not read and written; empty for none."""
    if get_origin(kind) is Literal or kind is object or attrs.has(kind):
        return ""
    if inner := get_args(kind):
        return next(filter(None, (_foreign(word) for word in inner if word is not Ellipsis)), "")
    try:
        custom = isinstance(type_info(kind), CustomType)
    except TypeError:
        custom = True
    return getattr(kind, "__name__", repr(kind)) if custom else ""


def wire_names(cls: type[Any]) -> dict[str, str]:
    """Return the name on the wire of each field of a message class."""
    return {field.name: field.wire for field in _fields(cast(Hashable, cls))}


def read(cls: type[T], fields: Mapping[str, object], where: str) -> T:
    """Read a message.

    :param where: what it is a part of, for error texts, such as the call's name.
    :raises BadRequest: a field is missing, or of another type than it must be.
    """
    found: dict[str, object] = {}
    for field in _fields(cast(Hashable, cls)):
        value = fields.get(field.wire)
        if value is None:
            if field.required:
                raise BadRequest(f'{where}: "{field.wire}" is missing')
            continue
        value = _value(field, value, f'{where}: "{field.wire}"')
        if value is not None:
            found[field.name] = value
    return cls(**found)


def _value(field: _Field, value: object, where: str) -> object:
    if field.nested is not None and field.many:
        if not isinstance(value, list):
            raise BadRequest(f"{where}: is not an array")
        return [_object(field.nested, item, f"{where}[{n}]") for n, item in enumerate(value)]
    if field.nested is not None:
        return _object(field.nested, value, where)
    try:
        found = msgspec.convert(value, field.kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{where}: {error}") from None
    # Go's zero time says that there is none.
    return None if isinstance(found, datetime) and found.year == 1 else found


def _object(cls: type[T], value: object, where: str) -> T:
    if not isinstance(value, Mapping):
        raise BadRequest(f"{where}: is not an object")
    return read(cls, value, where)


def write(value: object) -> Any:
    """Return a message, or what is in one, as JSON values; what is ``None`` is left out."""
    if attrs.has(type(value)):
        fields = _fields(cast(Hashable, type(value)))
        each = ((field.wire, getattr(value, field.name)) for field in fields)
        return {name: write(item) for name, item in each if item is not None}
    if isinstance(value, (bytes, bytearray)):
        return b64encode(value).decode("ascii")
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {key: write(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [write(item) for item in value]
    return value


def call(
    name: str,
    method: Callable[..., Answer[Any]],
    request: type[Any] | None,
    answer: type[Any] = NoneType,
    changes: str = "",
    refuse: Callable[[str], Fields] = refused,
    nameless: bool = False,
    told: Callable[[Any], Fields] | None = None,
    hidden: str = "",
) -> Call[Any]:
    """Return a call that hands a message to a driver's method and answers what it returns.

    :param request: the class of the message; ``None`` for a call without one.
    :param answer: what the method must return; what is inside is checked too, by its types.
    :param changes: as of :class:`exampledriver.plugin.wire.Call`.
    :param refuse: as of it.
    :param nameless: as of it.
    :param hidden: as of it.
    :param told: makes the answer's JSON object in place of :func:`write`; ``Err`` is added.
    :raises TypeError: the class of a message is none; see :func:`check_message`.
    """

    for message in (request, answer):
        if message is not None and message is not NoneType:
            check_message(message)

    def ask(message: Message) -> Answer[Any]:
        return method(read(request, message.fields, name)) if request else method()

    def tell(value: object, message: Message) -> Fields:
        if answer is NoneType:
            if value is not None:
                check_done(method, value)
            # Whatever else it is: the change was made, so it is not called a failure.
            return {"Err": ""}
        if not isinstance(value, answer):
            raise wrong_type(method, value, article(answer.__name__))
        if part := checking.wrong_part(value):
            raise wrong_part(method, value, part)
        shown = (told or write)(value)
        return {**cast("Mapping[str, object]", shown), "Err": ""}

    return Call(name, ask, tell, changes, request is not None, refuse, nameless, hidden)
