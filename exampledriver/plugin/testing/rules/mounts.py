"""The rules of volume drivers for use: Mount, Unmount, Path, and the data inside."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from ..clients import PODMAN_ID
from ..judging import Blocked, NotApplicable, Severity, Violation, expect
from ..judging import rule as any_rule
from ..reply import Reply, path_complaint
from ..subject import VolumeSubject

_rule = partial(any_rule, protocol="VolumeDriver")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

_FILE = "kit-file"


def _look(subject: VolumeSubject, path: str) -> None:
    """Go on if the plugin's directories can be looked at from here."""
    if not subject.files:
        raise NotApplicable("the plugin's files are not looked at")


def _write(path: str, text: str) -> None:
    try:
        Path(path, _FILE).write_text(text)
    except PermissionError:
        raise NotApplicable(f"{path} cannot be written to from here") from None
    except OSError as error:
        raise Blocked(f"{path}: {error.strerror}") from None


def _text(path: str) -> str:
    try:
        return Path(path, _FILE).read_text()
    except PermissionError:
        raise NotApplicable(f"{path} cannot be read from here") from None
    except OSError:
        return ""


async def _twice(subject: VolumeSubject) -> None:
    """Go on if two containers, one after the other, can mount a volume."""
    name = await subject.make()
    for _ in range(2):
        await subject.mount(name, subject.new_id())


@_rule(
    "V-MOUNT",
    _ERROR,
    "Mount answers an absolute path that is not /",
    "With an empty one the container gets Docker's own runtime directory, with / the host.",
    "observed: Docker 20.10, 26.1",
)
async def _mount(subject: VolumeSubject) -> None:
    name = await subject.make()
    reply = await subject.volume("Mount", name, ID=subject.new_id())
    expect(reply.ok, str(reply))
    complaint = path_complaint(reply.fields.get("Mountpoint"), empty=False)
    expect(not complaint, complaint)


@_rule(
    "V-MOUNT-DIRECTORY",
    _ERROR,
    "What Mount answers is a directory that exists",
    "The container does not start, or the engine makes an empty directory in the volume's place.",
    "observed: Docker",
)
async def _mount_directory(subject: VolumeSubject) -> None:
    path = await subject.mount(await subject.make(), subject.new_id())
    _look(subject, path)
    expect(os.path.isdir(path), f"{path} is no directory here")


@_rule(
    "V-MOUNT-FRESH",
    _WARNING,
    "A new volume's directory is empty, without lost+found too",
    "Docker fills a new volume from the image only if it is empty: databases and web servers "
    "find no files.",
    "observed: Docker",
)
async def _mount_fresh(subject: VolumeSubject) -> None:
    path = await subject.mount(await subject.make(), subject.new_id())
    _look(subject, path)
    try:
        found = os.listdir(path)
    except OSError as error:
        raise Blocked(f"{path}: {error.strerror}") from None
    expect(not found, f"{path} has {sorted(found)[:5]}")


@_rule(
    "V-MOUNT-AGAIN",
    _ERROR,
    "Mount with an ID that is mounted already gives the same path again",
    "docker cp and a start after a crash send the same ID again: the container does not start.",
    "observed: Docker 20.10, 26.1, Podman 4.3",
)
async def _mount_again(subject: VolumeSubject) -> None:
    name, mount_id = await subject.make(), subject.new_id()
    first = await subject.mount(name, mount_id)
    again = await subject.volume("Mount", name, ID=mount_id)
    expect(again.ok, str(again))
    path = again.fields.get("Mountpoint")
    expect(path == first, f"first {first}, then {path!r}")


@_rule(
    "V-MOUNT-TWO",
    _ERROR,
    "A volume that one container has can be mounted for another",
    "Two containers cannot share a volume.",
    "observed: Docker",
)
async def _mount_two(subject: VolumeSubject) -> None:
    name = await subject.make()
    await subject.mount(name, subject.new_id())
    reply = await subject.volume("Mount", name, ID=subject.new_id())
    expect(reply.ok and reply.fields.get("Mountpoint"), str(reply))


@_rule(
    "V-MOUNT-PARALLEL",
    _ERROR,
    "Mounts of one volume that come at the same time all succeed",
    "Docker mounts in parallel: of containers that start together some fail.",
    "observed: Docker 20.10, 26.1",
)
async def _mount_parallel(subject: VolumeSubject) -> None:
    await _twice(subject)
    name = await subject.make()
    ids = [subject.new_id() for _ in range(8)]
    requests = [subject.request("Mount", name, ID=mount_id) for mount_id in ids]
    paths = set()
    for response in await subject.at_once(requests):
        reply = Reply("VolumeDriver.Mount", response)
        expect(reply.ok and reply.fields.get("Mountpoint"), str(reply))
        paths.add(str(reply.fields["Mountpoint"]))
    if subject.files:
        missing = [path for path in sorted(paths) if not os.path.isdir(path)]
        if missing and not os.path.isdir(await subject.mount(await subject.make(), ids[0])):
            raise Blocked("nor is there a directory for a volume that is mounted alone")
        expect(not missing, f"not there: {missing}")


