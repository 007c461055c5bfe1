"""Archives that no export has written, given to the importer.

An archive becomes a tree, or is refused with a sentence. Nothing outside the tree's directory
changes, the importer's memory stays within the process's limit, and it ends in time.
"""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from attrs import define, field

from exampledriver.backends.copying.archive import BLOCK, Manifest
from exampledriver.backends.copying.exporting import export_tree
from exampledriver.backends.copying.headers import header
from exampledriver.backends.copying.importing import Import
from exampledriver.backends.copying.progress import Progress
from exampledriver.backends.copying.removing import remove_tree
from exampledriver.volumes.errors import VolumeError
from tests.backends.forest import sparse
from tests.backends.hostile import Builder, raw

from .runner import Check

#: Seconds of the processor after which an import is stopped, and by which it has to end.
STOP, END = 0.5, 2.0
#: Bytes that an import may write: the rest is a hole.
MOST = 64 << 20

_NAMES = (
    *(b"a", b"b", b"d", b"d/a", b"d/d", b"l", b"h") * 4,
    b"a", b"b", b"d", b"d/a", b"d/d", b"d/d/x", b"l", b"l/a", b"l/canary", b"h", b"..", b".",
    b"../canary", b"d/../../canary", b"/canary", b"", b"a/", b"a//b", b"a\0b", b"\xff", b"n" * 300,
    b"d" * 100, b"\n", b"*", b"checksums", b"seal",
)  # fmt: skip
_NUMBERS = (
    b"0", b"1", b"7", b"511", b"512", b"513", b"65536", b"2097152", b"4294967294", b"4294967295",
    b"4294967296", b"8589934592", b"9223372036854775807", b"9223372036854775808",
    b"9999999999999999999", b"99999999999999999999", b"-1", b"-9223372036854775808", b"1.5",
    b"0x10", b"1e3", b"", b" 1", b"\xd9\xa1", b"10000000000000.000000000", b"-0.000000001",
)  # fmt: skip
_KEYWORDS = (
    b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"hdrcharset", b"GNU.sparse.name",
    b"GNU.sparse.realsize", b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.map",
    b"SCHILY.xattr.user.a", b"SCHILY.xattr.user.\xff", b"SCHILY.xattr.user.a\0b",
    b"SCHILY.xattr.", b"SCHILY.xattr.system.posix_acl_access", b"SCHILY.xattr.user.%3D%25",
    b"SCHILY.acl.access", b"atime", b"uname", b"",
)  # fmt: skip
_KINDS = (*(bytes([kind]) for kind in b"01234567xgLKSVDN\0\xff"), b"5", b"5", b"0", b"2")
_FIELDS = ("name", "mode", "uid", "gid", "size", "mtime", "kind", "link", "magic", "major", "minor")


def start(directory: Path) -> Check:
    """Prepare the archives that are changed, and what must not change."""
    return Target(directory).check


@define(eq=False)
class Target:
    """The importer, in a directory that has more in it."""

    directory: Path
    whole: list[bytes] = field(factory=list, init=False)
    canaries: dict[str, os.stat_result] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        """Make the archives and the canaries."""
        source = self.directory / "source"
        source.mkdir()
        self.whole.append(self._exported(source))
        (source / "d/d").mkdir(parents=True)
        (source / "a").write_bytes(b"some content")
        os.link(source / "a", source / "d/h")
        os.symlink("../canary", source / "l")
        os.setxattr(source / "d", "user.a", b"value")
        self.whole.append(self._exported(source))
        sparse(source / "holes", 1 << 20, (1 << 14, b"data"), (1 << 18, b"more"))
        os.mkfifo(source / "fifo")
        self.whole.append(self._exported(source))
        remove_tree(source)
        (self.directory / "canary").mkdir(mode=0o700)
        (self.directory / "canary/canary").write_bytes(b"sings")
        self.canaries = self._look()

    def _exported(self, source: Path) -> bytes:
        output = io.BytesIO()
        export_tree(source, Manifest("db"), output, Progress(), self.directory)
        return output.getvalue()

    def _look(self) -> dict[str, os.stat_result]:
        found = {}
        for name in ("canary", "canary/canary"):
            status = os.lstat(self.directory / name)
            found[name] = os.stat_result((*status[:7], 0, *status[8:10]))
        found.update(dict.fromkeys(os.listdir(self.directory), found["canary"]))
        found.update(dict.fromkeys(os.listdir(self.directory / "canary"), found["canary"]))
        return found

    def check(self, random: Random) -> None:
        """Import one archive."""
        content = random.choice(_WAYS)(random, self.whole)
        target, began = self.directory / "target", time.process_time()

        def stop(progress: Progress) -> None:
            if time.process_time() - began > STOP or progress.size > MOST:
                progress.stop.set()

        work = Import(io.BytesIO(content), Progress(stop, 0), devices=random.random() < 0.5)
        try:
            work.read_manifest()
            work.extract(target, self.directory)
        except VolumeError as error:
            assert str(error).strip(), "an error without a text"
            str(error).encode("utf-8")
        seconds = time.process_time() - began
        assert seconds < END, f"{seconds:.1f} s for {len(content)} bytes"
        remove_tree(target)
        assert self._look() == self.canaries, "something outside has changed"


