"""The bytes of an archive on their way from or to a command that is slow, or dead."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.copying import channels
from exampledriver.backends.copying.channels import Channel
from exampledriver.backends.copying.progress import Progress, StoppedError
from exampledriver.volumes.errors import VolumeError
from tests.process import remove_directory, short_directory


class ChannelTests(SynchronousTestCase):
    """A channel to a command that listens, and then does nothing."""

    def setUp(self) -> None:
        base = short_directory()
        self.addCleanup(remove_directory, base)
        self.path = base / "x"
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.path))
        listener.listen(1)
        self.patch(channels, "_TICK", 0.01)

    def fill(self, channel: Channel) -> None:
        """Write more than is taken."""
        while True:
            channel.write(bytes(1 << 16))

    def test_silent(self) -> None:
        """Who neither reads nor sends anything is given up, and does not hold a volume for ever."""
        self.patch(channels, "SILENCE", 0.05)
        with Channel(self.path, Progress()) as channel:
            for work in (lambda: self.fill(channel), lambda: channel.read(1)):
                error = self.assertRaises(VolumeError, work)
                self.assertIn("has been silent for", str(error))

    def test_stopped(self) -> None:
        """A stop is not kept waiting by who neither reads nor sends anything."""
        progress = Progress()
        with Channel(self.path, progress) as channel:
            progress.stop.set()
            for work in (lambda: self.fill(channel), lambda: channel.read(1)):
                self.assertRaises(StoppedError, work)

    def test_found_once(self) -> None:
        """Nobody else finds the command: its socket has no name when it is connected."""
        with Channel(self.path, Progress()):
            self.assertFalse(self.path.exists())
        self.assertRaises(VolumeError, Channel(self.path, Progress()).__enter__)
