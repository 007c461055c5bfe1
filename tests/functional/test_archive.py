"""Archives: what is kept, and that nothing damaged, cut short or hostile is imported."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.copying import archive
from exampledriver.backends.copying.archive import ArchiveError, Manifest
from exampledriver.backends.copying.exporting import export_tree
from exampledriver.backends.copying.fingerprints import fingerprint
from exampledriver.backends.copying.importing import Import
from exampledriver.backends.copying.progress import Progress, StoppedError
from exampledriver.backends.copying.removing import remove_tree
from exampledriver.backends.copying.staging import Stage
from exampledriver.volumes.errors import VolumeError
from tests.backends.forest import add_socket, allocated, plant, sparse

MANIFEST = Manifest("db", created="2026-01-01T00:00:00Z", options={"uid": "7"}, consistency="exact")


class Trickle(io.BytesIO):
    """A stream that gives little at a time, as a pipe does."""

    def read(self, count: int | None = -1, /) -> bytes:
        return super().read(min(count or 0, 777))


def hostile(*members: tarfile.TarInfo, data: bytes = b"", root: bool = True) -> bytes:
    """Return an archive with these behind a manifest and the root; their data is `data`."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as tar:
        manifest = tarfile.TarInfo(archive.MANIFEST)
        manifest.size = len(MANIFEST.to_bytes())
        tar.addfile(manifest, io.BytesIO(MANIFEST.to_bytes()))
        if root:
            tar.addfile(member("data", tarfile.DIRTYPE))
        for one in members:
            tar.addfile(one, io.BytesIO(data))
    return output.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return a header."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.uid, info.gid = os.geteuid(), os.getegid()
    return info


