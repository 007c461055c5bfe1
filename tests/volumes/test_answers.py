"""Answers to Gets that are kept: never one that says something else than a new one would."""

from __future__ import annotations

from exampledriver.plugin import Volume
from exampledriver.volumes import answers as module

from .case import ServiceCase


class AnswerTests(ServiceCase):
    """Gets of one volume, with what happens between them."""

    def setUp(self) -> None:
        super().setUp()
        self.do(self.service.create("db", {"mode": "0750"}))

    def get(self) -> Volume:
        """Return the answer after a look, and see that it is what would be made anew."""
        self.service.get("db")
        found = self.service.get("db")
        self.service._answers._kept.clear()
        self.assertEqual(self.service.get("db"), found)
        return found

    def test_kept(self) -> None:
        """While nothing happens it is the same answer, for less than a second."""
        first = self.service.get("db")
        self.world.clock.advance(0.9)
        self.assertIs(self.service.get("db"), first)
        self.world.clock.advance(0.2)
        self.assertIsNot(self.service.get("db"), first)
        self.assertEqual(self.service.get("db").status["HealthAge"], "1s")

    def test_clock_set_back(self) -> None:
        """When the clock goes back, no answer is kept beyond its second."""
        self.world.clock.advance(5)
        self.service.get("db")
        self.world.clock.rightNow -= 3
        self.assertEqual(self.service.get("db").status["HealthAge"], "2s")

    def test_mounts(self) -> None:
        """Each Mount and Unmount shows at once."""
        self.service.get("db")
        self.do(self.service.mount("db", "c1"))
        self.assertEqual(self.get().status["Mounts"], 1)
        self.do(self.service.mount("db", "c1"))
        self.assertEqual(self.get().status["MountIDs"], {"c1": 2})
        self.do(self.service.unmount("db", "c1"))
        self.do(self.service.unmount("db", "c1"))
        self.assertEqual(self.get().status["Mounts"], 0)

    def test_another_volume(self) -> None:
        """A volume that has taken another's name shows as it is."""
        self.service.get("db")
        self.do(self.service.remove("db"))
        self.do(self.service.create("db", {}))
        self.assertEqual(self.get().status["Options"], {})

    def test_trouble(self) -> None:
        """A look that finds trouble shows in the next answer."""
        self.world.settle()
        self.service.get("db")
        (self.world.root / "db").rmdir()
        self.world.clock.advance(10.5)
        self.service.get("db")
        self.assertIn("is missing", str(self.get().status["Health"]))

    def test_bounded(self) -> None:
        """However many volumes are asked for, so many answers are kept."""
        self.patch(module, "_MOST", 5)
        for number in range(23):
            self.do(self.service.create(f"v{number}", {}))
            self.service.get(f"v{number}")
        self.assertLessEqual(len(self.service._answers._kept), 5)
