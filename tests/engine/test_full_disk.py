"""A state directory on a real file system that is full, through a real Docker Engine."""

from __future__ import annotations

from tests.process import until

from .box import done, run
from .case import DockerCase


class FullDiskTests(DockerCase):
    """J6: the change fails with a clear error, reads go on, and with space it succeeds."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.stop()
        done("mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(self.daemon.state))
        self.addCleanup(run, "umount", "--lazy", str(self.daemon.state))
        self.daemon.start()

    def test_full_disk(self) -> None:
        """A Create that does not fit, Gets that go on, and the next Create after space is freed."""
        self.create()
        ballast = self.daemon.state / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        # What is left of the journal's last page takes some small records yet.
        errors: list[str] = []

        def refused() -> bool:
            name = f"fill{len(errors)}"
            found = self.engine.run("volume", "create", "-d", "x", name)
            errors.append(found.stderr)
            return found.returncode != 0

        until(refused, "a full disk")
        self.assertIn("No space left on device", errors[-1])
        self.assertIn("nothing was changed: free some space on its file system", errors[-1])
        lost = f"fill{len(errors) - 1}"
        self.assertNotIn(lost, self.daemon.names())
        self.assertFalse((self.daemon.root / lost).exists())
        self.assertEqual(self.inspect()["Status"]["Health"], "ok")
        self.engine.sh(f"{self.name}:/data", "echo reads and mounts go on > /data/file")
        ballast.unlink()
        self.engine.docker("volume", "create", "-d", "x", lost)
        names = self.daemon.names()
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.daemon.names(), names)
        self.assertIn(lost, names)
