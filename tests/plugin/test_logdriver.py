"""The LogDriver protocol: a FIFO that an engine writes, and logs that are read back."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import json
import os
import struct
import sys
import termios
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from exampledriver.plugin import Plugin, PluginError
from exampledriver.plugin.logdriver import (
    Decoder,
    ILogDriver,
    ILogReader,
    Info,
    LogEntry,
    LogReader,
    ReadConfig,
    ReadLogs,
    StartLogging,
    StopLogging,
)
from exampledriver.plugin.logframes import FrameError, encode
from tests.process import UnixConnection, remove_directory, short_directory

from .memory import post
from .protocols import ProtocolCase

INFO = {"ContainerID": "c1", "ContainerName": "/web"}
ENTRIES = [LogEntry("stdout", n, b"line %d" % n) for n in range(1, 4)]
#: The same as they are read back, to be printed as they are.
PRINTED = [LogEntry("stdout", n, b"line %d\n" % n) for n in range(1, 4)]


@implementer(ILogDriver)
@define(eq=False)
class Keeper:
    """A driver that keeps what it reads."""

    kept: list[LogEntry] = field(factory=list)
    readers: dict[str, LogReader] = field(factory=dict)

    def start_logging(self, request: StartLogging) -> None:
        reader = LogReader(reactor, request.file, self.kept.append)
        reader.start()
        self.readers[request.file] = reader

    def stop_logging(self, request: StopLogging) -> None:
        self.readers.pop(request.file).stop()


@implementer(ILogReader)
@define(eq=False)
class Reader(Keeper):
    """A driver that gives its logs back, and what comes while it is followed."""

    asked: list[ReadLogs] = field(factory=list)
    next: Deferred[LogEntry] = field(factory=Deferred)
    closed: bool = False

    def read_logs(self, request: ReadLogs) -> AsyncIterator[LogEntry] | Iterator[LogEntry]:
        self.asked.append(request)
        if request.info.container_id != "c1":
            raise PluginError("no log is kept of it")
        return self._follow() if request.config.follow else iter(self.kept)

    async def _follow(self) -> AsyncIterator[LogEntry]:
        try:
            for entry in self.kept:
                yield entry
            while True:
                entry, self.next = await self.next, Deferred()
                yield entry
        finally:
            self.closed = True


class MessageTests(ProtocolCase):
    """Fields and answers."""

    def test_fields(self) -> None:
        """Every field of every message is as it is on the wire."""
        moment = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=timezone.utc)
        info = {
            "Config": {"max": "1"},
            "ContainerID": "c1",
            "ContainerName": "/web",
            "ContainerEntrypoint": "sh",
            "ContainerArgs": ["-c", "true"],
            "ContainerImageID": "sha256:1",
            "ContainerImageName": "busybox",
            "ContainerCreated": "2026-11-24T12:00:00.123456Z",
            "ContainerEnv": ["A=1"],
            "ContainerLabels": {"a": "b"},
            "LogPath": "/x",
            "DaemonName": "docker",
        }
        container = Info(
            "c1",
            {"max": "1"},
            "/web",
            "sh",
            ["-c", "true"],
            "sha256:1",
            "busybox",
            moment,
            ["A=1"],
            {"a": "b"},
            "/x",
            "docker",
        )
        self.round_trip(container, info)
        self.round_trip(StartLogging("/f", container), {"File": "/f", "Info": info})
        self.round_trip(StopLogging("/f"), {"File": "/f"})
        when = "2026-11-24T12:00:00.123456Z"
        config = {"Since": when, "Until": when, "Tail": 5, "Follow": True}
        self.round_trip(ReadConfig(moment, moment, 5, True), config)
        self.round_trip(
            ReadLogs(container, ReadConfig(moment, moment, 5, True)),
            {"Info": info, "Config": config},
        )

    def test_no_time(self) -> None:
        """Go's zero time says that there is none."""
        driver = Reader()
        self.serve(driver)
        zero = "0001-01-01T00:00:00Z"
        message = {"Info": {"ContainerID": "x"}, "Config": {"Since": zero, "Until": zero}}
        self.assertEqual(
            self.refused("LogDriver.ReadLogs", message), {"Err": "no log is kept of it"}
        )
        self.assertEqual(driver.asked[0].config, ReadConfig())

    def test_capabilities(self) -> None:
        """Logs can be read back if the driver says so by its interfaces."""
        for driver, can in ((Keeper(), False), (Reader(), True)):
            self.serve(driver)
            self.assertEqual(self.answer("Plugin.Activate"), {"Implements": ["LogDriver"]})
            answer = self.answer("LogDriver.Capabilities")
            self.assertEqual(answer, {"Cap": {"ReadLogs": can}, "Err": ""})
        self.serve(Keeper())
        self.refused("LogDriver.ReadLogs", {"Info": INFO}, 404)

    def test_wrong(self) -> None:
        """A FIFO that cannot be opened, or a message without one, is refused."""
        self.serve(Keeper())
        answer = self.refused("LogDriver.StartLogging", {"File": "/nowhere/f", "Info": INFO})
        self.assertEqual(answer, {"Err": "/nowhere/f: cannot be read: No such file or directory"})
        for message in (b"", {}, {"File": "/f"}, {"File": "/f", "Info": {}}):
            self.refused("LogDriver.StartLogging", message, 400)


