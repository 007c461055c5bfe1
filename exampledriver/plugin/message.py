"""The JSON inside the plugin protocol: a request's body in, an answer's body out.

An engine that lost its connection before the answer sends the request again
*with an empty body*. Read as ``{}``, that is a Create without a name that
succeeds for nothing; so a body is a JSON object or an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
from attrs import field, frozen

from .errors import BadRequest
from .redaction import quoted, shown

#: The content type of every answer.
CONTENT_TYPE = b"application/vnd.docker.plugins.v1.2+json"


def _plain(value: object) -> object:
    """Return what msgspec writes in place of an object of a subclass that it does not know."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode
_decode = msgspec.json.Decoder().decode


def encode(answer: object) -> bytes:
    """Return ``answer``, JSON values and what msgspec knows besides, as JSON in UTF-8."""
    try:
        return _encode(answer)
    except UnicodeEncodeError:
        # A name of a file that is no text: escaped, a lone surrogate can be written.
        return json.dumps(answer, separators=(",", ":")).encode("ascii")


class Loggable(dict[str, object]):
    """Fields for a log: a map for machines, and `` key='value'`` for people."""

    def __str__(self) -> str:
        """Return the text for people, which may be empty."""
        return "".join(f" {key}={value!r}" for key, value in self.items())


@frozen
class Message:
    """The fields of one request.

    :ivar call: the call's name, such as ``VolumeDriver.Get``, for error texts.
    """

    call: str
    _fields: Mapping[str, object] = field(repr=False)

    @classmethod
    def decode(cls, call: str, body: bytes) -> Message:
        """Read a request's body.

        :raises BadRequest: the body is empty, no JSON, or no object.
        """
        try:
            fields = _decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            fields = cls._decode_slowly(call, body)
        if not isinstance(fields, dict):
            raise BadRequest(f"{call}: the body is not a JSON object")
        return cls(call, fields)

    @staticmethod
    def _decode_slowly(call: str, body: bytes) -> object:
        """Read what msgspec does not, such as a lone surrogate, or say what is wrong with it."""
        if not body.strip():
            raise BadRequest(
                f"{call}: the request has no body; a retry after a lost connection is sent "
                "without one, so repeat the command"
            )
        try:
            # json itself would guess an encoding. RecursionError: nested thousands deep.
            return json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"{call}: the body is not JSON: {error}") from None

    @property
    def fields(self) -> Mapping[str, object]:
        """All fields, as they came."""
        return self._fields

    def loggable(self, *but: str) -> Loggable:
        """Return the fields other than ``but`` that say something, as a log may show them."""
        said = {
            key: value
            for key, value in self._fields.items()
            if key not in but and value not in (None, "", {})
        }
        found = shown(said) if said else said
        return Loggable(found if isinstance(found, dict) else {"message": found})

    def value(self, key: str) -> object:
        """Return the field ``key``, whatever it is; ``None`` if it is absent."""
        return self._fields.get(key)

    def text(self, key: str) -> str:
        """Return the field ``key``, a string of at least one character.

        :raises BadRequest: it is missing, empty or no string.
        """
        value = self._fields.get(key)
        if not isinstance(value, str):
            missing = "is missing" if value is None else "is not a string"
            raise BadRequest(f'{self.call}: "{key}" {missing}')
        if not value:
            raise BadRequest(f'{self.call}: "{key}" is empty')
        return value

    def text_map(self, key: str) -> dict[str, str]:
        """Return the field ``key``, an object of strings; absent and ``null`` are empty.

        :raises BadRequest: it is no object, or one of its values is no string.
        """
        value = self._fields.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise BadRequest(f'{self.call}: "{key}" is not an object')
        for name, item in value.items():
            if not isinstance(item, str):
                raise BadRequest(
                    f'{self.call}: "{key}": the value of {quoted(name)} is not a string'
                )
        return value
