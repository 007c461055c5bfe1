"""The rules of volume drivers for what there is: Create, Get, List, Remove."""

from __future__ import annotations

from functools import partial

from ..connection import NO_ANSWER
from ..judging import Blocked, Severity, expect
from ..judging import rule as any_rule
from ..reply import Reply, path_complaint, time_complaint
from ..subject import VolumeSubject, options_for

_rule = partial(any_rule, protocol="VolumeDriver")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

#: Seconds after which Podman goes away, from every call.
PODMAN_LIMIT = 5.0

_FORGETS = "Docker forgets the volume, with its labels, options and protection while in use, and "
_SHADOW = _FORGETS + "may create an empty one of the local driver in its place."


@_rule(
    "V-CREATE",
    _ERROR,
    "What was created is there for Get",
    "Create, then Get is what every docker run begins with.",
    "observed: Docker, Podman",
)
async def _create(subject: VolumeSubject) -> None:
    name = subject.name()
    made = await subject.create(name)
    expect(made.ok, str(made))
    reply = await subject.volume("Get", name)
    expect(reply.ok, str(reply))


@_rule(
    "V-CREATE-AGAIN",
    _ERROR,
    "Create of a volume that exists, with the same options, succeeds and changes nothing",
    "After a lost connection the user repeats the command: it must neither fail nor start anew.",
    "observed: Docker's retry",
)
async def _create_again(subject: VolumeSubject) -> None:
    name = await subject.make()
    first = await subject.volume("Get", name)
    again = await subject.create(name)
    expect(again.ok, str(again))
    second = await subject.volume("Get", name)
    if not (first.ok and second.ok):
        raise Blocked(f"{first}; {second}")
    made = [_created(reply) for reply in (first, second)]
    expect(made[0] == made[1], f"CreatedAt was {made[0]!r}, and is {made[1]!r}")


def _created(reply: Reply) -> object:
    volume = reply.fields.get("Volume")
    return volume.get("CreatedAt") if isinstance(volume, dict) else None


@_rule(
    "V-CREATE-OTHER",
    _WARNING,
    "Create of a volume that exists, with other options, is refused",
    "The user believes in a size or an owner that the volume does not have.",
    "practice: Docker drops the new options before the plugin sees them, Podman does not",
)
async def _create_other(subject: VolumeSubject) -> None:
    name = await subject.make()
    options = options_for(subject.options, name)
    reply = await subject.volume("Create", name, Opts={**options, "kit-other": "1"})
    expect(not reply.ok, str(reply))


@_rule(
    "V-CREATE-PARALLEL",
    _ERROR,
    "Volumes that are created at the same time are all made",
    "docker compose up creates all at once: some are lost.",
    "observed: Docker",
)
async def _create_parallel(subject: VolumeSubject) -> None:
    await subject.finds()
    names = [subject.name() for _ in range(8)]
    requests = [subject.request("Create", name, **subject.fields(name)) for name in names]
    for response in await subject.at_once(requests):
        reply = Reply("VolumeDriver.Create", response)
        expect(reply.ok, str(reply))
    missing = [name for name in names if not await subject.there(name)]
    expect(not missing, f"of {len(names)} volumes, Get does not find {missing}")


@_rule(
    "V-GET-UNKNOWN",
    _ERROR,
    "Get of a volume that does not exist is an error",
    "Docker takes the volume for one that exists and never creates it.",
    "observed: Docker, Podman",
)
async def _get_unknown(subject: VolumeSubject) -> None:
    reply = await subject.volume("Get", subject.name())
    expect(not reply.ok, str(reply))


@_rule(
    "V-GET-NAME",
    _ERROR,
    "Get answers an object whose Name is the one that was asked for",
    f"With null or another name {_FORGETS}says so to nobody.",
    "observed: Docker, Podman",
)
async def _get_name(subject: VolumeSubject) -> None:
    name = await subject.make()
    reply = await subject.volume("Get", name)
    if not reply.ok:
        raise Blocked(str(reply))
    volume = reply.fields.get("Volume")
    expect(isinstance(volume, dict) and volume.get("Name") == name, str(reply))


