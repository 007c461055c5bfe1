"""Volumes that are whatever mount(8) knows: NFS, CIFS, SSHFS, a device, a directory elsewhere.

The driver mounts and unmounts; the data is the user's, and nothing of it is ever deleted.
A mount runs in a child with a deadline. Whether a server still answers is asked by a child
too, one for each volume: if the kernel does not let it go, no other is sent after it.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import define, evolve, field
from zope.interface import implementer

from ..processes import printable
from ..volumes import values
from ..volumes.errors import InvalidOptionError, VolumeError, brief, quoted
from ..volumes.model import StoredVolume, Wanted
from . import confine, mounting, mounts, probing
from .commands import CommandError, run
from .explaining import described
from .interfaces import IBackend
from .measuring import Measure, MeasureError, measure
from .mounted import MountedBackend, failed
from .mounts import inside
from .sharing import CIFS, MOUNT, MountOptions, parse

#: Seconds in which a server answers, or counts as one that does not.
PATIENCE = 2.0


@implementer(IBackend)
@define(eq=False)
class MountBackend(MountedBackend):
    """The backend ``mount``.

    :ivar private: the daemon's own directories, which no volume may show.
    :ivar bases: if there are any, a device that is a path is below one of them; real paths.
    """

    private: Sequence[Path] = ()
    bases: Sequence[Path] = ()
    #: The children that ask a server, by volume, and since when.
    _asking: dict[str, tuple[subprocess.Popen[bytes], float]] = field(factory=dict, init=False)

    kind = MOUNT
    forced = True

    def parse(self, name: str, given: Mapping[str, str]) -> Wanted:
        """Read the options."""
        return parse(name, given)

    def judge(self, backend: str, options: Mapping[str, str]) -> None:
        """Judge the options of the journal."""
        parse("", options)

    def resolve(self, name: str, wanted: Wanted) -> Wanted:
        """Judge the paths of a device and of a file with credentials."""
        options = MountOptions.of(wanted.options)
        trouble = _unsafe(options.credentials)
        if trouble:
            raise values.bad(name, "credentials-file", options.credentials, trouble)
        place = _place(options)
        if place:
            trouble = self._forbidden(place)
            if trouble:
                raise values.bad(name, "device", options.device, trouble)
        return evolve(wanted, unresolved=False)

    def _forbidden(self, device: str) -> str:
        try:
            path = os.path.realpath(device)
        except OSError as error:
            return error.strerror or str(error)
        for own in (self.root, *self.private):
            if inside(path, str(own)):
                return f"{own} is the driver's own"
        if self.bases and not any(inside(path, str(base)) for base in self.bases):
            return f"allowed are paths below {', '.join(map(str, self.bases))}"
        return ""

    def layers(self, volume: StoredVolume) -> int:
        """Return two for a volume that is a directory of what is mounted."""
        return 2 if "subpath" in volume.options else 1

    def mount_at(self, volume: StoredVolume, target: str) -> None:
        """Mount what is asked for, within the volume's time."""
        options = MountOptions.of(volume.options)
        try:
            # What they are may have changed since the Create.
            self.resolve(volume.name, Wanted(MOUNT, volume.options))
        except InvalidOptionError as error:
            raise VolumeError(str(error)) from None
        doing = f"mounting {quoted(options.full_device())} (type {options.kind})"
        until = time.monotonic() + options.seconds
        try:
            mounting.mount(
                options.kind, options.all_words(), options.full_device(), target, options.seconds
            )
            if options.subpath:
                doing = f"going to subpath={quoted(options.subpath)}"
                self._go_down(target, options.subpath, max(1.0, until - time.monotonic()))
        except CommandError as error:
            hint = mounting.hint(options.kind, error, options.seconds)
            raise failed(volume, doing, error, hint) from error

    @staticmethod
    def _go_down(target: str, subpath: str, seconds: float) -> None:
        try:
            run([sys.executable, "-I", confine.__file__, target, subpath], seconds)
        except CommandError:
            mounting.detach(target)
            raise

    def users(self, volume: StoredVolume) -> str:
        """Return who uses the volume, as far as that can be told.

        Two mounts of one export are one file system to the kernel: who uses it may use the
        other volume, which is named. Where it is mounted for others than volumes nobody is
        named. Nothing is lost with the volume.
        """
        here = mounts.here()
        own = [mount for mount in here if mount.mountpoint == volume.mountpoint][-1:]
        if not own:
            return ""
        others = {
            mount.mountpoint
            for mount in here
            if mount.mountpoint != volume.mountpoint
            and mount.device == own[0].device
            and (inside(mount.root, own[0].root) or inside(own[0].root, mount.root))
        }
        if any(os.path.dirname(place) != str(self.root) for place in others):
            return ""
        found = self.find_holders(volume.mountpoint)
        users = described([holder for holder in found if holder.mountpoint not in others])
        if not (users and others):
            return users
        names = ", ".join(quoted(os.path.basename(place)) for place in sorted(others))
        return f"{users}, or that is a user of {names}, which shows the same file system"

    def mount(self, volume: StoredVolume) -> str:
        """Mount the volume, if it is not mounted, and see that it can be used.

        An engine that gets a path on which nobody answers would hang with it.
        """
        used = bool(mounting.layers(volume.mountpoint))
        until = time.monotonic() + MountOptions.of(volume.options).seconds
        path = super().mount(volume)
        # Its time is that of the whole: an engine waits no longer.
        trouble = self._ask(volume, max(1.0, until - time.monotonic()))
        if trouble:
            if not used:
                mounting.detach(path)
            raise VolumeError(f"volume {quoted(volume.name)}: {trouble}")
        return path

    def look_mounted(self, volume: StoredVolume) -> str:
        """Ask the server whether it can be read and written."""
        return self._ask(volume, PATIENCE, "write")

    def measure_mounted(self, volume: StoredVolume, pulse: Callable[[], None]) -> Measure:
        """Measure what is mounted, unless a server, which may not answer, would be asked."""
        return measure(volume.mountpoint, pulse)

    def measure_unmounted(self, volume: StoredVolume) -> Measure:
        """Refuse: nobody knows what is at the other end."""
        raise MeasureError("not known until it is mounted")

    def _ask(self, volume: StoredVolume, seconds: float, *words: str) -> str:
        """Ask the server whether it is there, by a child that may hang; return the trouble.

        :param words: further arguments of :mod:`.probing`.
        """
        before = self._asking.get(volume.name)
        if before is not None:
            child, began = before
            if child.poll() is None:
                return _silent(volume, time.monotonic() - began)
            del self._asking[volume.name]
        began = time.monotonic()
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", probing.__file__, volume.mountpoint, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )
        assert child.stderr is not None
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            self._asking[volume.name] = child, began
            child.stderr.close()
            return _silent(volume, seconds)
        with child.stderr:
            said = printable(child.stderr.read(1024).decode("utf-8", "replace").strip())
        return f"its server does not serve it: {said}" if status else ""


def _place(options: MountOptions) -> str:
    """Return the path that a device is to mount(8), which runs in ``/``; empty if it is none."""
    path = "/" + options.device.lstrip("/")
    if options.device.startswith("/"):
        share = options.kind in CIFS and options.device.startswith("//")
        return "" if share else path
    return path if os.path.lexists(path) else ""


def _silent(volume: StoredVolume, seconds: float) -> str:
    return (
        f"its server does not answer, for {seconds:.0f} s: {quoted(volume.options['device'])}; "
        "containers that use it wait; other volumes do not"
    )


def _unsafe(credentials: str) -> str:
    """Return why a file with secrets cannot be used, or an empty text."""
    if not credentials:
        return ""
    try:
        found = os.stat(credentials)
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(found.st_mode):
        return "it is no file"
    if found.st_mode & 0o077:
        return f'others may read it: "chmod 600 {brief(credentials)}"'
    return ""
