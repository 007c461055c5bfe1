"""What real engines sent, byte for byte, to a plugin whose driver keeps volumes in a dict."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from attrs import frozen
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from exampledriver.plugin import Plugin, PluginError, PluginSite, Volume

from .memory import CONTENT_TYPE, FakeDriver
from .replay import TRACES, Exchange, acceptable, complaint, replay, requests


class Constant(Resource):
    """A plugin that says the same to everything."""

    isLeaf = True

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body

    def render(self, request: IRequest) -> bytes:
        return self.body


@frozen
class Said:
    """An answer, for the checker."""

    status: int
    answer: Any


class ReplayTests(SynchronousTestCase):
    """The recordings, replayed."""

    def test_recordings(self) -> None:
        """The recordings are there, and have every call that engines make, from both engines."""
        self.assertEqual(len(TRACES), 5)
        calls = Counter(path for file in TRACES for path, _ in requests(file))
        self.assertEqual(sum(calls.values()), 582)
        self.assertEqual(
            set(calls),
            {
                "/Plugin.Activate",
                *[f"/VolumeDriver.{call}" for call in ("Capabilities", "List", "Get")],
                *[f"/VolumeDriver.{call}" for call in ("Create", "Remove", "Mount", "Unmount")],
            },
        )

    def test_acceptable(self) -> None:
        """Every recorded request gets an answer that the engine accepts."""
        for file in TRACES:
            exchanges = replay(Plugin("x", [FakeDriver()], Clock()).site, file)
            self.assertEqual(len(exchanges), len(requests(file)))
            for exchange in exchanges:
                self.assertEqual(complaint(exchange.path, exchange), "", f"{file}: {exchange}")
                self.assertEqual(exchange.headers["content-type"], [CONTENT_TYPE])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_only_absent_volumes(self) -> None:
        """Nothing is refused but what is asked of a volume that is not there."""
        for file in TRACES:
            for exchange in replay(Plugin("x", [FakeDriver()], Clock()).site, file):
                if exchange.status != 200:
                    name = exchange.request["Name"]
                    self.assertEqual(exchange.status, 500)
                    self.assertEqual(exchange.answer["Err"], f"volume {name!r} does not exist")

    def test_driver(self) -> None:
        """The driver is called once for each recorded request, with its fields, in order."""
        for file in TRACES:
            driver = FakeDriver()
            exchanges = replay(Plugin("x", [driver], Clock()).site, file)
            expected: list[tuple[object, ...]] = []
            for path, request, *_ in exchanges:
                call = path.rpartition(".")[2].lower()
                if call in ("list", "capabilities"):
                    expected.append((call,))
                elif call == "create":
                    expected.append((call, request["Name"], request.get("Opts") or {}))
                elif call in ("mount", "unmount"):
                    expected.append((call, request["Name"], request["ID"]))
                elif call != "activate":
                    expected.append((call, request["Name"]))
            self.assertEqual(driver.calls, expected, file)

    def test_kept(self) -> None:
        """A volume that was created and not removed is what Get shows."""
        for file in TRACES:
            there: set[str] = set()
            for exchange in replay(Plugin("x", [FakeDriver()], Clock()).site, file):
                call = exchange.path.rpartition(".")[2]
                name = exchange.request["Name"] if exchange.request else ""
                if call == "Create":
                    there.add(name)
                elif call == "Remove":
                    there.discard(name)
                elif call == "Get":
                    self.assertEqual(exchange.status == 200, name in there, exchange)

    def test_broken_driver(self) -> None:
        """A driver that can do nothing refuses acceptably."""
        broken = FakeDriver(answers=dict.fromkeys(("create", "get", "mount"), PluginError("no")))
        for file in TRACES:
            for exchange in replay(Plugin("x", [broken], Clock()).site, file):
                self.assertTrue(acceptable(exchange.path, exchange), exchange)

    def wrong(self, body: bytes) -> Counter[str]:
        """Return how often each call's answer is unacceptable from a plugin that says this."""
        found: Counter[str] = Counter()
        for file in TRACES:
            plugin = Plugin("x", [FakeDriver({"db": Volume("db")})], Clock())
            site = partial(PluginSite, Constant(body), plugin.wire.refuse, Clock())
            exchanges = replay(site, file)
            found.update(e.path for e in exchanges if not acceptable(e.path, e))
        return found

    def test_wrong_plugins(self) -> None:
        """A plugin that says the wrong thing is found out, on exactly the calls where it is."""
        everything = Counter(path for file in TRACES for path, _ in requests(file))
        self.assertEqual(self.wrong(b"null"), everything)
        self.assertEqual(self.wrong(b'{"Err":"no"}'), everything)
        changes = {f"/VolumeDriver.{call}" for call in ("Create", "Remove", "Unmount")}
        self.assertEqual(set(self.wrong(b'{"Err":""}')), set(everything) - changes)
        self.assertEqual(
            set(self.wrong(b'{"Mountpoint":"/x"}')),
            set(everything) - changes - {"/VolumeDriver.Mount"},
        )


