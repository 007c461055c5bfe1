"""What the kernel says of mounts. Real containers are in the engine tests."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends import mounts
from exampledriver.backends.mounts import Holder, Mount, holders, inside, mounts_inside, parse


class ParseTests(SynchronousTestCase):
    """/proc/PID/mountinfo."""

    def test_lines(self) -> None:
        """Device, root and mountpoint are read; octal escapes are resolved."""
        text = (
            b"36 35 98:0 /vols/a\\040b /mnt/x\\011y rw,noatime master:1 - ext3 /dev/root rw\n"
            b"37 35 0:21 / /proc rw - proc proc rw\n"
        )
        self.assertEqual(
            parse(text), [Mount("98:0", "/vols/a b", "/mnt/x\ty"), Mount("0:21", "/", "/proc")]
        )

    def test_inside(self) -> None:
        """A path lies in itself and in its parents, not in what begins like it."""
        self.assertTrue(inside("/a/b", "/a/b"))
        self.assertTrue(inside("/a/b", "/a"))
        self.assertTrue(inside("/a", "/"))
        self.assertFalse(inside("/ab", "/a"))
        self.assertFalse(inside("/a", "/a/b"))

    def test_below(self) -> None:
        """A path is found again below another directory, the root directory too."""
        for path, old, new, found in (
            ("/var/db", "/", "/", "/var/db"),
            ("/var/db", "/var", "/", "/db"),
            ("/db", "/", "/var", "/var/db"),
            ("/srv", "/srv", "/", "/"),
            ("/srv/db", "/srv", "/vols/x", "/vols/x/db"),
        ):
            self.assertEqual(mounts._below(path, old, new), found)


class HolderTests(SynchronousTestCase):
    """Who holds a directory."""

    def test_nobody(self) -> None:
        """A plain directory is held by nobody, however it is reached, and has no mount in it."""
        path = Path(os.path.realpath(self.mktemp()))
        path.mkdir()
        self.assertEqual(holders(str(path)), [])
        self.assertEqual(mounts_inside(str(path)), [])

    def test_inside(self) -> None:
        """Mounts at a directory and below it are found, whatever the kernel escapes in its name."""
        for name, written in (("db", b"db"), ("a b", b"a\\040b"), ("a#b", b"a\\043b"), ("#", b"#")):
            text = b"".join(
                b"36 35 98:0 / /vols/%s rw - ext3 /dev/root rw\n" % place
                for place in (written, written + b"/sub", written + b"2", b"other", b"other/db")
            )
            self.patch(mounts, "_mountinfo", lambda process, text=text: text)
            self.assertEqual(mounts_inside(f"/vols/{name}"), [f"/vols/{name}", f"/vols/{name}/sub"])
        self.assertEqual(len(mounts_inside("/")), 5)

    def test_describe(self) -> None:
        """A description has process ids, commands and the place, and is cut where it is long."""
        me = os.getpid()
        text = Holder((me,), "/data", False).describe()
        self.assertRegex(text, rf"^pid {me} \(.+\), at /data$")
        self.assertIn("and 3 more", Holder((me,) * 8, "/data", False).describe())
        self.assertEqual(Holder((me,), "/mnt", True).describe(), "this host, at /mnt")
