"""Waiting for a port and its connections: one reader of the reactor for all of them.

Twisted's reactor calls each reader in a logging context of its own, which takes as long as half a
Get. Here it waits for an epoll(7) with the port and its connections in it, whichever reactor it is
(an epoll's descriptor can be read when one of those in it is ready), and what is ready is called
in one loop.

A process that sleeps takes longer to wake than to answer. So a client that asks again at once is
waited for awake, as Go's scheduler waits before it parks a thread: for :data:`AWAKE` seconds after
the last event, while nothing else wants the reactor, and never longer than :data:`TURN`. A
request that comes alone costs nothing of this, nor does an idle daemon.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IReactorFDSet,
    IReadDescriptor,
    IReadWriteDescriptor,
    IWriteDescriptor,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_log = Logger()

#: A client that asks within so many seconds after the last event asks again at once: about what
#: it takes both sides to wake.
SOON = 200e-6
#: So many seconds after the last event the next one is waited for awake. Never with one
#: processor: the client needs it.
AWAKE = 80e-6 if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1 else 0.0
#: After so many seconds the reactor has its turn, whatever comes: its timers and signals wait.
TURN = 1e-3

#: How many events are asked for at a time.
_SOME = 64
#: The events of epoll(7), by the names that every system has.
_IN, _OUT = select.POLLIN, select.POLLOUT


@implementer(IReactorFDSet, IReadDescriptor)
class Poller:
    """What a port and its connections have for their reactor.

    It does their waiting; whatever else they ask of a reactor, the real one does.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        #: What threads want done: always the same list.
        self._calls: Sequence[object] = getattr(reactor, "threadCallQueue", ())
        self._epoll = select.epoll()
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        self._last = 0.0

    def __getattr__(self, name: str) -> Any:
        """Return what the reactor has by that name."""
        return getattr(self._reactor, name)

    def addReader(self, reader: IReadDescriptor) -> None:
        """Call `reader` when there is something to read."""
        self._change(self._readers, self._writers, reader, _IN, _OUT)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Call `writer` when it can write."""
        self._change(self._writers, self._readers, writer, _OUT, _IN)

    def _change(
        self, mine: dict[int, Any], others: dict[int, Any], descriptor: Any, event: int, other: int
    ) -> None:
        number = descriptor.fileno()
        if number in mine:
            return
        if number in others:
            self._epoll.modify(number, event | other)
        else:
            self._epoll.register(number, event)
            if not self._readers and not self._writers:
                self._reactor.addReader(self)
        mine[number] = descriptor

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Call `reader` no more."""
        self._remove(self._readers, self._writers, reader, _OUT)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Call `writer` no more."""
        self._remove(self._writers, self._readers, writer, _IN)

    def _remove(
        self, mine: dict[int, Any], others: dict[int, Any], descriptor: Any, other: int
    ) -> None:
        number = descriptor.fileno()
        if mine.pop(number, None) is None:
            return
        if number in others:
            self._epoll.modify(number, other)
        else:
            self._epoll.unregister(number)
            if not self._readers and not self._writers:
                self._reactor.removeReader(self)

    def getReaders(self) -> list[IReadDescriptor]:
        """Return what is called when there is something to read."""
        return list(self._readers.values())

    def getWriters(self) -> list[IWriteDescriptor]:
        """Return what is called when it can write."""
        return list(self._writers.values())

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        """Call none of them any more, and return them."""
        found: dict[int, Any] = {**self._readers, **self._writers}
        for each in found.values():
            self.removeReader(each)
            self.removeWriter(each)
        return list(found.values())

    def fileno(self) -> int:
        """Return the epoll's descriptor."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """Return a name for log lines."""
        return "connections"

    def doRead(self) -> None:
        """Call those that are ready, and wait a moment for more; see the module."""
        began = last = perf_counter()
        awake = AWAKE if began - self._last < SOON else 0.0
        poll, call = self._epoll.poll, self._call
        while True:
            events = poll(0, _SOME)
            for number, event in events:
                call(number, event)
            now = perf_counter()
            if events:
                last = now
            if now - last >= awake or now - began >= TURN or self._calls:
                break
        self._last = last

    def _call(self, number: int, event: int) -> None:
        """Call one that is ready, as Twisted's reactors do.

        That a connection is broken (EPOLLHUP, EPOLLERR), reading or writing finds out.
        """
        reader = self._readers.get(number) if event != _OUT else None
        descriptor: Any = reader
        reading, why = True, None
        try:
            if reader is not None:
                why = reader.doRead()
            if event != _IN and not why and number in self._writers:
                descriptor, reading = self._writers[number], False
                why = descriptor.doWrite()
        except BaseException as error:
            _log.failure("a connection is closed for an error")
            why = error
        if why:
            self._lose(descriptor, why, reading)

    def _lose(self, descriptor: IReadWriteDescriptor, why: BaseException, reading: bool) -> None:
        failure = Failure(why)
        self.removeReader(descriptor)
        if (
            reading
            and isinstance(why, ConnectionDone)
            and IHalfCloseableDescriptor.providedBy(descriptor)
        ):
            descriptor.readConnectionLost(failure)
        else:
            self.removeWriter(descriptor)
            descriptor.connectionLost(failure)

    def connectionLost(self, reason: Failure) -> None:
        """Tell all of them that the reactor has ended."""
        for descriptor in self.removeAll():
            descriptor.connectionLost(reason)


def poller(reactor: Any) -> Any:
    """Return what waits for a port and its connections: where there is no epoll, the reactor."""
    return Poller(reactor) if hasattr(select, "epoll") else reactor
