"""What the kernel says of mounts. Real containers are in the engine tests."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends import mounts
from exampledriver.backends.mounts import (
    UNREADABLE,
    Holder,
    here,
    holders,
    inside,
    mounts_inside,
    parse,
)

from .proc import MemoryProc

#: Bytes that the kernel does not escape, and that some function takes for the end of a line, a
#: blank or the beginning of a character.
ODD = (
    b"\r", b"\v", b"\f", b"\x1c", b"\x1d", b"\x1e", b"\x85", "\x85".encode(), "\u2028".encode(),
    "\u2029".encode(), b"\xff", b"\xc3", b"\x1b[2J", b"-", b"#", b"x" * 5000,
)  # fmt: skip

#: Lines that no kernel writes.
UNREADABLE_LINES = (
    b"x", b" ", b"36", b"36 35 98:0", b"36 35 98:0 /", b"36 35 98:0  /m rw - ext4 a rw",
    b"36 35 98 / /m rw", b"36 35 \xff:0 / /m rw", b"36 35 98:0 / ", b"\r",
)  # fmt: skip

#: The daemon's mounts.
OWN = b"1 0 254:1 / / rw - ext4 a rw\n2 1 98:0 / /vols rw - ext4 a rw\n"


class ParseTests(SynchronousTestCase):
    """/proc/PID/mountinfo."""

    def test_lines(self) -> None:
        """Device, root and mountpoint are read; octal escapes are resolved."""
        text = (
            b"36 35 98:0 /vols/a\\040b /mnt/x\\011y rw,noatime master:1 - ext3 /dev/root rw\n"
            b"37 35 0:21 / /proc rw - proc proc rw\n"
        )
        first, second = parse(text)
        self.assertEqual(
            (first.device, first.root, first.mountpoint, first.number, first.parent),
            ("98:0", "/vols/a b", "/mnt/x\ty", "36", "35"),
        )
        self.assertEqual(first.source(), ("ext3", "/dev/root"))
        self.assertEqual((first.peers("master"), first.peers("shared")), ({"1"}, set()))
        self.assertEqual((second.device, second.mountpoint), ("0:21", "/proc"))

    def test_odd_bytes(self) -> None:
        """A line ends at a line feed and nowhere else, whatever else a path holds."""
        for odd in ODD:
            text = b"1 2 98:0 /v/%s /m%s rw - ext4 %s rw\n1 2 0:21 / /proc rw - proc proc rw\n"
            first, second = parse(text % (odd, odd, odd))
            self.assertEqual(os.fsencode(first.mountpoint), b"/m" + odd)
            self.assertEqual(first.source(), ("ext4", os.fsdecode(odd)))
            self.assertEqual(second.mountpoint, "/proc")

    def test_no_escape(self) -> None:
        """A backslash before three digits that are not a byte is kept as it is."""
        (mount,) = parse(b"1 2 98:0 / /m\\777 rw - ext4 a rw\n")
        self.assertEqual(mount.mountpoint, "/m\\777")

    def test_no_source(self) -> None:
        """The kernel writes an empty name of a device as nothing."""
        (mount,) = parse(b"1 2 0:9 / /m rw - tmpfs  rw\n")
        self.assertEqual(mount.source(), ("tmpfs", ""))

    def test_unreadable(self) -> None:
        """Lines that cannot be read are one mount without a device; the others are read."""
        good = b"1 2 98:0 / /m rw - ext4 a rw\n"
        for bad in UNREADABLE_LINES:
            found = parse(good + bad + b"\n" + good, "98:0")
            self.assertEqual([mount.mountpoint for mount in found], ["", "/m", "/m"])

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
            proc = MemoryProc.of(text)
            self.assertEqual(
                mounts_inside(f"/vols/{name}", proc), [f"/vols/{name}", f"/vols/{name}/sub"]
            )
        self.assertEqual(len(mounts_inside("/", proc)), 5)

    def test_carriage_return(self) -> None:
        """A container's mountpoint with an odd byte hides no use, and makes none of other volumes.

        ``docker run -v db:$'/a\\rb'`` once made every removal an internal error.
        """
        for odd in ODD:
            theirs = b"8 1 254:1 / / rw - ext4 a rw\n9 8 98:0 /db /a%sb rw - ext4 a rw\n" % odd
            proc = MemoryProc.of(OWN, [theirs])
            (holder,) = holders("/vols/db", proc)
            self.assertEqual((holder.pids, holder.here), ((101,), False))
            self.assertTrue(holder.describe(proc).isprintable())
            self.assertEqual(holders("/vols/other", proc), [])

    def test_unreadable(self) -> None:
        """A line that cannot be read counts as a use, and its process is named."""
        for bad in UNREADABLE_LINES:
            proc = MemoryProc.of(OWN, [b"8 1 254:1 / / rw - ext4 a rw\n" + bad + b"\n"])
            (holder,) = holders("/vols/db", proc)
            self.assertEqual(
                holder.describe(proc),
                "pid 101 (gone), which has a mount that cannot be read: look at "
                "/proc/101/mountinfo",
            )
            self.assertEqual(mounts_inside("/vols/db", proc), [])
            proc = MemoryProc.of(OWN + bad + b"\n")
            (holder,) = holders("/vols/db", proc)
            self.assertIn("this host, which has a mount that cannot be read", holder.describe())
            self.assertEqual(mounts_inside("/vols/db", proc), [UNREADABLE])
            self.assertEqual(len(here(proc)), 2)

    def test_own_line(self) -> None:
        """If the line of a volume's own mount cannot be read, the volume is in use."""
        self.assertTrue(holders("/vols/db", MemoryProc.of(b"36 35 98:0 /\n"))[0].here)

    def test_other_root(self) -> None:
        """A process with a root directory of its own hides no mount of its namespace."""
        jailed = b"8 1 254:1 /jail / rw - ext4 a rw\n"
        whole = b"7 1 254:1 / / rw - ext4 a rw\n9 7 98:0 /db /data rw - ext4 a rw\n"
        spaces = {101: ("mnt:[5]", "/jail"), 102: ("mnt:[5]", "/")}
        proc = evolve(MemoryProc.of(OWN, [jailed, whole]), spaces=spaces)
        self.assertEqual([holder.pids for holder in holders("/vols/db", proc)], [(102,)])

    def test_no_descriptors(self) -> None:
        """Mounts that cannot be read for want of something count as a use; a process that is gone
        or another user's does not."""
        for number, held in (
            (errno.EMFILE, True), (errno.ENOMEM, True), (errno.ESRCH, False),
            (errno.EINVAL, False), (errno.EACCES, False),
        ):  # fmt: skip
            found = holders("/vols/db", MemoryProc.of(OWN, [number]))
            self.assertEqual(bool(found), held, errno.errorcode[number])

    def test_describe(self) -> None:
        """A description has process ids, commands and the place, and is cut where it is long."""
        me = os.getpid()
        text = Holder((me,), "/data", False).describe()
        self.assertRegex(text, rf"^pid {me} \(.+\), at /data$")
        self.assertIn("and 3 more", Holder((me,) * 8, "/data", False).describe())
        self.assertEqual(Holder((me,), "/mnt", True).describe(), "this host, at /mnt")
