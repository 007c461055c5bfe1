"""The managed plugin on a real Docker Engine: built, created, enabled, and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.process import until

from . import registry
from .box import done
from .managed import PLUGIN, ManagedCase, built


class BuildTests(SynchronousTestCase):
    """What make managed-plugin makes."""

    def test_size(self) -> None:
        """The root file system takes less than 80 MiB, and has no setuid program."""
        files = [path.lstat() for path in (built() / "rootfs").rglob("*")]
        self.assertLess(sum(found.st_blocks * 512 for found in files), 80 * 2**20)
        self.assertEqual([found for found in files if found.st_mode & 0o6000], [])


def is_past(moment: float) -> bool:
    """Return whether a moment of the monotonic clock is past."""
    return time.monotonic() > moment


class LifeTests(ManagedCase):
    """What a managed plugin goes through, without losing anything."""

    def fill(self) -> None:
        """Create a volume with options, and write to it."""
        self.create("mode=0750", "uid=123")
        self.engine.sh("db:/data", "echo precious > /data/file")

    def check(self) -> None:
        """See that volume, options and data are there, in the engine and on the host."""
        shown = self.inspect()
        self.assertEqual(shown["Driver"], f"{PLUGIN}:latest")
        self.assertEqual(shown["Status"]["Options"], {"mode": "0750", "uid": "123"})
        self.assertEqual(
            self.engine.sh("db:/data", "stat -c '%a %u' /data; cat /data/file"), "750 123\nprecious"
        )
        self.assertEqual((self.place / "volumes/db/file").read_text(), "precious\n")

    def test_disable_enable(self) -> None:
        """Map, data and mount counts survive disable and enable, under a running container."""
        self.make()
        self.fill()
        self.engine.background("holder", "db:/data")
        before = self.inspect()["Status"]
        self.assertEqual(before["Mounts"], 1)
        self.assertIn("is in use", self.error("plugin", "disable", PLUGIN))
        self.engine.docker("plugin", "disable", "-f", PLUGIN)
        self.assertEqual((self.pid(), self.mounts()), (0, []))
        self.engine.docker("exec", "holder", "sh", "-c", "echo meanwhile > /data/more")
        self.engine.docker("plugin", "enable", PLUGIN)
        self.assertEqual(self.inspect()["Status"]["MountIDs"], before["MountIDs"])
        self.check()
        self.assertEqual(self.engine.sh("db:/data", "cat /data/more"), "meanwhile")
        self.engine.docker("rm", "-f", "holder")
        self.assertEqual(self.inspect()["Status"]["Mounts"], 0)
        self.engine.docker("volume", "rm", "db")
        trash = (self.place / "volumes/.trash").glob("*/db/*")
        self.assertEqual(sorted(path.name for path in trash), ["file", "more"])

    def test_unmounted_while_disabled(self) -> None:
        """A container that ends while the plugin is away leaves a volume that can be removed."""
        self.make()
        self.fill()
        self.engine.background("holder", "db:/data")
        self.engine.docker("plugin", "disable", "-f", PLUGIN)
        self.engine.docker("rm", "-f", "holder")
        self.engine.docker("plugin", "enable", PLUGIN)
        self.check()
        self.engine.docker("volume", "rm", "db")

    def test_killed(self) -> None:
        """A killed plugin is started again, no request fails meanwhile, no mounts pile up."""
        self.make()
        self.fill()
        self.engine.background("holder", "db:/data")
        mounts = self.mounts()
        self.assertTrue(mounts)
        for _ in range(3):
            pid = self.pid()
            # The engine that starts a plugin dials it at once and each 3 s, and looks for no other
            # end of it meanwhile (pluginPostStart in moby): one that is killed then stays dead.
            until(partial(is_past, time.monotonic() + 4), "the engine's second dial")
            os.kill(pid, signal.SIGKILL)
            # The engine tries again until the next process listens.
            self.check()
            self.assertNotIn(self.pid(), (0, pid))
            self.assertEqual(self.mounts(), mounts)
        self.assertEqual(self.engine.docker("exec", "holder", "cat", "/data/file"), "precious")
        self.assertEqual(self.inspect()["Status"]["Mounts"], 1)

    def test_engine_killed(self) -> None:
        """A dockerd that is killed, or stopped, finds plugin, volume and data again."""
        self.make()
        self.fill()
        for number in (signal.SIGKILL, signal.SIGTERM):
            self.engine.end(number)
            self.engine.start()
            self.check()

    def test_mount_taken(self) -> None:
        """A plugin is started again if the engine, tidying up late, takes its new mount away."""
        self.make()
        self.fill()
        late, runtime = self.base / "late", self.base / "runtime"
        runtime.write_text(
            # What dockerd does now and then when it was killed: measured, 1 of 4 to 11 under load.
            f'#!/bin/sh\ncase "$*" in *plugins.moby*create*) if rm {late} 2>/dev/null; then\n'
            f"while umount -l {self.base}/data/plugins/*/propagated-mount; do :; done; fi; esac\n"
            'exec runc "$@"\n'
        )
        runtime.chmod(0o755)
        self.engine.options += ["--add-runtime", f"late={runtime}", "--default-runtime=late"]
        for number in (signal.SIGKILL, signal.SIGTERM):
            self.engine.end(number)
            late.touch()
            self.engine.start()
            self.assertFalse(late.exists())
            self.check()
        # And once more for each time that dockerd does it by itself.
        said = self.log().count("the engine has unmounted /var/lib/exampledriver")
        self.assertGreaterEqual(said, 2)

    def test_unmounted(self) -> None:
        """Unmounted under the plugin: nothing is made where docker plugin rm would delete it."""
        self.make()
        self.fill()
        while mounts := self.mounts():
            self.inside("umount", "--lazy", mounts[-1])
        for words in (("create", "-d", PLUGIN, "new"), ("rm", "db")):
            text = self.error("volume", *words)
            self.assertIn("/var/lib/exampledriver/volumes is not the directory that it was", text)
        self.assertEqual(self.mounts(), [])
        beneath = list(self.base.glob("data/plugins/*/propagated-mount"))
        self.assertEqual([list(path.iterdir()) for path in beneath], [[]])
        self.engine.docker("plugin", "disable", "-f", PLUGIN)
        self.engine.docker("plugin", "enable", PLUGIN)
        self.create(name="new")
        self.assertTrue((self.place / "volumes/new").is_dir())
        self.check()

    def test_removed(self) -> None:
        """A plugin that is made anew after docker plugin rm has all volumes."""
        self.make()
        self.fill()
        self.engine.docker("plugin", "rm", "-f", PLUGIN)
        self.assertEqual(self.engine.docker("volume", "ls", "-q"), "")
        self.assertEqual((self.place / "volumes/db/file").read_text(), "precious\n")
        self.make()
        self.check()

    def test_upgrade(self) -> None:
        """After docker plugin upgrade the new code has all volumes and the settings."""
        plugin, second = "127.0.0.1:5000/plugin", self.base / "second"
        images = self.serve_registry()
        registry.publish(images, "one", built())
        shutil.copytree(built(), second, symlinks=True)
        (second / "rootfs/version").write_text("two")
        registry.publish(images, "two", second)
        words = ["--grant-all-permissions", f"{plugin}:one", "TRASH_RETENTION=3d"]
        self.engine.docker("plugin", "install", "--alias", PLUGIN, *words)
        self.fill()
        self.engine.docker("plugin", "disable", "-f", PLUGIN)
        words = ["--grant-all-permissions", "--skip-remote-check", PLUGIN, f"{plugin}:two"]
        self.engine.docker("plugin", "upgrade", *words)
        self.engine.docker("plugin", "enable", PLUGIN)
        self.assertEqual(Path(f"/proc/{self.pid()}/root/version").read_text(), "two")
        started = Path(f"/proc/{self.pid()}/cmdline").read_text().split("\0")
        self.assertIn("--trash-retention=3d", started)
        self.check()


class RightsTests(ManagedCase):
    """What the plugin may do, sees, refuses and says."""

    def setUp(self) -> None:
        super().setUp()
        self.make()

    def test_capabilities(self) -> None:
        """The daemon has the five capabilities that it needs, and can get no others."""
        status = Path(f"/proc/{self.pid()}/status").read_text()
        found = dict(re.findall(r"^(Cap\w+|NoNewPrivs):\s+(\w+)$", status, re.MULTILINE))
        # CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SYS_PTRACE: linux/capability.h.
        needed = f"{sum(1 << number for number in (0, 1, 3, 4, 19)):016x}"
        self.assertEqual((found["CapEff"], found["CapPrm"], found["CapBnd"]), (needed,) * 3)
        self.assertEqual((found["CapInh"], found["CapAmb"]), ("0" * 16,) * 2)
        self.assertEqual(found["NoNewPrivs"], "1")

    def test_in_use(self) -> None:
        """A volume that a process of the host has mounted is not removed; the error has its id."""
        self.create()
        script = 'mount --bind "$1" /mnt; echo $$; exec sleep 1000'
        holder = subprocess.Popen(
            [
                "nsenter", "-t", str(self.engine.init), "-m", "-p", "--", "unshare", "--mount",
                "sh", "-c", script, "sh", str(self.place / "volumes/db"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        assert holder.stdout is not None
        self.addCleanup(holder.stdout.close)
        pid = holder.stdout.readline().strip()
        until(lambda: f"{pid} (sleep)" in self.error("volume", "rm", "db"), "a refusal")
        text = self.error("volume", "rm", "db")
        self.assertIn(f'volume "db": in use by pid {pid} (sleep), at /mnt; stop the', text)
        self.assertTrue((self.place / "volumes/db").is_dir())
        # The nsenter that was started became a parent of what it entered.
        done(
            "kill",
            "-9",
            *Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split(),
        )
        holder.wait()
        self.engine.docker("volume", "rm", "db")

    def test_errors(self) -> None:
        """Docker shows our texts; a volume elsewhere, which the engine cannot see, is refused."""
        create = ("volume", "create", "-d", PLUGIN)
        text = self.error(*create, "-o", "sise=1G", "db")
        self.assertIn('volume "db": option "sise" is not known; known: from, gid, mode', text)
        text = self.error(*create, "-o", "mountpoint=/srv/x", "db")
        self.assertIn("runs with --root-only; leave the option out", text)
        self.assertEqual(self.engine.docker("volume", "ls", "-q"), "")

    def test_settings(self) -> None:
        """docker plugin set has effect; a bad value stops enable, and dockerd's log says why."""
        self.create()
        self.engine.docker("plugin", "disable", "-f", PLUGIN)
        self.engine.docker("plugin", "set", PLUGIN, "TRASH_RETENTION=0", "LOG_FORMAT=json")
        self.engine.docker("plugin", "enable", PLUGIN)
        self.engine.docker("volume", "rm", "db")
        until(lambda: not list(self.place.glob("volumes/.trash/[!.]*")), "an empty trash")
        # The line of a change is written after its answer.
        until(lambda: re.search(r'msg="\{.*VolumeDriver.Remove', self.log()), "a line of JSON")
        self.engine.docker("plugin", "disable", "-f", PLUGIN)
        self.engine.docker("plugin", "set", PLUGIN, "TRASH_RETENTION=soon")
        self.assertIn("exampledriver.sock", self.error("plugin", "enable", PLUGIN))
        self.assertIn("--trash-retention='soon': give a number of s, m, h or d", self.log())
        self.assertIn("not settable", self.error("plugin", "set", PLUGIN, "data.source=/srv"))
        config = json.loads(self.engine.docker("plugin", "inspect", PLUGIN))[0]["Config"]
        self.assertEqual(config["Linux"]["Capabilities"], ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"])
