"""Kill what copies volumes, at random moments, and look what it leaves.

A program: ``python -m tests.functional.copying --kills 200``. Each piece of work runs in a process
of its own, which gets SIGKILL while it is at it. What has its final name then is whole, and
the volume is as it was; what a start clears leaves nothing behind; and the same work again
succeeds. It prints what it counted, and exits with 1 at the first fault.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from attrs import define, field

from exampledriver.backends.copying.archive import Manifest
from exampledriver.backends.copying.copiers import TreeCopier, duplicate
from exampledriver.backends.copying.exporting import export_tree
from exampledriver.backends.copying.fingerprints import fingerprint
from exampledriver.backends.copying.importing import Import
from exampledriver.backends.copying.outputs import new_file
from exampledriver.backends.copying.progress import Progress
from exampledriver.backends.copying.removing import remove_tree
from exampledriver.backends.copying.rollback import recover, roll_back
from exampledriver.backends.copying.snapshots import Snapshots
from exampledriver.backends.copying.staging import Stage, clear_stages
from exampledriver.backends.removed import bring_back, forget, removed
from exampledriver.backends.trash import Trash
from tests.backends.forest import plant
from tests.process import PATIENCE, remove_directory, short_directory

OPERATIONS = ("snapshot", "delete", "clone", "rollback", "export", "import", "restore")
ABOUT = {"name": "db", "backend": "directory", "created": "2026-01-01T00:00:00Z", "options": {}}


@define(eq=False)
class Place:
    """A root with a volume ``db``, and what is done to it."""

    base: Path
    root: Path = field(init=False)
    volume: Path = field(init=False)
    #: What each piece of work makes.
    made: Path = field(init=False)
    snapshots: Snapshots = field(init=False)
    trash: Trash = field(init=False)
    copier: TreeCopier = field(factory=TreeCopier, init=False)

    def __attrs_post_init__(self) -> None:
        self.root = self.base / "root"
        self.volume, self.made = self.root / "db", self.root / "made"
        self.snapshots, self.trash = Snapshots(self.root, self.copier), Trash(self.root)

    @property
    def exported(self) -> Path:
        """Where exports are written."""
        return self.base / "exports/new.tar"

    def run(self, operation: str) -> None:
        """Do one piece of work."""
        getattr(self, f"do_{operation}")(Progress())

    def do_snapshot(self, progress: Progress) -> None:
        self.snapshots.make("db", self.volume, "new", lambda: False, progress)

    def do_delete(self, progress: Progress) -> None:
        if any(found.label == "doomed" for found in self.snapshots.of("db")):
            self.snapshots.delete("db", "doomed")

    def do_clone(self, progress: Progress) -> None:
        duplicate(self.volume, self.made, self.copier, progress)

    def do_rollback(self, progress: Progress) -> None:
        source = self.snapshots.data("db", "kept")
        roll_back(self.root, self.volume, source, ABOUT, self.copier, progress)

    def do_export(self, progress: Progress) -> None:
        with new_file(self.exported) as file:
            export_tree(self.volume, Manifest("db"), file, progress, self.exported.parent)

    def do_import(self, progress: Progress) -> None:
        with (self.base / "kept.tar").open("rb") as file, Stage(self.made) as stage:
            work = Import(file, progress)
            work.read_manifest()
            work.extract(stage.content, stage.directory)
            stage.publish()

    def do_restore(self, progress: Progress) -> None:
        (gone,) = removed(self.trash)
        bring_back(self.trash, gone, "made", str(self.made))
        forget(self.trash, gone)

    def clear(self) -> None:
        """Do what a start does."""
        clear_stages(self.root.iterdir())
        self.snapshots.recover()
        recover(self.root)
        for one in removed(self.trash):
            if not one.there:
                forget(self.trash, one)
        # An empty slot is left to the purge.
        for slot in self.trash.path.glob("*"):
            if not os.listdir(slot):
                slot.rmdir()


@define(eq=False)
class Killer:
    """One round after the other in one place."""

    place: Place
    random: random.Random
    counts: Counter[str] = field(factory=Counter)
    #: How long each piece of work takes, in seconds.
    _times: dict[str, float] = field(factory=dict)
    _whole: dict[str, str] = field(factory=dict)
    _changed: dict[str, str] = field(factory=dict)

    def prepare(self) -> None:
        """Make the volume, a snapshot and an archive of it."""
        place = self.place
        for directory in (place.root, place.exported.parent):
            directory.mkdir()
        plant(place.volume)
        for number in range(200):
            (place.volume / f"file-{number}").write_bytes(os.urandom(10_000))
        self._whole = fingerprint(place.volume)
        place.snapshots.make("db", place.volume, "kept", lambda: False, Progress())
        place.do_export(Progress())
        os.rename(place.exported, place.base / "kept.tar")

    def round(self, operation: str, kill: bool) -> None:
        """Do one piece of work and look at it; killed at first, if so asked."""
        place = self.place
        if operation == "delete":
            place.snapshots.make("db", place.volume, "doomed", lambda: False, Progress())
        if operation == "restore":
            place.trash.put(self._gone(), json.dumps({**ABOUT, "name": "gone"}).encode())
        if operation == "rollback":
            (place.volume / "plain").write_text("changed")
            self._changed = fingerprint(place.volume)
        if kill:
            self._run(operation, self.random.uniform(0, self._times[operation] * 1.2))
            done = self._is_done(operation)
            self.counts[f"{operation}: {'done' if done else 'not done'} when killed"] += 1
            place.clear()
            assert self._is_done(operation) is done or operation == "restore", operation
            self._look_for_leaks(operation)
            if done and operation != "rollback":
                self._undo(operation)
                return
        self._run(operation, None)
        assert self._is_done(operation), operation
        self._look_for_leaks(operation)
        self._undo(operation)

    def _gone(self) -> Path:
        gone = self.place.root / "gone"
        duplicate(self.place.volume, gone, self.place.copier, Progress())
        return gone

    def _run(self, operation: str, delay: float | None) -> None:
        """Work in a process of its own; after `delay` it is killed."""
        with subprocess.Popen(
            [sys.executable, "-m", "tests.functional.copying", operation, str(self.place.base)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.stdin.write(b"go\n")
            process.stdin.flush()
            started = time.monotonic()
            if delay is None:
                assert process.stdout.readline() == b"done\n", f"{operation} fails"
                taken = time.monotonic() - started
                self._times[operation] = min(taken, self._times.get(operation, taken))
                status = process.wait(PATIENCE)
                assert status == 0, f"{operation} exits with {status}"
            else:
                time.sleep(delay)
                process.kill()

    def _is_done(self, operation: str) -> bool:
        """Tell whether the work was done; what is there must be whole."""
        place = self.place
        if operation == "rollback":
            now = fingerprint(place.volume)
            assert now in (self._whole, self._changed), "a volume is half rolled back"
            return now == self._whole
        assert fingerprint(place.volume) == self._whole, f"{operation} has changed the volume"
        if operation == "export":
            if place.exported.exists():
                assert place.exported.read_bytes() == (place.base / "kept.tar").read_bytes()
                return True
            return False
        if operation in ("snapshot", "delete"):
            found = {snapshot.label for snapshot in place.snapshots.of("db")}
            for label in found:
                assert fingerprint(place.snapshots.data("db", label)) == self._whole, label
            return ("new" in found) if operation == "snapshot" else ("doomed" not in found)
        if place.made.exists():
            assert fingerprint(place.made) == self._whole, f"{operation} is half done"
            return True
        if operation == "restore":
            (gone,) = removed(place.trash)
            assert fingerprint(Path(gone.path)) == self._whole
        return False

    def _look_for_leaks(self, operation: str) -> None:
        place = self.place
        snapshots = place.snapshots.directory("db")
        expected = {
            place.base: {"root", "exports", "kept.tar"},
            place.exported.parent: {"new.tar"},
            place.root: {"db", "made", ".snapshots", ".trash"},
            place.root / ".snapshots": {"db"},
            snapshots: {"kept", "new", "doomed"},
        }
        for directory, names in expected.items():
            left = set(os.listdir(directory)) - names
            assert not left, f"{operation} leaves {left} in {directory}"
        if place.trash.path.exists():
            left = set(os.listdir(place.trash.path))
            known = {one.slot for one in removed(place.trash) if one.there}
            assert left == known, f"{operation} leaves {left - known} in the trash"
        for label in os.listdir(snapshots):
            assert set(os.listdir(snapshots / label)) == {"data", "snapshot.json"}, label

    def _undo(self, operation: str) -> None:
        """Make the place ready for another round."""
        place = self.place
        if operation == "rollback":
            kept = [fingerprint(Path(one.path)) for one in reversed(removed(place.trash))]
            # One that was done when it was killed was done again.
            assert kept in ([self._changed], [self._whole, self._changed]), len(kept)
        remove_tree(place.trash.path)
        remove_tree(place.made)
        place.exported.unlink(missing_ok=True)
        if operation == "snapshot":
            place.snapshots.delete("db", "new")
        if operation == "delete":
            for found in place.snapshots.of("db"):
                if found.label == "doomed":
                    place.snapshots.delete("db", "doomed")


def rounds(kills: int, seed: int) -> Counter[str]:
    """Kill each kind of work `kills` times; return what was counted.

    :raises AssertionError: something was lost, half made or left behind.
    """
    base = short_directory()
    try:
        killer = Killer(Place(base), random.Random(seed))
        killer.prepare()
        for operation in OPERATIONS:
            killer.round(operation, kill=False)
            for _ in range(kills):
                killer.round(operation, kill=True)
        return killer.counts
    finally:
        remove_directory(base)


def main() -> int:
    """Run as a program, or as one piece of work that waits for its word."""
    if len(sys.argv) == 3 and sys.argv[1] in OPERATIONS:
        print("ready", flush=True)
        sys.stdin.readline()
        Place(Path(sys.argv[2])).run(sys.argv[1])
        print("done", flush=True)
        return 0
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200, help="of each kind of work")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    given = parser.parse_args()
    print(f"seed {given.seed}")
    try:
        counts = rounds(given.kills, given.seed)
    except AssertionError as error:
        traceback.print_exc()
        print(f"fault: {error}")
        return 1
    for what, count in sorted(counts.items()):
        print(f"{count:6} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
