"""Who is root in an engine's containers."""

from __future__ import annotations

import json
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.directory import DirectoryBackend
from exampledriver.backends.owned import DAEMON, Access, Owner
from exampledriver.backends.remapping import RemapError, configured, remapped_root
from exampledriver.backends.trash import Trash
from exampledriver.volumes.model import StoredVolume
from tests.volumes.fixtures import NOON


class RemappingTests(SynchronousTestCase):
    """What is read, and what is made of it."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp())
        self.base.mkdir()
        self.engine = self.base / "daemon.json"
        self.ranges = self.base / "subuid", self.base / "subgid"
        self.write("dockremap:100000:65536\n", "dockremap:200000:65536\n")

    def write(self, *texts: str) -> None:
        """Write the files of the ranges."""
        for path, text in zip(self.ranges, texts, strict=True):
            path.write_text(text)

    def why(self, remap: str = "default") -> str:
        """Return why it is not known who is root."""
        with self.assertRaises(RemapError) as raised:
            remapped_root(remap, self.ranges)
        return str(raised.exception)

    def test_configured(self) -> None:
        """The engine's configuration says it; without one, and without the key, nothing does."""
        self.assertEqual(configured(self.engine), "")
        self.assertEqual(configured(self.engine / "below"), "")
        for content, remap in (({"userns-remap": "default"}, "default"), ({"debug": True}, "")):
            self.engine.write_text(json.dumps(content))
            self.assertEqual(configured(self.engine), remap)

    def test_hostile(self) -> None:
        """A configuration that cannot be read is named, and delays no start."""
        for content in (b"", b"\xff", b"[" * 200_000, b"{", b'{"userns-remap": 5}', b" " * 2**21):
            self.engine.write_bytes(content)
            with self.assertRaises(RemapError) as raised:
                configured(self.engine)
            self.assertIn(str(self.engine), str(raised.exception))
        self.engine.unlink()
        os.mkfifo(self.engine)
        self.assertRaises(RemapError, configured, self.engine)
        self.engine.unlink()
        self.engine.mkdir()
        self.assertRaises(RemapError, configured, self.engine)

    def test_users(self) -> None:
        """The user is given by a name or an id, with a group or without, or as default."""
        self.assertEqual(remapped_root("default", self.ranges), Owner(100000, 200000))
        self.assertEqual(remapped_root("dockremap:dockremap", self.ranges), Owner(100000, 200000))
        self.write("root:5000:10\n", "0:6000:10\n")
        for remap in ("root", "0", "0:0", "root:root"):
            self.assertEqual(remapped_root(remap, self.ranges), Owner(5000, 6000))

    def test_lines(self) -> None:
        """The first range counts; a line that is wrong, or an order that engines read in two ways,
        says nothing.
        """
        self.write("#\n\nother:1:1\ndockremap:7:9\ndockremap:100:9", "dockremap:8:1")
        self.assertEqual(remapped_root("default", self.ranges), Owner(7, 8))
        for line in ("", "dockremap", "dockremap:x:1", "dockremap:-5:1", "dockremap:1:0",
                     "dockremap:4294967295:1", "dockremap:9:1\ndockremap:1:1",
                     "dockremap:\u0663:1", f"dockremap:{'9' * 5000}:1"):  # fmt: skip
            self.write(line, "dockremap:8:1")
            self.assertIn(str(self.ranges[0]), self.why(), line)
        self.ranges[1].unlink()
        self.write("dockremap:7:9", "")
        self.ranges[1].unlink()
        self.assertIn("No such file", self.why())
        self.assertIn("has no line of nosuchuser", self.why("nosuchuser:x"))

    def test_owner(self) -> None:
        """A new volume belongs to it where its options do not say otherwise."""
        owner = Owner(100000, 200000)
        self.assertEqual(Access.of({}).by(owner), Access(100000, 200000))
        self.assertEqual(Access.of({"uid": "5"}).by(owner), Access(5, 200000))
        self.assertEqual(Access.of({"gid": "5"}).by(owner), Access(100000, 5))
        self.assertEqual(Access.of({}).by(DAEMON), Access())

    def test_directory(self) -> None:
        """Its directory is made with it, and one that was there stays as it is."""
        owner = Owner(os.geteuid(), 4711) if not os.geteuid() else Owner(None, os.getegid())
        root = self.base.absolute()
        backend = DirectoryBackend(root, [], Trash(root), owner=owner)
        (root / "old").mkdir()
        for name, gid in (("new", owner.gid), ("old", os.getegid())):
            backend.create(StoredVolume(name, str(root / name), NOON, {}))
            self.assertEqual((root / name).stat().st_gid, gid)
