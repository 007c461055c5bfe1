"""Changes that do not end: answered in time, and undone or completed when they end."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from threading import Event
from typing import Any, NoReturn, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from exampledriver.backends import mounts
from exampledriver.backends.registry import Backends
from exampledriver.volumes import deadlines
from exampledriver.volumes.deadlines import LONG, SHORT
from exampledriver.volumes.errors import ConflictError, VolumeError
from exampledriver.volumes.model import Wanted
from exampledriver.volumes.origins import ICloner, Origin
from exampledriver.volumes.service import VolumeService

from .case import ServiceCase
from .fixtures import shown


class HangingCase(ServiceCase):
    """A service whose calls of the disk can be made to hang."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.world.base / "there"
        self.hanging: list[Callable[[], None]] = []
        self.hangs = ""
        self.service = self.world.start(self.run_or_hang)
        self.do(self.service.create("db", {}))
        self.do(self.service.create("there", {"mountpoint": str(self.there)}))
        self.world.settle()
        self.logged: list[str] = []
        observer = cast(ILogObserver, self._observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def _observe(self, event: LogEvent) -> None:
        if str(event.get("log_namespace", "")).endswith("deadlines"):
            self.logged.append(str(event["log_format"]).format(**event))

    def run_or_hang(self, function: Callable[..., Any], *args: object) -> Deferred[Any]:
        """Run what a thread would, or keep it for :meth:`go_on` where it is to hang."""
        if function.__name__ != self.hangs:
            return maybeDeferred(function, *args)
        done: Deferred[Any] = Deferred()

        def run() -> None:
            maybeDeferred(function, *args).chainDeferred(done)

        self.hanging.append(run)
        return done

    def go_on(self) -> None:
        """Let what hangs go on, and hang no more."""
        self.hangs = ""
        hanging, self.hanging = self.hanging, []
        for run in hanging:
            run()

    def late(self, call: Any, seconds: float) -> str:
        """Return the error of a call, which comes after so many seconds and not before."""
        found = Deferred.fromCoroutine(call)
        for _ in range(int(seconds) - 2):
            self.world.clock.advance(1)
        self.assertNoResult(found)
        for _ in range(4):
            self.world.clock.advance(1)
        return str(self.failureResultOf(found, VolumeError).value)

    def same_after_restart(self) -> VolumeService:
        """See that a start from the journal finds what this service has; return it."""
        after = self.world.start()
        self.assertEqual(shown(after.list()), shown(self.service.list()))
        return after


class MountTests(HangingCase):
    """Mount."""

    def test_late(self) -> None:
        """It is answered before Docker gives up, with the file system and what comes of it."""
        self.hangs = "mount"
        text = self.late(self.service.mount("there", "1"), LONG)
        self.assertLess(LONG, 119)
        self.assertIn('volume "there": Mount has not ended for 11', text)
        self.assertIn("mounted at /", text)
        self.assertIn("does not answer; nothing is changed, and should it still end", text)

    def test_undone(self) -> None:
        """One that ends later leaves no count and no mount, and the log says so."""
        self.hangs = "mount"
        self.late(self.service.mount("there", "1"), LONG)
        unmounted: list[str] = []
        self.patch(Backends, "unmount", lambda _, volume: unmounted.append(volume.name))
        self.go_on()
        self.assertEqual(self.service.get("there").status["Mounts"], 0)
        self.assertEqual((unmounted, self.world.counts.durable), (["there"], {}))
        self.assertIn("Mount has ended 11", self.logged[0])
        self.assertIn("nothing was changed", self.logged[0])
        self.do(self.service.mount("there", "2"))

    def test_counted_late(self) -> None:
        """So does one whose count was written too late."""
        self.world.counts.held = []
        self.late(self.service.mount("there", "1"), LONG)
        self.world.counts.release()
        self.assertEqual(self.service.get("there").status["Mounts"], 0)
        self.assertEqual(self.world.counts.durable, {})

    def test_others(self) -> None:
        """While one is late, another of the volume is refused at once, and others go on."""
        self.hangs = "mount"
        self.late(self.service.mount("there", "1"), LONG)
        text = self.fails(VolumeError, self.service.mount("there", "2"))
        self.assertIn("an earlier Mount has not ended for 11", text)
        self.hangs = ""
        self.do(self.service.mount("db", "1"))

    def test_waiting(self) -> None:
        """Who waits for the volume's lock has a deadline, and does nothing when it comes late."""
        self.hangs = "mount"
        first = Deferred.fromCoroutine(self.service.mount("there", "1"))
        self.world.clock.advance(50)
        second = Deferred.fromCoroutine(self.service.remove("there"))
        self.world.clock.advance(SHORT + 1)
        self.assertIn("waits for another change", str(self.failureResultOf(second).value))
        self.go_on()
        self.assertEqual(self.successResultOf(first), str(self.there))
        self.assertEqual(self.names(), ["db", "there"])

    def test_unmount(self) -> None:
        """An Unmount that is late is completed."""
        self.do(self.service.mount("there", "1"))
        self.hangs = "unmount"
        text = self.late(self.service.unmount("there", "1"), SHORT)
        self.assertIn("it goes on, and the log says how it ends", text)
        self.go_on()
        self.assertEqual(self.service.get("there").status["Mounts"], 0)
        self.assertIn("it is done all the same", self.logged[0])


class CreateTests(HangingCase):
    """Create."""

    def setUp(self) -> None:
        super().setUp()
        self.new = self.world.base / "new"
        self.options = {"mountpoint": str(self.new)}

    def test_late(self) -> None:
        """It names the file system of the directory, which is not known to be one yet."""
        self.hangs = "resolve"
        text = self.late(self.service.create("new", self.options), LONG)
        self.assertIn("Create has not ended for 11", text)
        self.assertIn("mounted at /", text)

    def test_undone(self) -> None:
        """One that ends later is undone, now and after a restart."""
        for method in ("resolve", "make_and_post"):
            self.hangs = method
            self.late(self.service.create("new", self.options), LONG)
            self.go_on()
            self.assertEqual(self.names(), ["db", "there"])
            self.assertFalse(self.new.exists())
            self.same_after_restart()
        self.assertEqual(len(self.logged), 2)
        self.do(self.service.create("new", self.options))

    def test_in_the_root(self) -> None:
        """So is one in the root."""
        self.hangs = "make_and_post"
        self.late(self.service.create("new", {}), LONG)
        self.go_on()
        self.assertFalse((self.world.root / "new").exists())
        self.same_after_restart()

    def test_journal(self) -> None:
        """What the journal got is completed: it is the same after a restart."""
        self.world.catalog.held = []
        text = self.late(self.service.create("new", self.options), LONG)
        self.assertIn("its record in the journal is not written", text)
        self.assertIn("it goes on", text)
        self.world.catalog.release()
        self.assertEqual(self.names(), ["db", "new", "there"])
        self.same_after_restart()
        self.assertIn("it is done all the same", self.logged[0])
        self.do(self.service.create("new", self.options))
        self.fails(ConflictError, self.service.create("new", {}))


class RemoveTests(HangingCase):
    """Remove."""

    def test_before_its_commit(self) -> None:
        """One that has not found out whether the volume is used leaves it, now and later."""
        self.hangs = "check_and_post"
        text = self.late(self.service.remove("db"), SHORT)
        self.assertIn("nothing is changed", text)
        self.go_on()
        self.assertEqual(self.names(), ["db", "there"])
        self.same_after_restart()
        self.assertTrue((self.world.root / "db").is_dir())

    def test_elsewhere(self) -> None:
        """So does that of a volume elsewhere."""
        self.hangs = "check_unused"
        self.late(self.service.remove("there"), SHORT)
        self.go_on()
        self.assertEqual(self.names(), ["db", "there"])
        self.same_after_restart()

    def test_moved_late(self) -> None:
        """One whose data is moved late is completed, and the journal and the map agree."""
        self.hangs = "remove"
        text = self.late(self.service.remove("db"), SHORT)
        self.assertIn("it goes on, and the log says how it ends", text)
        self.assertEqual(self.names(), ["db", "there"])
        self.go_on()
        self.assertEqual((self.names(), self.world.trash()), (["there"], ["db"]))
        self.assertIn("it is done all the same", self.logged[0])
        self.same_after_restart()

    def test_killed(self) -> None:
        """Killed while it hangs: the next start completes it."""
        self.hangs = "remove"
        self.late(self.service.remove("db"), SHORT)
        self.assertNotIn("db", shown(self.world.start().list()))
        self.assertEqual(self.world.trash(), ["db"])

    def test_failed_late(self) -> None:
        """One that fails late is logged with why."""
        self.hangs = "remove"
        self.late(self.service.remove("db"), SHORT)
        (self.world.root / ".trash").write_text("in the way")
        self.go_on()
        self.assertEqual(self.names(), ["db", "there"])
        self.assertIn("it failed: ", self.logged[0])
        self.same_after_restart()


class CopyTests(HangingCase):
    """Create of a copy."""

    def test_long(self) -> None:
        """A copy that takes longer goes on, says so, and is found by who asks again."""
        cloner = _Cloner()
        self.service.clone_with(cloner)
        text = self.late(self.service.create("copy", {"from": "db"}), LONG)
        self.assertIn("its data is still being copied; it goes on", text)
        again = self.fails(VolumeError, self.service.create("copy", {"from": "db"}))
        self.assertIn("an earlier Create has not ended for 11", again)
        cloner.copied.callback(None)
        self.assertEqual(self.names(), ["copy", "db", "there"])
        self.do(self.service.create("copy", {"from": "db"}))
        self.same_after_restart()


@implementer(ICloner)
class _Cloner:
    """Copies when the test says so."""

    def __init__(self) -> None:
        self.copied: Deferred[None] = Deferred()

    async def options(self, name: str, given: Mapping[str, str]) -> Mapping[str, str]:
        return given

    @asynccontextmanager
    async def cloning(self, name: str, wanted: Wanted, stop: Event | None) -> AsyncIterator[Origin]:
        await self.copied
        yield Origin(lambda volume: os.mkdir(volume.mountpoint), lambda volume: None)


class AcceptTests(HangingCase):
    """Accept."""

    def test_journal(self) -> None:
        """What the journal got is completed, and said to be."""
        self.patch(Backends, "place", lambda _, volume: "elsewhere")
        self.world.catalog.held = []
        text = self.late(self.service.accept("there"), SHORT)
        self.assertIn("its record in the journal is not written", text)
        self.assertIn("it goes on, and the log says how it ends", text)
        self.world.catalog.release()
        self.assertEqual(self.service.about("there").place, "elsewhere")
        self.assertIn("it is done all the same", self.logged[0])

    def test_place(self) -> None:
        """One that does not learn the place in time changes nothing."""
        noted = self.service.about("there").place
        self.patch(Backends, "place", lambda _, volume: "elsewhere")
        self.hangs = "place"
        self.late(self.service.accept("there"), SHORT)
        self.go_on()
        self.assertEqual(self.service.about("there").place, noted)
        self.assertIn("nothing was changed", self.logged[0])


class IdleTests(HangingCase):
    """The clock."""

    def test_no_descriptor(self) -> None:
        """Nothing is left to read the list of mounts with: deadlines are kept, then and later."""

        def here() -> NoReturn:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        self.hangs = "mount"
        self.patch(mounts, "here", here)
        text = self.late(self.service.mount("there", "1"), LONG)
        self.assertIn(f"the file system of {self.there} does not answer", text)
        self.late(self.service.mount("db", "1"), LONG)

    def test_no_timer(self) -> None:
        """A daemon with no change in progress looks at no deadline."""
        self.world.clock.advance(deadlines.LONG)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
