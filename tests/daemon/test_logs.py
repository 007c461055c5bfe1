"""Logs: their two forms, and files that are rotated, moved and cannot be opened."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from threading import Thread
from typing import Any, cast

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.daemon.logs import (
    LogFileOutput,
    LogOutput,
    as_journal,
    as_json,
    as_text,
    parse_size,
)
from exampledriver.daemon.runner import LogOptions


def event(text: str, level: Any = LogLevel.info, **fields: object) -> LogEvent:
    """Return an event as a logger makes it."""
    events: list[LogEvent] = []
    Logger("tests", observer=cast(ILogObserver, events.append)).emit(level, text, **fields)
    events[0]["log_time"] = 0.5
    return events[0]


def failed(error: Exception) -> LogEvent:
    """Return the event of an unexpected error."""
    try:
        raise error
    except type(error):
        return event("it broke", LogLevel.critical, log_failure=Failure())


class FormTests(SynchronousTestCase):
    """An event as text and as JSON."""

    def test_text(self) -> None:
        """Text has the time in UTC, the level and the message."""
        self.assertEqual(
            as_text(event("{a} is {b!r}", a="x", b="y")),
            "1970-01-01T00:00:00.500Z info  x is 'y'\n",
        )

    def test_one_line(self) -> None:
        """What a terminal obeys, line breaks too, is written out, and any text can be written."""
        for form in (as_text, as_json, as_journal):
            line = form(event("{a}", a="one\n1970 forged\r\udcff\x1b]0;x\x07"))
            assert line is not None
            self.assertTrue(line.removesuffix("\n").isprintable(), line)
            line.encode("utf-8")

    def test_traceback(self) -> None:
        """A traceback follows its event, indented in text, as a field in JSON."""
        text, line = as_text(failed(KeyError("k"))), as_json(failed(KeyError("k")))
        assert text is not None and line is not None
        first, *rest = text.splitlines()
        self.assertIn("critical it broke", first)
        self.assertTrue(all(word.startswith("    ") for word in rest))
        self.assertIn("KeyError", rest[-1])
        self.assertIn("KeyError", json.loads(line)["traceback"])

    def test_json(self) -> None:
        """JSON has time, level and message, and the event's own fields with their types."""
        line = as_json(
            event("{name} {fields}", LogLevel.warn, name="db", fields={"a": 1}, took=1.5)
        )
        assert line is not None
        self.assertEqual(
            json.loads(line),
            {"time": "1970-01-01T00:00:00.500Z", "level": "warn", "system": "tests",
             "message": "db {'a': 1}", "name": "db", "fields": {"a": 1}, "took": 1.5},
        )  # fmt: skip

    def test_journal(self) -> None:
        """Each line for systemd's journal has its level in front, and no time."""
        self.assertEqual(as_journal(event("x", LogLevel.warn)), "<4>x\n")
        trace = as_journal(failed(KeyError()))
        assert trace is not None
        self.assertTrue(all(line.startswith("<2>") for line in trace.splitlines()))
        self.assertTrue(trace.startswith("<2>it broke\n"))

    def test_size(self) -> None:
        """A size is a number of bytes, or of K, M or G."""
        self.assertEqual([parse_size(t) for t in ("0", "100", "2k", "10M")],
                         [0, 100, 2048, 10 << 20])  # fmt: skip
        for text in ("", "-1", "1T", "M", "1.5M", "1 M"):
            error = self.assertRaises(ValueError, parse_size, text)
            self.assertIn(f"--log-rotate-size={text}: ", str(error))


class SecretTests(SynchronousTestCase):
    """What is worse than information is logged without secrets."""

    def logged(self, form: str, found: LogEvent) -> str:
        """Return what an output writes of an event."""
        path = Path(self.mktemp()).absolute()
        output = LogOutput(form, path, 0, 3, lambda text: text.replace("hunter2", "***"))
        output.open()
        output(found)
        return path.read_text()

    def test_hidden(self) -> None:
        """Texts, errors, and the tracebacks of bugs go through the daemon's rule."""
        for form in ("text", "json"):
            for found in (
                event("bad: {why}", LogLevel.warn, why="password=hunter2"),
                event("bad: {why}", LogLevel.error, why=ValueError("password=hunter2")),
                event("bad: {why}", LogLevel.warn, why=Failure(ValueError("pw=hunter2"))),
                failed(ValueError("token=hunter2")),
            ):
                text = self.logged(form, found)
                self.assertIn("***", text)
                self.assertNotIn("hunter2", text)

    def test_traceback(self) -> None:
        """The lines of a traceback that are Python's stay as they are."""
        text = self.logged("text", failed(ValueError("token=hunter2")))
        self.assertIn("raise error", text)
        self.assertIn("ValueError: token=***", text)

    def test_long_error(self) -> None:
        """Every line of an error's text goes through the rule, those that are indented too."""
        found = failed(ValueError('bad options: {\n  "password": "hunter2"\n}'))
        text = self.logged("text", found)
        self.assertIn("raise error", text)
        self.assertNotIn("hunter2", text)

    def test_whole(self) -> None:
        """So does a text that a driver has put together itself."""
        self.assertNotIn("hunter2", self.logged("text", event("pw=hunter2", LogLevel.warn)))