class CheckerTests(SynchronousTestCase):
    """What the checker accepts, and what it does not."""

    def assertGood(self, call: str, **answer: object) -> None:
        """Check that an answer is accepted."""
        self.assertEqual(complaint(call, Said(200, answer)), "")

    def assertBad(self, call: str, **answer: object) -> None:
        """Check that an answer is not accepted."""
        self.assertFalse(acceptable(call, Said(200, answer)), answer)

    def test_failures(self) -> None:
        """A failure needs an Err with a text."""
        for status in (400, 404, 405, 413, 500):
            self.assertTrue(acceptable("/VolumeDriver.Get", Said(status, {"Err": "no"})))
            bad: list[object] = [{}, {"Err": ""}, {"Err": None}, {"Err": ["no"]}, [], "no", None]
            for answer in bad:
                self.assertFalse(acceptable("/VolumeDriver.Get", Said(status, answer)), answer)

    def test_err_on_success(self) -> None:
        """A success has no Err, or an empty one: Podman ignores any other."""
        self.assertGood("/VolumeDriver.Create", Err="")
        self.assertGood("/VolumeDriver.Create")
        self.assertBad("/VolumeDriver.Create", Err="no")
        self.assertBad("/VolumeDriver.Create", Err=None)
        self.assertBad("/VolumeDriver.Nothing", Err="")

    def test_volume(self) -> None:
        """What would make Docker forget a volume, or crash, is not accepted."""
        good: list[dict[str, object]] = [
            {"Name": "db"},
            {"Name": "db", "Mountpoint": "", "Status": {}, "CreatedAt": "2026-01-01T00:00:00Z"},
            {"Name": "db", "Mountpoint": "/x", "CreatedAt": "2026-01-01T00:00:00.5+01:00"},
        ]
        bad: list[object] = [
            None,
            [],
            "db",
            {},
            {"Name": ""},
            {"Name": 7},
            {"Name": "db", "Mountpoint": None},
            {"Name": "db", "Mountpoint": "x"},
            {"Name": "db", "Status": None},
            {"Name": "db", "Status": "good"},
            {"Name": "db", "CreatedAt": ""},
            {"Name": "db", "CreatedAt": None},
            {"Name": "db", "CreatedAt": "2026-01-01T00:00:00"},
            {"Name": "db", "CreatedAt": "2026-01-01 00:00:00Z"},
            {"Name": "db", "CreatedAt": "2026-13-01T00:00:00Z"},
            {"Name": "db", "CreatedAt": "1-01-01T00:00:00Z"},
            {"Name": "db", "CreatedAt": 1764000000},
        ]
        for volume in good:
            self.assertGood("/VolumeDriver.Get", Volume=volume)
            self.assertGood("/VolumeDriver.List", Volumes=[volume, volume])
        for wrong in bad:
            self.assertBad("/VolumeDriver.Get", Volume=wrong)
            self.assertBad("/VolumeDriver.List", Volumes=[good[0], wrong])
        self.assertGood("/VolumeDriver.List", Volumes=[])
        self.assertBad("/VolumeDriver.List", Volumes=None)
        self.assertBad("/VolumeDriver.List")
        self.assertBad("/VolumeDriver.Get")

    def test_paths(self) -> None:
        """Mount answers an absolute path; Path may answer an empty one."""
        for call, empty in (
            ("/VolumeDriver.Mount", self.assertBad),
            ("/VolumeDriver.Path", self.assertGood),
        ):
            self.assertGood(call, Mountpoint="/x")
            empty(call, Mountpoint="")
            for path in ("x", None, 7):
                self.assertBad(call, Mountpoint=path)
            self.assertBad(call)

    def test_activation(self) -> None:
        """Activate names the protocol; Capabilities a scope."""
        self.assertGood("/Plugin.Activate", Implements=["x", "VolumeDriver"])
        for implements in ([], None, "VolumeDriver", ["volumedriver"]):
            self.assertBad("/Plugin.Activate", Implements=implements)
        self.assertGood("/VolumeDriver.Capabilities", Capabilities={"Scope": "global"})
        for capabilities in (None, {}, {"Scope": ""}, {"Scope": "Local"}, {"scope": "local"}):
            self.assertBad("/VolumeDriver.Capabilities", Capabilities=capabilities)

    def test_exchange(self) -> None:
        """What a replay returns is what the checker takes, and a plain tuple besides."""
        exchange = Exchange("/VolumeDriver.Remove", {"Name": "db"}, 200, {}, {"Err": ""})
        self.assertTrue(acceptable(exchange.path, exchange))
        path, request, status, headers, answer = exchange
        self.assertEqual((path, status, headers), ("/VolumeDriver.Remove", 200, {}))
        self.assertEqual((request, answer), ({"Name": "db"}, {"Err": ""}))
