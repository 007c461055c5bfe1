"""The driver with a Docker Engine whose containers have a user namespace (``userns-remap``)."""

from __future__ import annotations

import json
import subprocess

from attrs import define

from tests.process import Daemon

from .box import Engine, done
from .case import DriverCase

#: Lets a process have files of the test in place of the machine's.
_WITH = """
base=$0
for name in subuid subgid; do mount --bind "$base/$name" "/etc/$name"; done
mount --bind "$base/etc" /etc/docker
exec "$@"
"""


@define(eq=False)
class RemappedEngine(Engine):
    """An engine that sees the test's ranges of user ids."""

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start dockerd."""
        for name in ("subuid", "subgid"):
            place = str(self.base / name)
            done("nsenter", "-t", str(self.init), "-m", "mount", "--bind", place, f"/etc/{name}")
        return super().spawn()


class OwnerTests(DriverCase):
    """A daemon with --owner."""

    def prepare(self, daemon: Daemon) -> None:
        daemon.options = ["--owner=100000:200000"]

    def test_backends(self) -> None:
        """New volumes of each backend belong to the owner where their options name no other."""
        for name, options in (
            ("directory", {"backend": "directory"}),
            ("image", {"backend": "image", "size": "16M"}),
            ("tmpfs", {"backend": "tmpfs", "size": "1M"}),
        ):
            for more, owner in (({}, (100000, 200000)), ({"gid": "7"}, (100000, 7))):
                volume = f"{name}{len(more)}"
                self.daemon.ok("Create", Name=volume, Opts={**options, **more})
                self.daemon.ok("Mount", Name=volume, ID="id")
                found = (self.daemon.root / volume).stat()
                self.assertEqual((found.st_uid, found.st_gid), owner, volume)
                self.daemon.ok("Unmount", Name=volume, ID="id")


class UsernsTests(DriverCase):
    """A daemon that reads the same files as the engine."""

    def prepare(self, daemon: Daemon) -> None:
        base = daemon.base
        base.chmod(0o711)
        (base / "etc").mkdir()
        (base / "etc/daemon.json").write_text(json.dumps({"userns-remap": "daemon"}))
        (base / "subuid").write_text("daemon:100000:65536\n")
        (base / "subgid").write_text("daemon:200000:65536\n")
        mounts = ("unshare", "--mount", "--propagation", "slave", "sh", "-ec", _WITH)
        daemon.prefix = (*mounts, str(base))

    def setUp(self) -> None:
        super().setUp()
        self.engine = RemappedEngine(self.daemon.base)
        self.addCleanup(self.engine.down)
        self.engine.up()

    def test_owner(self) -> None:
        """Root in a container owns a new volume and writes to it; options name another owner."""
        self.engine.docker("volume", "create", "-d", "x", "plain")
        script = "stat -c '%u %g' /data && touch /data/file && stat -c %u /data/file"
        self.assertEqual(self.engine.sh("plain:/data", script), "0 0\n0")
        found = (self.daemon.root / "plain/file").stat()
        self.assertEqual((found.st_uid, found.st_gid), (100000, 200000))
        self.engine.docker("volume", "create", "-d", "x", "-o", "uid=100999", "mine")
        script = "stat -c '%u %g' /data && touch /data/file"
        self.assertEqual(self.engine.sh("mine:/data", script, "--user=999"), "999 0")