class FileTests(SynchronousTestCase):
    """A log file."""

    def setUp(self) -> None:
        base = Path(self.mktemp())
        base.mkdir()
        self.path = base / "deep/x.log"

    def open(self, size: int = 0, keep: int = 3) -> LogOutput:
        """Return an open log."""
        output = LogOutput("text", self.path.absolute(), size, keep)
        output.open()
        return output

    def lines(self) -> list[str]:
        """Return the last word of each line of the file."""
        return [line.split()[-1] for line in self.path.read_text().splitlines()]

    def test_mode(self) -> None:
        """A log file is 0640, whatever the umask, and after a rotation too."""
        for mask in (0, 0o077):
            old = os.umask(mask)
            try:
                output = self.open()
                output(event("x"))
                output.rotate()
            finally:
                os.umask(old)
            for path in self.path.parent.iterdir():
                self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)

    def test_bounded(self) -> None:
        """A file that is large is rotated, and only so many old ones are kept."""
        output = self.open(size=400, keep=3)
        for number in range(100):
            output(event("{n}", n=number))
        names = sorted(path.name for path in self.path.parent.iterdir())
        self.assertEqual(names, ["x.log", "x.log.1", "x.log.2", "x.log.3"])
        files = [self.path.parent / name for name in reversed(names)]
        kept = [int(line.split()[-1]) for file in files for line in file.read_text().splitlines()]
        self.assertEqual(kept, list(range(kept[0], 100)))
        self.assertTrue(all(file.stat().st_size < 500 for file in files))

    def test_appended(self) -> None:
        """A file that is there is appended to."""
        for number in range(2):
            self.open()(event("{n}", n=number))
        self.assertEqual(self.lines(), ["0", "1"])

    def test_reopen(self) -> None:
        """After a move and a reopen nothing is written to the old file."""
        output = self.open()
        output(event("old"))
        moved = self.path.with_suffix(".moved")
        self.path.rename(moved)
        output(event("between"))
        output.reopen()
        output(event("new"))
        self.assertEqual(self.lines(), ["new"])
        self.assertEqual(len(moved.read_text().splitlines()), 2)

    def test_deleted(self) -> None:
        """A file that somebody deleted is made anew when it would be rotated."""
        output = self.open(size=200)
        for number in range(20):
            if number == 3:
                self.path.unlink()
            output(event("{n}", n=number))
        self.assertEqual(self.lines()[-1], "19")

    def test_device(self) -> None:
        """A device or pipe is written to, and neither rotated nor given another mode."""
        os.mkfifo(self.path.parent.parent / "pipe", 0o622)
        self.path = self.path.parent.parent / "pipe"
        self.path.chmod(0o622)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        output = self.open()
        output.rotate()
        output.reopen()
        output(event("x"))
        self.assertIn(b"info  x", os.read(reader, 4096))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o622)

    def test_cannot_reopen(self) -> None:
        """When the new file cannot be opened, the old one is written to, until it can be."""
        output = self.open()
        self.path.rename(self.path.with_suffix(".moved"))
        self.path.mkdir()
        self.assertRaises(OSError, output.reopen)
        output(event("kept"))
        self.assertIn("kept", self.path.with_suffix(".moved").read_text())
        self.path.rmdir()
        output.reopen()
        output(event("new"))
        self.assertEqual(self.lines(), ["new"])

    def test_cannot_rotate(self) -> None:
        """A rotation that cannot open its file loses what is logged meanwhile, and no more."""
        output = self.open()

        def full(file: LogFileOutput) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch = self.patch(LogFileOutput, "_openFile", full)
        self.assertRaises(OSError, output.rotate)
        publisher = LogPublisher(output)
        publisher(event("lost"))
        patch.restore()
        publisher(event("kept"))
        self.assertEqual(self.lines(), ["kept"])


