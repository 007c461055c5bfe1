"""The conformance command, its report and its documentation; it runs in ``tests/functional``."""

from __future__ import annotations

import io
import json
import re
import ssl
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.__main__ import main as new_main
from exampledriver.plugin.check import CANNOT, FAILED, PASSED, Report, line, main, table
from exampledriver.plugin.testing import (
    RULES,
    Address,
    AddressError,
    NotHTTP,
    Outcome,
    Verdict,
)
from exampledriver.plugin.testing.http import Reader, Response, encoded
from exampledriver.plugin.testing.judging import Rule, Severity, Violation
from exampledriver.plugin.testing.reply import Reply, time_complaint

DOC = Path(__file__).parents[2] / "docs/helper/conformance.md"


class DocumentationTests(SynchronousTestCase):
    """docs/helper/conformance.md."""

    def test_table(self) -> None:
        """The table of rules is that of the code."""
        text = DOC.read_text(encoding="utf-8")
        self.assertEqual(text.partition("<!-- rules -->\n")[2], table())

    def test_mentioned(self) -> None:
        """A rule that the text names exists."""
        text = DOC.read_text(encoding="utf-8").partition("<!-- rules -->")[0]
        known = {rule.id for rule in RULES}
        named = set(re.findall(r"`([PVANISLM]-[A-Z-]+)`", text))
        self.assertGreater(len(named), 10)
        self.assertEqual(named - known, set())

    def test_rules(self) -> None:
        """Every rule says what, why and from where, in lines that a report can show."""
        for rule in RULES:
            self.assertRegex(rule.id, r"^[A-Z]-[A-Z0-9-]{2,18}$")
            self.assertTrue(rule.says and rule.why and rule.source, rule.id)
            self.assertFalse(rule.says.endswith("."), rule.id)
            self.assertTrue(rule.why.endswith("."), rule.id)


class HelpTests(SynchronousTestCase):
    """What --help says."""

    def help(self, main: Callable[[list[str]], int], *words: str) -> str:
        """Return the text, its lines joined."""
        with redirect_stdout(io.StringIO()) as output:
            self.assertRaises(SystemExit, main, [*words, "--help"])
        return " ".join(output.getvalue().split())

    def test_new(self) -> None:
        """new says what it writes, with an example that works."""
        text = self.help(new_main, "new")
        self.assertIn("Write a project into a new directory: a driver that works, its tests", text)
        _, example = text.split("example: python -m exampledriver.plugin ")
        directory = self.mktemp()
        with redirect_stdout(io.StringIO()):
            self.assertEqual(new_main([*example.split(), "--directory", directory]), 0)
        self.assertIn("plugin.check SOCKET", self.help(new_main))

    def test_check(self) -> None:
        """check says what it does, with an example."""
        text = self.help(main)
        self.assertIn("Judge a running Docker plugin by what Docker and Podman need", text)
        self.assertIn("example: python -m exampledriver.plugin.check /run/docker/plugins/", text)


