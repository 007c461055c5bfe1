"""File systems for tests: made in files, and what is left of them looked for."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from pathlib import Path

from exampledriver.backends import mounting, mounts

from .box import done


def make_file_system(image: Path, kind: str, size: int) -> None:
    """Make a file system in a sparse file."""
    with image.open("wb") as file:
        file.truncate(size)
    done(f"mkfs.{kind}", "-q", "-F" if kind == "ext4" else "-f", str(image))


def release(place: Path) -> None:
    """Unmount all that is mounted at or below a directory."""
    for mountpoint in sorted(mounts.mounts_inside(str(place)), reverse=True):
        mounting.detach(mountpoint)


def loop_devices(below: Path) -> list[str]:
    """Return the files below a directory that loop devices have open."""
    listed = subprocess.run(
        ["losetup", "--list", "--noheadings", "--raw", "--output", "BACK-FILE"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return sorted(
        file for file in listed if mounts.inside(file.removesuffix(" (deleted)"), str(below))
    )


def enable_simple_quotas(place: Path) -> bool:
    """Let a Btrfs count by simple quotas; return whether the kernel knows them (Linux 6.7)."""
    fd = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, 0xC0109428, struct.pack("=QQ", 4, 0))
    except OSError:
        release = [int(part) for part in os.uname().release.split(".")[:2]]
        assert release < [6, 7], release
        return False
    finally:
        os.close(fd)
    return True


def may_grow_ext4() -> bool:
    """Tell whether this process has CAP_SYS_RESOURCE, without which no mounted ext4 grows."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(line.split()[1], 16) >> 24 & 1)