class TurnTests(SynchronousTestCase):
    """A log that writes together what one turn of the reactor tells."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.output = LogOutput("text", self.path, 0, 3)
        self.output.open()
        self.reactor = MemoryReactorClock()
        self.output.join(self.reactor)
        self.writes: list[str] = []
        write = LogFileOutput.write

        def noted(file: LogFileOutput, data: str) -> None:
            self.writes.append(" ".join(line.split()[-1] for line in data.splitlines()))
            write(file, data)

        self.patch(LogFileOutput, "write", noted)

    def tell(self, *texts: str) -> None:
        """Log information."""
        for text in texts:
            self.output(event(text))

    def test_turn(self) -> None:
        """The lines of a turn are one write, in their order, and those of the next another."""
        self.tell("a", "b", "c")
        self.assertEqual(self.writes, [])
        self.reactor.advance(0)
        self.tell("d")
        self.reactor.advance(0)
        self.assertEqual(self.writes, ["a b c", "d"])

    def test_bounded(self) -> None:
        """A turn that tells much keeps little of it in memory."""
        self.tell(*map(str, range(1000)))
        self.assertGreaterEqual(len(self.writes), 3)
        self.reactor.advance(0)
        self.assertEqual(" ".join(self.writes).split(), [str(number) for number in range(1000)])

    def test_worse(self) -> None:
        """A warning is written at once, after what came before it."""
        self.tell("a")
        self.output(event("b", LogLevel.warn))
        self.assertEqual(self.writes, ["a b"])
        self.reactor.advance(0)
        self.assertEqual(self.writes, ["a b"])

    def test_threads(self) -> None:
        """What another thread tells is written at once, after what came before it."""
        self.tell("a")
        thread = Thread(target=self.tell, args=("b",))
        thread.start()
        thread.join()
        self.assertEqual(self.writes, ["a b"])

    def test_rotated(self) -> None:
        """What was told before a rotation is in the old file."""
        for change in (self.output.rotate, self.output.reopen):
            self.tell("before")
            self.path.rename(self.path.with_suffix(".old"))
            self.path.touch()
            change()
            self.assertIn("before", self.path.with_suffix(".old").read_text())

    def test_ended(self) -> None:
        """When the reactor ends, what waits is written, and what comes after is at once."""
        self.tell("a")
        for function, arguments, words in self.reactor.triggers["after"]["shutdown"]:
            function(*arguments, **words)
        self.tell("b")
        self.assertEqual(self.writes, ["a", "b"])

    def test_full(self) -> None:
        """Lines that cannot be written are lost, and are no error of the reactor's turn."""

        def full(file: LogFileOutput, data: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch = self.patch(LogFileOutput, "write", full)
        self.tell("lost", "lost")
        self.reactor.advance(0)
        patch.restore()
        self.tell("kept")
        self.reactor.advance(0)
        self.assertEqual(self.path.read_text().split()[-1], "kept")
        self.assertEqual(len(self.path.read_text().splitlines()), 1)


class ChoiceTests(SynchronousTestCase):
    """Where the log goes, with each way to run the daemon."""

    def path(self, runner: dict[str, object] | None, file: str = "", form: str = "text") -> str:
        """Return where the log goes: a path, ``stdout``, or ``theirs``."""
        output = LogOptions(file, form, 0, 1).output(runner)
        if output is None:
            return "theirs"
        return "stdout" if output.path is None else output.path.name

    def test_twistd(self) -> None:
        """twistd's --logfile is the daemon's log file, and standard output is its default."""
        self.assertEqual(self.path({"nodaemon": 1, "logfile": None}), "stdout")
        self.assertEqual(self.path({"nodaemon": 1, "logfile": "-"}), "stdout")
        self.assertEqual(self.path({"nodaemon": 1, "logfile": "/var/x"}), "x")
        self.assertEqual(self.path({"nodaemon": 0, "logfile": None}), "twistd.log")
        self.assertEqual(self.path({"nodaemon": 0, "logfile": None}, "/var/y", "json"), "y")

    def test_theirs(self) -> None:
        """syslog, a logger of the user's, twist and application files keep their own log."""
        self.assertEqual(self.path({"nodaemon": 0, "syslog": True}), "theirs")
        self.assertEqual(self.path({"nodaemon": 0, "logger": object()}), "theirs")
        self.assertEqual(self.path({"logFile": None}), "theirs")
        self.assertEqual(self.path(None), "theirs")
        self.assertEqual(self.path(None, "/var/y"), "y")

    def test_contradictions(self) -> None:
        """What cannot go together is an error that says so."""
        for runner, file, form in (
            ({"nodaemon": 1, "logfile": "/x"}, "/y", "text"),
            ({"nodaemon": 0, "logfile": None}, "-", "text"),
            ({"nodaemon": 0, "syslog": True}, "/y", "text"),
            ({"nodaemon": 0, "syslog": True}, "", "json"),
            ({"logFile": None}, "", "json"),
        ):
            self.assertRaises(ValueError, self.path, runner, file, form)
