"""The rules of volume drivers for messages: bodies, options, errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..http import DOCKER, PODMAN, request
from ..judging import Blocked, Severity, Violation, expect
from ..judging import rule as any_rule
from ..reply import Reply
from ..subject import VolumeSubject, options_for

_rule = partial(any_rule, protocol="VolumeDriver")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

_GET, _CREATE = "VolumeDriver.Get", "VolumeDriver.Create"


@_rule(
    "V-ACTIVATE",
    _ERROR,
    "Activate's Implements has VolumeDriver",
    "The engine does not offer the plugin for volumes.",
    "Docker's plugin API; observed: Docker, Podman",
)
async def _activate(subject: VolumeSubject) -> None:
    found = await subject.implements()
    expect("VolumeDriver" in found, f"Implements is {found}")


@_rule(
    "V-CAPABILITIES",
    _WARNING,
    "Capabilities says a Scope, local or global",
    "Docker takes the driver for local, and a swarm treats each machine's volume as another.",
    "moby, volume/drivers; observed: Docker",
)
async def _capabilities(subject: VolumeSubject) -> None:
    reply = await subject.call("VolumeDriver.Capabilities", {})
    found = reply.fields.get("Capabilities")
    scope = found.get("Scope") if isinstance(found, dict) else None
    expect(reply.ok and scope in ("local", "global"), str(reply))


@_rule(
    "V-TYPE-NONE",
    _ERROR,
    "A message without a Content-Type is read as JSON",
    "Docker sends none: no call that names a volume works.",
    "observed: Docker 20.10, 26.1",
)
async def _type_none(subject: VolumeSubject) -> None:
    await _read_with(subject, DOCKER)


@_rule(
    "V-TYPE-PODMAN",
    _ERROR,
    "A message with Podman's headers and without a newline at its end is read",
    "Podman sends Content-Type v1.1, where Docker accepts v1.2.",
    "observed: Podman 4.3",
)
async def _type_podman(subject: VolumeSubject) -> None:
    await _read_with(subject, PODMAN)


async def _read_with(subject: VolumeSubject, head: Sequence[bytes]) -> None:
    name = await subject.ready()
    reply = await subject.call(_GET, {"Name": name}, head)
    if not reply.ok and not await subject.there(name):
        raise Blocked(f"with no headers at all: {reply}")
    expect(reply.ok, str(reply))


@_rule(
    "V-ESCAPES",
    _ERROR,
    "A message with JSON's \\u escapes is read",
    "Docker escapes <, > and &: another volume is made than the one that was named.",
    "observed: Docker",
)
async def _escapes(subject: VolumeSubject) -> None:
    name = await subject.ready()
    escaped = "".join(f"\\u{ord(character):04x}" for character in name).encode("ascii")
    reply = await subject.call(_GET, b'{"Name":"' + escaped + b'"}\n')
    expect(reply.ok, f"for an escaped name, {reply}")


@_rule(
    "V-FIELDS-UNKNOWN",
    _WARNING,
    "Fields that the plugin does not know are ignored",
    "The next version of an engine sends one more: nothing works.",
    "Docker's plugin API",
)
async def _fields_unknown(subject: VolumeSubject) -> None:
    name = await subject.ready()
    reply = await subject.call(_GET, {"Name": name, "KitUnknown": {"a": [1, None]}})
    expect(reply.ok, str(reply))


@_rule(
    "V-PIECES",
    _ERROR,
    "A message whose body comes later than its head, and in pieces, is read whole",
    "A long message fails, or is read in part.",
    "RFC 9112; observed: head and body in two segments",
)
async def _pieces(subject: VolumeSubject) -> None:
    name = await subject.ready()
    head, _, body = subject.request("Get", name).partition(b"\r\n\r\n")
    async with subject.client() as client:
        for piece in (head + b"\r\n\r\n", body[:5], body[5:]):
            await client.send(piece)
            await subject.target.sleep(0.02)
        response = await client.response()
    expect(response.status == 200, str(Reply(_GET, response)))


@_rule(
    "V-BODY-BOUND",
    _WARNING,
    "A body of many megabytes is refused",
    "Whoever reaches the socket fills the machine's memory.",
    "robustness",
)
async def _body_bound(subject: VolumeSubject) -> None:
    name = await subject.ready()
    body = b'{"Name":"' + name.encode("ascii") + b'"' + b" " * subject.large + b"}\n"
    async with subject.client() as client:
        await client.send(request(_GET, body, subject.head))
        try:
            status = (await client.response()).status
        except Exception:
            return  # Whether that is well done is P-LARGE-SURVIVED's.
    expect(status >= 400, f"a body of {len(body) >> 20} MiB was answered with {status}")


@_rule(
    "V-OPTS-OBJECT",
    _ERROR,
    "Opts may be an object",
    "Docker sends {} or the -o options: no volume can be created.",
    "observed: Docker",
)
async def _opts_object(subject: VolumeSubject) -> None:
    name = subject.name()
    await _creates_with(subject, name, Opts=options_for(subject.options, name))


@_rule(
    "V-OPTS-NULL",
    _ERROR,
    "Opts may be null",
    "Docker sends null when there is no -o: no volume can be created without options.",
    "observed: Docker",
)
async def _opts_null(subject: VolumeSubject) -> None:
    await _creates_with(subject, subject.name(), Opts=None)


@_rule(
    "V-OPTS-ABSENT",
    _ERROR,
    "Opts may be absent",
    "Podman leaves it out when there is no -o: no volume can be created without options.",
    "observed: Podman",
)
async def _opts_absent(subject: VolumeSubject) -> None:
    await _creates_with(subject, subject.name())


async def _creates_with(subject: VolumeSubject, name: str, **fields: object) -> None:
    reply = await subject.volume("Create", name, **fields)
    if not reply.ok:
        await subject.make()
    if subject.options and not fields.get("Opts"):
        # It needs options: it says so, and does not crash.
        expect(reply.ok or reply.err, str(reply))
        return
    expect(reply.ok, str(reply))


async def _changes_nothing(subject: VolumeSubject, call: str, body: bytes) -> None:
    """Check that a bad body is refused by a call, and that a volume is as it was."""
    reply = await subject.call(call, body)
    expect(not reply.ok, f"for the body {body[:60]!r}, {reply}")


@_rule(
    "V-RETRY-EMPTY",
    _ERROR,
    "A call that names a volume is refused without a body, and changes nothing",
    "Docker repeats a call whose connection was cut with an empty body: read as {}, a Create "
    "succeeds for nothing, and a Remove takes something.",
    "observed: Docker 20.10, 26.1",
)
async def _retry_empty(subject: VolumeSubject) -> None:
    name = await subject.ready()
    before = sorted(await subject.names())
    for call in ("Create", "Mount", "Unmount", "Path", "Get", "Remove"):
        await _changes_nothing(subject, f"VolumeDriver.{call}", b"")
    expect(await subject.there(name), "the volume that was there has gone")
    after = sorted(await subject.names())
    expect(before == after, f"List was {before}, and is {after}")


@_rule(
    "V-BODY-MALFORMED",
    _ERROR,
    "A body that is no JSON is refused",
    "A cut or garbled message does something, or hangs.",
    "robustness",
)
async def _body_malformed(subject: VolumeSubject) -> None:
    name = subject.name()
    for body in (b"{", b'{"Name":"%s"' % name.encode(), b'"Name"}', b"\x00\xff\xfe", b"{'Name':1}"):
        for call in (_CREATE, _GET):
            await _changes_nothing(subject, call, body)


@_rule(
    "V-BODY-NO-OBJECT",
    _ERROR,
    "A body that is JSON but no object is refused",
    "It does something for nobody.",
    "robustness",
)
async def _body_no_object(subject: VolumeSubject) -> None:
    for body in (b"null\n", b"[]\n", b'"x"\n', b"7\n", b"true\n"):
        for call in (_CREATE, _GET):
            await _changes_nothing(subject, call, body)


@_rule(
    "V-NAME-MISSING",
    _ERROR,
    "A missing, empty or null Name is refused",
    "A volume without a name is made, or the directory of all volumes is taken for one.",
    "observed: Docker's retry; robustness",
)
async def _name_missing(subject: VolumeSubject) -> None:
    for message in (b"{}\n", b'{"Name":""}\n', b'{"Name":null}\n'):
        for call in ("Create", "Get", "Mount"):
            await _changes_nothing(subject, f"VolumeDriver.{call}", message)


@_rule(
    "V-NAME-TYPE",
    _NOTE,
    "A Name that is no string is refused",
    "No engine sends one.",
    "robustness",
)
async def _name_type(subject: VolumeSubject) -> None:
    for message in (b'{"Name":7}\n', b'{"Name":["x"]}\n', b'{"Name":{"x":1}}\n'):
        for call in (_CREATE, _GET):
            await _changes_nothing(subject, call, message)


@_rule(
    "V-ERR-TEXT",
    _ERROR,
    "A refusal is JSON, an object with a text in Err",
    "The user reads no reason; with HTML or a traceback Docker shows all of it.",
    "Docker's plugin API; moby, pkg/plugins",
)
async def _err_text(subject: VolumeSubject) -> None:
    name = subject.name()
    replies = (
        await subject.volume("Mount", name, ID=subject.new_id()),
        await subject.volume("Get", name),
    )
    for reply in replies:
        expect(reply.ok or reply.err.strip(), str(reply))


@_rule(
    "V-ERR-STATUS",
    _ERROR,
    "A refused Create, Mount, Unmount or Remove has a status that is not 200",
    "Podman ignores an Err on 200: the volume counts as made, the container runs without it.",
    "observed: Podman 4.3",
)
async def _err_status(subject: VolumeSubject) -> None:
    found = [await subject.volume("Mount", subject.name(), ID=subject.new_id())]
    found += [await subject.call(f"VolumeDriver.{call}", b"") for call in ("Create", "Remove")]
    for reply in found:
        expect(not (reply.err and reply.response.status == 200), str(reply))


@_rule(
    "V-OK-STATUS",
    _ERROR,
    "A success has status 200, and Err is absent, null or empty",
    "Docker takes 201 or 204 for a failure, and an Err that is no string for a bad answer.",
    "moby, pkg/plugins; observed: Docker",
)
async def _success(subject: VolumeSubject) -> None:
    name = subject.name()
    mount_id = subject.new_id()
    calls = (
        await subject.create(name),
        await subject.volume("Get", name),
        await subject.volume("Mount", name, ID=mount_id),
        await subject.volume("Unmount", name, ID=mount_id),
        await subject.volume("Remove", name),
    )
    for reply in calls:
        status, err = reply.response.status, reply.fields.get("Err")
        if status >= 400 or reply.err:
            raise Blocked(str(reply))
        if status != 200 or err not in (None, ""):
            raise Violation(str(reply))


@_rule(
    "V-OPTS-TYPE",
    _NOTE,
    "Opts that are no object of strings are refused",
    "No engine sends them.",
    "robustness",
)
async def _opts_type(subject: VolumeSubject) -> None:
    for opts in ("x", ["a"], 7):
        reply = await subject.volume("Create", subject.name(), Opts=opts)
        expect(not reply.ok, f"for Opts {opts!r}, {reply}")
