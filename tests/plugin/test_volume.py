"""The answers that engines are most easily hurt by: Get, List and Mount."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin import Capabilities, PluginError, Volume
from exampledriver.plugin.errors import DriverMistake
from exampledriver.plugin.volume import rfc3339

from .memory import NAMED, UNHURRIED, PluginCase, post

NOON = datetime(2026, 11, 24, 12, 0, 0, 999999, tzinfo=timezone.utc)
OFFSETS = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda m: timezone(timedelta(minutes=m)))
GET = NAMED["VolumeDriver.Get"]
MOUNT = NAMED["VolumeDriver.Mount"]


class NoOffset(tzinfo):
    """A time zone that does not know its offset: a time in it is as naive as one without."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> str:
        return "nowhere"


class CreatedTests(SynchronousTestCase):
    """CreatedAt: Docker forgets a volume whose time it cannot read."""

    def test_form(self) -> None:
        """A time is RFC 3339 in UTC, to the second, not rounded up."""
        self.assertEqual(rfc3339(NOON), "2026-11-24T12:00:00Z")
        east = NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))
        self.assertEqual(rfc3339(east), "2026-11-24T12:00:00Z")

    @UNHURRIED
    @given(st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30), timezones=OFFSETS))
    def test_any(self, moment: datetime) -> None:
        """Any time in any zone is read back as the same second."""
        text = rfc3339(moment)
        self.assertTrue(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text), text)
        read = datetime.fromisoformat(text.replace("Z", "+00:00"))
        self.assertEqual(read, moment - timedelta(microseconds=moment.microsecond))

    def test_early(self) -> None:
        """A year has four digits, whatever it is: a time of zero in Go is in the year 1."""
        moment = datetime(1, 1, 1, tzinfo=timezone.utc)
        self.assertEqual(rfc3339(moment), "0001-01-01T00:00:00Z")

    def test_naive(self) -> None:
        """A time without a zone is refused, not taken for one in UTC or here."""
        self.assertRaises(ValueError, rfc3339, NOON.replace(tzinfo=None))

    def test_naive_in_disguise(self) -> None:
        """So is a time whose zone does not know its offset."""
        self.assertRaises(ValueError, rfc3339, NOON.replace(tzinfo=NoOffset()))


