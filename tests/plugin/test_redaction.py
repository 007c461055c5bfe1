"""The list of what is a secret, and what is shown in its place."""

from __future__ import annotations

import json
import time

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.redaction import (
    hidden,
    hidden_line,
    hidden_options,
    masked,
    quoted,
    secret_in,
    shown,
)
from tests.secret_forms import HARMLESS, SECRET, VALUES, options


class SecretTests(SynchronousTestCase):
    """Every form, wherever it may be shown."""

    def test_values(self) -> None:
        """A secret in a value is found in any option, and shown nowhere."""
        for value in VALUES:
            for key in ("o", "device", "subpath", "uid", "label"):
                why = secret_in(key, value)
                self.assertTrue(why, value)
                self.assertNotIn(SECRET, why)
                self.assertNotIn(SECRET, str(hidden_options({key: value})), value)
                self.assertNotIn(SECRET, str(shown({"Opts": {key: value}, "l": [value]})), value)
            self.assertNotIn(SECRET, masked(value) + quoted(value), value)

    def test_names(self) -> None:
        """An option that is a secret by its name is found, and shown nowhere."""
        for key, value in options():
            self.assertTrue(secret_in(key, value), key)
            self.assertNotIn(SECRET, str(hidden_options({key: value})), key)
            self.assertNotIn(SECRET, str(shown({"Opts": {key: value}})), key)

    def test_sentences(self) -> None:
        """What a driver says of the options it was given shows none of their secrets."""
        given = [{key: value} for key, value in options()] + [{"o": value} for value in VALUES]
        for opts in given:
            for said in (f"option {opts!r} is not known", f"bad options: {json.dumps(opts)}"):
                self.assertNotIn(SECRET, masked(said, 1000, sentence=True), said)

    def test_harmless(self) -> None:
        """What only looks like a secret is let through, and shown as it is."""
        for key, value in HARMLESS:
            self.assertEqual(secret_in(key, value), "", value)
            self.assertEqual(hidden_options({key: value}), {key: value})
            self.assertEqual(hidden(value, sentence=True), value)

    def test_our_words(self) -> None:
        """What the driver itself says of secrets stays readable in its log."""
        for said in (
            'volume "db": option password is a secret, and everybody sees it',
            'volume "db": option o has a secret in it ("password"), and everybody sees it',
            'volume "db@x": snapshot "db@y" of https://example.org is there',
            "no password is asked for; the token and the key stay",
        ):
            self.assertEqual(masked(said, 1000, sentence=True), said)

    def test_others(self) -> None:
        """Other shapes that drivers get: a command line, and pairs of name and value."""
        for message in (
            {"Args": ["--password", SECRET]},
            {"Env": ["PASSWORD=hunter2"]},
            {"Env": [{"name": "PASSWORD", "value": SECRET}]},
            {"Options": {"com.example": {"token": {"a": [SECRET]}}}},
        ):
            found = str(shown(message))
            self.assertNotIn(SECRET, found)
        self.assertEqual(shown({"Args": ["-x", "1"]}), {"Args": ["-x", "1"]})

    def test_echo(self) -> None:
        """What an error repeats is one line of printable characters, bounded."""
        for text in ("a" * 100_000, "\n\x1b[2J" * 50, "\ud800" * 90, '"' * 500, "ä" * 500):
            found = quoted(text)
            self.assertLess(len(found), 1000)
            self.assertTrue(found.replace("…", "").isascii() and found.isprintable())

    def test_quick(self) -> None:
        """Whatever is to be looked through, even by a million characters, takes no time."""
        for text in (
            "pass" * 250_000, "key=" * 250_000, "=a:" * 300_000, "//" * 400_000, "@" * 900_000,
            "//" * 2000 + "@", "=a:" * 1300 + "@", ",a=b:" * 800 + "@", 'a="' * 1300, "%25" * 1400,
            "\\" * 4000 + "=", "login " * 600, " " * 4000 + "=", "pass" + " " * 4000 + "=",
        ):  # fmt: skip
            for sentence in (False, True):
                began = time.process_time()
                masked(text, 1000, sentence)
                self.assertLess(time.process_time() - began, 0.5, text[:20])
            began = time.process_time()
            hidden(text)
            self.assertLess(time.process_time() - began, 5, text[:20])

    def test_quick_values(self) -> None:
        """An option's value, and a line of a log of any length, takes a moment at most."""
        for unit in ("\\", " \n", "//", "//a:", "user:", "a:", 'pass="', "pass='", "--pass "):
            text = 'pass="=@' + unit * (4000 // len(unit)) + "@x"
            began = time.process_time()
            secret_in("o", text)
            hidden(text)
            self.assertLess(time.process_time() - began, 0.2, unit)
            began = time.process_time()
            found = hidden_line(text + unit * 1_000_000)
            self.assertLess(time.process_time() - began, 2, unit)
            self.assertLess(len(found), 20_000)

    def test_groups(self) -> None:
        """All that is in the braces or brackets of a secret is hidden."""
        for value in (f'credentials={{"a":"{SECRET}"}}', f"tokens: ['x', '{SECRET}']"):
            self.assertTrue(secret_in("o", value), value)
            self.assertNotIn(SECRET, hidden(value) + hidden_line(value), value)
