"""Containers that mount volumes at places with odd names; a real Docker Engine."""

from __future__ import annotations

import os

from tests.admin import command
from tests.backends.test_mounts import ODD
from tests.process import until

from .box import done
from .kinds import KindCase


class OddMountpointTests(KindCase):
    """What a container calls the place of its volume is nothing to other volumes."""

    def test_carriage_return(self) -> None:
        """While a volume is mounted at ``/a\\rb``, others are removed, copied, and mounted again.

        The daemon starts with such a container and an image volume there, and the volume itself
        counts as used.
        """
        docker = self.engine.docker
        # A loop device of another program's, whose file has a name that is not UTF-8.
        file = os.fsencode(self.daemon.base) + b"/\xff.img"
        with open(file, "wb") as opened:
            opened.truncate(1 << 20)
        device = done("losetup", "--find", "--show", os.fsdecode(file))
        self.addCleanup(done, "losetup", "--detach", device)
        docker("volume", "create", "-d", "x", "other")
        docker("volume", "create", "-d", "x", "-o", "backend=image", "-o", "size=16M", "image")
        self.create()
        texts = [odd.decode("utf-8", "ignore") for odd in ODD if len(odd) < 100]
        mounts = [word for text in filter(None, texts) for word in ("-v", f"{self.name}:/a{text}b")]
        docker(
            "run", "-d", "--init", "--network=none", "--name", "holder", *mounts,
            "busybox:local", "sleep", "1000",
        )  # fmt: skip
        self.engine.sh("image:/data", "echo kept > /data/file")
        self.revive()
        self.assertEqual(self.engine.sh("image:/data", "cat /data/file"), "kept")
        command.done(self.daemon, "volume", "snapshot", "other")
        docker("volume", "rm", "other")
        docker("volume", "rm", "image")
        self.assertNotIn("internal error", self.daemon.log())
        _, answer = self.daemon.call("VolumeDriver.Remove", {"Name": self.name})
        error = answer["Err"]
        self.assertIn("in use by pid ", error)
        self.assertTrue(error.isprintable(), error)
        docker("rm", "-f", "holder")
        docker("volume", "rm", self.name)
        until(lambda: self.daemon.names() == [], "the end of the volumes")