class GetTests(PluginCase):
    """Get decides whether a volume exists."""

    def shown(self, volume: Volume) -> dict[str, object]:
        """Return a volume as Get shows it, having checked that List shows the same."""
        self.driver.answers = {"get": volume, "list": [volume]}
        answer = self.assertAnswered(self.call("VolumeDriver.Get", GET))
        self.assertEqual(set(answer), {"Volume", "Err"})
        shown = answer["Volume"]
        self.assertIsInstance(shown, dict)
        listed = self.assertAnswered(self.call("VolumeDriver.List"))
        self.assertEqual(listed, {"Volumes": [shown], "Err": ""})
        return dict(shown)

    def test_least(self) -> None:
        """A volume of which only the name is known has an object for Status and no CreatedAt."""
        shown = self.shown(Volume("db"))
        self.assertEqual(shown, {"Name": "db", "Mountpoint": "", "Status": {}})

    def test_most(self) -> None:
        """What the driver knows is shown under the protocol's names."""
        status = {"Health": "good", "n": 1, "x": None, "deep": {"a": [True, "ä"]}}
        shown = self.shown(Volume("db", "/srv/db", NOON, status))
        self.assertEqual(
            shown,
            {
                "Name": "db",
                "Mountpoint": "/srv/db",
                "Status": status,
                "CreatedAt": "2026-11-24T12:00:00Z",
            },
        )

    def test_any_mapping(self) -> None:
        """A Status of any kind of mapping is an object."""

        class Status(Mapping[str, object]):
            def __getitem__(self, key: str) -> object:
                return {"a": 1}[key]

            def __iter__(self) -> object:  # type: ignore[override]
                return iter(["a"])

            def __len__(self) -> int:
                return 1

        self.assertEqual(self.shown(Volume("db", status=Status()))["Status"], {"a": 1})

    def wrong(self, volume: Volume, says: str) -> None:
        """Check that Get and List refuse a volume, and say what is wrong with it."""
        self.driver.answers = {"get": volume, "list": iter([Volume("first"), volume])}
        for method in self.driver.answers:
            response = self.call(f"VolumeDriver.{method.capitalize()}", GET)
            text = self.assertRefused(response, 500)
            self.assertEqual(text, f"driver FakeDriver.{method} returned a Volume whose {says}")
        self.assertEqual(len(self.flushLoggedErrors(DriverMistake)), 2)

    def test_nothing(self) -> None:
        """A driver that returns None for a volume has a bug: Volume is never null."""
        self.driver.answers["get"] = None
        text = self.assertRefused(self.call("VolumeDriver.Get", GET), 500)
        self.assertEqual(
            text,
            "driver FakeDriver.get returned None; a Volume is expected; for one that does not "
            "exist, raise a PluginError",
        )
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_wrong(self) -> None:
        """A part of a volume that is of a wrong type is never sent, and said."""
        zone = "created has no time zone; one is expected, as of datetime.now(timezone.utc)"
        relative = (
            "mountpoint is 'srv/db'; an absolute path is expected, or an empty text while it is "
            "not mounted"
        )
        wrong: Any
        for wrong, says in (
            ({"name": None}, "name is None; a str is expected"),
            ({"mountpoint": Path("/srv")}, "mountpoint is a PosixPath; a str is expected"),
            ({"mountpoint": b"/srv"}, "mountpoint is a bytes; a str is expected"),
            ({"mountpoint": "srv/db"}, relative),
            ({"created": NOON.replace(tzinfo=None)}, zone),
            ({"created": "2026-11-24"}, "created is a str; a datetime is expected"),
            ({"created": ["2026"]}, "created is a list; a datetime is expected"),
            ({"status": None}, "status is None; a Mapping is expected"),
            ({"status": "good"}, "status is a str; a Mapping is expected"),
            ({"status": {"x": object()}}, "status['x'] is an object; a JSON value is expected"),
            (
                {"status": {"x": [Path("/"), 1]}},
                "status['x'][0] is a PosixPath; a JSON value is expected",
            ),
        ):
            self.wrong(evolve(Volume("db"), **wrong), says)

    def test_list_bug(self) -> None:
        """What a driver's generator raises is its bug, not that of a volume before."""

        def volumes() -> Iterator[Volume]:
            yield Volume("db")
            raise TypeError("a bug")

        self.driver.answers["list"] = volumes()
        response = self.call("VolumeDriver.List")
        self.assertIn("internal error", self.assertRefused(response, 500))
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_only_the_driver(self) -> None:
        """Get is answered while anything else goes on: only the driver can make it fail."""
        for number, method in enumerate(("create", "remove", "mount", "unmount"), 1):
            self.driver.answers[method] = Deferred()
            call = f"VolumeDriver.{method.capitalize()}"
            self.connect().feed(post(call, NAMED[call]))
            self.assertEqual(self.plugin.wire.pending, number)
            self.assertAnswered(self.call("VolumeDriver.Get", GET))

    def test_no_such_volume(self) -> None:
        """A Get that the driver refuses has no Volume at all."""
        response = self.call("VolumeDriver.Get", {"Name": "x"})
        self.assertIn("does not exist", self.assertRefused(response, 500))


class ListTests(PluginCase):
    """List, where a null crashes dockerd and Podman."""

    def test_none(self) -> None:
        """No volumes are an empty list, not null."""
        self.driver.volumes.clear()
        answer = self.assertAnswered(self.call("VolumeDriver.List"))
        self.assertEqual(answer, {"Volumes": [], "Err": ""})

    def test_iterables(self) -> None:
        """Any iterable of volumes will do, once."""
        volumes = [Volume("a"), Volume("b", created=NOON)]
        for answer in (volumes, tuple(volumes), iter(volumes), (v for v in volumes)):
            self.driver.answers["list"] = answer
            shown = self.assertAnswered(self.call("VolumeDriver.List"))["Volumes"]
            self.assertEqual([volume["Name"] for volume in shown], ["a", "b"])

    def test_names(self) -> None:
        """A list of names is told from a list of volumes."""
        self.driver.answers["list"] = ["a", "b"]
        text = self.assertRefused(self.call("VolumeDriver.List"), 500)
        self.assertEqual(
            text,
            "driver FakeDriver.list returned a list with a str in it; an iterable of Volumes is "
            "expected",
        )
        self.assertEqual(len(self.flushLoggedErrors(DriverMistake)), 1)

    def test_no_null(self) -> None:
        """A driver that lists None has a bug; a null is never sent."""
        for answer in (None, [None], [Volume("a"), None], (v for v in (Volume("a"), None))):
            self.driver.answers["list"] = answer
            self.assertRefused(self.call("VolumeDriver.List"), 500)
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_many(self) -> None:
        """Ten thousand volumes are one answer."""
        self.driver.volumes = {f"v{n}": Volume(f"v{n}", created=NOON) for n in range(10_000)}
        shown = self.assertAnswered(self.call("VolumeDriver.List"))["Volumes"]
        self.assertEqual([volume["Name"] for volume in shown], list(self.driver.volumes))


