"""What is refused: in JSON, with a text that helps, and without the driver being asked."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from io import BytesIO

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure

from exampledriver.plugin import BadRequest, PluginError, Volume
from exampledriver.plugin.errors import DriverMistake
from exampledriver.plugin.site import MAX_BODY

from .memory import NAMED, NAMELESS, PluginCase, Response, post, raw

METHODS = (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"FOO", b"HTTP2")


class RouteTests(PluginCase):
    """Unknown paths and wrong methods."""

    def tearDown(self) -> None:
        """Nothing here reaches the driver or the log."""
        self.assertEqual(self.driver.calls, [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_unknown_path(self) -> None:
        """A call that there is not is a 404 that names it, on a connection that stays usable."""
        for path in (
            b"/",
            b"/x",
            b"/VolumeDriver",
            b"/VolumeDriver.get",
            b"/VolumeDriver.Get/",
            b"/VolumeDriver.Get//",
            b"/./VolumeDriver.Get",
            b"/x/../VolumeDriver.Get",
            b"/VolumeDriver.Get%00",
            b"/VolumeDriver.Get%0a",
            b"/VolumeDriver.Get;x",
            b"/NetworkDriver.GetCapabilities",
            b"/Plugin.Deactivate",
            b"/" + b"x" * 5000,
        ):
            response = self.client.ask(raw(b"POST", path, b'{"Name":"db"}'))
            text = self.assertRefused(response, 404)
            self.assertIn("no such call", text)
            self.assertLess(len(text), 300)
        self.assertTrue(self.client.connected)

    def test_query_not_shown(self) -> None:
        """The text has what was asked for, readable and without the query."""
        text = self.assertRefused(self.client.ask(raw(b"POST", b"/%C3%A4?a=/b")), 404)
        self.assertTrue(text.startswith("POST /\u00e4: "), text)

    def test_wrong_method(self) -> None:
        """A known call with another method is a 405 that allows POST."""
        for call in (*NAMED, *NAMELESS):
            for method in METHODS:
                response = self.client.ask(raw(method, b"/" + call.encode(), b'{"Name":"db"}'))
                self.assertIn("POST", self.assertRefused(response, 405))
                self.assertEqual(response.headers["allow"], ["POST"])

    def test_head_method(self) -> None:
        """A HEAD gets the head of a 405, no body, and leaves the connection in step."""
        self.client.feed(raw(b"HEAD", b"/Plugin.Activate"), raw(b"GET", b"/Plugin.Activate"))
        response, rest = Response.parse(self.client.received(), head_only=True)
        self.assertEqual((response.status, response.headers["allow"]), (405, ["POST"]))
        response, rest = Response.parse(rest)
        self.assertRefused(response, 405)
        self.assertEqual(rest, b"")

    def test_allow_only_there(self) -> None:
        """Only a 405 has an Allow header."""
        for request in (post("Plugin.Activate"), post("Plugin.Nothing"), post("VolumeDriver.Get")):
            self.assertNotIn("allow", self.client.ask(request).headers)

    def test_path_not_utf8(self) -> None:
        """A path that is not UTF-8 is a 400, on a connection that stays usable."""
        for path in (b"/%ff", b"/%C3", b"/VolumeDriver.Get%ed%a0%80", b"/\xb0", b"/%E2%82"):
            response = self.client.ask(raw(b"POST", path, b'{"Name":"db"}'))
            self.assertIn("UTF-8", self.assertRefused(response, 400))
        self.assertTrue(self.client.connected)

    def test_no_path(self) -> None:
        """A target that is no path, such as *, is a 400, whatever the method."""
        for target in (b"*", b"*?x", b"VolumeDriver.Get", b"plugin:80", b"?x", b"%2fx"):
            for method in (b"POST", b"OPTIONS", b"CONNECT", b"GET"):
                response = self.client.ask(raw(method, target, b"{}"))
                self.assertIn("start with /", self.assertRefused(response, 400))
        self.assertTrue(self.client.connected)


class MalformedTests(PluginCase):
    """Heads and chunks that are not HTTP/1.1."""

    def refused(self, data: bytes) -> None:
        """Check that these bytes are answered with one 400, and the connection is closed."""
        client = self.connect()
        response = client.ask(data)
        self.assertRefused(response, 400)
        self.assertEqual(response.headers["connection"], ["close"])
        self.assertFalse(client.connected)

    def tearDown(self) -> None:
        """Nothing here reaches the driver; the log has no traceback; other clients go on."""
        self.assertEqual(self.driver.calls, [])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertAnswered(self.call("VolumeDriver.Get", {"Name": "db"}))

    def test_request_line(self) -> None:
        """A request line that cannot be read is a 400 in JSON."""
        for line in (
            b"nonsense",
            b"POST /VolumeDriver.Get",
            b"POST /VolumeDriver.Get HTTP/2.0",
            b"POST /VolumeDriver.Get HTTP/1.1 x",
            b"POST  HTTP/1.1",
            b"P\x00ST / HTTP/1.1",
            b"POST /\xff HTTP/1.1",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ):
            self.refused(line + b"\r\n\r\n")

    def test_header_lines(self) -> None:
        """A header line that cannot be read is a 400, and the request is not acted on."""
        for line in (
            b"nonsense",
            b": empty",
            b"a b: c",
            b"X: a\x00b",
            b"Content-Length: -1",
            b"Content-Length: 1e3",
            b"Content-Length: " + b"9" * 5000,
            b"Content-Length: ",
            b"Content-Length: 13\r\nContent-Length: 13",
            b"Content-Length: 13\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: gzip",
        ):
            for request in (line, line + b"\r\nX: y", b"X: y\r\n" + line):
                head = b"POST /VolumeDriver.List HTTP/1.1\r\n" + request
                self.refused(head + b'\r\n\r\n{"Name":"db"}')

    def test_chunks(self) -> None:
        """A body whose chunks cannot be read is a 400."""
        head = b"POST /VolumeDriver.List HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        for chunk in (b"x\r\n", b"-1\r\n", b"2\r\nabcd", b"2000000000000000000x\r\n"):
            self.refused(head + chunk)

    def test_much_head(self) -> None:
        """A head of too many bytes or too many lines is a 400."""
        first = b"POST /VolumeDriver.List HTTP/1.1\r\n"
        self.refused(first + b"X: y\r\n" * 600 + b"\r\n")
        self.refused(first + (b"X: " + b"y" * 1000 + b"\r\n") * 20 + b"\r\n")

    def test_long_line(self) -> None:
        """A line longer than HTTP servers read is a 400 too, not a close without a word."""
        self.refused(b"POST /VolumeDriver.List HTTP/1.1\r\nX: " + b"y" * 20000 + b"\r\n\r\n")
        self.refused(b"POST /" + b"x" * 20000)


class TooLargeTests(PluginCase):
    """Bodies beyond the bound."""

    def usable(self) -> None:
        """Check that the connection still is."""
        self.assertTrue(self.client.connected)
        self.assertAnswered(self.call("VolumeDriver.Get", {"Name": "db"}))
        self.assertEqual(self.driver.calls, [("get", "db")])

    def test_length(self) -> None:
        """A body of one byte too much is a 413 that says the bound; the connection stays usable."""
        for call in ("VolumeDriver.Create", "VolumeDriver.List", "Plugin.Activate", "Nothing"):
            request = post(call, b" " * (MAX_BODY + 1))
            pieces = [request[at : at + 65536] for at in range(0, len(request), 65536)]
            self.assertIn("1048576", self.assertRefused(self.client.ask(*pieces), 413))
        self.usable()

    def test_chunked(self) -> None:
        """So is one whose size nobody has told before."""
        head = b"POST /VolumeDriver.Create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = [b"10000\r\n" + b" " * 65536 + b"\r\n"] * 17
        response = self.client.ask(head, *chunks, b"0\r\n\r\n")
        self.assertRefused(response, 413)
        self.usable()

    def test_not_kept(self) -> None:
        """What comes beyond the bound is read and not kept; nothing is kept in a file."""
        size = 4 * MAX_BODY
        request = post("VolumeDriver.Create", b" " * size)
        self.client.feed(*[request[at : at + 65536] for at in range(0, size, 65536)])
        content = self.client.channel.requests[0].content
        self.assertIsInstance(content, BytesIO)
        self.assertLessEqual(content.seek(0, 2), MAX_BODY)

    def test_exact(self) -> None:
        """A body of exactly the bound is read, in one piece or many."""
        body = b'{"Name":"db"}'.ljust(MAX_BODY)
        for step in (MAX_BODY * 2, 65536, 99991):
            request = post("VolumeDriver.Get", body)
            pieces = [request[at : at + step] for at in range(0, len(request), step)]
            self.assertAnswered(self.client.ask(*pieces))


class BugTests(PluginCase):
    """What a driver raises."""

    def call_all(self, error: object) -> Iterable[Response]:
        """Yield the answer of every call to a driver that fails with an error."""
        for call, message in {**NAMED, "VolumeDriver.List": {}}.items():
            self.driver.answers[call.partition(".")[2].lower()] = error
            yield self.call(call, message)

    def test_refused(self) -> None:
        """A PluginError is its text with its status, and no traceback in the log."""
        for kind, status in ((PluginError, 500), (BadRequest, 400)):
            for response in self.call_all(kind('volume "db": no')):
                self.assertEqual(self.assertRefused(response, status), 'volume "db": no')
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_status(self) -> None:
        """A PluginError may have another status, but none of success, nor one that is none."""
        for status, expected in ((404, 404), (599, 599), (200, 500), (999, 500), ("404", 500)):
            kind = type("Mine", (PluginError,), {"status": status})
            for response in self.call_all(kind("no")):
                self.assertEqual(self.assertRefused(response, expected), "no")

    def test_long_text(self) -> None:
        """A long text is answered with its beginning and its end, which says what to do."""
        for response in self.call_all(PluginError("asked: " + "x" * 100_000 + ": free some space")):
            text = self.assertRefused(response, 500)
            self.assertLess(len(text), 4100)
            self.assertTrue(text.startswith("asked: xxx"), text)
            self.assertTrue(text.endswith("xxx: free some space"), text)

    def test_without_text(self) -> None:
        """A PluginError without a text still is an Err that is not empty: Docker needs one."""
        for response in self.call_all(PluginError()):
            self.assertRefused(response, 500)

    def test_bug(self) -> None:
        """A bug is a traceback in the log and a request id, no more, in the answer."""
        seen = set()
        for response in self.call_all(ZeroDivisionError("secret-7")):
            self.assertIn("internal error", self.assertRefused(response, 500))
            for word in (b"secret", b"ZeroDivision", b"Traceback", b".py"):
                self.assertNotIn(word, response.body)
            seen.add(response.answer["Err"].rpartition(" ")[2])
        self.assertEqual(len(seen), 7)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 7)

    def test_used_up(self) -> None:
        """What the process or the machine has used up is named with what to raise, not a bug."""
        for number, text in (
            (errno.EMFILE, "too many open files: raise LimitNOFILE"),
            (errno.ENFILE, "too many open files in system: raise the sysctl fs.file-max"),
            (errno.ENOMEM, "cannot allocate memory: the machine needs more memory"),
        ):
            for response in self.call_all(OSError(number, os.strerror(number), "/x")):
                self.assertEqual(self.assertRefused(response, 500), text)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_bug_logged(self) -> None:
        """The traceback in the log has the request id of the answer, and the call."""
        self.driver.answers["get"] = ZeroDivisionError("secret-7")
        with capturedLogs() as events:
            response = self.call("VolumeDriver.Get", {"Name": "db"})
        (event,) = events
        self.assertEqual(event["log_level"], LogLevel.critical)
        self.assertTrue(response.answer["Err"].endswith(f"request {event['request']}"))
        self.assertIn("/VolumeDriver.Get", event["asked"])
        self.assertIs(event["log_failure"].value, self.driver.answers["get"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_bug_of_any_shape(self) -> None:
        """A Deferred or a coroutine that fails is a bug like an exception raised at once."""

        async def coroutine() -> None:
            raise ZeroDivisionError

        deferred: Deferred[None] = fail(ZeroDivisionError())
        for answer in (deferred, coroutine(), ZeroDivisionError()):
            self.driver.answers["get"] = answer
            self.assertRefused(self.call("VolumeDriver.Get", {"Name": "db"}), 500)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class NotDoneTests(PluginCase):
    """What a driver returns from a method of which nothing is expected."""

    def said(self, call: str, answer: object) -> str:
        """Return what is said of an answer, to the engine and to the log."""
        self.driver.answers[call.lower()] = lambda *_: answer
        text = self.assertRefused(self.call(f"VolumeDriver.{call}", NAMED["VolumeDriver.Get"]), 500)
        (logged,) = self.flushLoggedErrors(DriverMistake)
        self.assertEqual(logged.getErrorMessage(), text)
        return text

    def test_not_run(self) -> None:
        """Work that has not run is no success: a forgotten decorator, yield or await."""

        def generator() -> Iterator[object]:
            yield Deferred()

        async def stream() -> AsyncIterator[object]:
            yield Deferred()

        async def coroutine() -> object:
            return Deferred()

        async def twice() -> object:
            return coroutine()

        says = "driver FakeDriver.create returned a"
        for answer, what in (
            (
                generator(),
                " generator; a function with yield in it does not run, unless it has @inl",
            ),
            (stream(), "n async_generator; a coroutine with yield in it does not run"),
            (twice(), " coroutine; await it"),
            (coroutine(), " Deferred; await it"),
        ):
            self.assertIn(says + what, self.said("Create", answer))

    def test_error(self) -> None:
        """An error that is returned is no success."""
        for answer, kind in ((PluginError("full"), "PluginError"), (Failure(OSError()), "Failure")):
            self.assertEqual(
                self.said("Remove", answer),
                f"driver FakeDriver.remove returned a {kind}; raise it",
            )

    def test_anything(self) -> None:
        """Whatever else is returned: the change was made."""
        for answer in (None, False, "done", Volume("db")):
            self.driver.answers["create"] = lambda *_, answer=answer: answer
            self.assertAnswered(self.call("VolumeDriver.Create", NAMED["VolumeDriver.Create"]))

    def test_no_loop(self) -> None:
        """A task of asyncio's that cannot be made is told what to do, as is one awaited."""
        for call in ("Get", "Create"):
            self.driver.answers[call.lower()] = lambda *_: asyncio.get_running_loop()
            with capturedLogs() as events:
                response = self.call(f"VolumeDriver.{call}", NAMED["VolumeDriver.Get"])
            self.assertIn("with run(asyncio=True)", self.assertRefused(response, 500))
            for event in events:
                self.assertIn("with run(asyncio=True)", formatEvent(event))


