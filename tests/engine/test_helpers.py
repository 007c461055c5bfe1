"""What the helpers of mount(8) are given, by one that writes it down; and what real ones say.

The kernel of the machine on which this runs may have no NFS and no CIFS: the words of the
real helpers are those of whatever it has.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.process import Daemon, until

from .kinds import DaemonKindCase
from .servers import write_recording


class ArgumentTests(DaemonKindCase):
    """A mount(8) that writes down what it is given."""

    def prepare(self, daemon: Daemon) -> None:
        self.record = daemon.base / "record"
        write_recording(daemon.base / "bin/mount", self.record)
        daemon.environment = {"PATH": f"{daemon.base}/bin:{os.environ['PATH']}"}

    def given(self, **options: str) -> list[str]:
        """Return what mount(8) is given for a volume, but for the program and the target."""
        self.daemon.ok("Create", Name="v", Opts={"backend": "mount", **options})
        path = self.daemon.ok("Mount", Name="v", ID="1")["Mountpoint"]
        recorded = json.loads(self.record.read_text())
        self.assertEqual(recorded["argv"][-1], path)
        self.assertEqual(recorded["environment"]["LC_ALL"], "C")
        self.daemon.ok("Unmount", Name="v", ID="1")
        self.daemon.ok("Remove", Name="v")
        self.assertEqual(self.mounted(), [])
        words: list[str] = recorded["argv"][1:-1]
        return words

    def test_nfs(self) -> None:
        """NFS, as Docker's local takes it and as netshare does."""
        self.assertEqual(
            self.given(type="nfs", o="addr=10.0.0.1,rw,soft", device=":/data"),
            ["-t", "nfs", "-o", "addr=10.0.0.1,rw,soft", "--", "10.0.0.1:/data"],
        )
        self.assertEqual(
            self.given(type="nfs4", share="host/data", nfsopts="soft,timeo=30"),
            ["-t", "nfs4", "-o", "soft,timeo=30", "--", "host:/data"],
        )

    def test_cifs(self) -> None:
        """CIFS: the password is in a file, of which the helper gets the path."""
        secret = self.daemon.base / "secret"
        secret.write_text("username=u\npassword=hunter2\n")
        secret.chmod(0o600)
        words = self.given(
            type="cifs", share="host/data", domain="D", fileMode="0660",
            **{"credentials-file": str(secret)},
        )  # fmt: skip
        options = f"domain=D,file_mode=0660,credentials={secret}"
        self.assertEqual(words, ["-t", "cifs", "-o", options, "--", "//host/data"])
        state = b"".join(path.read_bytes() for path in self.daemon.state.iterdir())
        for seen in (self.record.read_text(), self.daemon.log(), state.decode("utf-8", "replace")):
            self.assertNotIn("hunter2", seen)

    def test_efs(self) -> None:
        """EFS, by its own helper."""
        self.assertEqual(
            self.given(type="efs", share="fs-12/data", o="tls"),
            ["-t", "efs", "-o", "tls", "--", "fs-12:/data"],
        )

    def test_local(self) -> None:
        """Docker's own examples: a tmpfs, and a Btrfs on a device."""
        self.assertEqual(
            self.given(type="tmpfs", device="tmpfs", o="size=100m,uid=1000"),
            ["-t", "tmpfs", "-o", "size=100m,uid=1000", "--", "tmpfs"],
        )
        self.assertEqual(
            self.given(type="btrfs", device="/dev/sda2"), ["-t", "btrfs", "--", "/dev/sda2"]
        )

    def test_no_option(self) -> None:
        """A device that looks like an option is none."""
        words = self.given(type="x", device="--help")
        self.assertEqual(words, ["-t", "x", "--", "--help"])