@implementer(ILogReader)
@define(eq=False)
class Wrong(Keeper):
    """A driver whose logs are as a test has them."""

    read: Callable[[], Any] = list

    def read_logs(self, request: ReadLogs) -> Any:
        return self.read()


class WrongReadTests(ProtocolCase):
    """Logs that cannot be given back."""

    def reading(self, read: Callable[[], Any]) -> dict[str, Any]:
        """Return the refusal of ReadLogs."""
        self.serve(Wrong(read=read))
        return self.refused("LogDriver.ReadLogs", {"Info": INFO})

    def ended(self, read: Callable[[], Any]) -> str:
        """Return why an answer that had begun was cut, of which one entry came."""
        self.serve(Wrong(read=read))
        self.client.feed(post("LogDriver.ReadLogs", {"Info": INFO}))
        data = self.client.received()
        self.assertTrue(data.startswith(b"HTTP/1.1 200 OK\r\n"), data)
        self.assertIn(encode(PRINTED[0]), data)
        self.client.settle()
        self.assertEqual((data[-5:] == b"0\r\n\r\n", self.client.connected), (False, False))
        return str(self.flushLoggedErrors()[-1].value)

    def test_generator(self) -> None:
        """What an asynchronous generator raises before it has waited is told to the engine."""

        async def read() -> AsyncIterator[LogEntry]:
            raise PluginError("the disk is gone")
            yield ENTRIES[0]

        self.assertEqual(self.reading(read), {"Err": "the disk is gone"})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_asyncio(self) -> None:
        """So is it while asyncio's loop turns, in whose tasks nothing runs at once."""

        async def read() -> AsyncIterator[LogEntry]:
            raise PluginError("the disk is gone")
            yield ENTRIES[0]

        async def main() -> None:
            self.client.feed(post("LogDriver.ReadLogs", {"Info": INFO}))
            for _ in range(10):
                await asyncio.sleep(0)

        self.serve(Wrong(read=read))
        asyncio.run(main())
        (response,) = self.client.responses()
        self.assertEqual((response.status, response.answer), (500, {"Err": "the disk is gone"}))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_gone_at_once(self) -> None:
        """A client that goes before the first entry ends the reading, and is none of the log's."""
        seen: list[str] = []

        async def read() -> AsyncIterator[LogEntry]:
            try:
                seen.append("began")
                await asyncio.sleep(60)
                yield ENTRIES[0]
            finally:
                seen.append("ended")

        async def main(turns: int) -> None:
            self.serve(Wrong(read=read))
            self.client.feed(post("LogDriver.ReadLogs", {"Info": INFO}))
            for _ in range(turns):
                await asyncio.sleep(0)
            self.client.disconnect()
            for _ in range(10):
                await asyncio.sleep(0)
            self.assertIn(seen, ([], ["began", "ended"]))

        for turns in range(5):
            seen.clear()
            with capturedLogs() as events:
                asyncio.run(main(turns))
                gc.collect()
            self.assertEqual(self.flushWarnings(), [])
            self.assertEqual(events, [])

    def test_no_loop(self) -> None:
        """What awaits asyncio's where its loop does not turn is told what to do."""

        async def read() -> list[LogEntry]:
            await asyncio.sleep(1)
            return ENTRIES

        async def generate() -> AsyncIterator[LogEntry]:
            await asyncio.sleep(1)
            yield ENTRIES[0]

        async def later() -> AsyncIterator[LogEntry]:
            yield ENTRIES[0]
            await asyncio.sleep(1)

        for reading in (read, generate):
            self.assertIn("with run(asyncio=True)", self.reading(reading)["Err"])
        self.assertIn("with run(asyncio=True)", self.ended(later))

    def test_types(self) -> None:
        """What is no LogEntry, or has a part of a wrong type, is said by its name."""
        wrong: Any = "text"
        says = "driver Wrong.read_logs returned"
        for entry, what in (
            (wrong, f"{says} a str; each time a LogEntry is expected"),
            (LogEntry("stdout", 1, wrong), f"{says} a LogEntry whose line is a str; a bytes is"),
        ):
            self.assertIn(what, self.reading([entry].copy)["Err"])
            self.assertIn(what, self.ended([ENTRIES[0], entry].copy))
        self.assertIn(f"{says} an int; an iterable of LogEntry", self.reading(lambda: 7)["Err"])
        self.flushLoggedErrors()


