"""More than one server in one daemon: sockets with a factory of their own, stopped together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory

from .service import Drainable, Endpoint, Opened


@frozen
class Apart:
    """An endpoint at which another server listens than at the others."""

    endpoint: Endpoint
    factory: Factory[Any]

    def __str__(self) -> str:
        """Return the endpoint as people write it."""
        return str(self.endpoint)

    def listen(self, reactor: Any, factory: Factory[Any]) -> Opened:
        """Listen for its own server.

        :raises ListenError: it cannot be done.
        """
        return self.endpoint.listen(reactor, self.factory)


@define(eq=False)
class Together:
    """Several servers, drained as one."""

    servers: Sequence[Drainable]

    def drain(self) -> Deferred[None]:
        """Close connections as they become idle; fire when none is left."""
        # Its own, so that a wait which is cut ends as one, whatever the servers make of it.
        done: Deferred[None] = Deferred()

        def drained(results: object) -> None:
            if not done.called:
                done.callback(None)

        each = [server.drain() for server in self.servers]
        DeferredList(each, consumeErrors=True).addCallback(drained)
        return done

    def abort(self) -> int:
        """Close all connections at once; return how many there were."""
        return sum(server.abort() for server in self.servers)
