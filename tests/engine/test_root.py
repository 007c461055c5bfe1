"""A root on a file system of its own, which is not always mounted."""

from __future__ import annotations

from .box import done, run
from .case import DriverCase


class RootTests(DriverCase):
    """What must not happen is that something is made, or removed, in the empty mountpoint."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.stop()
        self.disk = self.daemon.base / "disk"
        self.disk.mkdir()
        done("mount", "-t", "tmpfs", "-o", "mode=710", "tmpfs", str(self.disk))
        self.addCleanup(run, "umount", "--lazy", str(self.disk))
        self.mount()
        self.addCleanup(self.unmount)
        self.daemon.start()
        self.daemon.ok("Create", Name="db")
        self.assertTrue(self.daemon.ok("Mount", Name="db", ID="1")["Mountpoint"])
        (self.daemon.root / "db/file").write_text("precious")
        self.daemon.ok("Unmount", Name="db", ID="1")

    def mount(self) -> None:
        """Mount the root."""
        done("mount", "--bind", str(self.disk), str(self.daemon.root))

    def unmount(self) -> None:
        """Take the root away, though the daemon uses it."""
        run("umount", "--lazy", str(self.daemon.root))

    def refused(self, call: str, name: str) -> str:
        """Return the error of a call; nothing has been made in the mountpoint."""
        before = sorted(self.daemon.root.iterdir())
        _, answer = self.daemon.call(f"VolumeDriver.{call}", {"Name": name, "ID": "1"})
        self.assertEqual(sorted(self.daemon.root.iterdir()), before)
        error: str = answer["Err"]
        return error

    def check(self) -> None:
        """See that all is there."""
        self.assertEqual(self.daemon.names(), ["db"])
        self.daemon.ok("Create", Name="new")
        place = self.daemon.ok("Mount", Name="db", ID="1")["Mountpoint"]
        self.assertEqual(place, str(self.daemon.root / "db"))
        self.assertEqual((self.daemon.root / "db/file").read_text(), "precious")
        self.assertEqual((self.disk / "db/file").read_text(), "precious")
        self.assertTrue((self.disk / "new").is_dir())

    def test_unmounted(self) -> None:
        """Unmounted under the daemon: changes are refused, and with it mounted all goes on."""
        self.unmount()
        for call, name in (("Create", "new"), ("Mount", "db"), ("Remove", "db")):
            self.assertIn("is not the directory that it was", self.refused(call, name))
        self.assertEqual(self.daemon.names(), ["db"])
        self.mount()
        self.check()

    def test_not_mounted(self) -> None:
        """Not mounted at a start: no volume is made there, and the next start has them all."""
        self.daemon.kill()
        self.unmount()
        self.daemon.start()
        for call, name in (("Create", "new"), ("Mount", "db"), ("Remove", "db")):
            self.assertIn("has nothing of the volume that", self.refused(call, name))
        self.assertEqual(self.daemon.names(), ["db"])
        self.mount()
        self.assertIn("was mounted after the driver", self.refused("Create", "new"))
        self.daemon.stop()
        self.daemon.start()
        self.check()
