"""Tables, sizes and ages for people."""

from __future__ import annotations

from datetime import datetime, timezone

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli.tables import age, since, size, table, usage


class TableTests(SynchronousTestCase):
    """What people read."""

    def test_size(self) -> None:
        """Sizes have three digits and a unit of 1024."""
        found = [size(n) for n in (0, 1023, 1024, 1536, 102_400, 1_048_575, 10 << 30, 5 << 60)]
        expected = ["0 B", "1023 B", "1 KiB", "1.5 KiB", "100 KiB", "1 MiB", "10 GiB", "5 EiB"]
        self.assertEqual(found, expected)

    def test_age(self) -> None:
        """Ages have their largest unit; moments are before or after now."""
        self.assertEqual([age(n) for n in (0, 59, 60, 7199, 90_000)],
                         ["0s", "59s", "1m", "1h", "1d"])  # fmt: skip
        now = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
        self.assertEqual(since("2026-11-24T11:00:00Z", now), "1h ago")
        self.assertEqual(since("2026-11-25T12:00:00Z", now), "in 1d")
        self.assertEqual(since(None), "-")

    def test_usage(self) -> None:
        """A measure has its age, and says when it is being made again, or why there is none."""
        measured = {"State": "measured", "Bytes": 2048, "Files": 3, "Age": 61}
        self.assertEqual(usage(measured), ("2 KiB", "3", "1m ago"))
        again = usage({**measured, "State": "being measured"})
        self.assertEqual(again, ("2 KiB", "3", "1m ago, being measured"))
        refused = usage({"State": "measured", "Trouble": "on nfs4", "Age": 1})
        self.assertEqual(refused, ("-", "-", "on nfs4"))
        self.assertEqual(usage({"State": "not measured"}), ("-", "-", "-"))
        self.assertEqual(usage({**measured, "Files": None}), ("2 KiB", "-", "1m ago"))

    def test_table(self) -> None:
        """Columns are as wide as they need be, and nothing in them reaches the terminal raw."""
        text = table(("A", "B"), [("x", "1"), ("long", "\x1b[31m")])
        self.assertEqual(text.splitlines(), ["A     B", "x     1", "long  \\x1b[31m"])