@_rule(
    "V-GET-MOUNTPOINT",
    _ERROR,
    "Get's Mountpoint is absent, empty or an absolute path",
    "docker volume inspect shows it, and backup tools follow it.",
    "Docker's plugin API",
)
async def _get_mountpoint(subject: VolumeSubject) -> None:
    volume = await subject.known(await subject.make())
    complaint = path_complaint(volume.get("Mountpoint"), empty=True)
    expect(not complaint, complaint)


@_rule(
    "V-GET-CREATED",
    _ERROR,
    "Get's CreatedAt is absent or RFC 3339 with a zone",
    f"Docker cannot read the answer: {_SHADOW}",
    "observed: Docker 20.10, 26.1",
)
async def _get_created(subject: VolumeSubject) -> None:
    volume = await subject.known(await subject.make())
    complaint = time_complaint(volume["CreatedAt"]) if "CreatedAt" in volume else ""
    expect(not complaint, complaint)


@_rule(
    "V-GET-STATUS",
    _ERROR,
    "Get's Status is absent, null or an object",
    f"Docker cannot read the answer: {_SHADOW}",
    "observed: Docker 20.10, 26.1",
)
async def _get_status(subject: VolumeSubject) -> None:
    status = (await subject.known(await subject.make())).get("Status")
    expect(status is None or isinstance(status, dict), f"Status is {status!r}")


@_rule(
    "V-GET-STEADY",
    _ERROR,
    "Get of a volume that exists never fails, a hundred times in a row",
    f"One wrong answer is enough: {_SHADOW}",
    "observed: Docker 20.10, 26.1",
)
async def _get_steady(subject: VolumeSubject) -> None:
    name = await subject.make()
    if not await subject.there(name):
        raise Blocked("Get does not find the volume at all")
    for turn in range(100):
        reply = await subject.volume("Get", name)
        expect(reply.ok, f"the {turn + 2}. time, {reply}")


@_rule(
    "V-GET-BUSY",
    _ERROR,
    "Get of a volume that exists does not fail while it and others are created and mounted",
    f"Get waits, or answers from memory: at the first failure {_SHADOW}",
    "observed: Docker 20.10, 26.1",
)
async def _get_busy(subject: VolumeSubject) -> None:
    name = await subject.make()
    if not await subject.there(name):
        raise Blocked("Get does not find the volume at all")
    busy = []
    for new in (subject.name(), subject.name()):
        busy.append(subject.request("Create", new, **subject.fields(new)))
        busy.append(subject.request("Mount", name, ID=subject.new_id()))
    get = subject.request("Get", name)
    responses = await subject.at_once([item for data in busy for item in (data, get)])
    for response in responses[1::2]:
        reply = Reply("VolumeDriver.Get", response)
        expect(reply.ok, f"meanwhile, {reply}")


@_rule(
    "V-LIST",
    _ERROR,
    "List answers Volumes, a list",
    "docker volume ls shows none of the plugin's volumes.",
    "Docker's plugin API; observed: Docker",
)
async def _list(subject: VolumeSubject) -> None:
    await subject.make()
    reply = await subject.call("VolumeDriver.List", {})
    expect(reply.ok and isinstance(reply.fields.get("Volumes"), list), str(reply))


@_rule(
    "V-LIST-ALL",
    _ERROR,
    "List has every volume once",
    "docker volume ls does not show it, and whoever cleans up misses it.",
    "observed: Docker",
)
async def _list_all(subject: VolumeSubject) -> None:
    made = [await subject.make() for _ in range(3)]
    names = await subject.names()
    wrong = [name for name in made if names.count(name) != 1]
    expect(not wrong, f"List does not have once {wrong}, but: {names[:20]}")


