"""Copies of volumes that are no directories, on each file system that a root may have."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import time
from pathlib import Path
from socket import socket as Socket

from exampledriver.backends.commands import run
from exampledriver.backends.freezing import frozen, thaw
from exampledriver.volumes.errors import BusyError, VolumeError
from tests.admin.command import admin, done, loaded, refused
from tests.process import Daemon, request_bytes, until

from . import copy_suites

#: FIFREEZE, as fsfreeze(8) asks.
FREEZE = 0xC0045877


#: Is imported by a daemon when it starts.
_WAITING = """
import os, time
from exampledriver.backends import imagecopies
copy_now = imagecopies.copy_tree
def copy_tree(source, target, *more):
    target.touch()
    while not os.path.exists("{go}"):
        time.sleep(0.01)
    target.unlink()
    return copy_now(source, target, *more)
imagecopies.copy_tree = copy_tree
"""


def is_frozen(place: Path) -> bool:
    """Tell whether a file system is frozen, without waiting for it."""
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, FREEZE, 0)
    except OSError as error:
        assert error.errno == errno.EBUSY, error
        return True
    finally:
        os.close(fd)
    thaw(str(place))
    return False


def size_of(place: Path) -> int:
    """Return the size of a file system, in bytes."""
    found = os.statvfs(place)
    return found.f_blocks * found.f_frsize


class SubvolumeTests(copy_suites.KindCopiesSuite):
    """Subvolumes of a Btrfs root."""

    root_kind = "btrfs"
    options = {"backend": "btrfs", "compression": "zstd"}  # noqa: RUF012
    taken = {"compression": "zstd"}  # noqa: RUF012
    method = "subvolume"
    read_live = "crash-consistent"


class Ext4Tests(copy_suites.KindCopiesSuite):
    """Images with ext4, on a file system that cannot share."""

    options = {"backend": "image", "size": "32M", "uid": "7"}  # noqa: RUF012
    taken = {"fs": "ext4", "size": "32M"}  # noqa: RUF012
    method = "copy"


class XfsTests(copy_suites.KindCopiesSuite):
    """Images with XFS, on an XFS, which can."""

    root_kind, root_size = "xfs", 2048
    options = {"backend": "image", "size": "300M", "fs": "xfs"}  # noqa: RUF012
    taken = {"fs": "xfs", "size": "300M"}  # noqa: RUF012
    method = "reflink"


class BtrfsImageTests(copy_suites.KindCopiesSuite):
    """Images with Btrfs, on a Btrfs."""

    root_kind, root_size = "btrfs", 2048
    options = {"backend": "image", "size": "256M", "fs": "btrfs"}  # noqa: RUF012
    taken = {"fs": "btrfs", "size": "256M"}  # noqa: RUF012
    method = "reflink"


class FrozenTests(copy_suites.KindCopiesCase):
    """Images that are frozen while they are copied."""

    options = {"backend": "image", "size": "400M"}  # noqa: RUF012

    def setUp(self) -> None:
        super().setUp()
        self.place = self.mount()
        self.addCleanup(thaw, str(self.place))

    def begin(self, label: str) -> Path:
        """Begin a snapshot that takes a while; return where it is made."""
        connection = self.admin()
        connection.sendall(request_bytes("Admin.Snapshot", {"Name": "db", "Label": label}))
        found: list[Path] = []

        def begun() -> bool:
            found[:] = self.root.glob(".snapshots/db/.*/content/data")
            return bool(found)

        until(begun, "the copy")
        return found[0]

    def admin(self) -> Socket:
        """Connect to the administrator's socket."""
        connection = copy_suites.connected(self.daemon.base / "run/admin.sock")
        self.addCleanup(connection.close)
        return connection

    def let_copies_wait(self) -> Path:
        """Start the daemon again so that its copies wait, frozen, for a file; return that."""
        self.daemon.stop()
        go = self.daemon.base / "go"
        (self.daemon.base / "sitecustomize.py").write_text(_WAITING.format(go=str(go)))
        self.daemon.environment = {"PYTHONPATH": str(self.daemon.base)}
        self.daemon.start()
        return go

    def fill(self) -> None:
        """Write enough that a copy takes a while."""
        with (self.place / "big").open("wb") as file:
            for _ in range(300):
                file.write(os.urandom(1 << 20))
            os.fsync(file.fileno())

    def test_killed(self) -> None:
        """A volume that a killed daemon left frozen is thawed by the next start."""
        self.fill()
        for number in range(10):
            self.begin(f"l{number}")
            self.daemon.kill()
            was_frozen = is_frozen(self.place)
            self.daemon.start()
            self.assertFalse(is_frozen(self.place))
            (self.place / "file").write_text("new")
            if was_frozen:
                break
        else:
            self.fail("was never frozen when it was killed")
        self.assertIn("a copy left it frozen; it is thawed", self.daemon.log())
        until(lambda: not list(self.root.glob(".snapshots/db/.*")), "the stage's end")
        self.unmount()
        self.nothing_left("db")

    def test_clone_killed(self) -> None:
        """A clone that a kill cut off is no volume; the same Create again makes it whole."""
        self.fill()
        for _ in range(3):
            connection = self.daemon.connect()
            self.addCleanup(connection.close)
            message = {"Name": "copy", "Opts": {"from": "db"}}
            connection.sendall(request_bytes("VolumeDriver.Create", message))
            until(lambda: list(self.root.glob(".images/.*/content")), "the copy")
            self.daemon.kill()
            self.daemon.start()
            self.assertFalse(is_frozen(self.place))
        self.assertEqual(self.daemon.names(), ["db"])
        self.create("copy", {"from": "db"})
        self.assertEqual((self.mount("copy") / "big").stat().st_size, 300 << 20)
        for name in ("copy", "db"):
            self.unmount(name)
        until(lambda: not list(self.root.glob(".images/.*")), "the stage's end")
        self.nothing_left("copy", "db")

    def test_meanwhile(self) -> None:
        """While a volume is copied it is mounted and shown within a second; writes wait."""
        self.unmount()
        self.place = self.mount()
        self.fill()
        self.begin("long")
        began = time.monotonic()
        self.daemon.ok("Mount", Name="db", ID="c2")
        self.daemon.ok("Unmount", Name="db", ID="c2")
        self.daemon.ok("Get", Name="db")
        taken = time.monotonic() - began
        status, answer = self.daemon.call("VolumeDriver.Remove", {"Name": "db"})
        listed = loaded(self.daemon, "volume", "snapshots", "db", "--json")
        self.assertLess(taken, 1)
        if not listed:
            self.assertIn("not removed, it is being copied", answer["Err"])
        until(lambda: loaded(self.daemon, "volume", "snapshots", "db", "--json"), "the snapshot")
        self.assertEqual(status, 500)

    def test_mounted_meanwhile(self) -> None:
        """Who mounts what was mounted for its copy alone keeps it, and the copy says so."""
        self.unmount()
        go = self.let_copies_wait()
        self.begin("long")
        self.mount()
        go.touch()
        found: list[dict[str, str]] = []

        def made() -> bool:
            found[:] = loaded(self.daemon, "volume", "snapshots", "db", "--json")
            return bool(found)

        until(made, "the snapshot")
        self.assertEqual(found[0]["Consistency"], "crash-consistent")
        # They wait for what the copy does at its end.
        self.daemon.ok("Mount", Name="db", ID="c2")
        self.daemon.ok("Unmount", Name="db", ID="c2")
        self.assertEqual(self.mounted(), [str(self.place)])
        self.unmount()
        self.nothing_left("db")

    def test_stopped(self) -> None:
        """A daemon that is stopped thaws what it was copying, and leaves nothing of it."""
        self.fill()
        self.begin("stopped")
        self.daemon.stop()
        self.assertFalse(is_frozen(self.place))
        self.assertEqual(list(self.root.glob(".snapshots/db/*")), [])

    def test_stopped_late(self) -> None:
        """A daemon whose copy does not end when it is stopped thaws it all the same, and ends."""
        self.let_copies_wait()
        self.begin("late")
        self.assertTrue(is_frozen(self.place))
        self.daemon.stop()
        self.assertFalse(is_frozen(self.place))

    def test_somebody_else(self) -> None:
        """What somebody else has frozen stays so; what somebody else thaws is no snapshot."""
        with frozen(str(self.place)):
            text = refused(self.daemon, "volume", "snapshot", "db")
            self.assertIn("is frozen already, by somebody else", text)
            self.assertTrue(is_frozen(self.place))

        def torn() -> None:
            with frozen(str(self.place)):
                thaw(str(self.place))

        self.assertIn("the copy is torn", str(self.assertRaises(VolumeError, torn)))

        def fails() -> None:
            with frozen(str(self.place)):
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fails)
        self.assertFalse(is_frozen(self.place))
        with frozen(str(self.place)):
            self.assertRaises(BusyError, frozen(str(self.place)).__enter__)