class LoggedTests(ProtocolCase):
    """What the plugin's own log says."""

    def test_info(self) -> None:
        """A container's arguments and environment are in no log."""

        @implementer(ILogDriver)
        class Quiet:
            def start_logging(self, request: StartLogging) -> None: ...

            def stop_logging(self, request: StopLogging) -> None: ...

        self.serve(Quiet())
        info = {**INFO, "ContainerArgs": ["--pin", "4711"], "ContainerEnv": ["MYVAR=4711"]}
        with capturedLogs() as events:
            self.answer("LogDriver.StartLogging", {"File": "/f", "Info": info})
        text = "".join(formatEvent(event) for event in events)
        self.assertIn("LogDriver.StartLogging '/f'", text)
        self.assertNotIn("4711", text + repr(events))


class FifoTests(TestCase):
    """Reading a FIFO as an engine writes it."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        self.file = str(self.base / "fifo")
        os.mkfifo(self.file)
        self.kept: list[LogEntry] = []
        # The engine has it open for both.
        self.engine = os.open(self.file, os.O_RDWR | os.O_NONBLOCK)
        self.reader = LogReader(reactor, self.file, self.kept.append)
        self.reader.start()

    async def test_end(self) -> None:
        """What is written is received, in order, until the engine closes the FIFO."""
        data = b"".join(map(encode, ENTRIES))
        os.write(self.engine, data[:30])
        os.write(self.engine, data[30:])
        os.close(self.engine)
        await self.reader.done
        self.assertEqual(self.kept, ENTRIES)

    def test_stop(self) -> None:
        """A stop first reads what has been written, at once."""
        for entry in ENTRIES * 100:
            os.write(self.engine, encode(entry))
        self.reader.stop()
        self.assertEqual(self.kept, ENTRIES * 100)
        self.assertEqual(self.successResultOf(self.reader.done), None)
        os.close(self.engine)
        self.reader.stop()

    async def test_damage(self) -> None:
        """What is no log ends the reading with an error; what came before has been received."""
        os.write(self.engine, encode(ENTRIES[0]) + b"\xff" * 8)
        with capturedLogs() as events:
            await self.assertFailure(self.reader.done, FrameError)
        self.assertEqual(self.kept, ENTRIES[:1])
        (said,) = map(formatEvent, events)
        self.assertIn(f"the log of {self.file} ends here, for what came is no log entry: ", said)
        os.close(self.engine)


class FailingTests(TestCase):
    """A driver that cannot keep what it receives."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        self.file = str(self.base / "fifo")
        os.mkfifo(self.file)
        self.engine = os.open(self.file, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, self.engine)
        self.kept: list[LogEntry] = []
        self.full = True

    def keep(self, entry: LogEntry) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.kept.append(entry)

    def reader(self, received: Callable[[LogEntry], object]) -> LogReader:
        """Return what reads the FIFO of the container /web."""
        reader = LogReader(reactor, self.file, received, container="/web")
        reader.start()
        self.addCleanup(reader.stop)
        return reader

    def write(self, entry: LogEntry) -> None:
        os.write(self.engine, encode(entry))

    async def read(self, reader: LogReader, lost: int = 0) -> None:
        """Wait until entries have been kept, or lost, and nothing is left."""
        while reader.lost < lost or (not self.full and not self.kept):
            await deferLater(reactor, 0.001)

    async def test_read_on(self) -> None:
        """A container whose log cannot be kept is read on; the log says so once, and the count."""
        reader = self.reader(self.keep)
        with capturedLogs() as events:
            for at, entry in enumerate(ENTRIES, 1):
                self.write(entry)
                await self.read(reader, at)
            self.full = False
            self.write(ENTRIES[0])
            await self.read(reader)
        self.assertEqual((self.kept, reader.lost), (ENTRIES[:1], 3))
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "driver FailingTests.keep: an entry of /web is lost; its log is read on",
                "driver FailingTests.keep: of /web, 3 entries are lost",
            ],
        )
        (error,) = self.flushLoggedErrors(OSError)
        self.assertEqual(error.value.errno, errno.ENOSPC)

    def test_stop(self) -> None:
        """A stop ends when what is left cannot be kept, and the descriptor is closed."""
        reader = self.reader(self.keep)
        descriptor = reader.fileno()
        self.write(ENTRIES[0])
        with capturedLogs() as events:
            reader.stop()
        self.assertRaises(OSError, os.fstat, descriptor)
        self.assertEqual(self.successResultOf(reader.done), None)
        self.assertIn("of /web, 1 entries are lost", formatEvent(events[-1]))
        self.flushLoggedErrors(OSError)

    def test_stop_anyhow(self) -> None:
        """A stop that is interrupted closes the descriptor too."""

        def interrupt(entry: LogEntry) -> None:
            raise KeyboardInterrupt

        reader = self.reader(interrupt)
        descriptor = reader.fileno()
        self.write(ENTRIES[0])
        self.assertRaises(KeyboardInterrupt, reader.stop)
        self.assertRaises(OSError, os.fstat, descriptor)
        self.assertNotIn(reader, reactor.getReaders())

    def test_stop_within(self) -> None:
        """A driver may stop the reading when it gets an entry; it gets each one once, in order."""

        def keep(entry: LogEntry) -> None:
            self.kept.append(entry)
            reader.stop()

        reader = self.reader(keep)
        for entry in ENTRIES:
            self.write(entry)
        reader.stop()
        self.assertEqual(self.kept, ENTRIES)

    def test_later(self) -> None:
        """What fails later, as a Deferred or a coroutine, is said too."""

        async def fails(entry: LogEntry) -> None:
            raise ZeroDivisionError

        async def exits(entry: LogEntry) -> None:
            sys.exit(1)

        for received, error in (
            (lambda entry: fail(OSError(errno.EIO, "broken")), OSError),
            (lambda entry: sys.exit(1), SystemExit),
            (fails, ZeroDivisionError),
            (exits, SystemExit),
        ):
            reader = self.reader(received)
            self.write(ENTRIES[0])
            reader.stop()
            self.assertEqual(reader.lost, 1)
            self.assertEqual(len(self.flushLoggedErrors(error)), 1)


