"""Clones and rollbacks beside a real Docker Engine."""

from __future__ import annotations

from tests.admin.command import admin, done, refused

from .case import DockerCase


class CopiesTests(DockerCase):
    """A volume that containers write to."""

    def setUp(self) -> None:
        super().setUp()
        self.create()
        self.engine.sh(f"{self.name}:/data", "echo old > /data/file")

    def test_clone(self) -> None:
        """A clone and a clone of a snapshot are volumes like others."""
        done(self.daemon, "volume", "snapshot", self.name, "--label", "first")
        self.engine.sh(f"{self.name}:/data", "echo new > /data/file")
        for source, value in ((self.name, "new"), (f"{self.name}@first", "old")):
            self.engine.docker("volume", "create", "-d", "x", "-o", f"from={source}", value)
            self.assertEqual(self.engine.sh(f"{value}:/data", "cat /data/file"), value)
        self.assertIn(
            "no such volume",
            self.error("volume", "create", "-d", "x", "-o", "from=nix", "other"),
        )

    def test_rollback(self) -> None:
        """While a container has the volume it is not rolled back, and a snapshot says so much."""
        done(self.daemon, "volume", "snapshot", self.name, "--label", "first")
        self.engine.background("user", f"{self.name}:/data")
        found = admin(self.daemon, "volume", "snapshot", self.name)
        self.assertIn("file by file", found.stderr)
        text = refused(self.daemon, "volume", "rollback", self.name, "first")
        self.assertRegex(text, r"not rolled back, in use by pid \d+ \(sleep\)")
        self.engine.docker("rm", "-f", "user")
        self.engine.sh(f"{self.name}:/data", "echo new > /data/file")
        done(self.daemon, "volume", "rollback", self.name, "first")
        self.assertEqual(self.engine.sh(f"{self.name}:/data", "cat /data/file"), "old")