class ImageSizeTests(copy_suites.KindCopiesCase):
    """Sizes of copies of images."""

    options = {"backend": "image", "size": "32M"}  # noqa: RUF012

    def test_ext4(self) -> None:
        """A clone grows to the size that is asked for, and cannot be smaller."""
        self.grown("64M")

    def test_xfs(self) -> None:
        """XFS grows too."""
        self.other({"backend": "image", "size": "300M", "fs": "xfs"})
        self.grown("400M")

    def test_btrfs(self) -> None:
        """Btrfs grows too."""
        self.other({"backend": "image", "size": "256M", "fs": "btrfs"})
        self.grown("400M")

    def other(self, options: dict[str, str]) -> None:
        """Make ``db`` another volume."""
        self.daemon.ok("Remove", Name="db")
        self.create("db", options)
        self.write("old")

    def grown(self, size: str) -> None:
        """Make a clone with another size, and a rollback to when the volume was smaller."""
        before = size_of(self.mount())
        self.unmount()
        self.snapshot("small")
        self.create("copy", {"from": "db", "size": size})
        self.assertEqual(self.shown("copy")["Options"]["size"], size)
        self.assertGreater(size_of(self.mount("copy")), before + (16 << 20))
        self.unmount("copy")
        self.assertEqual(self.value("copy"), "old")
        message = {"Name": "less", "Opts": {"from": "db", "size": "300K"}}
        status, answer = self.daemon.call("VolumeDriver.Create", message)
        self.assertNotEqual(status, 200)
        self.assertIn("an image can only grow", answer["Err"])
        done(self.daemon, "volume", "resize", "db", size)
        done(self.daemon, "volume", "rollback", "db", "small")
        self.assertGreater(size_of(self.mount()), before + (16 << 20))
        self.unmount()
        self.assertEqual(self.value(), "old")
        self.nothing_left("copy", "db")

    def test_cut_off(self) -> None:
        """What a rollback puts aside comes back, also when a growth of it was cut off."""
        self.snapshot("small")
        os.truncate(self.root / ".images/db.img", 48 << 20)
        self.write("new")
        done(self.daemon, "volume", "rollback", "db", "small")
        done(self.daemon, "trash", "restore", "db", "--as", "before")
        self.assertEqual((self.value(), self.value("before")), ("old", "new"))
        self.assertEqual(self.shown("before")["Options"]["size"], "48M")
        self.nothing_left("before", "db")

    def test_fixed(self) -> None:
        """A clone has the file system of its source, and says so."""
        message = {"Name": "copy", "Opts": {"from": "db", "fs": "xfs"}}
        _, answer = self.daemon.call("VolumeDriver.Create", message)
        self.assertIn("a clone has its source's, which is ext4: leave it out", answer["Err"])


