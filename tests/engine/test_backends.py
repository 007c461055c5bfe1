"""Each kind that needs root and the kernel passes the suite that all backends pass."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends import imagefiles, mounting, mounts
from exampledriver.backends.btrfs import BtrfsBackend
from exampledriver.backends.commands import CommandError, run
from exampledriver.backends.copying import removing
from exampledriver.backends.copying.progress import Progress
from exampledriver.backends.directory import DirectoryBackend
from exampledriver.backends.growing import alone
from exampledriver.backends.image import ImageBackend
from exampledriver.backends.interfaces import IBackend
from exampledriver.backends.mount import MountBackend
from exampledriver.backends.tmpfs import TmpfsBackend
from exampledriver.backends.trash import Trash
from exampledriver.volumes.errors import BusyError, InvalidOptionError, VolumeError
from exampledriver.volumes.model import StoredVolume
from tests.backends import suites
from tests.process import until
from tests.volumes.fixtures import NOON, World

from . import storage_suites
from .box import done
from .storage import enable_simple_quotas, loop_devices, make_file_system, release


class TmpfsTests(storage_suites.MountedSuite):
    """Memory."""

    options = {"size": "1M", "mode": "0710", "uid": "5", "gid": "6"}  # noqa: RUF012

    def backend(self) -> IBackend:
        return TmpfsBackend(self.root, Trash(self.root))

    def test_resize(self) -> None:
        """A mounted tmpfs gets another size."""
        backend = cast(TmpfsBackend, self.backend())
        volume = self.volume(backend)
        backend.create(volume)
        backend.resize(volume, 4 << 20)
        backend.mount(volume)
        backend.resize(volume, 2 << 20)
        found = os.statvfs(volume.mountpoint)
        self.assertEqual(found.f_blocks * found.f_frsize, 2 << 20)
        owned = os.stat(volume.mountpoint)
        self.assertEqual((owned.st_mode & 0o7777, owned.st_uid, owned.st_gid), (0o710, 5, 6))


class Ext4Tests(storage_suites.ImageSuite):
    """ext4."""

    options = {"size": "32M", "uid": "7", "gid": "8", "mode": "0750"}  # noqa: RUF012

    def test_reserve(self) -> None:
        """A reserved file takes its space at once, and keeps it when something is deleted."""
        self.options = {**self.options, "reserve": "yes"}
        backend = cast(ImageBackend, self.backend())
        volume = self.volume(backend)
        backend.create(volume)
        self.fill(backend, volume)
        os.unlink(f"{volume.mountpoint}/file")
        os.sync()
        found = backend.file(volume).stat()
        self.assertGreaterEqual(found.st_blocks * 512, found.st_size)

    def test_adopt(self) -> None:
        """A file that is there is adopted if it has the size."""
        backend = cast(ImageBackend, self.backend())
        backend.create(self.volume(backend))
        self.options = {**self.options, "size": "64M"}
        error = self.assertRaises(VolumeError, backend.create, self.volume(backend))
        self.assertIn("is there already with a size of 32M, asked for is 64M", str(error))

    def test_no_file_system(self) -> None:
        """A file that cannot be mounted is an error with a hint, and nothing is left mounted."""
        backend = cast(ImageBackend, self.backend())
        volume = self.volume(backend)
        backend.create(volume)
        backend.file(volume).write_bytes(bytes(32 << 20))
        error = self.assertRaises(VolumeError, backend.mount, volume)
        self.assertIn("wrong fs type", str(error))
        self.assertEqual(backend.mounted(), set())

    def test_cut_off(self) -> None:
        """A growth whose daemon was killed bars the volume while its program works, and no longer.

        What the program leaves in the volume, were it empty, goes with the next Mount.
        """
        backend = cast(ImageBackend, self.backend())
        volume = self.volume(backend)
        backend.create(volume)
        file = backend.file(volume)
        # As the file would be with e2fsck at its end, and resize2fs at work.
        backend.mount(volume)
        Path(volume.mountpoint, "lost+found").mkdir()
        backend.unmount(volume)
        with subprocess.Popen(["flock", file, "sleep", "1000"]) as program:
            self.addCleanup(program.kill)
            until(lambda: _is_locked(file), "the program")
            with self.assertRaises(OSError) as caught, alone(file, 0.1):
                self.fail("it is not alone")
            self.assertIn("an earlier daemon has started works on it", str(caught.exception))
            mounting = threading.Thread(target=backend.mount, args=[volume])
            mounting.start()
            self.addCleanup(mounting.join)
            mounting.join(0.3)
            self.assertEqual(backend.mounted(), set())
            done("pkill", "-P", str(program.pid))
        mounting.join()
        self.assertEqual(os.listdir(volume.mountpoint), [])

    def test_program_locks(self) -> None:
        """The programs that let an image grow have its lock, also when the daemon is gone."""
        backend = cast(ImageBackend, self.backend())
        volume = self.volume(backend)
        backend.create(volume)
        programs = self.root.parent / "programs"
        programs.mkdir()
        for name in ("e2fsck", "resize2fs"):
            (programs / name).write_text(
                f'#!/bin/sh\nls -l /proc/$$/fd | grep -q db.img || exit 99\nexec /sbin/{name} "$@"'
            )
            (programs / name).chmod(0o755)
        path = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        os.environ["PATH"] = f"{programs}:{path}"
        backend.resize(volume, 64 << 20)

    def test_cannot_be_made(self) -> None:
        """A creation that fails leaves no file, no mount and no loop device."""
        backend = cast(ImageBackend, self.backend())
        volume = self.volume(backend)
        self.patch(imagefiles, "_prepare", _fail)
        self.assertRaises(VolumeError, backend.create, volume)
        self.assertEqual(os.listdir(backend.images), [])
        self.assertEqual(loop_devices(self.root), [])


def _is_locked(file: Path) -> bool:
    return subprocess.run(["flock", "--nonblock", file, "true"]).returncode != 0


def _fail(*arguments: object) -> None:
    raise OSError(5, "Input/output error")


class XfsTests(storage_suites.ImageSuite):
    """XFS."""

    options = {"size": "300M", "fs": "xfs", "uid": "7", "gid": "8", "mode": "0750"}  # noqa: RUF012


class BtrfsImageTests(storage_suites.ImageSuite):
    """Btrfs in a file."""

    options = {"size": "256M", "fs": "btrfs", "uid": "7", "gid": "8", "mode": "0750"}  # noqa: RUF012


class BindTests(storage_suites.MountedSuite):
    """A directory elsewhere."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.root.parent / "there"
        self.there.mkdir()
        self.options = {"type": "none", "o": "bind", "device": str(self.there)}

    def backend(self) -> IBackend:
        return MountBackend(self.root, Trash(self.root))

    def test_kept(self) -> None:
        """What is mounted is the user's: it is only unmounted."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        self.fill(backend, volume)
        backend.remove(volume)
        self.assertEqual((self.there / "file").read_text(), "x")


class SharedTests(storage_suites.MountedSuite):
    """A device that is mounted for several volumes: one file system to the kernel."""

    def setUp(self) -> None:
        super().setUp()
        file = self.root.parent / "disk.img"
        make_file_system(file, "ext4", 16 << 20)
        device = done("losetup", "--find", "--show", str(file)).strip()
        self.addCleanup(done, "losetup", "--detach", device)
        # Before the device goes.
        self.addCleanup(release, self.root)
        self.options = {"type": "ext4", "device": device}

    def backend(self) -> IBackend:
        return MountBackend(self.root, Trash(self.root))

    def test_other(self) -> None:
        """While one is in use the other is not removed, and its error names both."""
        backend = self.backend()
        volumes = [self.volume(backend, name) for name in ("a", "b")]
        for volume in volumes:
            backend.create(volume)
            backend.mount(volume)
            backend.check_unused(volume)
        script = f"mount --bind {volumes[1].mountpoint} /mnt && echo held && exec sleep 1000"
        holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", script],
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        self.assertEqual(holder.stdout.readline(), b"held\n")
        error = str(self.assertRaises(BusyError, backend.check_unused, volumes[0]))
        self.assertIn(f"in use by pid {holder.pid} (", error)
        self.assertIn('or that is a user of "b", which shows the same file system', error)
        self.assertIn('user of "b"', str(backend.look(volumes[0], True)[1]))
        holder.kill()
        holder.wait()
        for volume in volumes:
            backend.remove(volume)


class SubpathTests(BindTests):
    """A directory of what is mounted."""

    def setUp(self) -> None:
        super().setUp()
        self.options = {**self.options, "subpath": "a/b"}

    def test_kept(self) -> None:
        """It is made, and kept when the volume goes."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        self.fill(backend, volume)
        backend.remove(volume)
        self.assertEqual((self.there / "a/b/file").read_text(), "x")

    def test_confined(self) -> None:
        """A symbolic link of the server does not lead out; nothing stays mounted."""
        (self.there / "a").symlink_to("/etc")
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        error = self.assertRaises(VolumeError, backend.mount, volume)
        self.assertIn('going to subpath="a/b": a: ', str(error))
        self.assertEqual(backend.mounted(), set())


