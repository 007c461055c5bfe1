"""Kill a real daemon while it does what an administrator has asked, and look what it leaves.

A program, for root: ``python -m tests.functional.tasks --kills 20``. The real command asks a
real daemon for each kind of work, and the daemon gets SIGKILL at a random moment of it; now and
then the one that starts after it too. Then every volume that was there before has its contents,
the new one is whole or not there, nothing is staged, mounted or on a loop device that nobody
counts, and the same command is a success, or says that its work is done. What is in the trash
is whole, or is said to be partly deleted and not restored as if it were whole. It prints what
it counted, and exits with 1 at the first fault.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from exampledriver.backends import mounts
from exampledriver.backends.commands import MARK
from exampledriver.backends.copying.copiers import TreeCopier, duplicate
from exampledriver.backends.copying.fingerprints import fingerprint
from exampledriver.backends.copying.progress import Progress
from exampledriver.backends.copying.removing import remove_tree
from tests.admin.command import admin, done, loaded
from tests.backends.forest import plant
from tests.engine.storage import loop_devices, release
from tests.process import PATIENCE, Daemon, remove_directory, short_directory, until

#: One restart in so many is killed as well.
RESTARTS = 4
#: How large the image is at first that grows while it is mounted, in MiB.
_USED = 300
#: How many files a purge deletes that takes long enough to be killed in the middle.
_MANY = 20_000
#: The kinds of work that delete so many.
_OF_MANY = ("purge many", "rm now")
#: What belongs in a root.
OURS = {".lock", ".trash", ".snapshots", ".images"}

Contents = Mapping[str, str]


@frozen
class Task:
    """One kind of work.

    :ivar words: the command that asks for it.
    :ivar again: what the command says when it is done already; empty if it says success.
    """

    name: str
    words: Sequence[str]
    again: str = ""


def tasks(base: Path, size: int) -> list[Task]:
    """Return the kinds of work.

    :param size: of the image that grows next, in MiB.
    """
    archive, kept = str(base / "new.tar"), str(base / "kept.tar")
    migrate = ("migrate", "--from=docker-local", f"--docker-root={base}/docker", "--yes")
    image = ("-o", "backend=image", "-o", "size=16M")
    return [
        Task("snapshot", ("volume", "snapshot", "db", "--label", "new"), "give another label"),
        Task("snapshot-rm", ("volume", "snapshot-rm", "db", "doomed"), "no snapshot"),
        Task("clone", ("volume", "create", "new", "-o", "from=db")),
        Task("rollback", ("volume", "rollback", "db", "kept")),
        Task("export", ("volume", "export", "db", archive), "exists"),
        Task("import", ("volume", "import", "new", kept), "exists already"),
        Task("migrate", (*migrate, "new")),
        Task("adopt", (*migrate, "--adopt", "new")),
        Task("restore", ("trash", "restore", "gone"), "no removed volume"),
        Task("restore image", ("trash", "restore", "lost"), "no removed volume"),
        Task("purge", ("trash", "purge", "--yes", "gone"), "no removed volume"),
        Task("purge many", ("trash", "purge", "--yes", "gone"), "no removed volume"),
        Task("rm now", ("volume", "rm", "--now", "--yes", "gone"), "no such volume"),
        Task("purge image", ("trash", "purge", "--yes", "lost"), "no removed volume"),
        Task("create image", ("volume", "create", "new", *image)),
        Task("rm image", ("volume", "rm", "lost"), "no such volume"),
        Task("resize", ("volume", "resize", "disk", f"{size}M")),
        Task("resize mounted", ("volume", "resize", "used", f"{_USED + size}M")),
    ]


NAMES = [task.name for task in tasks(Path(), 0)]


@define(eq=False)
class Killer:
    """One daemon, and one round after the other."""

    daemon: Daemon
    random: random.Random
    counts: Counter[str] = field(factory=Counter)
    kills: int = 0
    _whole: Contents = field(factory=dict)
    _changed: Contents = field(factory=dict)
    #: The contents of the images, and how large they are.
    _images: dict[str, Contents] = field(factory=dict)
    _size: int = 16
    #: How long a command takes that does nothing, and each kind of work, in seconds.
    _nothing: float = PATIENCE
    _times: dict[str, float] = field(factory=dict)

    def prepare(self) -> None:
        """Make the volumes that all rounds work on."""
        daemon, base = self.daemon, self.daemon.base
        daemon.start()
        daemon.ok("Create", Name="db")
        db = daemon.root / "db"
        db.rmdir()
        plant(db)
        for number in range(200):
            (db / f"file-{number}").write_bytes(os.urandom(50_000))
        self._whole = fingerprint(db)
        done(daemon, "volume", "snapshot", "db", "--label", "kept")
        done(daemon, "volume", "export", "db", str(base / "kept.tar"))
        # Not every machine lets a mounted ext4 grow.
        for name, options in (
            ("disk", {"size": "16M"}),
            ("used", {"size": f"{_USED}M", "fs": "xfs"}),
        ):
            daemon.ok("Create", Name=name, Opts={"backend": "image", **options})
            self._images[name] = self._fill(name)
        daemon.ok("Mount", Name="used", ID="container")
        for _ in range(3):
            began = time.monotonic()
            done(daemon, "volume", "snapshots", "db")
            self._nothing = min(self._nothing, time.monotonic() - began)

    def _fill(self, name: str) -> Contents:
        """Write into an image."""
        place = Path(self.daemon.ok("Mount", Name=name, ID="filling")["Mountpoint"])
        (place / "below").mkdir()
        for number in range(20):
            (place / f"below/file-{number}").write_bytes(os.urandom(100_000))
        found = below(place)
        self.daemon.ok("Unmount", Name=name, ID="filling")
        return found

    def rounds(self, name: str, kills: int) -> None:
        """Do one kind of work once, and then so often with a kill.

        :raises AssertionError: with the end of the daemon's log.
        """
        try:
            self.round(name, kill=False)
            for _ in range(kills):
                self.round(name, kill=True)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}\n{self.daemon.log()[-3000:]}") from error

    def round(self, name: str, kill: bool) -> None:
        """Do one work, and look at it; killed at first, if so asked."""
        self._before(name)
        task = next(task for task in tasks(self.daemon.base, self._size) if task.name == name)
        if not kill:
            began = time.monotonic()
            done(self.daemon, *task.words)
            self._times[name] = time.monotonic() - began
            self._look(name)
            assert self._is_done(name), "the command says that it is done"
            self._undo(name)
            return
        self._kill(task)
        self._restart()
        finished = self._is_done(name)
        self.counts[f"{name}: {'done' if finished else 'not done'} when killed"] += 1
        self._look(name)
        found = admin(self.daemon, *task.words)
        output = found.stdout + found.stderr
        if finished and task.again:
            assert found.returncode == 1 and task.again in output, output
        else:
            assert found.returncode == 0, output
        assert self._is_done(name), "the command was given again"
        self._look(name)
        self._undo(name)

    def _before(self, name: str) -> None:
        """Make what a work needs."""
        daemon = self.daemon
        if name == "snapshot-rm":
            done(daemon, "volume", "snapshot", "db", "--label", "doomed")
        elif name in ("restore", "purge"):
            done(daemon, "volume", "create", "gone", "-o", "from=db")
            done(daemon, "volume", "rm", "gone")
        elif name in _OF_MANY:
            daemon.ok("Create", Name="gone")
            for number in range(_MANY):
                (daemon.root / f"gone/{number}").touch()
            if name == "purge many":
                daemon.ok("Remove", Name="gone")
        elif name in ("restore image", "purge image", "rm image"):
            daemon.ok("Create", Name="lost", Opts={"backend": "image", "size": "16M"})
            self._images["lost"] = self._fill("lost")
            if name != "rm image":
                done(daemon, "volume", "rm", "lost")
        elif name in ("migrate", "adopt"):
            data = daemon.base / "docker/volumes/new/_data"
            data.parent.mkdir(parents=True)
            duplicate(daemon.root / "db", data, TreeCopier(), Progress())
        elif name == "rollback":
            (daemon.root / "db/plain").write_text("changed")
            self._changed = fingerprint(daemon.root / "db")
        elif name.startswith("resize"):
            self._size += 4

    def _kill(self, task: Task) -> None:
        """Let the command ask, and kill the daemon at a random moment."""
        program = os.path.join(os.path.dirname(sys.executable), "exampledriver")
        environment = {**os.environ, "EXAMPLEDRIVER_ADMIN": f"{self.daemon.base}/run/admin.sock"}
        with subprocess.Popen(
            [program, *task.words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
        ) as command:
            # Most of the time it is Python that starts.
            longest = max(self._times[task.name] * 1.1, self._nothing + 0.05)
            time.sleep(self.random.uniform(self._nothing * 0.6, longest))
            self.daemon.kill()
            self.kills += 1
            output, _ = command.communicate(timeout=PATIENCE)
        assert command.returncode in (0, 1) and "Traceback" not in output, output

    def _restart(self) -> None:
        if not self.random.randrange(RESTARTS):
            self.daemon.spawn()
            time.sleep(self.random.uniform(0.1, 0.8))
            self.daemon.kill()
            self.kills += 1
        self.daemon.start()

    def _is_done(self, name: str) -> bool:
        """Tell whether a work is done; what is there must be whole."""
        daemon = self.daemon
        names = set(daemon.names())
        removed = loaded(daemon, "trash", "list", "--json")
        for one in removed:
            self._look_at_removed(one, name)
        trash = {one["Name"] for one in removed}
        if name in ("snapshot", "snapshot-rm"):
            found = {one["Label"] for one in loaded(daemon, "volume", "snapshots", "db", "--json")}
            for label in found:
                data = daemon.root / f".snapshots/db/{label}/data"
                assert fingerprint(data) == self._whole, f"snapshot {label} is half made"
            return "new" in found if name == "snapshot" else "doomed" not in found
        if name == "rollback":
            now = fingerprint(daemon.root / "db")
            assert now in (self._whole, self._changed), "a volume is half rolled back"
            return now == self._whole
        if name == "export":
            archive = daemon.base / "new.tar"
            if archive.exists():
                self._whole_archive(archive)
            return archive.exists()
        if name.startswith("resize"):
            image, size = ("disk", 0) if name == "resize" else ("used", _USED)
            (about,) = loaded(daemon, "volume", "inspect", image)
            return bool(about["Options"]["size"] == f"{self._size + size}M")
        if name in ("clone", "import", "migrate", "adopt", "create image"):
            return "new" in names
        volume = "lost" if name.endswith("image") else "gone"
        if name.startswith("restore"):
            assert (volume in names) != (volume in trash), f"{volume}: {names}, {trash}"
            return volume in names
        if name == "rm now" and volume in names:
            assert len(os.listdir(daemon.root / volume)) == _MANY, "a volume is half deleted"
            # Killed before its data was moved, it is in the trash; after that, nowhere.
            assert not (volume in names and volume in trash), f"{volume}: {names}, {trash}"
        if name == "rm now":
            return volume not in names
        if name == "rm image":
            assert (volume in names) != (volume in trash), f"{volume}: {names}, {trash}"
            return volume not in names
        assert volume not in names
        return volume not in trash

    def _look_at_removed(self, one: Mapping[str, Any], name: str) -> None:
        """See that a removed volume is whole, or is not restored as if it were."""
        if one["State"] == "whole":
            path = Path(one["Path"])
            if name in _OF_MANY:
                assert len(os.listdir(path)) == _MANY, "a purge that was cut short looks whole"
            elif path.is_dir():
                whole = [self._whole, *([self._changed] if name == "rollback" else [])]
                assert fingerprint(path) in whole, f"{path} is not whole"
            return
        self.counts[f"{name}: partly deleted"] += 1
        found = admin(self.daemon, "trash", "restore", one["Slot"])
        assert found.returncode == 1 and "is partly deleted" in found.stderr, found.stderr

    def _whole_archive(self, archive: Path) -> None:
        done(self.daemon, "volume", "import", "read-back", str(archive))
        found = fingerprint(self.daemon.root / "read-back")
        self._delete("read-back")
        assert found == self._whole, "an archive is not the volume"

    def _look(self, name: str) -> None:
        """Compare all volumes with what they were, and look for what nobody counts."""
        daemon = self.daemon
        names = set(daemon.names())
        assert {"db", "disk", "used"} <= names <= {"db", "disk", "used", "new", "gone", "lost"}
        for one in ("db", "gone"):
            if one in names and not (one == "gone" and name in _OF_MANY):
                whole = [self._whole, *([self._changed] if name == "rollback" else [])]
                assert fingerprint(daemon.root / one) in whole, f"{one} is another"
        if "new" in names and name in ("clone", "import", "migrate", "adopt"):
            assert fingerprint(daemon.root / "new") == self._whole, "new is half made"
        until(lambda: not self._left(name), f"an end of {self._left(name)}")
        for image in names & self._images.keys():
            self._look_into(image)
        if "new" in names and name == "create image":
            assert not self._contents("new"), "a new image is not empty"

    def _look_into(self, image: str) -> None:
        found = self._contents(image)
        other = sorted(dict(found.items() ^ self._images[image].items()))
        assert not other, f"{image} has other contents: {other[:10]}"
        if image == "used":
            assert self.daemon.ok("Get", Name=image)["Volume"]["Status"]["Mounts"] == 1

    def _contents(self, image: str) -> Contents:
        with self._mounted(image) as place:
            return below(place)

    @contextmanager
    def _mounted(self, name: str) -> Iterator[Path]:
        yield Path(self.daemon.ok("Mount", Name=name, ID="looking")["Mountpoint"])
        self.daemon.ok("Unmount", Name=name, ID="looking")

    def _left(self, name: str) -> list[str]:
        """Return what is there, and nobody counts."""
        base, root = self.daemon.base, self.daemon.root
        # A Create that was not answered leaves an empty directory, and an image: the next
        # one of that name adopts them, and the log says so.
        adopted = {"new"} if name == "create image" else set()
        names = {*self.daemon.names(), *adopted}
        known = {"plugins", "volumes", "state", "run", "log", "err"}
        known |= {"new.tar", "kept.tar", "docker"}
        left = [f"{base}/{one}" for one in set(os.listdir(base)) - known]
        left += [f"{root}/{one}" for one in set(os.listdir(root)) - OURS - names]
        images = {f"{one}.img" for one in names}
        if (root / ".images").exists():
            left += [f"image {one}" for one in set(os.listdir(root / ".images")) - images]
        left += [f"channel {one}" for one in os.listdir(base / "run") if one.startswith(".x")]
        for label in (root / ".snapshots/db").iterdir():
            if set(os.listdir(label)) != {"data", "snapshot.json"}:
                left.append(str(label))
        for slot in root.glob(".trash/[!.]*"):
            if slot.suffix == ".now":
                left.append(f"what is being deleted, {slot}")
            elif set(os.listdir(slot)) in (set(), {".volume.json"}):
                left.append(f"empty slot {slot}")
        left += [one for one in mounts.mounts_inside(str(root)) if one != f"{root}/used"]
        left += [one for one in loop_devices(base) if one != f"{root}/.images/used.img"]
        return left + children(base)

    def _undo(self, name: str) -> None:
        """Make the place ready for another round."""
        daemon = self.daemon
        if name == "snapshot":
            done(daemon, "volume", "snapshot-rm", "db", "new")
        for volume in ("new", "gone", "lost"):
            if volume in daemon.names():
                self._delete(volume)
        done(daemon, "trash", "purge", "--yes")
        self._images.pop("lost", None)
        remove_tree(daemon.base / "docker")
        (daemon.base / "new.tar").unlink(missing_ok=True)

    def _delete(self, volume: str) -> None:
        done(self.daemon, "volume", "rm", volume)
        if volume in [one["Name"] for one in loaded(self.daemon, "trash", "list", "--json")]:
            done(self.daemon, "trash", "purge", "--yes", volume)


def below(place: Path) -> Contents:
    """Return the fingerprint of what is in an image: e2fsck gives its root another time."""
    found = fingerprint(place)
    del found["."]
    return found


def children(base: Path) -> list[str]:
    """Return the programs about a directory that a daemon has started, and that run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                marked = f"{MARK}=".encode() in (entry / "environ").read_bytes()
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if marked and any(str(base) in word for word in words):
                found.append(" ".join(words))
    return found