class MountTests(PluginCase):
    """Mount and Path."""

    def test_mountpoint(self) -> None:
        """Mount answers the path that the driver gives."""
        for path in ("/srv/db", "/srv/a b/ä", "/srv/<&>"):
            self.driver.answers["mount"] = path
            answer = self.assertAnswered(self.call("VolumeDriver.Mount", MOUNT))
            self.assertEqual(answer, {"Mountpoint": path, "Err": ""})

    def test_no_absolute_path(self) -> None:
        """A path that is empty or relative is the driver's mistake, shown, and never an answer."""
        for path in ("", "srv/db", "./db", " /srv/db", "~/db"):
            self.driver.answers["mount"] = path
            text = self.assertRefused(self.call("VolumeDriver.Mount", MOUNT), 500)
            self.assertEqual(
                text,
                f"driver FakeDriver.mount returned {path!r} for volume 'db'; an absolute path is "
                "expected",
            )
            self.assertEqual(len(self.flushLoggedErrors(DriverMistake)), 1)

    def test_no_path(self) -> None:
        """A driver that returns no string has a bug."""
        for path in (None, 7, ["/srv/db"]):
            self.driver.answers["mount"] = path
            self.assertRefused(self.call("VolumeDriver.Mount", MOUNT), 500)
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_refused(self) -> None:
        """A Mount that the driver refuses has no Mountpoint."""
        self.driver.answers["mount"] = PluginError("device is gone")
        text = self.assertRefused(self.call("VolumeDriver.Mount", MOUNT), 500)
        self.assertEqual(text, "device is gone")

    def test_path(self) -> None:
        """No engine calls Path; it works, and is empty for a volume that is not mounted."""
        for path in ("/srv/db", ""):
            self.driver.answers["path"] = path
            answer = self.assertAnswered(self.call("VolumeDriver.Path", GET))
            self.assertEqual(answer, {"Mountpoint": path, "Err": ""})
        self.driver.answers["path"] = "srv/db"
        text = self.assertRefused(self.call("VolumeDriver.Path", GET), 500)
        self.assertIn("driver FakeDriver.path returned 'srv/db'; an absolute path", text)
        self.assertEqual(len(self.flushLoggedErrors(DriverMistake)), 1)

    def test_capabilities(self) -> None:
        """The scope is local, unless the driver says otherwise."""
        answer = self.assertAnswered(self.call("VolumeDriver.Capabilities", {}))
        self.assertEqual(answer["Capabilities"], {"Scope": "local"})
        self.driver.answers["capabilities"] = Capabilities("global")
        answer = self.assertAnswered(self.call("VolumeDriver.Capabilities", {}))
        self.assertEqual(answer["Capabilities"], {"Scope": "global"})

    def test_scope(self) -> None:
        """A scope that does not exist is refused; Docker would take it for local."""
        scope: Any = "globl"
        self.driver.answers["capabilities"] = Capabilities(scope)
        text = self.assertRefused(self.call("VolumeDriver.Capabilities", {}), 500)
        self.assertEqual(
            text,
            "driver FakeDriver.capabilities returned a Capabilities whose scope is 'globl'; "
            "'local' or 'global' is expected",
        )
        self.assertEqual(len(self.flushLoggedErrors()), 1)
