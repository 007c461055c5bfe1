"""How much a directory takes. What is mounted in it is in tests/engine/test_admin.py."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.measuring import Measure, MeasureError, measure


def measured(path: Path) -> Measure:
    """Measure in a thread, which keeps the low priority."""
    found: list[Measure] = []
    thread = threading.Thread(target=lambda: found.append(measure(str(path), lambda: None)))
    thread.start()
    thread.join()
    return found[0]


class MeasureTests(SynchronousTestCase):
    """Real directories."""

    def setUp(self) -> None:
        self.place = Path(os.path.realpath(self.mktemp()))
        self.place.mkdir()

    def test_tree(self) -> None:
        """All entries count, at any depth; bytes are those on the disk."""
        deep = self.place / "a/b/c"
        deep.mkdir(parents=True)
        (deep / "file").write_bytes(b"x" * 100_000)
        (deep / "hole").touch()
        os.truncate(deep / "hole", 1 << 30)
        found = measured(self.place)
        self.assertEqual(found.files, 5)
        self.assertGreaterEqual(found.bytes, 100_000)
        self.assertLess(found.bytes, 1 << 20)

    def test_links(self) -> None:
        """A file with two names counts once in bytes; a symbolic link is not followed."""
        (self.place / "file").write_bytes(b"x" * 100_000)
        before = measured(self.place)
        os.link(self.place / "file", self.place / "again")
        outside = Path(self.mktemp())
        outside.mkdir()
        (outside / "large").write_bytes(b"x" * 1_000_000)
        (self.place / "link").symlink_to(outside.resolve())
        found = measured(self.place)
        self.assertEqual(found.files, (before.files or 0) + 2)
        self.assertLess(found.bytes, before.bytes + 100_000)

    def test_refused(self) -> None:
        """What is not there, a link in place of it, and the kernel's own are refused by name."""
        (self.place / "link").symlink_to("/etc")
        for path, text in (
            (str(self.place / "nix"), "No such file"),
            (str(self.place / "link"), "Not a directory"),
            ("/proc/self", "is on proc"),
        ):
            error = self.assertRaises(MeasureError, _in_thread, path)
            self.assertIn(text, str(error))


def _in_thread(path: str) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            measure(path, lambda: None)
        except MeasureError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    raise errors[0]
