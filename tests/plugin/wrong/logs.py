"""A small right log driver, and wrong ones made of it. It looks at its FIFOs by a timer."""

from __future__ import annotations

import os
import select
import struct
from datetime import datetime
from typing import Any

from attrs import define, field
from twisted.web.server import Request

from .kinds import Kind
from .registry import breaks
from .right import Fields, Refused

#: Seconds between two looks.
OFTEN = 0.01


def frames(data: bytes) -> list[bytes]:
    """Return the messages of a log; what is cut at its end is left out."""
    found = []
    while len(data) >= 4:
        (size,) = struct.unpack(">I", data[:4])
        message, data = data[4 : 4 + size], data[4 + size :]
        if len(message) == size:
            found.append(message)
    return found


def fields(message: bytes) -> dict[int, Any]:
    """Return source, time, line and partial of a message, by their numbers."""
    found: dict[int, Any] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        value: Any = varint()
        if key & 7 == 2:
            value, at = message[at : at + value], at + value
        found[key >> 3] = value
    return found


def varint(value: int) -> bytes:
    """Return a number as protobuf has it."""
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def framed(parts: dict[int, Any]) -> bytes:
    """Return a message of such fields, with its length."""
    message = b""
    for number, value in parts.items():
        if isinstance(value, bytes):
            message += varint(number << 3 | 2) + varint(len(value)) + value
        else:
            message += varint(number << 3) + varint(value)
    return struct.pack(">I", len(message)) + message


def nanoseconds(moment: str) -> float:
    """Return a time in RFC 3339 as entries have it."""
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1e9


@define(eq=False)
class Reading:
    """A container's FIFO that is read."""

    container: str
    descriptor: int
    data: bytes = b""
    log: list[bytes] = field(factory=list)


