"""Archives: whatever is exported is imported, and whatever else is given has a sentence."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.copying import exporting, importing, members, nodes
from exampledriver.backends.copying.archive import BLOCK, Manifest
from exampledriver.backends.copying.exporting import export_tree
from exampledriver.backends.copying.fingerprints import fingerprint
from exampledriver.backends.copying.headers import header
from exampledriver.backends.copying.importing import Import
from exampledriver.backends.copying.progress import Progress
from exampledriver.backends.copying.removing import remove_tree
from exampledriver.backends.copying.trees import Copied, copy_tree
from exampledriver.volumes.errors import VolumeError

from .forest import sparse
from .growing import Seed, forests, grow, look
from .hostile import Builder, raw

#: The archives in ``archives/`` that no export has written, and what is said of each.
REFUSED = {
    "attribute-of-no-kind": 'member "data/x": its attribute name "" is not 1 to 255 bytes long',
    "device-40-bits": 'member "data/x": its device number 549755813887:0 is not one',
    "device-negative": 'member "data/x": its device number 0:-1 is not one of Linux',
    "gid-64-bits": 'member "data/x": gid "9223372036854775808" is not from 0 to 4294967294',
    "link-to-a-directory": 'importing "x": Operation not permitted',
    "link-to-the-root": 'member "data/x" is a link to the volume itself',
    "manifest-half-a-pair": "exampledriver.json: name is not a text",
    "manifest-key-half-a-pair": "exampledriver.json: options is not a table of str",
    "manifest-long-number": "exampledriver.json is not JSON that an export writes",
    "manifest-nested": "exampledriver.json is not JSON that an export writes",
    "manifest-true": "the archive has version True, this exampledriver reads 1 to 2",
    "manifest-utf-16": "exampledriver.json is not JSON that an export writes",
    "map-count-19-digits": 'member "data/x": its map of holes is too long',
    "map-of-a-directory": 'member "data/x": its map of holes is not of GNU',
    "map-start-19-digits": 'member "data/x": its map of holes does not fit its size',
    "map-version-0.1": 'member "data/x": its map of holes is not of GNU',
    "map-without-size": 'member "data/x": GNU.sparse.realsize "" is not from 0 to',
    "name-5000": "(5000 characters): File name too long",
    "real-size-63-bits": 'member "data/x": GNU.sparse.realsize "9223372036854775808" is not',
    "record-unknown": 'the member behind "data" has a PAX record "GNU.sparse.map"',
    "record-without-length": 'the archive is damaged behind "data"',
    "root-is-a-link": 'member "data" is a symbolic link: the root of a volume must be a directory',
    "size-19-digits": 'member "data/x": size "9999999999999999999" is not from 0 to',
    "size-negative": 'member "data/x": size "-1" is not from 0 to',
    "time-20-digits": 'member "data/x": "99999999999999999999" is not a time',
    "time-65-bits": 'member "data/x": "9223372036854775808.0" is not a time of 64 bits',
    "time-negative-96-bits": 'member "data/x": "-154742504910672534362390528" is not a time',
    "uid-unchanged": 'member "data/x": uid "4294967295" is not from 0 to 4294967294',
    "zero-in-attribute": 'member "data/x": the name of its attribute "user.a\\x00b" contains',
    "zero-in-hard-link": 'member "data/x": its link "data/a\\x00b" contains a zero byte',
    "zero-in-link": 'member "data/x": its link "a\\x00b" contains a zero byte',
    "zero-in-name": 'its name "data/x\\x00y" contains a zero byte',
}
#: A file system on disk, and one in memory, which can hold any time.
PLACES = (tempfile.gettempdir(), "/dev/shm")
KEPT = Path(__file__).parent / "archives"


@contextmanager
def scratch(place: str) -> Iterator[Path]:
    """Make an empty directory, and delete it."""
    path = Path(tempfile.mkdtemp(prefix="archives-", dir=place))
    try:
        yield path
    finally:
        remove_tree(path)


def exported(source: Path) -> tuple[bytes, Copied]:
    """Export a tree."""
    output = io.BytesIO()
    done = export_tree(source, Manifest("db"), output, Progress(), source.parent)
    return output.getvalue(), done


def imported(content: bytes, target: Path) -> Copied:
    """Import an archive."""
    work = Import(io.BytesIO(content), Progress())
    work.read_manifest()
    return work.extract(target, target.parent)


def check_round_trip(planted: list[Seed], from_place: str, to_place: str) -> None:
    """See that an archive of a tree in one place is imported in another, with every field."""
    with scratch(from_place) as here, scratch(to_place) as there:
        grow(here / "source", planted)
        content, sent = exported(here / "source")
        came = imported(content, there / "target")
        before, after = look(here / "source"), look(there / "target")
        assert after.nodes == before.nodes, (before.nodes, after.nodes)
        changed = {parts for parts, when in before.times.items() if after.times[parts] != when}
        warned = [text for text in came.warnings if "nearest" in text]
        assert bool(warned) == bool(changed), (warned, changed)
        if from_place == to_place:
            assert not changed, changed
        elif changed:
            assert f": {len(changed)}, the first at" in warned[0], warned
            assert any("ext4" in text for text in sent.warnings), sent
        sockets = [text for text in sent.warnings if "sockets left out" in text]
        assert bool(sockets) == bool(before.sockets), sent
        assert not sockets or f": {before.sockets}, " in sockets[0], sent


class RoundTripTests(SynchronousTestCase):
    """What an export accepts, an import restores."""

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(planted=forests, places=st.tuples(st.sampled_from(PLACES), st.sampled_from(PLACES)))
    def test_any_tree(self, planted: list[Seed], places: tuple[str, str]) -> None:
        """Every field of every node is restored; a time that cannot be is reported."""
        check_round_trip(planted, *places)

    def test_ends_of_ext4(self) -> None:
        """The first and the last second that ext4 holds have no fractions there; export warns."""
        for seconds in (-(2**31), 2**34 - 2**31 - 1):
            for fraction in (0, 1):
                with scratch("/dev/shm") as here, scratch(PLACES[0]) as there:
                    (here / "source").mkdir()
                    time = seconds * 10**9 + fraction
                    os.utime(here / "source", ns=(time, time))
                    content, sent = exported(here / "source")
                    came = imported(content, there / "target")
                    self.assertEqual(bool(sent.warnings), bool(fraction))
                    kept = (there / "target").stat().st_mtime_ns == time
                    self.assertEqual(bool(came.warnings), not kept)

    def test_names_of_attributes(self) -> None:
        """An attribute whose name is not UTF-8 is exported and imported."""
        name = os.fsdecode(b"user.\xff=\n%")
        with scratch(PLACES[0]) as base:
            (base / "source").mkdir()
            os.setxattr(base / "source", name, b"\0\xff\n")
            imported(exported(base / "source")[0], base / "target")
            self.assertEqual(os.getxattr(base / "target", name), b"\0\xff\n")

    def test_too_many_attributes(self) -> None:
        """A file with more attributes than the kernel lists bars neither export nor snapshot."""
        with scratch("/dev/shm") as base:
            source = base / "source"
            source.mkdir()
            (source / "file").write_bytes(b"content")
            for number in range(300):
                os.setxattr(source / "file", f"user.{number:0240}", b"")
            content, done = exported(source)
            self.assertIn("attributes left out", done.warnings[0])
            self.assertIn('the first at "file"', done.warnings[0])
            imported(content, base / "target")
            self.assertEqual((base / "target/file").read_bytes(), b"content")
            copied = copy_tree(source, base / "copy", Progress())
            self.assertEqual(copied.warnings, done.warnings)

    def test_holes_cost_nothing(self) -> None:
        """The holes of a file of 8 TiB, and of one in many pieces, take no time and no data."""
        # The maps are kept on disk when they are larger than this.
        for module in (exporting, members):
            self.patch(module, "_READ", 4096)
        with scratch("/dev/shm") as base:
            source = base / "source"
            source.mkdir()
            sparse(source / "huge", 1 << 43, (1 << 42, b"data"))
            with (source / "pieces").open("wb") as file:
                for number in range(3000):
                    os.pwrite(file.fileno(), b"x", number << 30)
            with io.FileIO(os.memfd_create("archive"), "w+") as output:
                export_tree(source, Manifest("db"), output, Progress(), base)
                self.assertLess(output.tell(), 1 << 30)
                output.seek(0)
                work = Import(output, Progress())
                work.read_manifest()
                done = work.extract(base / "target", base)
            self.assertEqual(done.files, 2)
            self.assertEqual(look(base / "target"), look(source))

    def test_version_1(self) -> None:
        """An archive of the first version, whose checksums covered zeros, is imported."""
        with scratch(PLACES[0]) as base:
            content = gzip.decompress((KEPT / "version-1.tar.gz").read_bytes())
            imported(content, base / "target")
            self.assertEqual((base / "target/sparse").stat().st_size, 40 << 20)
            self.assertEqual(len(fingerprint(base / "target")), 10)
            at = content.index(b"middle")
            damaged = content[:at] + b"M" + content[at + 1 :]
            self.assertRaisesRegex(Exception, "damaged", imported, damaged, base / "other")


class RefusedTests(SynchronousTestCase):
    """Archives that no export writes."""

    def refused(self, content: bytes) -> str:
        """Import what is refused; return why."""
        with scratch(PLACES[0]) as base:
            return str(self.assertRaises(VolumeError, imported, content, base / "target"))

    def test_kept(self) -> None:
        """Each archive that is kept is refused with a sentence that names the member."""
        found = {path.name.removesuffix(".tar.gz"): path for path in KEPT.iterdir()}
        self.assertEqual(set(found) - {"version-1"}, set(REFUSED))
        for name, text in REFUSED.items():
            self.assertIn(text, self.refused(gzip.decompress(found[name].read_bytes())), name)

    def test_too_deep(self) -> None:
        """A tree of which no snapshot could be made is refused; the deepest other is not."""
        limit = 50
        for module in (importing, nodes):
            self.patch(module, "DEEPEST", limit)

        def deep(depth: int) -> bytes:
            tree = Builder().manifest().root()
            for count in range(1, depth + 1):
                tree.node(b"/".join([b"d"] * count), tarfile.DIRTYPE, mode=0o755)
            return tree.whole()

        with scratch(PLACES[0]) as base:
            imported(deep(limit), base / "target")
            copy_tree(base / "target", base / "copy", Progress())
        text = self.refused(deep(limit + 1))
        self.assertIn(f"is nested in more than {limit} directories", text)

    def test_names_without_end(self) -> None:
        """More attributes than a file can have are refused before they take memory."""
        records = {b"SCHILY.xattr.user.%d" % number: b"" for number in range(10_000)}
        whole = Builder().manifest().root().file(b"x", records=records).whole()
        self.assertIn('behind "data" has more attributes than a file can', self.refused(whole))

    def test_built(self) -> None:
        """What the other tests change is imported as it is."""
        table = b"2\n2\n1\n9\n0\n"
        whole = Builder().manifest().root().file(b"a", b"b").sparse(b"c", table, b"d", 9).whole()
        with scratch(PLACES[0]) as base:
            imported(whole, base / "target")
            self.assertEqual((base / "target/c").read_bytes(), b"\0\0d\0\0\0\0\0\0")

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        records=st.dictionaries(
            st.sampled_from([b"path", b"linkpath", b"size", b"uid", b"mtime", b"SCHILY.xattr.a",
                             b"SCHILY.xattr.user.b", b"GNU.sparse.name", b"GNU.sparse.realsize",
                             b"GNU.sparse.major", b"GNU.sparse.minor", b"hdrcharset", b"x", b""]),
            st.one_of(st.binary(max_size=30), st.integers().map(lambda number: b"%d" % number)),
        ),
        kind=st.sampled_from([bytes([kind]) for kind in b"0123457xgLKSV\0"]),
        fields=st.dictionaries(
            st.sampled_from(["name", "mode", "uid", "gid", "size", "mtime", "link", "major"]),
            st.binary(min_size=8, max_size=8),
        ),
    )  # fmt: skip
    def test_any_header(
        self, records: dict[bytes, bytes], kind: bytes, fields: dict[str, bytes]
    ) -> None:
        """Whatever a header says, the archive becomes a tree or is refused with a sentence."""
        head = header(b"data/x", kind, records=records)
        head = head[:-BLOCK] + raw(head[-BLOCK:], **fields)
        content = Builder().manifest().root().file(b"a").add(head).whole()
        with scratch(PLACES[1]) as base:
            try:
                imported(content, base / "target")
            except VolumeError as error:
                assert str(error)
            assert set(os.listdir(base)) <= {"target"}