class DeviceTests(BindTests):
    """ext4 on a loop device."""

    def setUp(self) -> None:
        super().setUp()
        disk = self.root.parent / "disk.img"
        make_file_system(disk, "ext4", 16 << 20)
        self.options = {"type": "ext4", "o": "loop", "device": str(disk)}

    def test_kept(self) -> None:
        """What was written is there when the volume is made again."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        self.fill(backend, volume)
        backend.remove(volume)
        backend.create(volume)
        backend.mount(volume)
        self.assertEqual(Path(volume.mountpoint, "file").read_text(), "x")


class OverlayTests(storage_suites.MountedSuite):
    """overlay."""

    def setUp(self) -> None:
        super().setUp()
        disk = self.root.parent / "disk"
        disk.mkdir()
        mounting.mount("tmpfs", [], "none", str(disk), 10)
        self.addCleanup(release, disk)
        for name in ("lower", "upper", "work"):
            (disk / name).mkdir()
        words = f"lowerdir={disk}/lower,upperdir={disk}/upper,workdir={disk}/work"
        self.options = {"type": "overlay", "device": "overlay", "o": words}

    def backend(self) -> IBackend:
        return MountBackend(self.root, Trash(self.root))


class SubvolumeTests(suites.BackendSuite):
    """Subvolumes of a Btrfs root."""

    def setUp(self) -> None:
        base = Path(os.path.realpath(self.mktemp()))
        base.mkdir()
        make_file_system(base / "disk.img", "btrfs", 256 << 20)
        self.disk = base / "disk"
        self.disk.mkdir()
        mounting.mount("btrfs", ["loop"], str(base / "disk.img"), str(self.disk), 10)
        self.addCleanup(release, base)
        self.root = self.disk / "volumes"
        self.root.mkdir()

    def backend(self) -> IBackend:
        return BtrfsBackend(DirectoryBackend(self.root, [], Trash(self.root)))

    def fill(self, backend: IBackend, volume: StoredVolume) -> None:
        Path(volume.mountpoint, "file").write_text("x")

    def test_settle(self) -> None:
        """A removal that a crash undid is done again; creations are durable at once."""
        backend = self.backend()
        removed, back = (self.volume(backend, name) for name in ("c", "d"))
        for volume in (removed, back):
            self.assertFalse(backend.settles(volume))
            backend.create(volume)
        backend.remove(removed)
        self.assertEqual(backend.settle([], [removed, back]), {})
        for volume in (removed, back):
            self.assertRaises(VolumeError, backend.mount, volume)

    def test_replaced(self) -> None:
        """What took a subvolume's place, a link or a file, goes to the trash as it is."""
        backend = self.backend()
        for replace in (lambda path: path.symlink_to("/etc"), Path.touch):
            volume = self.volume(backend)
            backend.create(volume)
            place = Path(volume.mountpoint)
            run(["btrfs", "subvolume", "delete", str(place)], 10)
            replace(place)
            backend.remove(volume)
            self.assertFalse(os.path.lexists(place))

    def test_recover(self) -> None:
        """A half-made subvolume is cleared; entries are listed by the directory backend."""
        backend = self.backend()
        backend.create(self.volume(backend))
        there = os.listdir(self.root)
        staged = self.root / ".0123456789abcdef.exampledriver-sub"
        run(["btrfs", "subvolume", "create", str(staged)], 10)
        self.assertEqual(backend.recover({}, set()), [])
        self.assertEqual(os.listdir(self.root), there)

    def test_options(self) -> None:
        """A size, no copy on write or a compression, owner and mode: all are there."""
        backend = cast(BtrfsBackend, self.backend())
        self.options = {"size": "20M", "cow": "no", "uid": "7", "mode": "0700"}
        volume = self.volume(backend)
        error = self.assertRaises(VolumeError, backend.create, volume)
        self.assertIn(f'"btrfs quota enable {self.root}", once', str(error))
        self.assertEqual(os.listdir(self.root), [])
        run(["btrfs", "quota", "enable", str(self.root)], 10)
        backend.create(volume)
        self.assertIn("C", run(["lsattr", "-d", volume.mountpoint], 10).split()[0])
        found = os.stat(volume.mountpoint)
        self.assertEqual((found.st_mode & 0o7777, found.st_uid), (0o700, 7))
        self.assertRaises(OSError, self._write, volume, 40)
        os.unlink(f"{volume.mountpoint}/file")
        os.sync()
        backend.resize(volume, 60 << 20)
        self._write(volume, 40)
        self.options = {"compression": "zstd"}
        other = self.volume(backend, "other")
        backend.create(other)
        got = run(["btrfs", "property", "get", other.mountpoint, "compression"], 10)
        self.assertEqual(got.strip(), "compression=zstd")

    @staticmethod
    def _write(volume: StoredVolume, mebibytes: int) -> None:
        with open(f"{volume.mountpoint}/file", "wb") as file:
            for _ in range(mebibytes):
                file.write(os.urandom(1 << 20))
            file.flush()
            os.fsync(file.fileno())

    def test_purged(self) -> None:
        """A removed subvolume leaves the trash like a directory."""
        backend = self.backend()
        volume = self.volume(backend)
        backend.create(volume)
        self.fill(backend, volume)
        backend.remove(volume)
        self.assertEqual(Trash(self.root).purge(timedelta()), 1)
        self.assertEqual(list(self.root.glob(".trash/[!.]*")), [])

    def test_purged_for_space(self) -> None:
        """A purge for space counts what subvolumes take, and deletes no more than is needed."""
        backend = self.backend()
        for name in ("a", "b", "c"):
            volume = self.volume(backend, name)
            backend.create(volume)
            inner = Path(volume.mountpoint, "inner")
            run(["btrfs", "subvolume", "create", str(inner)], 10)
            (inner / "file").write_bytes(os.urandom(16 << 20))
            backend.remove(volume)
        os.sync()
        space = os.statvfs(self.root)
        self.assertEqual(Trash(self.root).relieve(space.f_bavail / space.f_blocks + 0.05), 1)

    def test_purged_nested(self) -> None:
        """What a container makes inside does not prevent the volume's deletion.

        Read-only subvolumes with others inside, full ones, snapshots with the places of
        subvolumes; the volume itself is read-only. No link is followed.
        """
        elsewhere = self.disk / "elsewhere"
        run(["btrfs", "subvolume", "create", str(elsewhere)], 10)
        (elsewhere / "precious").write_text("x")
        for name in ("db", "again"):
            backend = self.backend()
            volume = self.volume(backend, name)
            backend.create(volume)
            place = Path(volume.mountpoint)
            (place / "a").mkdir()
            inner = [place / "a/one", place / "a/one/two", place / "a/one/two/three", place / "b"]
            for path in inner:
                run(["btrfs", "subvolume", "create", str(path)], 10)
                (path / "dir/below").mkdir(parents=True)
                (path / "dir/file").write_text("x")
                (path / "link").symlink_to(elsewhere)
            run(["btrfs", "subvolume", "snapshot", "-r", str(inner[0]), f"{place}/copy"], 10)
            for path in (*inner, place):
                run(["btrfs", "property", "set", str(path), "ro", "true"], 10)
            if name == "db":
                backend.remove(volume)
            else:  # a removal that a crash undid
                self.assertEqual(backend.settle([], [volume]), {})
        self.assertEqual(Trash(self.root).purge(timedelta()), 2)
        self.assertEqual(os.listdir(self.root / ".trash"), [])
        self.assertEqual((elsewhere / "precious").read_text(), "x")

    def test_mounted_over(self) -> None:
        """A file system that is mounted over a subvolume while its tree is deleted is kept."""
        run(["btrfs", "subvolume", "create", str(self.disk / "tree")], 10)
        run(["btrfs", "subvolume", "create", str(self.disk / "tree/inner")], 10)
        run(["btrfs", "subvolume", "create", str(self.disk / "tree/inner/most")], 10)
        (self.disk / "kept").mkdir()
        (self.disk / "kept/file").write_text("x")
        # A subvolume, too: its number is 256.
        other = self.disk.parent / "other.img"
        make_file_system(other, "btrfs", 128 << 20)
        place = self.disk / "tree/inner"

        def look(path: str) -> list[str]:
            found = mounts.mounts_inside(path)
            mounting.mount("btrfs", ["loop"], str(other), str(place), 10)
            (place / "precious").write_text("x")
            return found

        self.patch(removing, "mounts_inside", look)
        self.assertRaises(OSError, removing.remove_tree, self.disk / "tree")
        self.assertEqual((place / "precious").read_text(), "x")
        mounting.detach(str(place))

    def test_simple_quotas(self) -> None:
        """With simple quotas the size binds subvolumes that are made inside, at any depth."""
        if not enable_simple_quotas(self.root):
            return
        backend = cast(BtrfsBackend, self.backend())
        self.options = {"size": "20M", "uid": "7"}
        volume = self.volume(backend)
        backend.create(volume)
        inner = f"{volume.mountpoint}/a"
        for path in (inner, f"{inner}/b"):
            _make_subvolume(path)
        deepest = self.volume(backend, f"{volume.name}/a/b")
        self.assertRaises(OSError, self._write, deepest, 40)
        backend.resize(volume, 60 << 20)
        self._write(deepest, 40)
        copier = backend.copier(volume)
        target = self.root / "clone"
        copier.clone(Path(volume.mountpoint), target, Progress(), True)
        _make_subvolume(f"{target}/c")
        self.assertRaises(OSError, self._write, self.volume(backend, "clone/a/b"), 80)

    def test_no_btrfs(self) -> None:
        """A root that is no Btrfs is refused, with what to do."""
        root = self.disk.parent / "elsewhere"
        root.mkdir()
        backend = BtrfsBackend(DirectoryBackend(root, [], Trash(root)))
        error = self.assertRaises(VolumeError, backend.create, self.volume(backend))
        self.assertIn("needs a root that is Btrfs, and", str(error))