class EndTests(PluginCase):
    """What ends a program or a task, raised by a driver."""

    def check(self, error: BaseException) -> None:
        """Check that every call is answered, logged and over, the second time of each too."""

        def raises(*_: object) -> object:
            raise error

        async def coroutine(*_: object) -> object:
            raise error

        def deferred(*_: object) -> object:
            return fail(error)

        name = type(error).__name__
        for answer in (raises, coroutine, deferred):
            for call, message in {**NAMED, "VolumeDriver.List": {}}.items():
                self.driver.answers[call.partition(".")[2].lower()] = answer
                for _ in range(2):
                    text = self.assertRefused(self.call(call, message), 500)
                    self.assertIn(f"the driver raised {name}, which ends neither", text)
                    self.assertIn("raise a PluginError", text)
                    self.assertEqual(len(self.flushLoggedErrors(type(error))), 1)
                    self.assertTrue(self.client.connected)
        self.successResultOf(self.plugin.wire.when_idle())

    def test_exit(self) -> None:
        """A driver that ends the program is answered with its mistake; a stop waits for nothing."""
        for error in (SystemExit("disk full"), KeyboardInterrupt(), GeneratorExit()):
            self.check(error)

    def test_cancelled(self) -> None:
        """So is one whose own work was cancelled, with the error of Twisted's or asyncio's."""
        for error in (CancelledError(), asyncio.CancelledError()):
            self.check(error)

    def test_logged(self) -> None:
        """The log says that it was the driver's mistake, and how the change ended."""
        self.driver.answers["create"] = SystemExit(3)
        with capturedLogs() as events:
            self.call("VolumeDriver.Create", NAMED["VolumeDriver.Create"])
        mistake, change = map(formatEvent, events)
        self.assertIn("a mistake of the driver: the driver raised SystemExit", mistake)
        self.assertTrue(change.endswith(": SystemExit(3)"), change)
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_never(self) -> None:
        """A change that is never answered is thrown away without a word, as by a test's end."""

        async def never(*_: object) -> None:
            await Deferred()

        self.driver.answers["create"] = never
        self.client.feed(post("VolumeDriver.Create", NAMED["VolumeDriver.Create"]))
        self.client.disconnect()
        with capturedLogs() as events:
            gc.collect()
        self.assertEqual(events, [])
