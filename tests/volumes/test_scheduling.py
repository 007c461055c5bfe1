"""Snapshots by schedules, by a clock."""

from __future__ import annotations

from datetime import datetime, timedelta

from twisted.internet.defer import Deferred

from exampledriver.volumes.schedule import Schedule
from exampledriver.volumes.scheduling import LOOK, Scheduler
from tests.admin.case import AdminCase
from tests.volumes.fixtures import NOON

HOURLY = Schedule("hourly", timedelta(hours=1), 2, ("db*",))


class SchedulerTests(AdminCase):
    """An hourly schedule, of which two snapshots are kept."""

    def setUp(self) -> None:
        super().setUp()
        self.noon = self.world.clock.seconds()
        for name in ("db", "other"):
            self.do(self.service.create(name, {}))
        self.begin()

    def begin(self, schedule: Schedule = HOURLY) -> None:
        """Start a scheduler, as a daemon does."""
        self.service.now = self.now
        self.scheduler = Scheduler(self.service, self.copies, [schedule], self.world.clock)
        self.scheduler.startService()

    def now(self) -> datetime:
        """Return the time of day."""
        return NOON + timedelta(seconds=self.world.clock.seconds() - self.noon)

    def labels(self, name: str = "db") -> list[str]:
        """Return a volume's snapshots, by hour and minute."""
        found = self.do(self.copies.snapshots(name))
        return sorted(str(one["Label"]) for one in found)

    def test_due(self) -> None:
        """One is made when its time has come, of the volumes that are meant."""
        self.world.clock.pump([LOOK] * 119)
        self.assertEqual(self.labels(), [])
        self.world.clock.pump([LOOK] * 2)
        self.assertEqual(len(self.labels()), 1)
        self.assertRegex(self.labels()[0], r"^hourly-\d{8}T\d{6}Z$")
        self.world.clock.pump([LOOK] * 60)
        self.assertEqual(len(self.labels()), 1)
        self.assertEqual(self.labels("other"), [])

    def test_keep(self) -> None:
        """The oldest go when there are too many; what somebody made by hand stays."""
        self.do(self.copies.snapshot("db", "hourly-mine", lambda fields: None))
        self.world.clock.pump([LOOK] * 122 * 4)
        mine = self.labels()
        self.assertEqual(len(mine), 3)
        self.assertIn("hourly-mine", mine)
        self.assertRegex(mine[1], r"^hourly-\d{8}T16")

    def test_missed(self) -> None:
        """Runs that were missed while no daemon ran are made up for by one, at the start."""
        self.scheduler.stopService()
        self.world.clock.advance(5 * 3600)
        self.assertEqual(self.labels(), [])
        self.begin()
        self.assertEqual(len(self.labels()), 1)
        self.scheduler.stopService()
        self.begin()
        self.world.clock.pump([LOOK] * 10)
        self.assertEqual(len(self.labels()), 1)

    def test_failure(self) -> None:
        """What fails is tried again within the hour, and does not keep others from theirs."""
        self.do(self.service.create("db2", {}))
        (self.world.root / "db").rename(self.world.root / "moved")
        self.world.clock.pump([LOOK] * 121)
        self.assertEqual((self.labels("db"), len(self.labels("db2"))), ([], 1))
        (self.world.root / "moved").rename(self.world.root / "db")
        self.world.clock.pump([LOOK] * 121)
        self.assertEqual(len(self.labels("db")), 1)

    def test_full(self) -> None:
        """Those that are too many go although no new one can be made."""
        self.world.clock.pump([LOOK] * 122 * 3)
        self.assertEqual(len(self.labels()), 2)
        self.scheduler.stopService()
        (self.world.root / "db").rename(self.world.root / "moved")
        self.world.clock.advance(3600)
        self.begin(Schedule("hourly", timedelta(hours=1), 1, ("db*",)))
        self.assertEqual(len(self.labels()), 1)

    def test_clock(self) -> None:
        """A clock that was far ahead keeps nothing from being made; what it dated goes first."""
        self.do(self.copies.snapshot("db", "hourly-20360101T000000Z", lambda fields: None))
        self.world.clock.pump([LOOK] * 122 * 3)
        self.assertEqual(len(self.labels()), 2)
        self.assertNotIn("hourly-20360101T000000Z", self.labels())

    def test_clock_set_back(self) -> None:
        """A clock that is set back a long time is believed at once."""
        self.world.clock.pump([LOOK] * 122)
        self.noon += 1000 * 3600
        self.world.clock.pump([LOOK] * 122)
        self.assertRegex(self.labels()[0], r"^hourly-202610")

    def test_clock_jumps(self) -> None:
        """However often a clock jumps ahead and back, the snapshots that are kept stay."""
        self.world.clock.pump([LOOK] * 122 * 2)
        before = self.labels()
        self.assertEqual(len(before), 2)
        for _ in range(5):
            for jump in (-48 * 3600, 48 * 3600):
                self.noon += jump
                self.world.clock.pump([LOOK] * 4)
        self.assertEqual(self.labels(), before)
        self.world.clock.pump([LOOK] * 122)
        self.assertEqual(len(set(self.labels()) & set(before)), 1)

    def test_no_moment(self) -> None:
        """A label of somebody's that is no time is none of a schedule's, and harms no other."""
        label = "hourly-20269999T999999Z"
        self.do(self.copies.snapshot("db", label, lambda fields: None))
        self.world.clock.pump([LOOK] * 122 * 4)
        self.assertEqual(len(self.labels()), 3)
        self.assertIn(label, self.labels())

    def test_busy(self) -> None:
        """A volume whose snapshot is being sent, which may take hours, keeps no other waiting."""
        self.do(self.service.create("db2", {}))
        self.do(self.copies.snapshot("db", "mine", lambda fields: None))
        self.patch(self.copies, "_sending", lambda *words: Deferred())
        sent = self.copies.export("db", "mine", ".x01234567", lambda fields: None)
        sending = Deferred.fromCoroutine(sent)
        self.world.clock.pump([LOOK] * 122)
        self.assertNoResult(sending)
        self.assertEqual((self.labels(), len(self.labels("db2"))), (["mine"], 1))