class RightLogs(Kind):
    """A driver that keeps logs in memory."""

    prefix = "/LogDriver."
    implements = ("LogDriver",)
    bodiless = ("Capabilities",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.readings: dict[str, Reading] = {}
        self.logs: dict[str, list[bytes]] = {}
        self.followers: list[tuple[str, Request]] = []

    def capabilities(self, request: Request, message: Any) -> Fields:
        return {"Cap": {"ReadLogs": True}, "Err": ""}

    def start_logging(self, request: Request, message: Fields) -> Fields | None:
        return self.begin(message)

    def begin(self, message: Fields) -> Fields:
        """Begin to read a FIFO."""
        file, container = message.get("File"), message.get("Info", {}).get("ContainerID")
        if not file or not container:
            raise Refused("File or ContainerID is missing", 400)
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        self.readings[file] = Reading(container, descriptor)
        self.logs.setdefault(container, [])
        self.clock.callLater(OFTEN, self.look, file)
        return {"Err": ""}

    def look(self, file: str) -> None:
        """Read what is there, and look again later."""
        if file in self.readings:
            self.drain(self.readings[file])
            self.clock.callLater(OFTEN, self.look, file)

    def drain(self, reading: Reading) -> None:
        """Read what is there."""
        try:
            while data := os.read(reading.descriptor, 65536):
                self.take(reading, data)
        except BlockingIOError:
            pass

    def take(self, reading: Reading, data: bytes) -> None:
        """Take bytes of a FIFO."""
        reading.data += data
        whole = frames(reading.data)
        for message in whole:
            self.keep(reading, message)
        reading.data = reading.data[sum(4 + len(message) for message in whole) :]

    def keep(self, reading: Reading, message: bytes) -> None:
        """Keep an entry."""
        self.logs[reading.container].append(message)
        for container, request in self.followers:
            if container == reading.container:
                request.write(self.printed(fields(message)))

    def stop_logging(self, request: Request, message: Fields) -> Fields | None:
        file = message.get("File")
        if not isinstance(file, str):
            raise Refused("File is missing", 400)
        reading = self.readings.pop(file, None)
        if reading is not None:
            self.last(reading)
            os.close(reading.descriptor)
            self.finish(reading.container)
        return {"Err": ""}

    def finish(self, container: str) -> None:
        """End the answers to who follows a log."""
        for follower in [each for each in self.followers if each[0] == container]:
            self.followers.remove(follower)
            follower[1].finish()

    def last(self, reading: Reading) -> None:
        """Read what is left at the end."""
        self.drain(reading)

    def read_logs(self, request: Request, message: Fields) -> Fields | None:
        container, config = message["Info"]["ContainerID"], message["Config"]
        begin, end = self.times(config["Since"], config["Until"])
        found = [e for e in self.log(container) if begin <= fields(e)[2] <= end]
        tail = config["Tail"]
        found = self.tail(found, tail) if tail > 0 else self.untailed(found, tail)
        request.setHeader(b"Content-Type", b"application/x-json-stream")
        request.write(b"".join(self.printed(fields(entry)) for entry in found))
        running = any(reading.container == container for reading in self.readings.values())
        if config["Follow"] and running:
            self.follow(container, request)
        else:
            request.finish()
        return None

    def times(self, since: str, until: str) -> tuple[float, float]:
        """Return from when until when entries are asked for, in nanoseconds."""
        end = nanoseconds(until)
        return nanoseconds(since), end if end > 0 else float("inf")

    def untailed(self, found: list[bytes], tail: int) -> list[bytes]:
        """Return all entries, or none for a tail of zero."""
        return found if tail < 0 else []

    def follow(self, container: str, request: Request) -> None:
        """Answer with what comes, until the container ends or the client goes."""
        follower = (container, request)
        self.followers.append(follower)

        def gone(_: object) -> None:
            if follower in self.followers:
                self.followers.remove(follower)

        request.notifyFinish().addErrback(gone)

    def log(self, container: str) -> list[bytes]:
        """Return a container's entries."""
        return self.logs[container]

    def tail(self, found: list[bytes], count: int) -> list[bytes]:
        """Return the last entries."""
        return found[-count:]

    def printed(self, entry: dict[int, Any]) -> bytes:
        """Return an entry for docker logs."""
        end = b"" if entry.get(4) else b"\n"
        return framed({**entry, 3: entry.get(3, b"") + end})


@breaks("L-ACTIVATE")
class Logger(RightLogs):
    """Its name is another."""

    implements = ("LoggingDriver",)


@breaks("L-CAPABILITIES")
class CanText(RightLogs):
    """It says that it can in words."""

    def capabilities(self, request: Request, message: Any) -> Fields:
        return {"Cap": {"ReadLogs": "yes"}}


class Unreadable(RightLogs):
    """It gives no logs back."""

    def capabilities(self, request: Request, message: Any) -> Fields:
        return {"Cap": {"ReadLogs": False}, "Err": ""}


@breaks("L-START")
class NeverLogs(Unreadable):
    """It never starts."""

    def begin(self, message: Fields) -> Fields:
        raise Refused("the disk is full")


@breaks("L-START-NULL")
class NullArguments(RightLogs):
    """It joins the arguments."""

    def begin(self, message: Fields) -> Fields:
        if "Info" in message and message["Info"].get("ContainerArgs", ()) is None:
            raise Refused("can only join an iterable")
        return super().begin(message)


@breaks("L-UNKNOWN-FIELDS")
class StrictLogs(RightLogs):
    """It refuses what it does not know."""

    def begin(self, message: Fields) -> Fields:
        if "KitUnknown" in message.get("Info", ()):
            raise Refused("unexpected keyword argument", 400)
        return super().begin(message)


@breaks("L-START-MISSING")
class AnyFile(RightLogs):
    """It opens the FIFO some day."""

    def begin(self, message: Fields) -> Fields:
        if message.get("File") and not os.path.exists(message["File"]):
            return {"Err": ""}
        return super().begin(message)


@breaks("L-START-PARALLEL")
class BusyLogs(RightLogs):
    """It starts one at a time."""

    starting = 0

    def start_logging(self, request: Request, message: Fields) -> Fields | None:
        self.starting += 1
        busy = self.starting > 1

        def end() -> Fields:
            self.starting -= 1
            if busy:
                raise Refused("busy")
            try:
                return self.begin(message)
            except OSError as error:
                raise Refused(str(error)) from None

        self.later(request, 0.05, end)
        return None


@breaks("L-FIFO")
class ReadsAtTheEnd(Unreadable):
    """It reads 64 KiB of a log, and the rest at the container's end."""

    def drain(self, reading: Reading) -> None:
        if len(reading.data) < 65536:
            super().drain(reading)

    def take(self, reading: Reading, data: bytes) -> None:
        reading.data += data
        if len(reading.data) >= 65536:
            raise BlockingIOError


@breaks("L-FIFO-OTHERS")
class OneStopsAll(Unreadable):
    """One container's end ends all reading."""

    ended = False

    def last(self, reading: Reading) -> None:
        self.ended = True

    def drain(self, reading: Reading) -> None:
        if not self.ended:
            super().drain(reading)


@breaks("L-FIFO-BAD")
class OneBad(Unreadable):
    """What it cannot read ends all reading."""

    bad = False

    def take(self, reading: Reading, data: bytes) -> None:
        self.bad = self.bad or data.startswith(b"\xff")

    def drain(self, reading: Reading) -> None:
        if not self.bad:
            super().drain(reading)


@breaks("L-STOP")
class WaitsForEnd(Unreadable):
    """It fails to stop while the engine has the FIFO open."""

    def last(self, reading: Reading) -> None:
        try:
            os.read(reading.descriptor, 1)
        except BlockingIOError:
            raise Refused("the FIFO is still open") from None


@breaks("L-STOP-CLOSED")
class AlreadyClosed(RightLogs):
    """It cannot stop what has ended."""

    def last(self, reading: Reading) -> None:
        if self.at_end(reading):
            raise Refused("it has ended")
        super().last(reading)

    def at_end(self, reading: Reading) -> bool:
        """Return whether nobody has the FIFO open for writing."""
        poll = select.poll()
        poll.register(reading.descriptor, select.POLLIN)
        return any(event & select.POLLHUP for _, event in poll.poll(0))


@breaks("L-STOP-UNKNOWN")
class StopsOnlyKnown(RightLogs):
    """It cannot stop what it does not know."""

    def stop_logging(self, request: Request, message: Fields) -> Fields | None:
        if "File" in message and message["File"] not in self.readings:
            raise Refused("there is no such container")
        return super().stop_logging(request, message)


@breaks("L-RETRY-EMPTY")
class NoBodyLogs(RightLogs):
    """It takes no body for an empty message."""

    def message(self, body: bytes) -> Fields:
        return super().message(body or b'{"File":"x"}')


@breaks("L-ERR-TEXT")
class SilentLogs(RightLogs):
    """It refuses without a reason."""

    def begin(self, message: Fields) -> Fields:
        if not message.get("File"):
            raise Refused("", 400)
        return super().begin(message)


@breaks("L-QUICK")
class SlowLogs(RightLogs):
    """It connects to somebody far away first."""

    def start_logging(self, request: Request, message: Fields) -> Fields | None:
        self.later(request, 5.5, lambda: self.begin_or_refuse(message))
        return None

    def begin_or_refuse(self, message: Fields) -> Fields:
        """Begin; what fails is refused."""
        try:
            return self.begin(message)
        except OSError as error:
            raise Refused(str(error)) from None


@breaks("L-READ")
class NoSource(RightLogs):
    """All is stdout."""

    def printed(self, entry: dict[int, Any]) -> bytes:
        return super().printed({**entry, 1: b"stdout"})


@breaks("L-READ-NEWLINE")
class AsItCame(RightLogs):
    """It gives lines as they came."""

    def printed(self, entry: dict[int, Any]) -> bytes:
        return framed(entry)


@breaks("L-READ-PIECES")
class WholeReads(RightLogs):
    """It takes what it reads at once for whole entries."""

    def take(self, reading: Reading, data: bytes) -> None:
        if not frames(data):
            return
        super().take(reading, data)


@breaks("L-READ-RUNNING")
class ReadsEnded(RightLogs):
    """It gives the log of a container that has ended."""

    def read_logs(self, request: Request, message: Fields) -> Fields | None:
        container = message["Info"]["ContainerID"]
        running = any(reading.container == container for reading in self.readings.values())
        if running and not message["Config"]["Follow"]:
            self.later(request, 60, lambda: {"Err": ""})
            return None
        return super().read_logs(request, message)


@breaks("L-READ-AGAIN")
class NewLog(RightLogs):
    """Each start begins a new log."""

    def begin(self, message: Fields) -> Fields:
        found = super().begin(message)
        self.logs[message["Info"]["ContainerID"]] = []
        return found


@breaks("L-READ-OTHERS")
class OneLog(RightLogs):
    """It adds the logs of containers that came later."""

    def log(self, container: str) -> list[bytes]:
        return [entry for log in self.logs.values() for entry in log]


@breaks("L-READ-TAIL")
class NoTail(RightLogs):
    """It gives all."""

    def tail(self, found: list[bytes], count: int) -> list[bytes]:
        return found


@breaks("L-READ-TAIL-NONE")
class NoneIsAll(RightLogs):
    """It takes a tail of zero for none that is given."""

    def untailed(self, found: list[bytes], tail: int) -> list[bytes]:
        return found


@breaks("L-READ-SINCE")
class EverOlder(RightLogs):
    """It does not look at Since."""

    def times(self, since: str, until: str) -> tuple[float, float]:
        return 0, super().times(since, until)[1]


@breaks("L-READ-UNTIL")
class EverYounger(RightLogs):
    """It does not look at Until."""

    def times(self, since: str, until: str) -> tuple[float, float]:
        return super().times(since, until)[0], float("inf")


@breaks("L-READ-FOLLOW")
class EndsAtOnce(RightLogs):
    """It follows nothing."""

    def follow(self, container: str, request: Request) -> None:
        request.finish()


@breaks("L-READ-FOLLOW-END")
class FollowsForEver(RightLogs):
    """It follows a log beyond its container's end."""

    def finish(self, container: str) -> None:
        pass
