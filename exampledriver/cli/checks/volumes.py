"""The volumes: their directories, their mounts and their counts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ...backends.kinds import MOUNTED
from ...backends.mounts import UNREADABLE, holders, mounts_inside
from ...backends.places import trouble
from ...backends.trash import Trash
from ...plugin.redaction import secret_in
from ...volumes.errors import InvalidNameError
from ...volumes.model import check_name
from .findings import CannotLookError, Finding, quoted
from .installation import Installation, Known

#: Seconds between two looks at a count: between a Mount and the container's start there are fewer.
_A_WHILE = 1.0
#: How many leaked counts are looked at: each look reads the mounts of every process.
_MOST = 200


def directories(at: Installation) -> Iterator[Finding]:
    """Say which volumes have no directory, and which directories of the root have no volume."""
    known = at.volumes()
    mounted = set(mounts_inside(os.path.realpath(at.root)))
    for volume in known.values():
        if volume.backend in MOUNTED and volume.mountpoint in mounted:
            continue  # its server may be dead, and whoever looks at it waits for ever
        found = _trouble(at, volume)
        if found:
            yield Finding(
                "directories",
                "problem",
                f'volume "{volume.name}": {found}',
                "containers that use it do not start; the volume is kept until somebody removes it",
                f"ls -d {quoted(at.root)}/.trash/*/{quoted(volume.name)}   # was it removed?\n"
                f"findmnt -T {quoted(volume.mountpoint)}   # is its file system mounted?\n"
                f"exampledriver volume accept {quoted(volume.name)}   # if another one is meant\n"
                f"docker volume rm {quoted(volume.name)}   # if it is not wanted any more",
            )
    at.exists("root", at.root)
    at.looking_at = str(at.root)
    for name in sorted(os.listdir(at.root)):
        if name not in known and not name.startswith(".") and name != "lost+found":
            yield _stray(at, name)
    yield from _cut_short(at)


def _cut_short(at: Installation) -> Iterator[Finding]:
    """Say what of the trash is partly deleted."""
    trash = Trash(at.root)
    at.looking_at = str(trash.path)
    for slot in trash.slots():
        if slot.deleting:
            purge = "" if slot.bare else f"\nexampledriver trash purge {quoted(slot.name)}"
            yield Finding(
                "directories",
                "note",
                f"{slot.path} is partly deleted",
                "it is being deleted, or a kill or a file that cannot be deleted has stopped that; "
                "the driver tries again",
                f"lsattr -Ra {quoted(slot.path)} | grep -- '-[ia]-'   # is a file protected?\n"
                f"chattr -R -i -a {quoted(slot.path)}   # if so{purge}",
            )


def _trouble(at: Installation, volume: Known) -> str:
    at.looking_at = path = volume.mountpoint
    try:
        os.stat(path)
    except PermissionError:
        raise CannotLookError(f"{path}: permission denied: run doctor as root") from None
    except OSError:
        pass
    home = "/" if "mountpoint" in volume.options else os.path.realpath(at.root)
    return trouble(volume.name, path, home, volume.place)


def _stray(at: Installation, name: str) -> Finding:
    path = at.root / name
    adopt = (
        f"docker volume create -d {quoted(at.name)} {quoted(name)}"
        "   # adopts it, with its content; or\n"
    )
    try:
        check_name(name)
    except InvalidNameError:
        adopt = ""
    return Finding(
        "directories",
        "note",
        f"{path} belongs to no volume",
        "it takes space, and a volume that is created with that name adopts it",
        f"{adopt}mv {quoted(path)} ELSEWHERE",
    )


def secrets(at: Installation) -> Iterator[Finding]:
    """Find the volumes that have a secret in an option, which older versions let in."""
    for volume in at.volumes().values():
        for key, value in volume.options.items():
            why = secret_in(key, value)
            if why:
                yield Finding(
                    "secrets",
                    "problem",
                    f'volume "{volume.name}": option {key} {why}',
                    "it is in the journal, and in the arguments of mount(8), which every user of "
                    "the machine can read",
                    f"docker volume rm {quoted(volume.name)}   # nothing on its server is deleted\n"
                    f"docker volume create -d {quoted(at.name)} -o credentials-file=/path … "
                    f"{quoted(volume.name)}",
                )


def counts(at: Installation) -> Iterator[Finding]:
    """Find what is counted as mounted and is not, and mounts that nobody accounts for."""
    if os.geteuid() != 0:
        raise CannotLookError("only root sees what other processes have mounted")
    yield from _leaked_mounts(at)
    suspects = [volume for volume in _counted(at)[:_MOST] if not holders(volume.mountpoint)]
    if not suspects:
        return
    time.sleep(_A_WHILE)
    now = at.look_again()
    for volume in suspects:
        again = now.get(volume.name)
        if again is None or holders(again.mountpoint):
            continue
        for mount_id, count in volume.counts.items():
            if mount_id in again.counts:
                yield _leaked_count(at, volume, mount_id, count)


def _counted(at: Installation) -> list[Known]:
    return [volume for volume in at.volumes().values() if volume.counts]


def _leaked_count(at: Installation, volume: Known, mount_id: str, count: int) -> Finding:
    message = json.dumps({"Name": volume.name, "ID": mount_id})
    unmount = (
        f"curl --unix-socket {quoted(at.socket)} -d {quoted(message)} http://d/VolumeDriver.Unmount"
    )
    return Finding(
        "counts",
        "note",
        f'volume "{volume.name}" is counted as mounted by {mount_id[:64]}, and nobody has it '
        "mounted",
        "an engine that was killed never unmounts; the kernel is asked, not the count, so it "
        "keeps nobody from removing the volume",
        "\n".join(
            [f"{unmount}   # or leave it: it goes with the volume", *[unmount] * (count - 1)]
        ),
    )


def _leaked_mounts(at: Installation) -> Iterator[Finding]:
    root = os.path.realpath(at.root)
    for mountpoint in mounts_inside(root):
        if mountpoint in (root, UNREADABLE):
            continue
        name = Path(mountpoint).relative_to(root).parts[0]
        volume = at.volumes().get(name)
        if volume is not None and (volume.counts or volume.backend in MOUNTED):
            continue  # in use; or the daemon's own, which unmounts it at its next start
        where = "the trash" if name == ".trash" else f'the volume "{name}", which nobody uses'
        if volume is None and name != ".trash":
            where = "the root, where no volume is"
        yield Finding(
            "counts",
            "problem" if volume is None else "note",
            f"{mountpoint} is mounted in {where}",
            "it was left mounted, and keeps the removed data from being deleted"
            if name == ".trash"
            else "as long as it is mounted, the volume cannot be removed",
            f"umount {quoted(mountpoint)}   # if you do not want it there",
        )