def _make_subvolume(path: str) -> None:
    """Make a subvolume as a program does that says nothing of groups."""
    parent = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        name = os.fsencode(os.path.basename(path))
        fcntl.ioctl(parent, 0x5000940E, bytearray(struct.pack("=q4088s", 0, name)))
    finally:
        os.close(parent)


class QuotaTests(SynchronousTestCase):
    """The size of a directory: where the kernel has project quotas, and where it has none."""

    def setUp(self) -> None:
        self.base = Path(os.path.realpath(self.mktemp()))
        self.base.mkdir()
        self.addCleanup(release, self.base)

    def backend(self, root: Path) -> DirectoryBackend:
        """Return the backend of a root."""
        return DirectoryBackend(root, [], Trash(root))

    def volume(self, root: Path) -> StoredVolume:
        """Return a volume with a size."""
        return StoredVolume("db", f"{root}/db", NOON, {"size": "4M"})

    def test_refused(self) -> None:
        """A file system without quotas refuses a size with the reason, and nothing is made."""
        for kind, size, why in (
            ("ext4", 16 << 20, "(ext4) counts no projects"),
            ("xfs", 300 << 20, "(xfs) counts no projects"),
            ("btrfs", 256 << 20, "(btrfs) has no project quotas"),
        ):
            root = self.base / kind
            root.mkdir()
            make_file_system(self.base / f"{kind}.img", kind, size)
            mounting.mount(kind, ["loop"], str(self.base / f"{kind}.img"), str(root), 10)
            error = self.assertRaises(
                InvalidOptionError, self.backend(root).create, self.volume(root)
            )
            self.assertIn('option size="4M": the file system of', str(error))
            self.assertIn(why, str(error))
            self.assertIn("or use backend=image", str(error))
            self.assertFalse((root / "db").exists())

    def test_limited(self) -> None:
        """With quotas the kernel keeps the size; a kernel that has none does not mount them."""
        disk, root = self.base / "disk.img", self.base / "root"
        root.mkdir()
        disk.write_bytes(b"")
        os.truncate(disk, 64 << 20)
        run(["mkfs.ext4", "-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota",
             str(disk)], 10)  # fmt: skip
        try:
            mounting.mount("ext4", ["loop", "prjquota"], str(disk), str(root), 10)
        except CommandError as error:
            self.assertIn("wrong fs type, bad option", str(error))
            self.assertEqual(mounting.layers(str(root)), [])
            return
        backend, volume = self.backend(root), self.volume(root)
        backend.create(volume)
        self.assertRaises(OSError, (root / "db/file").write_bytes, bytes(8 << 20))
        backend.resize(volume, 16 << 20)
        (root / "db/file").write_bytes(bytes(8 << 20))