class WordsTests(DaemonKindCase):
    """What real helpers say, with what to look at."""

    def error(self, **options: str) -> str:
        """Return the error of a Mount."""
        given: Mapping[str, str] = {"backend": "mount", "timeout": "10s", **options}
        self.daemon.ok("Create", Name="v", Opts=given)
        status, answer = self.daemon.call("VolumeDriver.Mount", {"Name": "v", "ID": "1"})
        self.assertEqual(status, 500)
        self.assertEqual(self.mounted(), [])
        self.daemon.ok("Remove", Name="v")
        return str(answer["Err"])

    def test_unknown(self) -> None:
        """A type that nobody knows."""
        text = self.error(type="nosuchfs", device="/dev/null")
        self.assertIn("neither the kernel nor a helper (/sbin/mount.nosuchfs)", text)

    def test_no_helper(self) -> None:
        """A helper that is not installed, with its package."""
        self.assertIsNone(shutil.which("mount.glusterfs", path="/sbin:/usr/sbin"))
        text = self.error(type="glusterfs", device="127.0.0.1:/v")
        self.assertIn("the helper mount.glusterfs is missing: install the package glu", text)

    def test_nfs(self) -> None:
        """NFS from a machine that serves none; or a kernel without NFS."""
        text = self.error(type="nfs", device="127.0.0.1:/v", o="soft,retry=0,nfsvers=4")
        if "nfs4" in Path("/proc/filesystems").read_text():
            self.assertIn("the server cannot be reached", text)
        else:
            self.assertIn("No such device; this machine's kernel has no such file system", text)

    def test_cifs(self) -> None:
        """CIFS likewise."""
        text = self.error(type="cifs", device="//127.0.0.1/v", o="guest")
        if "cifs" in Path("/proc/filesystems").read_text():
            self.assertIn("the server cannot be reached", text)
        else:
            self.assertIn("this machine's kernel has no such file system", text)

    def test_unresolved(self) -> None:
        """A server whose name nobody knows, as the real helpers say it; no kernel is asked."""
        for options in (
            {"type": "nfs", "device": "nas.invalid:/v", "o": "soft,retry=0"},
            {"type": "cifs", "device": "//nas.invalid/v", "o": "guest"},
        ):
            text = self.error(**options)
            self.assertIn("nas.invalid", text)
            self.assertIn("the server cannot be reached: look at its name", text)

    def test_device(self) -> None:
        """A device or a directory that is not there."""
        text = self.error(type="none", o="bind", device="/not/there")
        self.assertIn("there is no such export, share, directory or device", text)

    def test_credentials(self) -> None:
        """A file with secrets is there, and is private, at the Create and at the Mount."""
        secret = self.daemon.base / "secret"
        options = {
            "backend": "mount", "type": "cifs", "device": "//127.0.0.1/v",
            "credentials-file": str(secret),
        }  # fmt: skip
        message = {"Name": "w", "Opts": options}
        for change, why in (
            (lambda: None, "No such file"),
            (lambda: secret.write_text("password=x"), f'others may read it: "chmod 600 {secret}"'),
        ):
            change()
            if secret.exists():
                secret.chmod(0o644)
            status, answer = self.daemon.call("VolumeDriver.Create", message)
            self.assertEqual(status, 400)
            self.assertIn(why, answer["Err"])
        secret.chmod(0o600)
        self.daemon.ok("Create", **message)
        secret.chmod(0o640)
        answer = self.daemon.call("VolumeDriver.Mount", {"Name": "w", "ID": "1"})[1]
        self.assertIn("others may read it", answer["Err"])

    def test_own(self) -> None:
        """The driver's own directories cannot be bound."""
        for place in (self.daemon.root, self.daemon.state):
            options = {"backend": "mount", "type": "none", "o": "bind", "device": str(place)}
            status, answer = self.daemon.call("VolumeDriver.Create", {"Name": "w", "Opts": options})
            self.assertEqual(status, 400)
            self.assertIn("is the driver's own", answer["Err"])


class ConfiguredTests(DaemonKindCase):
    """A daemon with a configuration file."""

    def prepare(self, daemon: Daemon) -> None:
        self.allowed = daemon.base / "allowed"
        self.allowed.mkdir()
        file = daemon.base / "config.toml"
        file.write_text(
            '[backends]\nallowed = ["directory", "mount"]\n'
            f'[backends.directory]\nbases = ["{self.allowed}"]\nmode = "0711"\n'
            f'[backends.mount]\nbases = ["{self.allowed}"]\n'
        )
        daemon.options = [f"--config={file}"]

    def refused(self, **options: str) -> str:
        """Return the error of a Create."""
        status, answer = self.daemon.call("VolumeDriver.Create", {"Name": "v", "Opts": options})
        self.assertEqual(status, 400)
        return str(answer["Err"])

    def test_configured(self) -> None:
        """Kinds are restricted, defaults are taken and shown, paths are kept below the bases."""
        self.assertIn("allows directory, mount", self.refused(backend="tmpfs", size="1M"))
        below = f"allowed are directories below {self.allowed}"
        self.assertIn(below, self.refused(mountpoint="/srv/x"))
        (self.allowed / "link").symlink_to("/etc")
        self.assertIn(below, self.refused(mountpoint=f"{self.allowed}/link/x"))
        bind = {"backend": "mount", "type": "none", "o": "bind"}
        self.assertIn("allowed are paths below", self.refused(**bind, device="/etc"))
        self.daemon.ok("Create", Name="v")
        shown = self.daemon.ok("Get", Name="v")["Volume"]
        self.assertEqual(shown["Status"]["Options"], {"mode": "0711"})
        self.assertEqual(os.stat(shown["Mountpoint"]).st_mode & 0o7777, 0o711)

    def test_not_allowed_any_more(self) -> None:
        """A volume of a kind that is not allowed any more is mounted and removed as before."""
        self.daemon.stop()
        config, self.daemon.options = self.daemon.options, ()
        self.daemon.start()
        self.daemon.ok("Create", Name="v", Opts={"backend": "tmpfs", "size": "1M"})
        self.daemon.stop()
        self.daemon.options = config
        self.daemon.start()
        self.daemon.ok("Mount", Name="v", ID="1")
        self.assertEqual(len(self.mounted()), 1)
        self.daemon.ok("Unmount", Name="v", ID="1")
        self.daemon.ok("Remove", Name="v")
        until(lambda: not self.mounted(), "the unmount")
