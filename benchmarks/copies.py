"""How long copies of a volume take: 1 GiB in 10,000 files, shared and copied.

A program, for root: ``python -m benchmarks.copies --on xfs --on btrfs --on here``. Each file
system but ``here``, which is that of ``--base``, is made in a file and mounted. The tree has hard
links, attributes and files with holes; after each piece of work its fingerprint is compared.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exampledriver.backends.copying.archive import Manifest
from exampledriver.backends.copying.copiers import TreeCopier, duplicate
from exampledriver.backends.copying.exporting import export_tree
from exampledriver.backends.copying.fingerprints import fingerprint
from exampledriver.backends.copying.importing import Import
from exampledriver.backends.copying.outputs import new_file
from exampledriver.backends.copying.progress import Progress
from exampledriver.backends.copying.snapshots import Snapshots
from exampledriver.backends.copying.staging import Stage
from exampledriver.backends.removed import bring_back, forget, removed
from exampledriver.backends.trash import Trash
from tests.engine.loops import file_system

FILES, TOTAL = 10_000, 1 << 30
#: The image of a file system: the tree five times, and an archive.
IMAGE = 10 << 30


def plant(root: Path) -> None:
    """Make the tree: 10,000 names of which one in 20 is a hard link, and one in 100 has holes."""
    size = TOTAL // (FILES - FILES // 20)
    previous = root
    for number in range(FILES):
        directory = root / f"{number // 1000}" / f"{number // 100 % 10}"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"file-{number}"
        if number % 20 == 19:
            os.link(previous, path)
            continue
        with path.open("wb") as file:
            if number % 100 == 50:
                file.seek(4 << 20)
            file.write(os.urandom(size))
        if number % 10 == 0:
            os.setxattr(path, "user.number", str(number).encode())
        os.chown(path, 1000 + number % 7, 1000)
        previous = path


def timed(what: str, work: Callable[[], object]) -> None:
    """Do it and print how long that took, in seconds, to its durable end."""
    os.sync()
    started = time.monotonic()
    method = work()
    print(f"  {what:10} {time.monotonic() - started:7.2f} s  {method or ''}", flush=True)


def measure(root: Path) -> None:
    """Do each piece of work once below a root, and compare."""
    volume = root / "db"
    volume.mkdir()
    plant(volume)
    whole = fingerprint(volume)
    copier, trash = TreeCopier(), Trash(root)
    snapshots = Snapshots(root, copier)
    archive = root / "db.tar"

    def export() -> str:
        with new_file(archive) as file:
            return export_tree(volume, Manifest("db"), file, Progress(), root).method

    def bring() -> str:
        with archive.open("rb") as file, Stage(root / "imported") as stage:
            work = Import(file, Progress())
            work.read_manifest()
            done = work.extract(stage.content, stage.directory)
            stage.publish()
        return done.method

    def take_back() -> None:
        (gone,) = removed(trash)
        bring_back(trash, gone, "restored", str(root / "restored"))
        forget(trash, gone)

    def compare(path: Path) -> None:
        if fingerprint(path) != whole:
            raise SystemExit(f"{path} is not what the volume is")

    timed("snapshot", lambda: snapshots.make("db", volume, "x", lambda: False, Progress()).method)
    compare(snapshots.data("db", "x"))
    timed("clone", lambda: duplicate(volume, root / "clone", copier, Progress()).method)
    compare(root / "clone")
    timed("export", export)
    timed("import", bring)
    compare(root / "imported")
    trash.put(root / "clone", b"{}")
    trash.sync()
    timed("restore", take_back)
    compare(root / "restored")
    timed("delete", lambda: snapshots.delete("db", "x"))


@contextmanager
def place(kind: str, base: Path) -> Iterator[Path]:
    """Give a directory on a file system."""
    with tempfile.TemporaryDirectory(dir=base) as made:
        if kind == "here":
            yield Path(made)
            return
        with file_system(kind, Path(made), IMAGE) as mounted:
            yield mounted


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--on", action="append", help="xfs, btrfs, ext4 or here; here if none")
    parser.add_argument("--base", type=Path, default=Path("build"))
    given = parser.parse_args()
    given.base.mkdir(exist_ok=True)
    print(f"{FILES} files, {TOTAL >> 20} MiB, {shutil.disk_usage(given.base).free >> 30} GiB free")
    for kind in given.on or ["here"]:
        print(f"{kind}:")
        with place(kind, given.base) as root:
            measure(root)


if __name__ == "__main__":
    main()
