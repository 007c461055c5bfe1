"""The rules of volume drivers for names, which nobody checks, and for clients that go away."""

from __future__ import annotations

import os
from functools import partial

from ..judging import Blocked, NotApplicable, Severity, expect
from ..judging import rule as any_rule
from ..subject import VolumeSubject

_rule = partial(any_rule, protocol="VolumeDriver")
_ERROR = Severity.ERROR


@_rule(
    "V-NAME-TRAVERSAL",
    _ERROR,
    "A name with / or .. in it does not lead out of the directory of all volumes",
    "Docker checks no names: docker volume create ../../etc/cron.d is mounted, or removed.",
    "observed: Docker 20.10, 26.1",
)
async def _name_traversal(subject: VolumeSubject) -> None:
    ordinary = [await subject.mount(await subject.make(), subject.new_id()) for _ in range(2)]
    root = os.path.commonpath([os.path.dirname(os.path.normpath(path)) for path in ordinary])
    end = subject.name()
    # Each resolves to a name of our own: whatever a plugin makes or removes is nobody's.
    absolute = f"/tmp/{end}"  # noqa: S108
    for name in (f"../{end}", f"{end}a/../../{end}", absolute, f"{end}b/../{end}"):
        if not (await subject.create(name)).ok:
            continue
        reply = await subject.volume("Mount", name, ID=subject.new_id())
        path = reply.fields.get("Mountpoint")
        if not reply.ok or not isinstance(path, str) or not path:
            continue
        inside = os.path.normpath(path).startswith(root.rstrip("/") + "/")
        expect(".." not in path.split("/") and inside, f"the volume {name!r} is at {path}")


@_rule(
    "V-NAME-DOTS",
    _ERROR,
    "Get of ., .. and / is an error",
    "The directory of all volumes, or the one above, is taken for a volume, and then removed.",
    "observed: Docker passes every name",
)
async def _name_dots(subject: VolumeSubject) -> None:
    await subject.finds()
    # Only asked for: a plugin that takes them for volumes would remove everything.
    for name in (".", "..", "/", "../..", "./"):
        reply = await subject.call("VolumeDriver.Get", {"Name": name})
        expect(not reply.ok, f"for {name!r}, {reply}")


@_rule(
    "V-NAME-ODD",
    _ERROR,
    "Names with NUL, newlines, thousands of characters or odd ones are answered, and it goes on",
    "Docker checks no names: one command takes the plugin away, or breaks its list for ever.",
    "observed: Docker 20.10, 26.1",
)
async def _name_odd(subject: VolumeSubject) -> None:
    await subject.finds()
    known = await subject.make()
    end = subject.name()
    for name in (end + "\x00", end + "\nx", end + "x" * 4096, end + "\udc80", end + "日\u202e"):
        reply = await subject.create(name)
        expect(reply.ok or reply.response.status >= 400 or reply.err, f"for {name[:40]!r}, {reply}")
        if not reply.ok:
            await subject.volume("Get", name)
    reply = await subject.volume("Get", known)
    expect(reply.ok, f"afterwards, for a usual name, {reply}")


@_rule(
    "V-NAME-SHELL",
    _ERROR,
    "A name is never read by a shell",
    "Whoever may name a volume runs commands as the plugin's user, which is root.",
    "security; Docker passes every name",
)
async def _name_shell(subject: VolumeSubject) -> None:
    end = subject.name()
    # If a shell reads them, what they run is echo.
    for name in (f"{end}a$(echo x)", f"{end}b`echo x`", f'{end}c"$(echo x)"'):
        expanded = subject.owned(name.partition("$")[0].partition("`")[0].replace('"', "") + "x")
        await subject.create(name)
        names = await subject.names()
        expect(expanded not in names, f"Create of {name!r} made {expanded!r}")
        await subject.volume("Remove", name)


@_rule(
    "V-NAME-DISTINCT",
    _ERROR,
    "Volumes with similar names are different volumes",
    "One container's data appears in another's.",
    "practice",
)
async def _name_distinct(subject: VolumeSubject) -> None:
    end = subject.name()
    paths: dict[str, str] = {}
    for suffix in ("x-y", "x_y", "x.y", "X-y", "x-y-"):
        name = f"{end}{suffix}"
        if (await subject.create(name)).ok:
            path = os.path.normpath(await subject.mount(name, subject.new_id()))
            expect(path not in paths, f"{name} and {paths.get(path)} are both at {path}")
            paths[path] = name
    if len(paths) < 2:
        raise NotApplicable("of five similar names, the plugin takes at most one")


@_rule(
    "V-DROPPED-CREATE",
    _ERROR,
    "A Create whose client has gone leaves a volume or none, and the same Create then succeeds",
    "Podman goes away after 5 s: a volume that is half there can be neither used nor removed.",
    "observed: Podman 4.3",
)
async def _dropped_create(subject: VolumeSubject) -> None:
    await subject.finds()
    again = await subject.create(await subject.make())
    if not again.ok:
        raise Blocked(f"the same Create again: {again}")
    for name in (subject.name(), subject.name()):
        async with subject.client() as client:
            await client.send(subject.request("Create", name, **subject.fields(name)))
        reply = await subject.create(name)
        expect(reply.ok, f"the same Create again: {reply}")
        expect(await subject.there(name), "after the second Create, Get does not find it")


@_rule(
    "V-DROPPED-BODY",
    _ERROR,
    "A Create whose body was cut off, or never came, makes nothing",
    "A connection that was cut makes a volume with half its options.",
    "RFC 9112",
)
async def _dropped_body(subject: VolumeSubject) -> None:
    await subject.finds()
    before = sorted(await subject.names())
    for part in ("none of it", "its name", "all but the end"):
        name = subject.name()
        whole = subject.request("Create", name, **subject.fields(name))
        begin = whole.index(b"\r\n\r\n") + 4
        named = whole.index(name.encode("ascii"), begin) + len(name) + 1
        end = {"none of it": begin, "its name": named}.get(part, whole.rindex(b"}"))
        async with subject.client() as client:
            await client.send(whole[:end])
            await subject.target.sleep(0.05)
        await subject.target.sleep(0.2)
        reply = await subject.volume("Get", name)
        expect(not reply.ok, f"of the body came {part}: afterwards, {reply}")
    after = sorted(await subject.names())
    expect(before == after, f"List was {before}, and is {after}")