@_rule(
    "V-MOUNT-UNKNOWN",
    _ERROR,
    "Mount of a volume that does not exist is refused",
    "A container runs on an empty volume in place of its own, and nobody notices.",
    "practice",
)
async def _mount_unknown(subject: VolumeSubject) -> None:
    reply = await subject.volume("Mount", subject.name(), ID=subject.new_id())
    expect(not reply.ok, str(reply))


@_rule(
    "V-MOUNT-ONE-ID",
    _ERROR,
    "Two volumes mounted with the same ID are two volumes",
    "Podman uses one ID for everything: containers get each other's data.",
    "observed: Podman 4.3",
)
async def _mount_one_id(subject: VolumeSubject) -> None:
    one, two = await subject.make(), await subject.make()
    paths = [await subject.mount(name, PODMAN_ID) for name in (one, two)]
    other = await subject.volume("Mount", two, ID=subject.new_id())
    expect(paths[0] != paths[1], f"both are at {paths[0]}")
    await subject.volume("Unmount", one, ID=PODMAN_ID)
    path = other.fields.get("Mountpoint")
    if subject.files and isinstance(path, str) and path:
        if not os.path.isdir(await subject.mount(await subject.make(), subject.new_id())):
            raise Blocked("mounted volumes have no directory")
        expect(os.path.isdir(paths[1]), f"an Unmount of one takes away the other, {paths[1]}")


@_rule(
    "V-UNMOUNT",
    _ERROR,
    "Unmount of what was mounted succeeds",
    "The volume counts as used for ever.",
    "Docker's plugin API",
)
async def _unmount(subject: VolumeSubject) -> None:
    name, mount_id = await subject.make(), subject.new_id()
    await subject.mount(name, mount_id)
    reply = await subject.volume("Unmount", name, ID=mount_id)
    expect(reply.ok, str(reply))


@_rule(
    "V-UNMOUNT-OTHERS",
    _ERROR,
    "After an Unmount the volume stays for whoever else has it mounted",
    "When one container ends, another one loses its files.",
    "Docker's plugin API; observed: Docker",
)
async def _unmount_others(subject: VolumeSubject) -> None:
    name, one, two = await subject.make(), subject.new_id(), subject.new_id()
    await subject.mount(name, one)
    path = await subject.mount(name, two)
    _look(subject, path)
    _write(path, "kept")
    await subject.must("Unmount", name, ID=one)
    expect(_text(path) == "kept", f"the file in {path} has gone")


@_rule(
    "V-UNMOUNT-UNKNOWN",
    _ERROR,
    "Unmount with an ID that is not mounted is answered and takes nothing from others",
    "After a crash Docker sends such ones, and docker cp sends two for one Mount.",
    "observed: Docker 20.10, 26.1",
)
async def _unmount_unknown(subject: VolumeSubject) -> None:
    name = await subject.make()
    path = await subject.mount(name, subject.new_id())
    if subject.files:
        _write(path, "kept")
    stray = subject.new_id()
    for _ in range(2):
        await subject.volume("Unmount", name, ID=stray)
    if subject.files:
        expect(_text(path) == "kept", f"the file in {path} has gone")
    await subject.finds()
    expect(await subject.there(name), "afterwards Get does not find the volume")


@_rule(
    "V-PATH-MOUNTED",
    _WARNING,
    "Path of a mounted volume is what Mount answered",
    "The protocol has it; no engine calls it today.",
    "Docker's plugin API",
)
async def _path_mounted(subject: VolumeSubject) -> None:
    name = await subject.make()
    path = await subject.mount(name, subject.new_id())
    reply = await subject.volume("Path", name)
    expect(reply.ok and reply.fields.get("Mountpoint") == path, f"Mount: {path}; {reply}")


@_rule(
    "V-PATH-UNMOUNTED",
    _WARNING,
    "Path of a volume that is not mounted is empty or an absolute path, no error",
    "The protocol has it; no engine calls it today.",
    "Docker's plugin API",
)
async def _path_unmounted(subject: VolumeSubject) -> None:
    reply = await subject.volume("Path", await subject.make())
    expect(reply.ok, str(reply))
    complaint = path_complaint(reply.fields.get("Mountpoint"), empty=True)
    expect(not complaint, complaint)


@_rule(
    "V-PATH-UNKNOWN",
    _NOTE,
    "Path of a volume that does not exist is an error",
    "The protocol has it; no engine calls it today.",
    "Docker's plugin API",
)
async def _path_unknown(subject: VolumeSubject) -> None:
    reply = await subject.volume("Path", subject.name())
    expect(not reply.ok, str(reply))