class ReservedTests(copy_suites.KindCopiesCase):
    """Images that keep their space, where data could be shared."""

    root_kind = "xfs"
    options = {"backend": "image", "size": "64M", "reserve": "yes"}  # noqa: RUF012

    def test_apart(self) -> None:
        """A copy shares nothing with the volume, and a clone has space of its own."""
        one = self.snapshot("first")
        self.assertEqual((one["Method"], one["Consistency"]), ("copy", "exact"))
        self.create("copy", {"from": "db"})
        for name in ("db", "copy"):
            image = self.root / f".images/{name}.img"
            self.assertGreaterEqual(image.stat().st_blocks * 512, 64 << 20)
            shown = run(["xfs_io", "-r", "-c", "fiemap -v", str(image)], 10)
            flags = {line.split()[-1] for line in shown.splitlines()[2:] if "0x" in line}
            self.assertFalse([flag for flag in flags if int(flag, 16) & 0x2000], "shared")


class HeldElsewhereTests(copy_suites.KindCopiesCase):
    """An image that only another mount namespace has mounted."""

    options = {"backend": "image", "size": "32M"}  # noqa: RUF012

    def test_attached(self) -> None:
        """It is known to be used, frozen for a snapshot, and not rolled back, grown or removed."""
        self.snapshot("first")
        place = self.mount()
        script = 'mount --bind "$0" /mnt && echo ready && exec sleep 1000'
        other = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(place)],
            stdout=subprocess.PIPE,
        )
        try:
            assert other.stdout is not None
            self.assertEqual(other.stdout.readline(), b"ready\n")
            self.unmount()
            until(lambda: not self.mounted(), "the unmount")
            self.assertEqual(self.snapshot("second")["Consistency"], "crash-consistent")
            text = refused(self.daemon, "volume", "rollback", "db", "first")
            self.assertRegex(text, r"in use by pid \d+ \(sleep\)")
            self.assertEqual(self.mounted(), [])
            text = refused(self.daemon, "volume", "resize", "db", "64M")
            self.assertRegex(text, r"/dev/loop\d+ still has its file")
            text = refused(self.daemon, "volume", "rm", "db")
            self.assertRegex(text, r"in use by pid \d+ \(sleep\)")
            self.assertEqual(self.mounted(), [])
        finally:
            other.kill()
            other.communicate()
        self.assertTrue(place.is_dir())
        done(self.daemon, "volume", "rollback", "db", "first")
        self.nothing_left("db")