@_rule(
    "V-LIST-NULL",
    _ERROR,
    "List has no null and nothing else that is no volume with a name",
    "dockerd crashes, and Podman too.",
    "observed: Docker 20.10, 26.1, Podman 4.3",
)
async def _list_null(subject: VolumeSubject) -> None:
    await subject.make()
    bad = [
        volume
        for volume in await subject.listed()
        if not isinstance(volume, dict) or not isinstance(volume.get("Name"), str)
    ]
    expect(not bad, f"List has {bad[:3]}")


@_rule(
    "V-LIST-FIELDS",
    _ERROR,
    "In List too, CreatedAt, Status and Mountpoint are as they are for Get",
    "One that Docker cannot read hides all volumes from docker volume ls.",
    "observed: Docker",
)
async def _list_fields(subject: VolumeSubject) -> None:
    await subject.make()
    for volume in await subject.listed():
        if not isinstance(volume, dict):
            continue
        status = volume.get("Status")
        complaints = [
            time_complaint(volume["CreatedAt"]) if "CreatedAt" in volume else "",
            path_complaint(volume.get("Mountpoint"), empty=True),
            "" if status is None or isinstance(status, dict) else f"Status is {status!r}",
        ]
        expect(not any(complaints), f"{volume.get('Name')}: {' '.join(filter(None, complaints))}")


@_rule(
    "V-LIST-EMPTY-BODY",
    _ERROR,
    "List is answered without a body",
    "Podman sends none: podman volume reload finds no volumes.",
    "observed: Podman 4.3",
)
async def _list_empty_body(subject: VolumeSubject) -> None:
    reply = await subject.call("VolumeDriver.List", b"")
    expect(reply.ok, str(reply))


@_rule(
    "V-REMOVE",
    _ERROR,
    "What was removed is gone, from Get and from List",
    "docker volume rm says that it is gone, and the next create finds it.",
    "observed: Docker",
)
async def _remove(subject: VolumeSubject) -> None:
    await subject.finds()
    name = await subject.make()
    reply = await subject.volume("Remove", name)
    expect(reply.ok, str(reply))
    again = await subject.volume("Get", name)
    expect(not again.ok, f"after Remove, {again}")
    expect(name not in await subject.names(), "after Remove, List has it")


@_rule(
    "V-REMOVE-UNKNOWN",
    _WARNING,
    "Remove of a volume that does not exist is answered and makes nothing",
    "docker volume rm -f after a half-done removal hangs or brings the volume back.",
    "observed: Docker",
)
async def _remove_unknown(subject: VolumeSubject) -> None:
    await subject.finds()
    name = subject.name()
    await subject.volume("Remove", name)
    reply = await subject.volume("Get", name)
    expect(not reply.ok, f"after Remove, {reply}")


@_rule(
    "V-REMOVE-CREATE",
    _ERROR,
    "A removed volume's name can be used again",
    "docker compose down -v and up fails, or shows the old volume.",
    "practice",
)
async def _remove_create(subject: VolumeSubject) -> None:
    await subject.finds()
    name = await subject.make()
    await subject.must("Remove", name)
    reply = await subject.create(name)
    expect(reply.ok, str(reply))
    found = await subject.volume("Get", name)
    expect(found.ok, f"after the second Create, {found}")


@_rule(
    "V-QUICK",
    _WARNING,
    "Create, Get, List, Mount, Unmount and Remove take less than 5 s each",
    "Podman goes away after 5 s, and the command fails.",
    "observed: Podman 4.3",
)
async def _quick(subject: VolumeSubject) -> None:
    name, mount_id = subject.name(), subject.new_id()
    try:
        replies = [
            await subject.create(name),
            await subject.volume("Get", name),
            await subject.call("VolumeDriver.List", {}),
            await subject.volume("Mount", name, ID=mount_id),
            await subject.volume("Unmount", name, ID=mount_id),
            await subject.volume("Remove", name),
        ]
    except NO_ANSWER as error:
        raise Blocked(str(error)) from None
    slow = [f"{reply.call} {reply.took:.1f} s" for reply in replies if reply.took >= PODMAN_LIMIT]
    expect(not slow, f"too slow: {', '.join(slow)}")
