"""Trees of any content, for hypothesis: all that a file system can hold in a node."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from hypothesis import strategies as st

from exampledriver.backends.copying.files import segments
from exampledriver.backends.copying.nodes import Metadata, Parts, handle, walk

#: Where the kernel numbers users: from 0 to one below "leave as it is".
IDS = 2**32 - 2
SECONDS = 2**63
BLOCK = 4096

names = st.one_of(
    st.sampled_from([b"a", b"b", b"..x", b"-", b" ", b"\\", b"\n", b"\r", b"%3D=", b"\xff\xfe"]),
    st.binary(min_size=1, max_size=255),
).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
times = st.one_of(
    st.sampled_from([0, -1, 2**31, -(2**31) - 1, 2**34, 10**13, SECONDS - 1, -SECONDS]),
    st.integers(-SECONDS, SECONDS - 1),
    st.integers(-(2**31), 2**34 - 2**31 - 1),
)
attribute_names = st.binary(min_size=1, max_size=40).filter(lambda name: 0 not in name)


@frozen
class Seed:
    """What a node is to be.

    :ivar above: chooses the directory that it is in, of those before it.
    :ivar pieces: where a file has data: a block's number, and bytes.
    :ivar target: of a symbolic link; chooses what a hard link is another name of.
    """

    kind: str
    name: bytes
    above: int
    seconds: int
    nanoseconds: int
    mode: int
    owner: tuple[int, int]
    xattrs: dict[bytes, bytes]
    pieces: tuple[tuple[int, bytes], ...]
    size: int
    target: bytes
    device: tuple[int, int]


ids = st.one_of(st.sampled_from([0, 65534, 2**21, 2**31, IDS]), st.integers(0, IDS))
#: Up to 2 TiB, which ext4 can hold whatever its blocks are.
blocks = st.one_of(st.integers(0, 20), st.integers(0, 2**29 - 1))
seeds = st.builds(
    Seed,
    kind=st.sampled_from(
        ["file", "file", "directory", "directory", "symlink", "link", "fifo", "socket", "device"]
    ),
    name=names,
    above=st.integers(0, 50),
    seconds=times,
    nanoseconds=st.integers(0, 10**9 - 1),
    mode=st.integers(0, 0o7777),
    owner=st.tuples(ids, ids),
    xattrs=st.dictionaries(attribute_names, st.binary(max_size=300), max_size=3),
    pieces=st.lists(st.tuples(blocks, st.binary(min_size=1, max_size=9)), max_size=4).map(tuple),
    size=st.one_of(st.integers(0, 10**5), st.integers(0, 2**41 - BLOCK)),
    target=st.binary(min_size=1, max_size=200).filter(lambda name: 0 not in name),
    # The largest numbers that XFS can hold.
    device=st.tuples(st.integers(0, 0x1FF), st.integers(0, 0x3FFFF)),
)
forests = st.lists(seeds, max_size=8)


def grow(root: Path, planted: list[Seed]) -> None:
    """Make a tree, of what this user may make and the file system can hold."""
    root.mkdir()
    directories = [os.open(root, os.O_RDONLY)]
    made: list[tuple[int, bytes, Seed]] = []
    try:
        for seed in planted:
            above = directories[seed.above % len(directories)]
            with suppress(FileExistsError):
                if _make(above, seed, made):
                    made.append((above, seed.name, seed))
                    if seed.kind == "directory":
                        directories.append(os.open(seed.name, os.O_RDONLY, dir_fd=above))
        for above, name, seed in reversed(made):
            _finish(above, name, seed)
    finally:
        for fd in directories:
            os.close(fd)


def _make(above: int, seed: Seed, made: list[tuple[int, bytes, Seed]]) -> bool:
    root = os.geteuid() == 0
    if seed.kind == "directory":
        os.mkdir(seed.name, dir_fd=above)
    elif seed.kind == "symlink":
        os.symlink(seed.target, seed.name, dir_fd=above)
    elif seed.kind == "link":
        others = [one for one in made if one[2].kind not in ("directory", "link")]
        if not others:
            return False
        directory, name, _ = others[seed.target[0] % len(others)]
        os.link(
            name, seed.name, src_dir_fd=directory, dst_dir_fd=above, follow_symlinks=False
        )  # fmt: skip
    elif seed.kind == "device" and root:
        kind = stat.S_IFBLK if seed.mode & 1 else stat.S_IFCHR
        os.mknod(seed.name, kind | 0o600, os.makedev(*seed.device), dir_fd=above)
    elif seed.kind in ("fifo", "socket"):
        kind = stat.S_IFIFO if seed.kind == "fifo" else stat.S_IFSOCK
        os.mknod(seed.name, kind | 0o600, dir_fd=above)
    else:
        _write(above, seed)
    return True


def _write(above: int, seed: Seed) -> None:
    fd = os.open(seed.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=above)
    try:
        os.ftruncate(fd, seed.size)
        for block, data in seed.pieces:
            os.pwrite(fd, data, block * BLOCK)
    finally:
        os.close(fd)


def _finish(above: int, name: bytes, seed: Seed) -> None:
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=above)
    try:
        path = handle(fd)
        if os.geteuid() == 0:
            os.chown(path, *seed.owner)
        for attribute, value in seed.xattrs.items():
            # Not on links and devices, and not without room.
            with suppress(OSError):
                os.setxattr(path, b"user." + attribute, value)
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(path, seed.mode | (0 if os.geteuid() == 0 else 0o700))
        when = seed.seconds * 10**9 + seed.nanoseconds
        os.utime(path, ns=(when, when))
    finally:
        os.close(fd)


@define
class Found:
    """What a tree is.

    :ivar nodes: what each is but for its time, by its path.
    :ivar times: the mtime of each, by the first of its names.
    :ivar sockets: how many there are; they are not among the nodes.
    """

    nodes: dict[Parts, object] = field(factory=dict)
    times: dict[Parts, int] = field(factory=dict)
    sockets: int = 0


def look(tree: Path) -> Found:
    """Return what a tree is; a file's holes cost no time."""
    found = Found()
    first: dict[tuple[int, int], Parts] = {}
    with _opened(tree, os.O_PATH) as top:
        for node in walk(top):
            if node.kind == stat.S_IFSOCK:
                found.sockets += 1
                continue
            about = Metadata.of(node.fd, node.status)
            content: Any = None
            if node.kind == stat.S_IFREG:
                with _opened(Path(handle(node.fd)), os.O_RDONLY) as file:
                    size = node.status.st_size
                    content = size, dict(_written(file, size))
            elif node.kind == stat.S_IFLNK:
                content = os.readlink("", dir_fd=node.fd)
            elif node.kind in (stat.S_IFCHR, stat.S_IFBLK):
                content = node.status.st_rdev
            same = first.setdefault(node.inode, node.parts)
            owner = about.mode, about.uid, about.gid
            found.nodes[node.parts] = node.kind, owner, about.xattrs, content, same
            found.times[same] = about.mtime_ns
    return found


def _written(file: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield each sector of a file that is not zeros: the blocks of file systems differ."""
    for start, length in segments(file, size):
        data = os.pread(file, length, start)
        for at in range(0, length, 512):
            if data[at : at + 512].strip(b"\0"):
                yield start + at, data[at : at + 512]


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)
