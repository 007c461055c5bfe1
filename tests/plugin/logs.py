"""A log driver for the conformance suites."""

from __future__ import annotations

from collections.abc import AsyncIterator

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.task import deferLater
from zope.interface import implementer

from exampledriver.plugin.logdriver import (
    FrameError,
    ILogDriver,
    ILogReader,
    LogEntry,
    LogReader,
    ReadLogs,
    StartLogging,
    StopLogging,
)


@implementer(ILogDriver, ILogReader)
@define(eq=False)
class Logs:
    """A log driver that keeps entries in memory."""

    kept: dict[str, list[LogEntry]] = field(factory=dict)
    readers: dict[str, LogReader] = field(factory=dict)
    running: set[str] = field(factory=set)

    def start_logging(self, request: StartLogging) -> None:
        container = request.info.container_id
        log = self.kept.setdefault(container, [])
        reader = LogReader(reactor, request.file, log.append)
        reader.done.addErrback(lambda failure: failure.trap(FrameError))
        reader.done.addCallback(lambda _: self.running.discard(container))
        reader.start()
        self.readers[request.file] = reader
        self.running.add(container)

    def stop_logging(self, request: StopLogging) -> None:
        if request.file in self.readers:
            self.readers.pop(request.file).stop()

    async def read_logs(self, request: ReadLogs) -> AsyncIterator[LogEntry]:
        container, config = request.info.container_id, request.config
        log = self.kept[container]
        begin = config.since.timestamp() * 1e9 if config.since else 0
        end = config.until.timestamp() * 1e9 if config.until else float("inf")
        found = [entry for entry in log if begin <= entry.time_nano <= end]
        at = len(log)
        for entry in found if config.tail < 0 else found[len(found) - config.tail :]:
            yield entry
        while config.follow and (at < len(log) or container in self.running):
            for entry in log[at:]:
                at += 1
                yield entry
            await deferLater(reactor, 0.001)
