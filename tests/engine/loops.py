"""File systems of a kind, in a file that is mounted; for root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_system(kind: str, base: Path, size: int = 512 << 20) -> Iterator[Path]:
    """Make and mount a file system below `base`, and take it away again.

    :param kind: ``xfs``, ``btrfs`` or ``ext4``, of which there is a mkfs.
    """
    image, place = base / f"{kind}.image", base / f"{kind}.mount"
    with image.open("wb") as file:
        file.truncate(size)
    place.mkdir()
    options = ["-F"] if kind == "ext4" else ["-f"]
    subprocess.run([f"mkfs.{kind}", "-q", *options, image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True, capture_output=True)
        place.rmdir()
        image.unlink()