class ArchiveTests(SynchronousTestCase):
    """export_tree and Import."""

    def setUp(self) -> None:
        self.base = Path(os.path.realpath(self.mktemp()))
        self.base.mkdir()
        self.addCleanup(remove_tree, self.base)
        self.source, self.target = self.base / "source", self.base / "target"

    def exported(self, progress: Progress | None = None) -> bytes:
        """Export the source."""
        output = io.BytesIO()
        export_tree(self.source, MANIFEST, output, progress or Progress(), self.base)
        return output.getvalue()

    def imported(self, content: bytes, devices: bool | None = None) -> Manifest:
        """Import into the target, as the service does."""
        work = Import(Trickle(content), Progress())
        if devices is not None:
            work.devices = devices
        manifest = work.read_manifest()
        with Stage(self.target) as stage:
            work.extract(stage.content, stage.directory)
            stage.publish()
        return manifest

    def refused(self, content: bytes) -> str:
        """Import what is refused; return why. Nothing is left."""
        error = self.assertRaises(VolumeError, self.imported, content)
        self.assertEqual(set(os.listdir(self.base)) - {"source", "outside"}, set())
        return str(error)

    def test_everything(self) -> None:
        """What is imported has the contents, owners, times, attributes and links that it had."""
        plant(self.source)
        manifest = self.imported(self.exported())
        self.assertEqual(fingerprint(self.target), fingerprint(self.source))
        self.assertEqual(manifest.name, "db")
        self.assertEqual(manifest.options, {"uid": "7"})
        self.assertEqual(manifest.owner["mode"], 0o1751)
        for name in ("sparse", "hole", "tailless"):
            self.assertLess(allocated(self.target / name), 200_000, name)

    def test_sockets(self) -> None:
        """Sockets, which tar does not know, are left out."""
        plant(self.source)
        before = fingerprint(self.source)
        add_socket(self.source)
        self.imported(self.exported())
        self.assertEqual(set(fingerprint(self.target)), set(before))

    def test_depth(self) -> None:
        """A tree of any depth fits."""
        plant(self.source, depth=700)
        self.imported(self.exported())
        self.assertEqual(fingerprint(self.target), fingerprint(self.source))

    def test_root(self) -> None:
        """The root of a volume is a directory: no other node is exported or imported as one."""
        self.source.write_bytes(b"a file")
        self.assertIn("Not a directory", str(self.assertRaises(VolumeError, self.exported)))
        for kind, text in (
            (tarfile.REGTYPE, "a file"),
            (tarfile.SYMTYPE, "a symbolic link"),
            (tarfile.LNKTYPE, "a hard link"),
            (tarfile.FIFOTYPE, "a FIFO"),
            (tarfile.CHRTYPE, "a device node"),
            (tarfile.BLKTYPE, "a device node"),
        ):
            found = self.refused(hostile(member("data", kind, "/"), root=False))
            expected = f'member "data" is {text}: the root of a volume must be a directory'
            self.assertEqual(found, expected)
            found = self.refused(hostile(member("data", kind, "data/x")))
            self.assertEqual(found, expected)

    def test_other_tools(self) -> None:
        """GNU tar extracts the archive, and sha256sum checks its checksums."""
        plant(self.source)
        (self.base / "a.tar").write_bytes(self.exported())
        out = self.base / "out"
        out.mkdir()
        subprocess.run(
            ["tar", "-x", "-p", "-f", self.base / "a.tar", "-C", out],
            check=True,
            capture_output=True,
        )
        subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "checksums"], cwd=out, check=True)
        self.assertLess(allocated(out / "data/sparse"), 200_000)
        self.assertTrue(os.path.samefile(out / "data/plain", out / "data/sub/below/linked"))

    def test_cut_anywhere(self) -> None:
        """An archive that ends too early is refused, wherever it ends."""
        plant(self.source, depth=3)
        for name in ("sparse", "sub/below/sparse-linked", "hole", "tailless"):
            (self.source / name).unlink()
        content = self.exported()
        # What is behind the seal is padding.
        end = content.rindex(b"seal") + 1024
        for length in (*range(0, end, 50_021), end - 513, end - 512, end - 1):
            self.refused(content[:length])

    def test_damaged_anywhere(self) -> None:
        """A bit that has changed is noticed, wherever it is."""
        self.source.mkdir()
        (self.source / "file").write_bytes(os.urandom(700))
        os.link(self.source / "file", self.source / "link")
        os.setxattr(self.source / "file", "user.a", b"b" * 50)
        os.symlink("x" * 200, self.source / "symlink")
        sparse(self.source / "sparse", 100_000, (50_000, b"x"))
        content = bytearray(self.exported())
        end = content.rindex(b"seal") + 1024
        for position in range(0, end, 13):
            content[position] ^= 4
            self.refused(bytes(content))
            content[position] ^= 4
        self.imported(bytes(content))

    def test_damaged_file_is_named(self) -> None:
        """The file whose data has changed is named."""
        self.source.mkdir()
        (self.source / "a").write_bytes(b"aaaa")
        (self.source / "b").write_bytes(b"bbbb")
        text = self.refused(self.exported().replace(b"bbbb", b"bbbc"))
        self.assertEqual(text, 'member "data/b" is damaged: its checksum is not the archive\'s')

    def test_names_that_lead_out(self) -> None:
        """A member whose name leads out of the volume is refused, and named."""
        for name in ("/etc/cron.d/x", "data/../../x", "../x", "data/./x", "data//x", "other/x"):
            text = self.refused(hostile(member(name)))
            self.assertIn(f'member "{name}": the name leads out of the volume', text)
        text = self.refused(hostile(member("data/x", tarfile.LNKTYPE, "/etc/passwd")))
        self.assertIn('member "/etc/passwd" of "data/x"', text)
        text = self.refused(hostile(member("data/x", tarfile.LNKTYPE, "data/../../target")))
        self.assertIn("leads out", text)

    def test_through_a_link(self) -> None:
        """A member is not made through a link that the archive made before."""
        outside = self.base / "outside"
        outside.mkdir()
        for to in (str(outside), "../outside", "../../outside"):
            link = member("data/l", tarfile.SYMTYPE, to)
            for name in ("data/l/x", "data/l"):
                text = self.refused(hostile(link, member(name)))
                self.assertIn(f'importing "{name[5:]}"', text)
            text = self.refused(hostile(link, member("data/y", tarfile.LNKTYPE, "data/l/x")))
            self.assertIn('importing "y"', text)
        self.assertEqual(os.listdir(outside), [])

    def test_devices(self) -> None:
        """A device node is refused where this is not root, and named."""
        content = hostile(member("data/sda", tarfile.BLKTYPE))
        error = self.assertRaises(ArchiveError, self.imported, content, devices=False)
        self.assertIn('member "data/sda" is a device node', str(error))

    def test_unknown_types(self) -> None:
        """A type that no export writes is refused."""
        for kind in (tarfile.CONTTYPE, b"V", b"g", b"L", b"K", b"S"):
            self.refused(hostile(member("data/x", kind)))

    def test_twice(self) -> None:
        """A name that comes twice is refused."""
        self.assertIn("File exists", self.refused(hostile(member("data/x"), member("data/x"))))

    def test_before_its_directory(self) -> None:
        """A member without its directory is refused."""
        self.assertIn('importing "a/b"', self.refused(hostile(member("data/a/b"))))

    def test_huge_header(self) -> None:
        """A header of gigabytes is refused before it is read."""
        head = tarfile.TarInfo("x")
        head.type, head.size = b"x", 1 << 33
        text = self.refused(hostile()[:1536] + head.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
        self.assertIn("more than are read of it", text)

    def test_bad_maps(self) -> None:
        """A map of holes that does not fit its file is refused."""
        for table in (b"1\n5\n10\n", b"x", b"9999999\n", b"2\n4\n4\n0\n4\n", b"1\n0\n-4\n", b"0\n"):
            data = table.ljust(512, b"\0") + b"data"
            info = member("GNUSparseFile.0/data/x")
            info.size = len(data)
            info.pax_headers = {
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.name": "data/x",
                "GNU.sparse.realsize": "8",
            }
            self.assertIn("map of holes", self.refused(hostile(info, data=data)), table)

    def test_no_archive(self) -> None:
        """What is no archive, or another's, is refused with what would be one."""
        for content in (b"", b"hello", bytes(10240), hostile()[:512]):
            self.refused(content)
        output = io.BytesIO()
        with tarfile.open(fileobj=output, mode="w") as tar:
            tar.addfile(member("etc/passwd"))
        self.assertIn("no exported volume", self.refused(output.getvalue()))

    def test_compressed(self) -> None:
        """One that is compressed is said to be given through a pipe."""
        text = self.refused(gzip.compress(os.urandom(2000)))
        self.assertIn("through a pipe, such as from zcat", text)

    def test_newer(self) -> None:
        """An archive of a newer version is refused."""
        content = hostile().replace(b'"version": 2', b'"version": 3')
        self.assertIn("use a newer one", self.refused(content))

    def test_following(self) -> None:
        """Something behind the archive's end is refused."""
        self.source.mkdir()
        self.assertIn("follows", self.refused(self.exported() + b"x"))

    def test_stop(self) -> None:
        """An export and an import that are told to stop stop."""
        plant(self.source)
        content = self.exported()
        stop: Callable[[Progress], object] = lambda progress: progress.stop.set()  # noqa: E731
        self.assertRaises(StoppedError, self.exported, Progress(stop, 0))
        work = Import(io.BytesIO(content), Progress(stop, 0))
        self.assertRaises(StoppedError, work.read_manifest)

    def test_shrinking(self) -> None:
        """A file that becomes shorter while it is read is filled with zeros, and counted."""
        self.source.mkdir()
        (self.source / "log").write_bytes(b"x" * (3 << 20))

        def cut(progress: Progress) -> None:
            if progress.size:
                os.truncate(self.source / "log", 100)

        output = io.BytesIO()
        done = export_tree(self.source, MANIFEST, output, Progress(cut, 0), self.base)
        self.assertEqual(done.changed, 1)
        self.imported(output.getvalue())
        self.assertEqual((self.target / "log").stat().st_size, 3 << 20)
