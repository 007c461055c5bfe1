"""The administrator's routes: JSON in and out, errors, and answers in lines."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from exampledriver.volumes.waiting import Waits
from tests.plugin.memory import post

from .case import AdminCase, lines


class CallTests(AdminCase):
    """Calls that answer at once."""

    def test_volumes(self) -> None:
        """A volume is shown with where it is, how it is, who uses it and what it takes."""
        self.answered("Create", Name="db", Opts={"mode": "750"})
        (shown,) = self.answered("Volumes", Names=[])["Volumes"]
        self.assertEqual(shown["Name"], "db")
        self.assertEqual(shown["Backend"], "directory")
        self.assertEqual(shown["Options"], {"mode": "0750"})
        self.assertEqual(shown["Mountpoint"], str(self.world.root / "db"))
        self.assertEqual((shown["Mounts"], shown["Health"]), (0, "ok"))
        self.assertEqual(shown["Usage"]["State"], "measured")
        self.assertEqual(self.answered("Names")["Names"], ["db"])

    def test_errors(self) -> None:
        """An error of the service is its text under Err, with its status."""
        self.assertIn("no such volume", self.refused(500, "Volumes", Names=["nix"]))
        self.assertIn("no such volume", self.refused(500, "Remove", Name="nix"))
        self.assertIn("sise", self.refused(400, "Create", Name="db", Opts={"sise": "1"}))
        self.assertIn("no removed volume", self.refused(500, "Restore", Which="nix"))
        self.assertIn("no such call", self.refused(404, "Nix"))

    def test_types(self) -> None:
        """A field of a wrong type is named."""
        for call, fields, text in (
            ("Volumes", {"Names": "db"}, '"Names" is not a list of strings'),
            ("Volumes", {"Names": [1]}, '"Names" is not a list of strings'),
            ("Create", {}, '"Name" is missing'),
            ("Usage", {"Fresh": 1}, '"Fresh" is not true or false'),
            ("Purge", {"What": "x", "OlderThan": -1}, '"OlderThan" is not a number of seconds'),
            ("Purge", {"What": "x", "OlderThan": True}, '"OlderThan" is not a number of seconds'),
        ):
            self.assertIn(text, self.refused(400, call, **fields))

    def test_not_the_engines(self) -> None:
        """An engine's calls are not answered here."""
        response = self.client.ask(post("VolumeDriver.List"))
        self.assertEqual(response.status, 404)

    def test_check(self) -> None:
        """A Create is judged without making anything."""
        place = self.world.base / "elsewhere"
        options = {"mountpoint": str(place)}
        self.assertFalse(self.answered("Check", Name="db", Opts=options)["Exists"])
        self.assertFalse(place.exists())
        self.assertEqual(self.answered("Names")["Names"], [])
        self.answered("Create", Name="db", Opts=options)
        self.assertTrue(self.answered("Check", Name="db", Opts=options)["Exists"])
        self.assertIn("other options", self.refused(400, "Check", Name="db", Opts={}))


class LineTests(AdminCase):
    """Calls that tell how far they are."""

    def begin(self, call: str, **fields: object) -> None:
        """Send a call that is not answered at once."""
        self.client.feed(post(f"Admin.{call}", fields))

    def holding(self) -> list[Callable[[], None]]:
        """Start with deletions that wait; return what lets each of them go."""
        held: list[Callable[[], None]] = []

        def threads(function: Callable[..., Any], *args: object) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            held.append(lambda: done.callback(function(*args)))
            return done

        self.start(threads)
        return held

    def test_progress(self) -> None:
        """Progress comes in lines as it is made, and the answer in the last one."""
        held = self.holding()
        self.removed("a")
        self.removed("b")
        self.begin("Purge", What="all")
        (line,) = lines(self.client.received())
        self.assertEqual((line["Progress"]["Name"], line["Progress"]["Of"]), ("a", 2))
        held[0]()
        (line,) = lines(b"\r\n\r\n" + self.client.received())
        self.assertEqual(line["Progress"]["Done"], 1)
        self.world.clock.advance(5)
        (line,) = lines(b"\r\n\r\n" + self.client.received())
        self.assertEqual(line["Progress"]["Seconds"], 5)
        held[1]()
        (line,) = lines(b"\r\n\r\n" + self.client.received())
        self.assertEqual([one["Name"] for one in line["Purged"]], ["a", "b"])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_looks(self) -> None:
        """Each second a copy looks whether its client is there; when it has gone it is stopped."""
        looked: list[object] = []
        there, stop = [True], Event()

        def report(fields: object) -> bool:
            looked.append(fields)
            return there[0]

        clock, work = Clock(), Deferred[None]()

        async def wait() -> None:
            await work

        waits = Waits(clock)
        ended = Deferred.fromCoroutine(waits.telling(report, {"Volume": "db"}, wait(), stop))
        clock.pump([1.0] * 10)
        reports = [fields for fields in looked if fields]
        self.assertEqual((len(looked), len(reports)), (11, 3))
        self.assertFalse(stop.is_set())
        there[0] = False
        clock.advance(1)
        self.assertTrue(stop.is_set())
        work.callback(None)
        self.successResultOf(ended)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_unread(self) -> None:
        """While the client does not read, no progress is kept for it; the answer still comes."""
        held = self.holding()
        self.removed("a")
        self.removed("b")
        self.begin("Purge", What="all")
        self.client.received()
        self.client.channel.pauseProducing()
        held[0]()
        for _ in range(1000):
            self.world.clock.advance(5)
        self.assertEqual(self.client.received(), b"")
        self.client.channel.resumeProducing()
        self.world.clock.advance(5)
        (line,) = lines(b"\r\n\r\n" + self.client.received())
        self.assertEqual(line["Progress"]["Done"], 1)
        held[1]()
        (line,) = lines(b"\r\n\r\n" + self.client.received())
        self.assertEqual(len(line["Purged"]), 2)

    def test_error_at_the_end(self) -> None:
        """An error after progress is the last line's Err."""
        source = self.world.base / "source"
        source.mkdir()
        self.world.catalog.refuse.add("db")
        self.begin("Bring", Name="db", Source=str(source), Move=True)
        progress, last = lines(self.client.received())
        self.assertEqual(list(progress), ["Progress"])
        self.assertIn("no space", last["Err"])
        self.assertTrue(source.is_dir())

    def test_client_goes(self) -> None:
        """A purge whose client goes is carried out to its end, and counted until then."""
        held = self.holding()
        self.removed("a")
        self.removed("b")
        self.begin("Purge", What="all")
        self.client.disconnect()
        self.assertEqual(self.server.wire.pending, 1)
        held[0]()
        held[1]()
        self.assertEqual(self.world.trash(), [])
        self.assertEqual(self.server.wire.pending, 0)