class TmpfsWorld(World):
    """A world whose volumes are of all kinds that need only memory."""

    def kinds(self, trash: Trash) -> dict[str, IBackend]:
        """Return both."""
        return {**super().kinds(trash), "tmpfs": TmpfsBackend(self.root, trash)}


class ResizeTests(SynchronousTestCase):
    """The service gives a volume another size."""

    def test_resize(self) -> None:
        """It is journalled and shown, and the mounted volume has it."""
        world = TmpfsWorld(Path(os.path.realpath(self.mktemp())))
        service = world.start()
        self.addCleanup(release, world.root)
        self.do(service.create("db", {"backend": "tmpfs", "size": "1M"}))
        path = self.do(service.mount("db", "1"))
        self.do(service.resize("db", "2048k"))
        for again in (service, world.start()):
            shown = again.get("db")
            self.assertEqual(dict(shown.status["Options"]), {"size": "2M"})  # type: ignore[call-overload]
        found = os.statvfs(path)
        self.assertEqual(found.f_blocks * found.f_frsize, 2 << 20)
        self.do(service.unmount("db", "1"))

    def test_refused(self) -> None:
        """What is no size, no volume, or has no size to change, is an error that says so."""
        world = TmpfsWorld(Path(os.path.realpath(self.mktemp())))
        service = world.start()
        self.do(service.create("db", {}))
        for name, size, why in (
            ("db", "x", 'option size="x": give a size'),
            ("db", "1M", "was made without a size (backend directory)"),
            ("no", "1M", "no such volume"),
        ):
            failure = self.failureResultOf(Deferred.fromCoroutine(service.resize(name, size)))
            self.assertIn(why, str(failure.value))

    def do(self, call: Any) -> Any:
        """Return what a call of the service gives at once."""
        return self.successResultOf(Deferred.fromCoroutine(call))