class SubvolumeDetailsTests(copy_suites.KindCopiesCase):
    """What is particular to subvolumes."""

    root_kind = "btrfs"
    options = {"backend": "btrfs", "size": "20M"}  # noqa: RUF012

    def prepare(self, daemon: Daemon) -> None:
        super().prepare(daemon)
        run(["btrfs", "quota", "enable", str(daemon.root)], 10)

    def limit(self, name: str) -> str:
        """Return the limit of a volume's qgroup."""
        shown = run(["btrfs", "qgroup", "show", "-rf", str(self.root / name)], 10)
        return shown.splitlines()[-1].split()[3]

    def test_sizes(self) -> None:
        """A clone has its source's size, or one of its own; a rollback keeps it."""
        self.snapshot("first")
        self.create("same", {"from": "db"})
        self.create("more", {"from": "db@first", "size": "40M"})
        self.assertEqual([self.limit(name) for name in ("same", "more")], ["20.00MiB", "40.00MiB"])
        done(self.daemon, "volume", "resize", "db", "30M")
        done(self.daemon, "volume", "rollback", "db", "first")
        self.assertEqual(self.limit("db"), "30.00MiB")
        archive = str(self.daemon.base / "db.tar")
        done(self.daemon, "volume", "export", "db", archive)
        done(self.daemon, "volume", "import", "new", archive)
        self.assertEqual(self.limit("new"), "30.00MiB")
        self.nothing_left("db", "more", "new", "same")

    def test_nested(self) -> None:
        """Subvolumes inside are in a volume's snapshots, clones, rollbacks and archives.

        Their names may be odd, they may be read-only, and have others in them.
        """
        names = ("a/in\nner", "a/in\nner/ path x", "a/in\nner/ path x/\udcff", "other")
        (self.root / "db/a").mkdir()
        os.utime(self.root / "db/a", (5, 5))
        for name in names:
            run(["btrfs", "subvolume", "create", str(self.root / "db" / name)], 10)
            (self.root / "db" / name / "file").write_text(name, "utf-8", "surrogateescape")
        run(["btrfs", "property", "set", str(self.root / "db" / names[1]), "ro", "true"], 10)
        os.utime(self.root / "db/a", (5, 5))
        self.snapshot("first")
        archive = str(self.daemon.base / "db.tar")
        done(self.daemon, "volume", "export", "db", archive)
        done(self.daemon, "volume", "import", "new", archive)
        self.create("same", {"from": "db@first"})
        (self.root / "db/other/file").unlink()
        done(self.daemon, "volume", "rollback", "db", "first")
        kept = self.root / ".snapshots/db/first/data"
        for place in (kept, *(self.root / name for name in ("new", "same", "db"))):
            for name in names:
                found = (place / name / "file").read_text("utf-8", "surrogateescape")
                self.assertEqual(found, name)
            self.assertEqual((place / "a").stat().st_mtime, 5)
        for name in names:
            self.assertRaises(OSError, (kept / name / "file").write_text, "x")
            (self.root / "same" / name / "file").write_text("x")
        done(self.daemon, "trash", "purge", "db", "--yes")
        self.nothing_left("db", "new", "same")

    def test_nested_in_use(self) -> None:
        """A copy of a volume in use with subvolumes inside is not said to be of one moment."""
        run(["btrfs", "subvolume", "create", str(self.root / "db/inner")], 10)
        self.daemon.ok("Mount", Name="db", ID="1")
        done(self.daemon, "volume", "snapshot", "db", "--label", "first")
        (found,) = loaded(self.daemon, "volume", "snapshots", "db", "--json")
        self.assertEqual(found["Consistency"], "subvolume by subvolume")
        self.daemon.ok("Unmount", Name="db", ID="1")
        self.nothing_left("db")

    def test_read_only(self) -> None:
        """A container that makes its volume read-only does not prevent its removal."""
        self.snapshot("first")
        run(["btrfs", "property", "set", str(self.root / "db"), "ro", "true"], 10)
        done(self.daemon, "volume", "rollback", "db", "first")
        run(["btrfs", "property", "set", str(self.root / "db"), "ro", "true"], 10)
        self.daemon.ok("Remove", Name="db")
        done(self.daemon, "trash", "restore", "db", "--as", "back")
        self.nothing_left("back")

    def test_killed(self) -> None:
        """A rollback that a kill cut off ends as one of the two, and nothing is lost."""
        self.snapshot("first")
        self.write("new")
        for _ in range(5):
            self.write("new")
            before = len(loaded(self.daemon, "trash", "list", "--json"))
            connection = copy_suites.connected(self.daemon.base / "run/admin.sock")
            self.addCleanup(connection.close)
            connection.sendall(request_bytes("Admin.Rollback", {"Name": "db", "Label": "first"}))
            until(lambda: list(self.root.glob(".trash/.*-rollback")), "the rollback")
            self.daemon.kill()
            self.daemon.start()
            kept = len(loaded(self.daemon, "trash", "list", "--json")) - before
            self.assertEqual((self.value(), kept), ("old", 1) if kept else ("new", 0))
        until(lambda: not list(self.root.glob(".trash/.*-rollback")), "the end of what was left")