class ReportTests(SynchronousTestCase):
    """A report and the exit status."""

    def report(self, *outcomes: tuple[str, Outcome], left: tuple[str, ...] = ()) -> Report:
        """Return a report of some rules' outcomes."""
        by_id = {rule.id: rule for rule in RULES}
        verdicts = [Verdict(by_id[rule], outcome, "seen") for rule, outcome in outcomes]
        return Report("x.sock", ["VolumeDriver"], verdicts, left)

    def test_status(self) -> None:
        """1 is for a broken rule of severity error, 2 for what could not be found out."""
        passed = ("V-GET-NAME", Outcome.PASSED)
        warning, error = ("P-IDLE", Outcome.FAILED), ("V-LIST", Outcome.FAILED)
        blocked = ("V-MOUNT", Outcome.BLOCKED)
        self.assertEqual(self.report(passed, warning).status, PASSED)
        self.assertEqual(self.report(passed, error, blocked).status, FAILED)
        self.assertEqual(self.report(passed, blocked).status, CANNOT)
        self.assertEqual(self.report(passed, left=("kit-1",)).status, CANNOT)
        self.assertEqual(self.report(("V-DATA-KEPT", Outcome.NOT_APPLICABLE)).status, PASSED)

    def test_summary(self) -> None:
        """One line says how many hold, and how bad the others are."""
        report = self.report(
            ("V-GET-NAME", Outcome.PASSED),
            ("P-IDLE", Outcome.FAILED),
            ("V-LIST", Outcome.FAILED),
            ("V-MOUNT", Outcome.BLOCKED),
            ("V-DATA-KEPT", Outcome.NOT_APPLICABLE),
        )
        self.assertEqual(
            report.summary(),
            "1 of 5 rules hold; broken: 1 of severity error, 1 of severity warning; "
            "1 could not be judged; 1 do not apply",
        )
        json.dumps(report.as_json())

    def test_line(self) -> None:
        """A broken rule is shown with what was seen and what follows; a kept one in one line."""
        failed, passed = self.report(
            ("V-LIST", Outcome.FAILED), ("V-GET-NAME", Outcome.PASSED)
        ).verdicts
        self.assertEqual(len(line(failed).splitlines()), 3)
        self.assertTrue(line(failed).startswith("FAIL V-LIST "))
        self.assertTrue(line(passed).startswith("ok   V-GET-NAME "))

    def test_usage(self) -> None:
        """The rules are listed without a plugin; nothing else is done without one."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            self.assertEqual(main(["--rules"]), 0)
            self.assertRaises(SystemExit, main, [])
            self.assertRaises(SystemExit, main, ["--protocol=volume", "/x.sock"])
        self.assertEqual(out.getvalue(), table())
        self.assertIn("give the plugin's SOCKET", err.getvalue())
        self.assertRegex(err.getvalue(), "invalid choice: 'volume'.*VolumeDriver")


class SeenTests(SynchronousTestCase):
    """What a report shows of an answer."""

    def test_cut(self) -> None:
        """An answer that is long or binary is one short line that can be printed."""
        for body in (b"x" * 5000, b"\0\x1b[2J" * 1000, b"\xff" * 5000, b"a\r\nb" * 500):
            said = str(Reply("Plugin.Activate", Response(200, {}, body, "length", False)))
            self.assertTrue(said.isprintable(), said)
            self.assertLess(len(said), 260)
            self.assertTrue(said.endswith(" …"), said)
        said = str(Reply("Plugin.Activate", Response(404, {}, b"no\n", "length", False)))
        self.assertEqual(said, "Plugin.Activate was answered with 404 no")

    def test_judged(self) -> None:
        """So is whatever else a rule has seen."""

        async def check(subject: object) -> None:
            raise Violation("\0" * 100_000)

        rule = Rule("X-LONG", "", Severity.NOTE, "says", "Why.", "source", check)
        seen = self.successResultOf(Deferred.fromCoroutine(rule.judge(None))).seen
        self.assertEqual((seen[:4], len(seen)), ("\\x00", 1002))


class AddressTests(SynchronousTestCase):
    """Where a plugin is."""

    def write(self, name: str, text: str) -> str:
        """Write a file, return its path."""
        base = Path(self.mktemp())
        base.mkdir()
        (base / name).write_text(text)
        return str(base / name)

    def test_addresses(self) -> None:
        """URLs and spec files are read as Docker reads them."""
        self.assertEqual(Address.parse("unix:///run/x.sock").path, "/run/x.sock")
        found = Address.parse("http://127.0.0.1:8080")
        self.assertEqual((found.host, found.port, found.tls), ("127.0.0.1", 8080, None))
        self.assertEqual(Address.parse("https://[::1]").port, 443)
        spec = self.write("x.spec", "tcp://127.0.0.1:1\n")
        self.assertEqual(Address.parse(spec).port, 1)
        described = self.write("x.json", '{"Name":"x","addr":"https://h:2","TLSConfig":{}}')
        context = Address.parse(described).tls
        assert context is not None
        self.assertEqual(context.verify_mode, ssl.CERT_NONE)

    def test_clear(self) -> None:
        """As in Docker, a TLSConfig does nothing without https."""
        text = '{"Addr":"tcp://h:2","TLSConfig":{"InsecureSkipVerify":true}}'
        self.assertIsNone(Address.parse(self.write("x.json", text)).tls)

    def test_wrong(self) -> None:
        """What is no address is refused, by its name and with a reason."""
        bad = ["/nowhere", "ftp://x", "http://", "http://h:x", self.write("x.txt", "unix:///x")]
        bad += [self.write("x.json", text) for text in ("[]", "{}", "{", '{"Addr":7}')]
        bad += [self.write("x.spec", ""), str(Path(self.write("y", "")).parent)]
        for address in bad:
            error = self.assertRaises(AddressError, Address.parse, address)
            self.assertRegex(str(error), rf"^{re.escape(address)}: .{{5,}}")


class ReaderTests(SynchronousTestCase):
    """The strict reader of answers."""

    def read(self, data: bytes, ended: bool = False) -> list[tuple[int, bytes, str, bool]]:
        """Return the answers in bytes that come one by one."""
        reader, found = Reader(), []
        for at in range(len(data)):
            reader.feed(data[at : at + 1])
            while (response := reader.next()) is not None:
                found.append((response.status, response.body, response.framing, response.closes))
        if ended and (response := reader.next(ended=True)) is not None:
            found.append((response.status, response.body, response.framing, response.closes))
        return found

    def test_framing(self) -> None:
        """Lengths, chunks with extensions and trailers, closes, and answers in between are read."""
        self.assertEqual(
            self.read(
                b"HTTP/1.1 100 Continue\r\n\r\n"
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"
                b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: t\r\n\r\n"
                b"HTTP/1.1 204 Nothing\r\n\r\n"
                b"HTTP/1.0 200 OK\r\n\r\nabc",
                ended=True,
            ),
            [
                (200, b"ab", "length", False),
                (500, b"abc", "chunked", True),
                (204, b"", "none", False),
                (200, b"abc", "close", True),
            ],
        )

    def test_wrong(self) -> None:
        """What is no answer, or ends too early, is not read."""
        for data in (
            b"HTTP/2 200 OK\r\n\r\n",
            b"<html>\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nx\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
            b"HTTP/1.1 200",
            b"x" * 70000,
        ):
            self.assertRaises(NotHTTP, self.read, data, True)

    def test_times(self) -> None:
        """CreatedAt is what Go reads as RFC 3339."""
        good = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5+01:00", "0001-01-01T00:00:00Z")
        bad = ("", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-02-30T00:00:00Z", None, 7)
        self.assertEqual([time_complaint(text) for text in good], [""] * len(good))
        self.assertTrue(all(time_complaint(text) for text in bad))

    def test_escapes(self) -> None:
        """Messages are written as Go writes them."""
        expected = '{"a":"\\u003c\\u0026\\u003eé\\u2028"}'
        self.assertEqual(encoded({"a": "<&>é\u2028"}), expected.encode())
