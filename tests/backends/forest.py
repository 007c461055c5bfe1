"""A tree with everything in it that a copy must keep."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

#: Linux's form of an ACL: version 2, then tag, permissions and id of each entry.
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20


def acl(user: int) -> bytes:
    """Return an ACL that lets one more user read and write."""
    entries = [(_USER_OBJ, 7, -1), (_USER, 6, user), (_GROUP_OBJ, 5, -1), (_MASK, 7, -1)]
    entries.append((_OTHER, 0, -1))
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, permissions, number & 0xFFFFFFFF)
        for tag, permissions, number in entries
    )


def sparse(path: Path, size: int, *pieces: tuple[int, bytes]) -> None:
    """Write a file that is holes but for some pieces."""
    with path.open("wb") as file:
        file.truncate(size)
        for start, data in pieces:
            file.seek(start)
            file.write(data)


def plant(root: Path, depth: int = 40) -> None:
    """Make the tree; as root with other owners, devices and trusted attributes too."""
    root.mkdir()
    (root / "empty").touch()
    (root / "plain").write_bytes(os.urandom(3000))
    (root / "large").write_bytes(os.urandom(1_500_000))
    sparse(root / "sparse", 40 << 20, (0, b"head"), (9 << 20, b"middle"), ((40 << 20) - 4, b"tail"))
    sparse(root / "hole", 5 << 20)
    sparse(root / "tailless", 6 << 20, (1 << 20, b"x" * 5000))
    sub = root / "sub/below"
    sub.mkdir(parents=True)
    os.link(root / "plain", sub / "linked")
    os.link(root / "plain", root / "also")
    os.link(root / "sparse", sub / "sparse-linked")
    os.symlink("../plain", root / "sub/to-plain")
    os.symlink("/nowhere/at/all", root / "dangling")
    os.link(root / "dangling", sub / "dangling-too", follow_symlinks=False)
    os.symlink("x" * 300, root / "long-target")
    os.mkfifo(root / "fifo", 0o640)
    for name in (b"not-utf8-\xff\xfe", b"line\nbreak", b"back\\slash", b"n" * 255, "ä€".encode()):
        (root / os.fsdecode(name)).write_bytes(name)
    os.setxattr(root / "plain", "user.text", b"text")
    os.setxattr(root / "large", "user.bytes", bytes(range(256)))
    os.setxattr(root / "large", "user.odd=%3D%name", b"\xff=\n")
    os.setxattr(sub, "user.directory", b"")
    os.setxattr(root / "large", "system.posix_acl_access", acl(os.geteuid() + 1))
    os.setxattr(root / "sub", "system.posix_acl_default", acl(os.geteuid() + 2))
    (root / "sub/after-the-acl").touch()
    (root / "setuid").touch()
    os.chmod(root / "setuid", 0o6755)
    dig(root, depth)
    (root / "closed").mkdir()
    (root / "closed/inside").touch()
    if os.geteuid() == 0:
        _plant_as_root(root)
    os.chmod(root / "closed", 0o500)
    os.utime(root / "empty", ns=(1, 1_234_567_891_123_456_789))
    os.utime(root / "fifo", ns=(-5_000_000_001, -5_000_000_001))
    os.utime(root / "dangling", ns=(77, 77_000_000_001), follow_symlinks=False)
    os.utime(root / "sub", ns=(99, 99_000_000_000))
    os.chmod(root, 0o1751)
    os.utime(root, ns=(123, 123_456_789_012))


def dig(root: Path, depth: int) -> None:
    """Make directories below each other, deeper than any path may be long."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("level", dir_fd=here)
        below = os.open("level", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("bottom", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=here))
    os.close(here)


def _plant_as_root(root: Path) -> None:
    os.chown(root, 1000, 3_000_000_000)
    os.chown(root / "setuid", 65534, 65534)
    os.chmod(root / "setuid", 0o6755)
    os.chown(root / "dangling", 12, 34, follow_symlinks=False)
    os.mknod(root / "device", 0o020600, os.makedev(1, 3))
    os.mknod(root / "block", 0o060640, os.makedev(259, 70000))
    os.setxattr(root / "dangling", "trusted.link", b"of a link", follow_symlinks=False)
    os.setxattr(root / "device", "trusted.node", b"of a node")
    # A capability, as setcap(8) writes it: cap_net_bind_service=ep.
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    os.setxattr(root / "setuid", "security.capability", capability)


def add_socket(root: Path) -> None:
    """Bind a socket in a tree; its path may be longer than bind(2) takes."""
    directory = os.open(root, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"/proc/self/fd/{directory}/socket")
    finally:
        os.close(directory)


def allocated(path: Path) -> int:
    """Return how many bytes a file has on disk."""
    return os.lstat(path).st_blocks * 512
