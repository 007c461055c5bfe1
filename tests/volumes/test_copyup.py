"""Copy-up: what an engine does to an empty volume's owner, and what is done about it."""

from __future__ import annotations

import os
import stat
from typing import Any

from exampledriver.backends.mounts import Holder
from exampledriver.volumes.copyup import LOOKS

from .case import ServiceCase

HOLDER = Holder((4711,), "/data", here=False)


class CopyUpTests(ServiceCase):
    """A volume whose options ask for permissions, and an engine that fills it."""

    def setUp(self) -> None:
        super().setUp()
        self.do(self.service.create("db", {"mode": "0700"}))
        self.place = self.world.root / "db"

    def mode(self) -> int:
        """Return the permissions of the volume's directory."""
        return stat.S_IMODE(self.place.stat().st_mode)

    def use(self, mode: int, name: str = "file") -> None:
        """Do what an engine, or a container, does between a Mount and an Unmount."""
        self.do(self.service.mount("db", "id"))
        if name:
            (self.place / name).touch()
        self.place.chmod(mode)

    def end(self) -> None:
        """End that."""
        self.do(self.service.unmount("db", "id"))

    def pending(self) -> list[object]:
        """Return the questions to the kernel that are still to come."""
        calls = self.world.clock.getDelayedCalls()
        return [call for call in calls if "CopyUps._look" in repr(call)]

    def status(self) -> Any:
        """Return the volume's Status, after a new look at it."""
        self.world.clock.advance(11)
        self.service.get("db")
        return self.service.get("db").status

    def test_set_again(self) -> None:
        """An engine that filled an empty volume leaves it with the permissions asked for."""
        self.use(0o755)
        self.assertEqual(self.mode(), 0o755)
        self.end()
        self.assertEqual(self.mode(), 0o700)
        self.assertEqual(self.pending(), [])

    def test_status_after(self) -> None:
        """A difference that was seen while the engine filled the volume is not shown afterwards."""
        self.use(0o755)
        self.assertIn("Owner", self.status())
        self.end()
        self.assertNotIn("Owner", self.service.get("db").status)

    def test_each_time(self) -> None:
        """An image with an empty directory changes it with each container; so it is set again."""
        for _ in range(3):
            self.use(0o755, "")
            self.end()
            self.assertEqual(self.mode(), 0o700)

    def test_owner(self) -> None:
        """The owner and the group are set again, too; what the options leave out is not."""
        if os.geteuid():
            self.do(self.service.create("own", {"gid": str(os.getegid())}))
        else:
            self.do(self.service.create("own", {"uid": "999"}))
        place = self.world.root / "own"
        before = place.stat()
        self.do(self.service.mount("own", "id"))
        if not os.geteuid():
            os.chown(place, 0, 7)
        place.chmod(0o711)
        self.do(self.service.unmount("own", "id"))
        after = place.stat()
        self.assertEqual(after.st_uid, before.st_uid)
        self.assertEqual(stat.S_IMODE(after.st_mode), 0o711)
        if not os.geteuid():
            self.assertEqual(after.st_gid, 7)

    def test_container(self) -> None:
        """What a container changes stays, in a volume that was empty when it began, too."""
        self.use(0o711)
        self.world.holders = [HOLDER]
        self.world.clock.advance(LOOKS[0])
        self.world.holders = []
        self.end()
        self.assertEqual(self.mode(), 0o711)

    def test_slow_container(self) -> None:
        """A container that is slow to start is seen by a later look."""
        self.use(0o711)
        self.world.clock.advance(LOOKS[0])
        self.world.holders = [HOLDER]
        self.world.clock.pump([LOOKS[1], LOOKS[2]])
        self.world.holders = []
        self.end()
        self.assertEqual(self.mode(), 0o711)
        self.assertEqual(self.pending(), [])

    def test_very_slow_container(self) -> None:
        """So is one that an engine starts long after its Mount."""
        self.use(0o711)
        self.world.clock.pump(LOOKS)
        self.world.holders = [HOLDER]
        self.world.clock.pump([LOOKS[-1]] * 4)
        self.world.holders = []
        self.end()
        self.assertEqual(self.mode(), 0o711)
        self.assertEqual(self.pending(), [])

    def test_long_copy(self) -> None:
        """A copy-up that takes long is one, and is asked about seldom."""
        self.use(0o711)
        self.world.clock.pump([1.0] * 3600)
        self.assertLess(len(self.world.looks), 3 * len(LOOKS))
        self.assertEqual(len(self.pending()), 1)
        self.end()
        self.assertEqual(self.mode(), 0o700)
        self.assertEqual(self.pending(), [])

    def test_seen_by_a_get(self) -> None:
        """A container that a health check has seen is seen, too."""
        self.use(0o711)
        self.world.holders = [HOLDER]
        self.service.get("db")
        self.world.holders = []
        self.end()
        self.assertEqual(self.mode(), 0o711)

    def test_removed(self) -> None:
        """A volume that is removed while it is counted as mounted is not looked at any more."""
        self.do(self.service.mount("db", "id"))
        self.assertNotEqual(self.pending(), [])
        self.do(self.service.remove("db"))
        self.assertEqual(self.pending(), [])

    def test_not_empty(self) -> None:
        """A change in a volume with content stays: an operator made it."""
        (self.place / "file").touch()
        self.use(0o711)
        self.end()
        self.assertEqual(self.mode(), 0o711)

    def test_changed_before(self) -> None:
        """A change that was made while the empty volume was not in use stays."""
        self.place.chmod(0o711)
        self.use(0o755, "")
        self.end()
        self.assertEqual(self.mode(), 0o755)

    def test_second_user(self) -> None:
        """Nothing is changed while another mount of the volume is counted, or is in the kernel."""
        self.use(0o755)
        self.do(self.service.mount("db", "other"))
        self.end()
        self.assertEqual(self.mode(), 0o755)
        self.world.holders = [HOLDER]
        self.do(self.service.unmount("db", "other"))
        self.assertEqual(self.mode(), 0o755)

    def test_link(self) -> None:
        """A symbolic link that has come in the directory's place is not followed."""
        other = self.world.base / "other"
        other.mkdir(mode=0o755)
        self.use(0o755)
        self.place.rename(self.world.base / "away")
        self.place.symlink_to(other)
        self.end()
        self.assertEqual(stat.S_IMODE(other.stat().st_mode), 0o755)

    def test_nothing_asked(self) -> None:
        """A volume without such options is neither looked at nor changed."""
        self.do(self.service.create("plain", {}))
        self.world.looks.clear()
        self.do(self.service.mount("plain", "id"))
        self.assertEqual(self.pending(), [])
        (self.world.root / "plain").chmod(0o711)
        self.do(self.service.unmount("plain", "id"))
        self.assertEqual(stat.S_IMODE((self.world.root / "plain").stat().st_mode), 0o711)
        self.assertEqual(self.world.looks, [])

    def test_status(self) -> None:
        """Status says how owner and permissions differ from the options, and only then."""
        self.assertNotIn("Owner", self.status())
        self.place.chmod(0o711)
        status = self.status()
        self.assertEqual(status["Owner"], "mode is 0711, asked for is 0700")
        self.assertEqual(status["Health"], "ok")
        self.place.chmod(0o700)
        self.assertNotIn("Owner", self.status())
