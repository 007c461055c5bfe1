"""What is expected of copies of each kind, of the command and a daemon; it needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from socket import AF_UNIX
from socket import socket as Socket
from typing import Any

from exampledriver.backends import mounting
from exampledriver.backends.copying.fingerprints import fingerprint
from tests.admin.command import admin, done, loaded, refused
from tests.backends.forest import plant
from tests.process import Daemon, until

from .kinds import DaemonKindCase
from .storage import loop_devices, make_file_system

#: What belongs into a root.
OURS = {".lock", ".trash", ".snapshots", ".images"}


def connected(path: Path) -> Socket:
    """Return a connection to a socket."""
    connection = Socket(AF_UNIX)
    connection.connect(os.fspath(path))
    return connection


class KindCopiesCase(DaemonKindCase):
    """A daemon, and a volume ``db`` of a kind with a file in it."""

    #: The root's file system, if it has one of its own, and its size in MiB.
    root_kind, root_size = "", 1024
    options: Mapping[str, str] = {}

    def prepare(self, daemon: Daemon) -> None:
        """Mount the root."""
        if not self.root_kind:
            return
        disk = daemon.base / "disk.img"
        make_file_system(disk, self.root_kind, self.root_size << 20)
        mounting.mount(self.root_kind, ["loop"], str(disk), str(daemon.root), 30)
        daemon.root.chmod(0o710)

    def setUp(self) -> None:
        super().setUp()
        self.root = self.daemon.root
        self.create("db", self.options)
        self.write("old")

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Create a volume."""
        self.daemon.ok("Create", Name=name, Opts=dict(options))

    def mount(self, name: str = "db") -> Path:
        """Mount a volume; return where it is."""
        return Path(self.daemon.ok("Mount", Name=name, ID="c1")["Mountpoint"])

    def unmount(self, name: str = "db") -> None:
        """Unmount a volume."""
        self.daemon.ok("Unmount", Name=name, ID="c1")

    def write(self, value: str, name: str = "db") -> None:
        """Let a volume hold a value."""
        (self.mount(name) / "file").write_text(value)
        self.unmount(name)

    def value(self, name: str = "db") -> str:
        """Return what a volume holds."""
        value = (self.mount(name) / "file").read_text()
        self.unmount(name)
        return value

    def snapshot(self, label: str) -> Any:
        """Make a snapshot; return what is listed of it, and what the command said."""
        found = admin(self.daemon, "volume", "snapshot", "db", "--label", label)
        self.assertEqual(found.returncode, 0, found.stderr)
        listed = loaded(self.daemon, "volume", "snapshots", "db", "--json")
        (one,) = (one for one in listed if one["Label"] == label)
        self.assertIn(f"by {one['Method']}, {one['Consistency']}\n", found.stderr)
        self.assertNotIn("None", found.stderr + done(self.daemon, "volume", "snapshots", "db"))
        return one

    def shown(self, name: str) -> Any:
        """Return what is shown of a volume."""
        return loaded(self.daemon, "volume", "inspect", name)[0]

    def nothing_left(self, *names: str) -> None:
        """See that there are these volumes, and nothing is left of any work."""
        self.assertEqual(self.daemon.names(), sorted(names))
        until(lambda: not self.mounted(), f"the end of {self.mounted()}")
        until(lambda: not loop_devices(self.root), f"the end of {loop_devices(self.root)}")
        self.assertEqual(set(os.listdir(self.root)) - OURS, set(names))
        for below in (".images", ".trash", ".snapshots", ".snapshots/db"):
            if (self.root / below).exists():
                left = [name for name in os.listdir(self.root / below) if name[0] == "."]
                kept = [name for name in left if name == ".ages.json" or name.startswith(".spare")]
                self.assertEqual(sorted(left), sorted(kept) if below == ".trash" else [], below)
                left = [name for name in os.listdir(self.root / below) if name[-4:] == ".mnt"]
                self.assertEqual(left, [], below)