@_rule(
    "V-GET-WHILE-MOUNTED",
    _ERROR,
    "While a volume is mounted, Get's Mountpoint is empty or what Mount answered",
    "docker volume inspect shows another directory than the one in use.",
    "Docker's plugin API",
)
async def _get_while_mounted(subject: VolumeSubject) -> None:
    name = await subject.make()
    path = await subject.mount(name, subject.new_id())
    shown = (await subject.known(name)).get("Mountpoint")
    expect(shown in (None, "", path), f"Mount: {path}; Get: {shown!r}")


@_rule(
    "V-DATA-KEPT",
    _ERROR,
    "What a container wrote is there for the next one, after Unmount, Create and Mount",
    "The data is lost.",
    "what a volume is for",
)
async def _data_kept(subject: VolumeSubject) -> None:
    name, mount_id = await subject.make(), subject.new_id()
    path = await subject.mount(name, mount_id)
    _look(subject, path)
    _write(path, "precious")
    await subject.must("Unmount", name, ID=mount_id)
    await subject.create(name)
    path = await subject.mount(name, subject.new_id())
    expect(_text(path) == "precious", f"the file that was written is not in {path}")


@_rule(
    "V-DATA-GONE",
    _WARNING,
    "A volume that is created after a Remove does not have the old one's files",
    "A new database finds the files of the old one.",
    "what Remove is for",
)
async def _data_gone(subject: VolumeSubject) -> None:
    name, mount_id = await subject.make(), subject.new_id()
    path = await subject.mount(name, mount_id)
    _look(subject, path)
    _write(path, "old")
    await subject.must("Unmount", name, ID=mount_id)
    await subject.removes()
    await subject.must("Remove", name)
    # Where the options name a place, what is there is the place's, not the volume's.
    if not (await subject.create(name, place=subject.name())).ok:
        raise Blocked("it cannot be created again")
    path = await subject.mount(name, subject.new_id())
    expect(not _text(path), f"the file that was in it is in {path}")


@_rule(
    "V-REMOVE-MOUNTED",
    _ERROR,
    "Remove of a mounted volume is refused and leaves it, or is done and takes it away",
    "A volume that is neither there nor gone cannot be used and cannot be removed.",
    "practice",
)
async def _remove_mounted(subject: VolumeSubject) -> None:
    name, mount_id = await subject.make(), subject.new_id()
    await subject.removes()
    await subject.mount(name, mount_id)
    reply = await subject.volume("Remove", name)
    there = await subject.there(name)
    expect(there != reply.ok, f"{reply}; and Get {'finds' if there else 'does not find'} it")
    if there:
        await subject.must("Unmount", name, ID=mount_id)
        again = await subject.volume("Remove", name)
        expect(again.ok, f"after Unmount, {again}")


@_rule(
    "V-REMOVE-LEAKED",
    _WARNING,
    "A Mount that was never unmounted does not keep a volume from being removed",
    "After a crash Docker never sends the Unmount: the volume is in use for ever. The kernel knows "
    "who has it, a count does not.",
    "observed: Docker 20.10, 26.1",
)
async def _remove_leaked(subject: VolumeSubject) -> None:
    name, mount_id = await subject.make(), subject.new_id()
    # As in a crash: the first Unmount never came, the same ID is mounted again, and ends.
    await subject.mount(name, mount_id)
    await subject.mount(name, mount_id)
    await subject.must("Unmount", name, ID=mount_id)
    reply = await subject.volume("Remove", name)
    expect(reply.ok, f"nobody has it mounted: {reply}")


@_rule(
    "V-MOUNT-DROPPED",
    _ERROR,
    "A Mount whose client has gone does not keep the volume from being mounted",
    "Podman goes away after 5 s, and sends the same Mount again later.",
    "observed: Podman 4.3",
)
async def _mount_dropped(subject: VolumeSubject) -> None:
    name = await subject.make()
    for _ in range(2):
        await subject.mount(name, PODMAN_ID)
    name = await subject.make()
    async with subject.client() as client:
        await client.send(subject.request("Mount", name, ID=PODMAN_ID))
    reply = await subject.volume("Mount", name, ID=PODMAN_ID)
    expect(reply.ok and reply.fields.get("Mountpoint"), f"the same Mount again: {reply}")


@_rule(
    "V-MOUNT-UNMOUNT-RACE",
    _ERROR,
    "Unmount and Mount of one volume that cross leave it mounted for the second",
    "A container that starts while another one ends gets a directory that goes away.",
    "observed: Docker",
)
async def _mount_race(subject: VolumeSubject) -> None:
    await _twice(subject)
    name, old = await subject.make(), subject.new_id()
    path = await subject.mount(name, old)
    _look(subject, path)
    _write(path, "kept")
    for _ in range(5):
        new = subject.new_id()
        unmount = subject.request("Unmount", name, ID=old)
        responses = await subject.at_once([unmount, subject.request("Mount", name, ID=new)])
        reply = Reply("VolumeDriver.Mount", responses[1])
        if not reply.ok:
            raise Violation(str(reply))
        found = str(reply.fields.get("Mountpoint"))
        expect(_text(found) == "kept", f"the file is not in {found}")
        old = new