class OtherKindTests(copy_suites.KindCopiesCase):
    """A snapshot of one kind, and a volume of another."""

    options = {"backend": "image", "size": "32M"}  # noqa: RUF012

    def test_imported(self) -> None:
        """An archive becomes a volume of another kind where that is asked for."""
        self.create("plain", {"mode": "0710"})
        self.write("plain", "plain")
        archive = str(self.daemon.base / "plain.tar")
        done(self.daemon, "volume", "export", "plain", archive)
        words = ("-o", "backend=image", "-o", "size=16M", "-o", "fs=ext4")
        done(self.daemon, "volume", "import", "image", archive, *words)
        self.assertEqual(self.value("image"), "plain")
        self.assertEqual(
            self.shown("image")["Options"], {"fs": "ext4", "mode": "0710", "size": "16M"}
        )
        self.nothing_left("db", "image", "plain")

    def test_other(self) -> None:
        """A volume is not rolled back to another kind's snapshot; a clone of it has its kind."""
        self.snapshot("first")
        for options, why in (
            ({"backend": "image", "size": "16M"}, "resize the volume first"),
            ({"backend": "image", "size": "300M", "fs": "xfs"}, "this is one of image with xfs"),
            ({}, "is of a volume of backend image with ext4, and this is one of directory"),
        ):
            self.daemon.ok("Remove", Name="db")
            self.create("db", options)
            self.assertIn(why, refused(self.daemon, "volume", "rollback", "db", "first"))
        self.create("back", {"from": "db@first"})
        self.assertEqual(self.value("back"), "old")
        found = admin(self.daemon, "volume", "inspect", "back")
        self.assertIn("image", found.stdout)
        self.nothing_left("back", "db")


class FullTests(copy_suites.KindCopiesCase):
    """Images on a disk that becomes full: their files are sparse, and say nothing of it."""

    root_kind, root_size = "xfs", 600

    def setUp(self) -> None:
        super().setUp()
        (self.mount() / "big").write_bytes(os.urandom(200 << 20))
        self.unmount()
        self.archive = str(self.daemon.base / "db.tar")
        done(self.daemon, "volume", "export", "db", self.archive)
        self.ballast = self.root / ".ballast"
        found = os.statvfs(self.root)
        size = found.f_bavail * found.f_frsize - (120 << 20)
        run(["fallocate", "-l", str(size), str(self.ballast)], 10)

    def imported(self, fs: str) -> None:
        """Import what does not fit: that is an error, and nothing is left of it."""
        words = ("-o", "backend=image", "-o", "size=700M", "-o", f"fs={fs}")
        text = refused(self.daemon, "volume", "import", "new", self.archive, *words)
        self.assertRegex(text, "Input/output error|No space left on device")
        self.ballast.unlink()
        self.nothing_left("db")
        done(self.daemon, "volume", "import", "new", self.archive, *words)
        self.assertEqual((self.mount("new") / "big").stat().st_size, 200 << 20)
        self.unmount("new")

    def test_ext4(self) -> None:
        """An import into ext4."""
        self.imported("ext4")

    def test_xfs(self) -> None:
        """An import into XFS."""
        self.imported("xfs")

    def test_btrfs(self) -> None:
        """An import into Btrfs."""
        self.imported("btrfs")
