"""What a tree is, in short: two trees with equal fingerprints are copies of each other."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from .files import segments
from .nodes import Metadata, Parts, explained, handle, walk
from .progress import Progress


def fingerprint(tree: Path, progress: Progress | None = None) -> dict[str, str]:
    """Return a digest of everything that a copy keeps: equal trees have equal ones.

    :return: by path below the tree (``.`` is the root), a SHA-256 of type, owner, mode, mtime,
        attributes, hard links, and what it contains. Holes count as zeros.
    """
    progress = progress or Progress()
    found: dict[str, str] = {}
    first: dict[tuple[int, int], Parts] = {}
    top = os.open(tree, os.O_PATH | os.O_NOFOLLOW)
    try:
        for node in walk(top):
            with explained("reading", node.parts):
                data = Metadata.of(node.fd, node.status)
                content = ""
                if node.kind == stat.S_IFREG:
                    content = digest(node.fd, node.status.st_size, progress)
                elif node.kind == stat.S_IFLNK:
                    content = os.readlink("", dir_fd=node.fd)
            link = node.parts
            if node.kind != stat.S_IFDIR and node.status.st_nlink > 1:
                link = first.setdefault(node.inode, node.parts)
            described = (
                node.kind,
                (data.mode, data.uid, data.gid, data.mtime_ns),
                sorted(data.xattrs.items()),
                node.status.st_rdev if node.kind in (stat.S_IFBLK, stat.S_IFCHR) else 0,
                link,
                content,
            )
            found["/".join(node.parts) or "."] = hashlib.sha256(
                repr(described).encode()
            ).hexdigest()
    finally:
        os.close(top)
    return found


def digest(node: int, size: int, progress: Progress) -> str:
    """Return the SHA-256 of a regular file's first `size` bytes."""
    total = hashlib.sha256()
    file = os.open(handle(node), os.O_RDONLY)
    try:
        position = 0
        for start, length in segments(file, size):
            hash_zeros(total, start - position, progress)
            position, end = start, start + length
            while position < end:
                data = os.pread(file, min(1 << 20, end - position), position)
                if not data:
                    break
                total.update(data)
                position += len(data)
                progress.advance(size=len(data))
        hash_zeros(total, size - position, progress)
    finally:
        os.close(file)
    return total.hexdigest()


_ZEROS = bytes(1 << 20)


def hash_zeros(total: hashlib._Hash, count: int, progress: Progress) -> None:
    """Add `count` zero bytes to a digest."""
    while count > 0:
        step = min(count, len(_ZEROS))
        total.update(_ZEROS if step == len(_ZEROS) else bytes(step))
        count -= step
        progress.advance()