class KindCopiesSuite(KindCopiesCase):
    """Snapshots, rollbacks, clones, exports and imports of a kind."""

    method = ""
    #: What is said of a snapshot, and of an export, while the volume is used.
    live, read_live = "crash-consistent", "file by file"
    #: What a clone has besides ``from``.
    taken: Mapping[str, str] = {}

    def test_snapshots(self) -> None:
        """A snapshot says its method, and whether it is exact; a rollback has it again."""
        one = self.snapshot("first")
        self.assertEqual((one["Method"], one["Consistency"]), (self.method, "exact"))
        place = self.mount()
        (place / "file").write_text("new")
        one = self.snapshot("second")
        self.assertEqual((one["Method"], one["Consistency"]), (self.method, self.live))
        (place / "file").write_text("newer")  # it is not frozen any more
        text = refused(self.daemon, "volume", "rollback", "db", "first")
        self.assertIn("not rolled back, in use by", text)
        self.assertEqual((place / "file").read_text(), "newer")
        self.unmount()
        for label, value in (("first", "old"), ("second", "new")):
            found = admin(self.daemon, "volume", "rollback", "db", label)
            self.assertIn(f"by {self.method}", found.stderr)
            self.assertEqual(self.value(), value)
        slots = loaded(self.daemon, "trash", "list", "--json")
        self.assertEqual(len(slots), 2)
        done(self.daemon, "trash", "restore", slots[0]["Slot"], "--as", "before")
        self.mount()  # both at a time
        self.assertEqual(self.value("before"), "newer")
        self.unmount()
        for label in ("first", "second"):
            done(self.daemon, "volume", "snapshot-rm", "db", label)
        self.nothing_left("before", "db")

    def test_clones(self) -> None:
        """Clones of a volume in use and of a snapshot live beside it, also without it."""
        self.snapshot("first")
        place = self.mount()
        (place / "file").write_text("new")
        for source, name, value in (("db", "a", "new"), ("db@first", "b", "old")):
            self.create(name, {"from": source, "mode": "0701"})
            self.assertEqual(
                self.shown(name)["Options"], {**self.taken, "from": source, "mode": "0701"}
            )
            self.assertEqual(self.value(name), value)
            self.assertEqual(self.mount(name).stat().st_mode & 0o7777, 0o701)
            (place / "file").write_text("newest")  # all three are mounted
        self.unmount()
        self.daemon.ok("Remove", Name="db")
        for name in ("a", "b"):
            self.unmount(name)
        self.daemon.stop()
        self.daemon.start()
        self.create("a", {"from": "db"})
        self.create("db", {"from": "db@first"})
        self.assertEqual([self.value(name) for name in ("a", "b", "db")], ["new", "old", "old"])
        self.nothing_left("a", "b", "db")

    def test_archives(self) -> None:
        """Exports of a volume, used or not, and of a snapshot come back as the same kind."""
        place = self.mount()
        plant(place / "tree")
        whole = fingerprint(place)
        archive = self.daemon.base / "db.tar"
        found = admin(self.daemon, "volume", "export", "db", str(archive))
        self.assertIn(f"by tar, {self.read_live}\n", found.stderr)
        archive.unlink()
        self.unmount()
        found = admin(self.daemon, "volume", "export", "db", str(archive))
        self.assertIn("by tar, exact\n", found.stderr)
        self.snapshot("first")
        self.write("new")
        self.mount()
        done(self.daemon, "volume", "export", "db@first", str(self.daemon.base / "snapshot.tar"))
        self.unmount()
        for name in ("db", "snapshot"):
            done(
                self.daemon, "volume", "import", f"of-{name}", str(self.daemon.base / f"{name}.tar")
            )
            self.assertEqual(fingerprint(self.mount(f"of-{name}")), whole)
            self.unmount(f"of-{name}")
            shown = self.shown(f"of-{name}")
            self.assertEqual(shown["Backend"], self.shown("db")["Backend"])
            self.assertEqual(shown["Options"], {**self.taken, **self.options_kept()})
        done(self.daemon, "volume", "import", "plain", str(archive), "-o", "backend=directory")
        self.assertEqual(self.shown("plain")["Backend"], "directory")
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
        text = refused(self.daemon, "volume", "import", "cut", str(archive))
        self.assertRegex(text, "cut short|damaged")
        self.nothing_left("db", "of-db", "of-snapshot", "plain")

    def options_kept(self) -> dict[str, str]:
        """Return the owner and permissions among the options."""
        return {key: value for key, value in self.options.items() if key in ("uid", "gid", "mode")}

    def test_trash(self) -> None:
        """A volume comes back from the trash, under another name too, and can be copied."""
        self.daemon.ok("Remove", Name="db")
        done(self.daemon, "trash", "restore", "db", "--as", "other")
        self.create("copy", {"from": "other"})
        self.assertEqual((self.value("other"), self.value("copy")), ("old", "old"))
        kept = {**self.taken, **self.options_kept()}
        self.assertEqual(self.shown("other")["Options"], kept)
        self.nothing_left("copy", "other")

    def test_purged(self) -> None:
        """Snapshots and volumes that are deleted give their space back, subvolumes too."""
        self.snapshot("first")
        self.daemon.ok("Remove", Name="db")
        done(self.daemon, "volume", "snapshot-rm", "db", "first")
        done(self.daemon, "trash", "purge", "db", "--yes")
        self.nothing_left()
        self.assertEqual(list(self.root.glob(".trash/[!.]*")), [])
        if self.root_kind == "btrfs":
            listed = subprocess.run(
                ["btrfs", "subvolume", "list", self.root],
                capture_output=True,
                text=True,
                check=True,
            )
            self.assertEqual(listed.stdout, "")