def _mutated(random: Random, whole: list[bytes]) -> bytes:
    """Change some bytes of an archive, cut it, or put pieces of it elsewhere."""
    content = bytearray(random.choice(whole))
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(content)) if content else 0
        way = random.randrange(5)
        if way == 0 and content:
            content[at] ^= 1 << random.randrange(8)
        elif way == 1:
            content[at : at + random.choice((1, 12, BLOCK))] = random.randbytes(
                random.choice((0, 1, 12))
            )
        elif way == 2:
            del content[at:]
        else:
            # Whole blocks: the headers' own checksums are right, the order is not.
            here, there = (random.randrange(len(content) // BLOCK + 1) * BLOCK for _ in "12")
            count = random.choice((1, 1, 2, 4)) * BLOCK
            piece = content[there : there + count]
            content[here : here + (count if way == 3 else 0)] = piece
    return bytes(content)


def _with_headers(random: Random, whole: list[bytes]) -> bytes:
    """Change fields of some headers, and make their checksums right again."""
    content = bytearray(random.choice(whole))
    for at in range(0, len(content), BLOCK):
        if content[at + 257 : at + 262] == b"ustar" and random.random() < 0.3:
            block = bytes(content[at : at + BLOCK])
            content[at : at + BLOCK] = raw(block, **_fields(random))
    return bytes(content)


def _fields(random: Random) -> dict[str, bytes]:
    made = {}
    for name in random.sample(_FIELDS, random.choice((1, 1, 2))):
        if name == "kind":
            made[name] = random.choice(_KINDS)
        elif name in ("name", "link"):
            made[name] = (b"data/" + random.choice(_NAMES))[:100] + b"\0"
        else:
            octal = b"%07o\0" % random.choice((0, 1, 511, 512, 0o7777, 0o7777777))
            base256 = random.choice((b"\x80", b"\xff")) + random.randbytes(7)
            made[name] = random.choice((octal, base256, bytes(8), random.randbytes(8)))
    return made


def _built(random: Random, whole: list[bytes]) -> bytes:
    """Build an archive of strange members, with checksums and a seal that are right."""
    made = Builder()
    made.manifest(_manifest(random) if random.random() < 0.2 else Manifest("db").to_bytes())
    if random.random() < 0.95:
        made.root(**_owner(random))
    for _ in range(random.choice((1, 2, 3, 6))):
        _add(random, made)
    return made.whole()


def _add(random: Random, made: Builder) -> None:
    name = random.choice(_NAMES)
    way = random.randrange(10)
    if way < 3:
        content = random.randbytes(random.choice((0, 1, 511, 512, 2000)))
        made.file(name, content, random.random() < 0.1, **_owner(random))
    elif way < 5:
        made.sparse(name, _table(random), bytes(random.choice((0, 1, 4, 600))),
                    random.choice((0, 4, 10, 1 << 20, 1 << 42, (1 << 63) - 1)))  # fmt: skip
    elif way < 6:
        made.node(name, tarfile.DIRTYPE, mode=random.randrange(0o10000))
    elif way < 7:
        target = random.choice((b"canary", b"../canary", b"../../canary", b"data/a", b"data"))
        link = random.choice((target, b"data/" + random.choice(_NAMES)))
        made.node(name, random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE)), link=link)
    else:
        head = header(b"data/" + name, random.choice(_KINDS), records=_records(random))
        if random.random() < 0.5:
            head = head[:-BLOCK] + raw(head[-BLOCK:], **_fields(random))
        made.add(head)


def _owner(random: Random) -> dict[str, int]:
    most = random.choice((1, 1, 1, 1, 1, 1, 1, 2**16, 2**32 - 1, 2**64))
    return {"uid": random.randrange(most), "gid": random.randrange(most)}


def _records(random: Random) -> dict[bytes, bytes]:
    made = {}
    for keyword in random.sample(_KEYWORDS, random.choice((0, 1, 1, 2, 4))):
        texts: list[Callable[[], bytes]] = [
            lambda: random.choice(_NUMBERS),
            lambda: b"data/" + random.choice(_NAMES),
            lambda: random.randbytes(random.choice((0, 1, 8, 600))),
        ]
        made[keyword] = random.choice(texts)()
    return made


def _table(random: Random) -> bytes:
    if random.random() < 0.5:
        return random.choice((b"1\n0\n4\n", b"2\n0\n1\n9\n1\n", b"1\n4\n600\n", b"1\n10\n0\n"))
    count = random.choice((0, 1, 2, 5))
    numbers = [b"%d" % count, *(random.choice(_NUMBERS) for _ in range(2 * count))]
    return b"".join(number + b"\n" for number in numbers)


def _manifest(random: Random) -> bytes:
    content = bytearray(Manifest("db", options={"uid": "7"}).to_bytes())
    pieces = (b"[", b"{", b'"', b"\\ud800", b"null", b"-1e999", b"9" * 5000, b"\xff", b"[" * 90_000)
    for _ in range(random.choice((1, 1, 3))):
        at = random.randrange(len(content))
        content[at : at + random.choice((0, 1, 9))] = random.choice(pieces)
    return bytes(content)


_WAYS: tuple[Callable[[Random, list[bytes]], bytes], ...] = (
    _mutated,
    _with_headers,
    _built,
    _built,
)