def rounds(kills: int, seed: int, names: Sequence[str] = tuple(NAMES)) -> tuple[Counter[str], int]:
    """Kill the daemon `kills` times during each kind of work; return what was counted.

    :return: how often each work was done when it was killed, or was not, and how many kills.
    :raises AssertionError: something was lost, half made or left behind.
    """
    base = short_directory()
    daemon = Daemon(base, ["--trash-retention=forever"])
    killer = Killer(daemon, random.Random(seed))
    try:
        killer.prepare()
        for name in names:
            killer.rounds(name, kills)
        daemon.ok("Unmount", Name="used", ID="container")
        return killer.counts, killer.kills
    finally:
        daemon.close()
        release(base)
        remove_directory(base)


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Kill a daemon during an administrator's work.")
    parser.add_argument("--kills", type=int, default=12, help="during each kind of work")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--only", choices=NAMES, action="append", help="only this work")
    given = parser.parse_args()
    print(f"tasks --kills {given.kills} --seed {given.seed}", flush=True)
    began = time.monotonic()
    try:
        counts, kills = rounds(given.kills, given.seed, given.only or NAMES)
    except AssertionError as error:
        traceback.print_exc()
        print(f"fault: {error}")
        return 1
    for what, count in sorted(counts.items()):
        print(f"{count:6} {what}")
    seconds = time.monotonic() - began
    print(f"{kills} kills, 0 lost, half made or left behind, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
