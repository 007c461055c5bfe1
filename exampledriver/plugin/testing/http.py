"""The bytes that engines send, and a strict reader of what plugins answer.

Requests are made as they were recorded of Docker Engine and Podman: their headers,
in their order, and nothing that a library would add to them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field, frozen

_AGENT = b"User-Agent: Go-http-client/1.1"
_LENGTH = b"Content-Length: %d"
_ACCEPT = b"Accept: application/vnd.docker.plugins.v1.2+json"

#: Header lines as Docker Engine 23 and later sends them, without a Content-Type; ``%d`` is the
#: size of the body.
DOCKER: Sequence[bytes] = (b"Host: plugin.moby.localhost", _AGENT, _LENGTH, _ACCEPT)
#: As Docker Engine 20.10 and earlier does: the Host is empty.
OLD_DOCKER: Sequence[bytes] = (b"Host: ", _AGENT, _LENGTH, _ACCEPT)
#: As Podman does.
PODMAN: Sequence[bytes] = (
    b"Host: plugin",
    _AGENT,
    _LENGTH,
    b"Content-Type: application/vnd.docker.plugins.v1.1+json",
)

#: The longest head and the largest answer that are read, in bytes.
_LONGEST_HEAD, _LARGEST = 1 << 16, 1 << 29


class NotHTTP(Exception):
    """What came is no answer of HTTP/1.x: it is malformed, or ends before its stated end."""


def encoded(message: object) -> bytes:
    """Return a message as Go writes it: compact, ``<``, ``>`` and ``&`` escaped, UTF-8."""
    text = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "surrogatepass")


def request(
    call: str,
    message: object = b"",
    head: Iterable[bytes] = DOCKER,
    method: str = "POST",
) -> bytes:
    """Return the bytes of one call.

    :param call: such as ``VolumeDriver.Get``; it becomes the path.
    :param message: bytes are sent as they are, anything else as JSON; with a newline
        after it, as Docker does, unless the head is Podman's.
    :param head: header lines; ``%d`` stands for the size of the body.
    """
    lines = list(head)
    if isinstance(message, bytes):
        body = message
    else:
        body = encoded(message) + (b"" if lines == list(PODMAN) else b"\n")
    lines = [line % len(body) if line == _LENGTH else line for line in lines]
    first = f"{method} /{call} HTTP/1.1".encode("ascii")
    return b"\r\n".join([first, *lines]) + b"\r\n\r\n" + body


@frozen
class Response:
    """One answer of a plugin.

    :ivar headers: each header's values, by its name in lower case.
    :ivar framing: how its end was told: ``length``, ``chunked``, ``close``, or ``none``
        for an answer that cannot have a body.
    :ivar closes: the plugin says that it closes the connection after this answer.
    """

    status: int
    headers: Mapping[str, Sequence[str]]
    body: bytes = field(repr=lambda body: repr(body[:200]))
    framing: str
    closes: bool

    @property
    def answer(self) -> object:
        """The body, read as JSON.

        :raises ValueError: it is none, or not in UTF-8.
        """
        return json.loads(self.body.decode("utf-8"))


@define(eq=False)
class Reader:
    """Takes bytes as they come, gives answers as they are complete."""

    _data: bytearray = field(factory=bytearray, init=False)

    @property
    def waiting(self) -> bytes:
        """What came and belongs to no answer yet."""
        return bytes(self._data)

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        self._data += data

    def next(self, ended: bool = False, head_only: bool = False) -> Response | None:
        """Return the next answer, or ``None`` if more must come first.

        :param ended: the plugin has closed, nothing more will come.
        :param head_only: the answer is one to HEAD.
        :raises NotHTTP: what came is no answer, or ended too early.
        """
        head, end, _ = bytes(self._data[: _LONGEST_HEAD + 4]).partition(b"\r\n\r\n")
        if not end:
            if len(head) > _LONGEST_HEAD:
                raise NotHTTP(f"a head of more than {_LONGEST_HEAD} bytes")
            if ended and head:
                raise NotHTTP(f"the connection was closed in the middle of a head: {head[:200]!r}")
            return None
        version, status, headers = _parse_head(head)
        start = len(head) + 4
        if 100 <= status < 200:
            del self._data[:start]
            return self.next(ended, head_only)
        found = self._body(start, status, headers, ended, head_only)
        if found is None:
            return None
        body, stop, framing = found
        del self._data[:stop]
        said = ",".join(headers.get("connection", ())).lower()
        closes = "close" in said or framing == "close"
        closes = closes or (version == "HTTP/1.0" and "keep-alive" not in said)
        return Response(status, headers, body, framing, closes)

    def _body(
        self,
        start: int,
        status: int,
        headers: Mapping[str, Sequence[str]],
        ended: bool,
        head_only: bool,
    ) -> tuple[bytes, int, str] | None:
        """Return the body, where it stops, and how that was told."""
        if head_only or status in (204, 304):
            return b"", start, "none"
        codings = [value.strip().lower() for value in headers.get("transfer-encoding", ())]
        lengths = {value.strip() for value in headers.get("content-length", ())}
        if codings:
            if codings != ["chunked"] or lengths:
                raise NotHTTP(f"the framing is ambiguous: {codings}, length {sorted(lengths)}")
            return self._chunks(start, ended)
        if lengths:
            (length, *more) = lengths
            if more or not re.fullmatch(r"[0-9]{1,12}", length) or int(length) > _LARGEST:
                raise NotHTTP(f"Content-Length is {sorted(lengths)}")
            stop = start + int(length)
            if len(self._data) >= stop:
                return bytes(self._data[start:stop]), stop, "length"
            if ended:
                came = len(self._data) - start
                raise NotHTTP(f"a body of {length} bytes was cut after {came}")
            return None
        if not ended:
            return None
        return bytes(self._data[start:]), len(self._data), "close"

    def _chunks(self, start: int, ended: bool) -> tuple[bytes, int, str] | None:
        body, at = bytearray(), start
        while True:
            end = self._data.find(b"\r\n", at)
            if end < 0:
                break
            size_text = bytes(self._data[at:end]).partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", size_text):
                raise NotHTTP(f"the size of a chunk is {size_text[:40]!r}")
            size = int(size_text, 16)
            if size == 0:
                return self._trailer(bytes(body), end + 2, ended)
            stop = end + 2 + size
            if len(self._data) < stop + 2:
                break
            if self._data[stop : stop + 2] != b"\r\n":
                raise NotHTTP("a chunk is longer than its size says")
            body += self._data[end + 2 : stop]
            at = stop + 2
        if ended:
            raise NotHTTP("an answer in chunks was cut before its last one")
        return None

    def _trailer(self, body: bytes, at: int, ended: bool) -> tuple[bytes, int, str] | None:
        if self._data[at : at + 2] == b"\r\n":
            return body, at + 2, "chunked"
        end = self._data.find(b"\r\n\r\n", at)
        if end >= 0:
            return body, end + 4, "chunked"
        if ended:
            raise NotHTTP("an answer in chunks was cut before its last line")
        return None


def _parse_head(head: bytes) -> tuple[str, int, dict[str, list[str]]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    match = re.fullmatch(r"(HTTP/1\.[01]) ([1-5][0-9]{2})( .*)?", first)
    if match is None:
        raise NotHTTP(f"the answer begins with {first[:80]!r}, no status line")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise NotHTTP(f"a header is {line[:80]!r}")
        headers.setdefault(name.lower(), []).append(value.strip())
    return match[1], int(match[2]), headers
