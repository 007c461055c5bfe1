"""Copies of volumes that are no directories, on each file system that a root may have."""

from __future__ import annotations

from . import copy_suites


class SubvolumeTests(copy_suites.KindCopiesSuite):
    """Subvolumes of a Btrfs root."""

    root_kind = "btrfs"
    options = {"backend": "btrfs", "compression": "zstd"}  # noqa: RUF012
    taken = {"compression": "zstd"}  # noqa: RUF012
    method = "subvolume"
    read_live = "crash-consistent"


class Ext4Tests(copy_suites.KindCopiesSuite):
    """Images with ext4, on a file system that cannot share."""

    options = {"backend": "image", "size": "32M", "uid": "7"}  # noqa: RUF012
    taken = {"fs": "ext4", "size": "32M"}  # noqa: RUF012
    method = "copy"


class XfsTests(copy_suites.KindCopiesSuite):
    """Images with XFS, on an XFS, which can."""

    root_kind, root_size = "xfs", 2048
    options = {"backend": "image", "size": "300M", "fs": "xfs"}  # noqa: RUF012
    taken = {"fs": "xfs", "size": "300M"}  # noqa: RUF012
    method = "reflink"


class BtrfsImageTests(copy_suites.KindCopiesSuite):
    """Images with Btrfs, on a Btrfs."""

    root_kind, root_size = "btrfs", 2048
    options = {"backend": "image", "size": "256M", "fs": "btrfs"}  # noqa: RUF012
    taken = {"fs": "btrfs", "size": "256M"}  # noqa: RUF012
    method = "reflink"
