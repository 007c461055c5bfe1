"""Requests that are known: answered without being parsed and routed again.

An engine sends the same head with every call of a kind, and asks for the same volumes again and
again. What is known is known byte for byte, so whatever reads it would find the same in it:

- a *head*, with the size of its body, once Twisted has read it and Klein's map found a call in it;
- a *request*, head and body, once its body has been read too, of a call that changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from .wire import Ask, Read

#: How many heads are known, and how long each may be, in bytes. An engine has one for each
#: call and length of a body.
_MOST_HEADS, _LONGEST_HEAD = 4096, 1024
#: How many requests are known, and how long each may be, in bytes.
_MOST_REQUESTS, _LONGEST_REQUEST = 1024, 2048

#: A head, with the empty line after it, and the size of its body.
Head = tuple[bytes, int]


def divided(data: bytes) -> Head | None:
    """Return the head with which ``data`` begins and how much is behind it, if a head is whole."""
    end = data.find(b"\r\n\r\n") + 4
    return (data[:end], len(data) - end) if end >= 4 else None


@define(eq=False)
class Known:
    """What is known, and how to call what is asked for.

    :ivar table: the calls by their paths.
    """

    table: Mapping[bytes, Read]
    heads: dict[Head, Read] = field(factory=dict, init=False)
    requests: dict[bytes, Ask] = field(factory=dict, init=False)

    def learn(self, head: Head, path: bytes) -> None:
        """Take note of a head that asks for nothing but `path`, if that is a call."""
        read = self.table.get(path)
        if read is not None and len(head[0]) <= _LONGEST_HEAD:
            if len(self.heads) >= _MOST_HEADS:
                self.heads.clear()
            self.heads[head] = read

    def find(self, data: bytes) -> Ask | None:
        """Return what answers a request; ``None`` unless it is one, whole, with a known head."""
        return self.requests.get(data) or self._find(data)

    def _find(self, data: bytes) -> Ask | None:
        head = divided(data)
        read = self.heads.get(head) if head is not None else None
        if head is None or read is None:
            return None
        ask, again = read(data[len(head[0]) :])
        if again and len(data) <= _LONGEST_REQUEST:
            if len(self.requests) >= _MOST_REQUESTS:
                self.requests.clear()
            self.requests[data] = ask
        return ask