class SlowTests(TestCase):
    """A driver that takes its time for each entry."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        self.file = str(self.base / "fifo")
        os.mkfifo(self.file)
        self.engine = os.open(self.file, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, self.engine)
        self.kept: list[LogEntry] = []
        self.free: Deferred[None] = Deferred()

    def start(self, received: Callable[[LogEntry], object]) -> LogReader:
        """Return what reads the FIFO."""
        reader = LogReader(reactor, self.file, received)
        reader.start()
        self.addCleanup(reader.connectionLost, Failure(ConnectionDone()))
        return reader

    def deferred(self, entry: LogEntry) -> Deferred[None]:
        """Keep an entry, and wait."""
        self.kept.append(entry)
        self.free = Deferred()
        return self.free

    async def coroutine(self, entry: LogEntry) -> None:
        """Do the same as a coroutine."""
        await self.deferred(entry)

    def write(self) -> int:
        """Write an entry of 16 KiB, if the FIFO takes it; return how many bytes it took."""
        data = encode(LogEntry("stdout", 1, bytes(16000)))
        try:
            return os.write(self.engine, data)
        except BlockingIOError:
            return 0

    async def test_pressure(self) -> None:
        """While an entry is waited for the next does not come, and the FIFO fills up."""
        fcntl.fcntl(self.engine, fcntl.F_SETPIPE_SZ, 1 << 18)
        for received in (self.deferred, self.coroutine):
            self.kept.clear()
            reader = self.start(received)
            written = 0
            for _ in range(300):
                # Whole entries only, as the engine writes them.
                if self.room() > 17000:
                    written += self.write()
                await deferLater(reactor, 0.001)
            # One entry, 64 KiB behind it that were read, and the pipe: of the 5 MB no more.
            self.assertEqual(len(self.kept), 1)
            self.assertLess(written, 500_000)
            stopped = reader.stop()
            while not stopped.called:
                self.assertNoResult(reader.done)
                self.free.callback(None)
            self.successResultOf(reader.done)
            self.assertEqual(sum(len(encode(entry)) for entry in self.kept), written)

    def room(self) -> int:
        """Return how many bytes the FIFO takes."""
        waiting = struct.unpack("i", fcntl.ioctl(self.engine, termios.FIONREAD, bytes(4)))[0]
        return (1 << 18) - 8192 - int(waiting)

    async def test_read_on(self) -> None:
        """When an entry has been received, or has failed, the reading goes on, in order."""
        for received in (self.deferred, self.coroutine):
            self.kept.clear()
            reader = self.start(received)
            for entry in ENTRIES:
                os.write(self.engine, encode(entry))
                while not self.kept or self.kept[-1] != entry:
                    await deferLater(reactor, 0.001)
                if entry is ENTRIES[1]:
                    self.free.errback(OSError(errno.EIO, "broken"))
                else:
                    self.free.callback(None)
            self.assertEqual((self.kept, reader.lost), (ENTRIES, 1))
            self.successResultOf(reader.stop())
            self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_asyncio(self) -> None:
        """A coroutine may await asyncio's futures, where asyncio's loop turns."""

        async def keep(entry: LogEntry) -> None:
            await asyncio.sleep(0)
            self.kept.append(entry)

        async def main() -> None:
            reader = LogReader(MemoryReactorClock(), self.file, keep)
            reader.start()
            for entry in ENTRIES:
                os.write(self.engine, encode(entry))
            await reader.stop().asFuture(asyncio.get_running_loop())

        asyncio.run(main())
        self.assertEqual(self.kept, ENTRIES)

    async def test_memory(self) -> None:
        """40 MB from a container that is faster than the driver need no memory."""
        fcntl.fcntl(self.engine, fcntl.F_SETPIPE_SZ, 1 << 18)

        def slow(entry: LogEntry) -> object:
            self.kept[:] = [entry]
            return deferLater(reactor, 0)

        reader = self.start(slow)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        written = 0
        while written < 40 << 20:
            while self.room() > 17000:
                written += self.write()
            await deferLater(reactor, 0)
        self.assertLess(tracemalloc.get_traced_memory()[1], 2 << 20)
        await reader.stop()
        self.assertEqual(reader.lost, 0)

    async def test_stop_within(self) -> None:
        """A driver may stop the reading when it gets an entry, and end with it later."""
        stopped = []

        def keep(entry: LogEntry) -> Deferred[None]:
            stopped.append(reader.stop())
            return self.deferred(entry)

        reader = self.start(keep)
        for entry in ENTRIES:
            os.write(self.engine, encode(entry))
        while len(self.kept) < 3:
            await deferLater(reactor, 0.001)
            if self.kept and not self.free.called:
                self.free.callback(None)
        self.assertEqual(self.kept, ENTRIES)
        self.free.callback(None)
        for each in stopped:
            self.successResultOf(each)

    async def test_reactor_ends(self) -> None:
        """When the reactor stops, a pending stop ends, and nothing more comes."""
        reader = self.start(self.deferred)
        for entry in ENTRIES:
            os.write(self.engine, encode(entry))
        while not self.kept:
            await deferLater(reactor, 0.001)
        stopped = reader.stop()
        self.assertNoResult(stopped)
        reader.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(stopped)
        self.free.callback(None)
        self.assertEqual(self.kept, ENTRIES[:1])


class ReadTests(TestCase):
    """``docker logs`` over a socket."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        self.driver = Reader(list(ENTRIES))
        self.path = self.base / "x.sock"
        self.plugin = Plugin("x", [self.driver])
        self.service = self.plugin.service(reactor, [f"unix:{self.path}"], signals=False)
        self.service.startService()

    def tearDown(self) -> Any:
        return self.service.stopService() if self.service.running else None

    async def ask(self, follow: bool) -> tuple[Any, Any]:
        """Return a connection, and an answer whose head has been read."""
        return await deferToThread(_ask, self.path, follow)

    async def test_all(self) -> None:
        """Entries are answered in their frames, each line with a newline, to an end."""
        part = LogEntry("stdout", 9, b"a part", partial=True)
        self.driver.kept.append(part)
        connection, answer = await self.ask(False)
        self.assertEqual(answer.status, 200)
        data = await deferToThread(answer.read)
        self.assertEqual(list(Decoder().feed(data)), [*PRINTED, part])
        connection.close()

    async def test_follow(self) -> None:
        """What comes while a log is followed is sent at once; a client that goes ends it."""
        connection, answer = await self.ask(True)
        decoder = Decoder()
        found: list[LogEntry] = []
        while len(found) < 3:
            found += decoder.feed(await deferToThread(answer.read1))
        entry = LogEntry("stderr", 9, b"more")
        self.driver.next.callback(entry)
        found = []
        while not found:
            found += decoder.feed(await deferToThread(answer.read1))
        self.assertEqual(found, [LogEntry("stderr", 9, b"more\n")])
        answer.close()
        connection.close()
        await self.service.stopService()
        self.assertTrue(self.driver.closed)

    async def test_stop(self) -> None:
        """A stop of the plugin ends what follows, and does not wait for it."""
        connection, answer = await self.ask(True)
        decoder = Decoder()
        found: list[LogEntry] = []
        while len(found) < 3:
            found += decoder.feed(await deferToThread(answer.read1))
        began = reactor.seconds()
        await self.service.stopService()
        self.assertLess(reactor.seconds() - began, 5)
        self.assertTrue(self.driver.closed)
        self.assertTrue(self.service.complete)
        self.assertEqual((found, await deferToThread(answer.read)), (PRINTED, b""))
        connection.close()

    async def test_slow(self) -> None:
        """A client that does not read is waited for: what it is sent is not heaped up."""
        self.driver.kept = [LogEntry("stdout", 1, b"x" * 16000)] * 2000
        connection, answer = await self.ask(True)
        (stream,) = self.plugin.wire.streams._open  # type: ignore[union-attr]
        self.assertIsNotNone(stream._paused)
        data = await deferToThread(answer.read, 16000 * 2000)
        self.assertEqual(len(data), 16000 * 2000)
        connection.close()


def _ask(path: Path, follow: bool) -> tuple[Any, Any]:
    connection = UnixConnection(path)
    body = json.dumps({"Info": INFO, "Config": {"Follow": follow}})
    connection.request("POST", "/LogDriver.ReadLogs", body.encode("ascii"))
    return connection, connection.getresponse()
