"""The log: one line for each change, none for a read, and none that can be forged."""

from __future__ import annotations

import time

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent

from exampledriver.plugin import BadRequest, PluginError
from exampledriver.plugin.redaction import shown

from .memory import CHANGES, NAMED, NAMELESS, PluginCase, post, raw


class LogTests(PluginCase):
    """How many lines, and which."""

    def lines(self, *requests: bytes) -> list[LogEvent]:
        """Return what is logged while these requests are answered on a new connection."""
        with capturedLogs() as events:
            client = self.connect()
            for request in requests:
                client.ask(request)
            client.disconnect()
        return list(events)

    def test_listening(self) -> None:
        """Listening starts no access log, and no clock for one."""
        with capturedLogs():
            self.site.doStart()
        self.addCleanup(self.site.doStop)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.lines(post("VolumeDriver.List")), [])

    def test_reads(self) -> None:
        """A read costs no line, nor does a connection."""
        requests = [post(f"VolumeDriver.{call}", {"Name": "db"}) for call in ("Get", "Path")]
        requests += [post(call) for call in NAMELESS]
        self.assertEqual(self.lines(*requests * 3), [])

    def test_refused_reads(self) -> None:
        """Docker asks for unknown names with every inspect: a refused read costs no line either."""
        calls = ("VolumeDriver.Get", "VolumeDriver.Path")
        self.assertEqual(self.lines(*[post(call, {"Name": "x"}) for call in calls]), [])

    def test_wrong_requests(self) -> None:
        """What reaches no driver costs no line: nobody can fill the disk with it."""
        requests = [post(call, body) for call in NAMED for body in (b"", {}, {"Name": ""})]
        requests += [post("Nothing"), raw(b"GET", b"/"), raw(b"POST", b"*"), raw(b"HEAD*", b"/x")]
        requests.append(post("VolumeDriver.Create", b" " * (1 << 21)))
        self.assertEqual(self.lines(*requests), [])

    def test_changes(self) -> None:
        """A change is exactly one line: the call, the volume, the time it took."""
        for call in CHANGES:
            self.driver.answers[call.lower()] = "/srv/db"
            (event,) = self.lines(post(f"VolumeDriver.{call}", NAMED[f"VolumeDriver.{call}"]))
            self.assertEqual(event["log_level"], LogLevel.info)
            self.assertRegex(
                formatEvent(event),
                rf"^VolumeDriver\.{call} 'db'( ID='\w+')?: done in 0\.0 ms, request \w+$",
            )

    def test_refused_changes(self) -> None:
        """A refused change is exactly one warning, with the reason."""
        for kind in (PluginError, BadRequest):
            for call in CHANGES:
                self.driver.answers[call.lower()] = kind("no space: free some")
                (event,) = self.lines(post(f"VolumeDriver.{call}", NAMED[f"VolumeDriver.{call}"]))
                self.assertEqual(event["log_level"], LogLevel.warn)
                self.assertRegex(
                    formatEvent(event),
                    rf"^VolumeDriver\.{call} 'db'( ID='\w+')?: refused after 0\.0 ms, "
                    r"request \w+: no space: free some$",
                )

    def test_time(self) -> None:
        """The time is the clock's, in milliseconds, up to the driver's answer."""
        for end, what in (("callback", None), ("errback", PluginError("no"))):
            done: Deferred[None] = Deferred()
            self.driver.answers["create"] = done
            with capturedLogs() as events:
                self.client.feed(post("VolumeDriver.Create", {"Name": "v"}))
                self.clock.advance(1.5)
                self.assertEqual(events, [])
                getattr(done, end)(what)
            (event,) = events
            self.assertIn(" 1500.0 ms", formatEvent(event))

    def test_blocked(self) -> None:
        """A driver that lets all others wait is warned of, once for each call."""

        def slowly(*_: object) -> None:
            self.clock.advance(1.5)

        self.driver.answers = {"create": slowly, "unmount": slowly}
        found = []
        for call in ("Create", "Create", "Unmount"):
            name = f"VolumeDriver.{call}"
            events = self.lines(post(name, NAMED[name]))
            found.append([formatEvent(event) for event in events])
        self.assertEqual([len(lines) for lines in found], [2, 1, 2])
        for lines, call in ((found[0], "Create"), (found[2], "Unmount")):
            said = f"VolumeDriver.{call} 'db': nothing else was answered for 1500 ms: "
            self.assertIn(said, lines[0])
            self.assertIn("deferToThread", lines[0])

    def test_one_line(self) -> None:
        """A name with newlines or worse is one line that can be written anywhere."""
        for name in ("a\nb", "a\r\n2026-01-01 forged", "\x1b[2J", "\ud800", "\0"):
            (event,) = self.lines(post("VolumeDriver.Create", {"Name": name}))
            line = formatEvent(event)
            line.encode("utf-8")
            self.assertTrue(line.isprintable(), repr(line))

    def test_options(self) -> None:
        """Options are shown, as fields too, with their types."""
        options = {"mode": "0750", "o": "addr=10.0.0.1,username=me,passwd=hunter2,vers=3"}
        (event,) = self.lines(post("VolumeDriver.Create", {"Name": "v", "Opts": options}))
        self.assertIn("'mode': '0750'", formatEvent(event))
        self.assertEqual(
            event["fields"]["Opts"]["o"], "addr=10.0.0.1,username=me,passwd=***,vers=3"
        )

    def test_secrets(self) -> None:
        """Secrets are not shown, however they are written, nor when a refusal repeats them."""
        for opts in (
            {"password": "hunter2"}, {"API_Token": "hunter2"}, {"api-key": "hunter2"},
            {"vault.token": "hunter2"}, {"x-auth-token": "hunter2"}, {"a": {"pwd": "hunter2"}},
            {"o": "addr=10.0.0.1,passwd=hunter2,vers=3"}, {"o": "vers=3,x-secret = hunter2"},
            {"device": "//me:hunter2@host/share"}, {"share": "//me%hunter2@host/share"},
            {"share": "me:hunter2@host/share"}, {"o": "a=me:hunter2@host"},
            {"u": "https://me:p/hunter2@host"}, {"u": "https://me:p@hunter2@host"},
            {"j": '{"password":"hunter2"}'}, {"y": "password: hunter2"}, {"p": "pass='x hunter2'"},
            {"l": [{"token": "hunter2"}]}, {"password=hunter2": "x"}, {"l": ["password=hunter2"]},
        ):  # fmt: skip
            self.driver.answers["create"] = BadRequest(f"option {opts!r} is not known")
            (event,) = self.lines(post("VolumeDriver.Create", {"Name": "v", "Opts": opts}))
            self.assertNotIn("hunter2", repr(event) + formatEvent(event))
        (event,) = self.lines(post("VolumeDriver.Remove", {"Name": "x:password=hunter2"}))
        self.assertNotIn("hunter2", repr(event) + formatEvent(event))

    def test_long_options(self) -> None:
        """Options fill no log: many are counted, long ones cut."""
        options = {f"k{number}" + "k" * 300: "v" * 500 for number in range(1000)}
        (event,) = self.lines(post("VolumeDriver.Create", {"Name": "v", "Opts": options}))
        self.assertLess(len(formatEvent(event)), 11_000)
        self.assertIn("980 more", formatEvent(event))

    def test_hostile(self) -> None:
        """What is made to fill a log, or to be slow to read, is cut, and read at once."""
        deep: object = "x"
        for _ in range(400):
            deep = {"a": deep}
        wide: object = "x" * 200
        for _ in range(3):
            wide = {f"k{number}": wide for number in range(12)}
        for opts in (deep, wide, "pass" * 200_000, "a" * 900_000, "//" * 400_000, "@" * 900_000,
                     "key=" * 200_000, "=" * 900_000, ["x" * 300] * 3000):  # fmt: skip
            began = time.process_time()
            found = shown({"o": opts})
            self.assertLess(time.process_time() - began, 0.5)
            self.assertLess(len(str(found)), 11_000)
        (event,) = self.lines(post("VolumeDriver.Create", {"Name": "n" * 500_000}))
        self.assertLess(len(formatEvent(event)), 1_500)

    def test_braces(self) -> None:
        """A name that looks like a format is text."""
        (event,) = self.lines(post("VolumeDriver.Create", {"Name": "{took!r} %s"}))
        self.assertIn("'{took!r} %s'", formatEvent(event))

    def test_bug(self) -> None:
        """A change that fails by a bug is one warning, and one traceback with the request's id."""
        self.driver.answers["create"] = ZeroDivisionError()
        events = self.lines(post("VolumeDriver.Create", {"Name": "v"}))
        levels = [event["log_level"] for event in events]
        self.assertEqual(levels, [LogLevel.critical, LogLevel.warn])
        self.assertEqual(events[0]["request"], events[1]["request"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
