"""The rules of authorization plugins, which the engine does not start without."""

from __future__ import annotations

import base64
from functools import partial

from attrs import frozen

from ..http import request
from ..judging import NotApplicable, Severity, Violation, expect
from ..judging import rule as any_rule
from ..reply import Reply
from ..subjects import AuthzSubject

_rule = partial(any_rule, protocol="authz")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

#: What a client asks first, as it was recorded.
_PING = {"RequestMethod": "GET", "RequestUri": "/_ping"}
_PONG = {**_PING, "ResponseStatusCode": 200, "ResponseHeaders": {"Api-Version": "1.41"}}


def _post(uri: str, body: bytes | str) -> dict[str, object]:
    data = body.encode("utf-8") if isinstance(body, str) else body
    return {
        "RequestMethod": "POST",
        "RequestUri": uri,
        "RequestBody": base64.b64encode(data).decode("ascii"),
        "RequestHeaders": {"Content-Type": "application/json", "User-Agent": "Docker-Client/26"},
    }


def _create(body: bytes) -> dict[str, object]:
    return _post("/v1.41/volumes/create", body)


def _allows(reply: Reply) -> bool:
    """Return whether the engine lets the request pass: it does not look at Err."""
    return reply.response.status == 200 and reply.fields.get("Allow") is True


def _decided(reply: Reply) -> None:
    """Check that an answer is a decision that the engine can read."""
    if reply.response.status != 200:
        expect(reply.err, str(reply))
        return
    allow, message = reply.fields.get("Allow"), reply.fields.get("Msg")
    expect(isinstance(allow, bool), f"Allow is no boolean: {reply}")
    expect(message is None or isinstance(message, str), f"Msg is no string: {reply}")


@_rule(
    "A-ACTIVATE",
    _ERROR,
    "Activate's Implements has authz",
    "dockerd does not start with the plugin.",
    "moby, pkg/authorization; observed: Docker",
)
async def _activate(subject: AuthzSubject) -> None:
    found = await subject.implements()
    expect("authz" in found, f"Implements is {found}")


@_rule(
    "A-REQUEST",
    _ERROR,
    "AuthZReq answers {Allow: true or false, Msg, Err}, or another status with an Err",
    "Every command of every user is refused.",
    "observed: Docker 20.10",
)
async def _request(subject: AuthzSubject) -> None:
    for message in (_PING, _create(b'{"Name":"db"}\n')):
        _decided(await subject.ask(message))


@_rule(
    "A-RESPONSE",
    _ERROR,
    "AuthZRes answers {Allow: true or false, Msg, Err}, or another status with an Err",
    "What was asked for is done, and the user reads that it was not allowed.",
    "observed: Docker 20.10",
)
async def _response(subject: AuthzSubject) -> None:
    body = base64.b64encode(b'{"Name":"db"}\n').decode("ascii")
    created = {**_create(b"{}\n"), "ResponseStatusCode": 201, "ResponseBody": body}
    for message in (_PONG, created):
        _decided(await subject.ask(message, response=True))


@_rule(
    "A-ABSENT",
    _ERROR,
    "Every field may be absent",
    "Docker leaves out what is empty, and tells no body that is not JSON or too large.",
    "observed: Docker 20.10",
)
async def _absent(subject: AuthzSubject) -> None:
    usual = await subject.ask(_create(b"{}\n"))
    if usual.response.status != 200:
        _decided(usual)
    for message in ({"RequestMethod": "POST", "RequestUri": "/v1.41/build"}, _PING):
        reply = await subject.ask(message)
        expect(reply.response.status < 500, str(reply))


@_rule(
    "A-UNKNOWN-FIELDS",
    _WARNING,
    "Fields that the plugin does not know are ignored",
    "The next version of the engine sends one more: every command is refused.",
    "moby: RequestPeerCertificates came later",
)
async def _unknown_fields(subject: AuthzSubject) -> None:
    plain = await subject.ask(_PING)
    reply = await subject.ask({**_PING, "KitUnknown": {"a": 1}})
    expect(reply.response.status == plain.response.status, str(reply))


@_rule(
    "A-RETRY-EMPTY",
    _ERROR,
    "A call without a body is not allowed",
    "Docker repeats a call whose connection was cut with an empty body: whoever cuts it may "
    "do anything.",
    "observed: Docker",
)
async def _retry_empty(subject: AuthzSubject) -> None:
    for response in (False, True):
        reply = await subject.ask(b"", response)
        expect(not _allows(reply), f"without a body, {reply}")


@_rule(
    "A-MALFORMED",
    _ERROR,
    "What is no JSON object is not allowed",
    "What the plugin cannot read passes.",
    "security",
)
async def _malformed(subject: AuthzSubject) -> None:
    for body in (b"{", b"[]", b'"x"', b"\xff\xfe", b'{"RequestUri":"/x"'):
        reply = await subject.ask(body)
        expect(not _allows(reply), f"for the body {body!r}, {reply}")


@_rule(
    "A-NULL",
    _NOTE,
    "The body null is not allowed",
    "No engine sends it. Go's encoding/json reads it as a message without any field.",
    "robustness",
)
async def _null(subject: AuthzSubject) -> None:
    reply = await subject.ask(b"null")
    expect(not _allows(reply), str(reply))


@frozen
class _Option:
    """An option of HostConfig that a plugin may forbid.

    :ivar asks: the JSON value that asks for it.
    :ivar none: the value that asks for nothing.
    :ivar stays: Go leaves it as it is when null comes after it.
    """

    name: str
    asks: str
    none: str
    stays: bool = False

    def body(self, template: str) -> str:
        """Return a body, by a template with NAME, ASKS and NONE for the option's three parts."""
        text = template.replace("NAME", self.name).replace("ASKS", self.asks)
        return f'{{"Image":"busybox",{text.replace("NONE", self.none)}}}'


_CONTAINER, _EXEC = "/v1.41/containers/create", "/v1.41/containers/0123456789ab/exec"
#: What is asked, and its absence, in the place where current engines read it.
_ASKED, _NOTHING = '"HostConfig":{"NAME":ASKS}', '"HostConfig":{"NAME":NONE}'
_PRIVILEGED = _Option("Privileged", "true", "false", stays=True)
_OPTIONS = (
    _PRIVILEGED,
    _Option("NetworkMode", '"host"', '"none"', stays=True),
    _Option("PidMode", '"host"', '""', stays=True),
    _Option("CapAdd", '["SYS_ADMIN"]', "[]"),
    _Option("Binds", '["/:/host"]', "[]"),
)


async def _denied(subject: AuthzSubject, uri: str, body: str) -> bool:
    return not _allows(await subject.ask(_post(uri, body)))


async def _forbidden(
    subject: AuthzSubject, options: tuple[_Option, ...] = _OPTIONS
) -> list[_Option]:
    """Return the options that the plugin forbids, for it allows a container without them.

    :raises NotApplicable: there is none.
    """
    found = []
    for option in options:
        plain = await _denied(subject, _CONTAINER, option.body(_NOTHING))
        if not plain and await _denied(subject, _CONTAINER, option.body(_ASKED)):
            found.append(option)
    if not found:
        names = ", ".join(option.name for option in options)
        raise NotApplicable(f"containers are not allowed or denied by their {names}")
    return found


async def _always_denied(subject: AuthzSubject, option: _Option, *templates: str) -> None:
    for template in templates:
        body = option.body(template)
        expect(
            await _denied(subject, _CONTAINER, body),
            f"denied is {option.body(_ASKED)}; allowed is {body}",
        )


def _process(name: str) -> str:
    """Return the body of an exec that asks for privileges by a name."""
    return f'{{"Cmd":["true"],"{name}":true}}'


def _long(name: str) -> str:
    """Return a name with letters that Go takes for the usual ones."""
    return name.replace("s", "\u017f").replace("k", "\u212a")


@_rule(
    "A-CASE",
    _ERROR,
    "What is denied by a body is denied whatever the case of its names",
    "hostconfig and Ho\u017ftConfig are HostConfig for the engine: one letter defeats a policy.",
    "Go, encoding/json; observed: Docker 20.10",
)
async def _case(subject: AuthzSubject) -> None:
    for option in await _forbidden(subject):
        name = option.name
        outer = ("hostconfig", "HOSTCONFIG", _long("HostConfig"), "Host\\u0043onfig")
        inner = (name.lower(), name.upper(), _long(name))
        await _always_denied(
            subject,
            option,
            *(f'"{key}":{{"NAME":ASKS}}' for key in outer),
            *(f'"HostConfig":{{"{key}":ASKS}}' for key in inner),
        )
    if await _denied(subject, _EXEC, _process("Privileged")):
        body = _process("privileged")
        expect(await _denied(subject, _EXEC, body), f"allowed is POST {_EXEC} with {body}")


@_rule(
    "A-DUPLICATE",
    _ERROR,
    "What is denied by a body is denied if a name in the body comes twice",
    "The engine merges two objects of one name and lets null leave a value: a parser that keeps "
    "the last one does not see what the engine does.",
    "Go, encoding/json; observed: Docker 20.10",
)
async def _duplicate(subject: AuthzSubject) -> None:
    for option in await _forbidden(subject):
        templates = [
            f"{_ASKED},{_NOTHING.replace('NAME', 'Memory').replace('NONE', '0')}",
            f'{_ASKED},"HostConfig":{{}}',
            f'"HostConfig":{{}},{_ASKED}',
            f'{_ASKED},"hostconfig":{{}}',
            '"HostConfig":{"NAME":NONE,"NAME":ASKS}',
        ]
        if option.stays:
            templates.append('"HostConfig":{"NAME":ASKS,"NAME":null}')
        await _always_denied(subject, option, *templates)


@_rule(
    "A-BESIDE",
    _WARNING,
    "What is denied in HostConfig is denied beside it",
    "Docker before 25 reads the options of HostConfig there too, if there is no HostConfig.",
    "observed: Docker 20.10",
)
async def _beside(subject: AuthzSubject) -> None:
    for option in await _forbidden(subject):
        await _always_denied(subject, option, '"NAME":ASKS', '"NAME":ASKS,"HostConfig":null')


@_rule(
    "A-HIDDEN",
    _ERROR,
    "What is denied by a body is denied if the engine does not show the body",
    "Docker 20.10 shows no body of 1 MiB or more: a long body defeats a policy.",
    "moby, pkg/authorization; observed: Docker 20.10",
)
async def _hidden(subject: AuthzSubject) -> None:
    await _forbidden(subject)
    reply = await subject.ask({"RequestMethod": "POST", "RequestUri": _CONTAINER})
    expect(not _allows(reply), f"without its body, {reply}")


@_rule(
    "A-ESCAPE",
    _ERROR,
    "What is denied is denied whichever way its path is written",
    "The engine decodes a path, and does not look at a scheme and a host before it: "
    "/%63ontainers%2Fcreate creates containers.",
    "observed: Docker 20.10",
)
async def _escape(subject: AuthzSubject) -> None:
    requests = (
        ("/containers/create", _PRIVILEGED.body(_ASKED)),
        ("/containers/0123456789ab/exec", _process("Privileged")),
        ("/volumes/create", '{"Name":"db"}'),
        ("/images/create?fromImage=busybox", "{}"),
    )
    denied = [(path, body) for path, body in requests if await _denied(subject, path, body)]
    for path, body in denied:
        inner = path[1:]
        for uri in (
            f"/v1.41{path}",
            f"/v01.041.0{path}",
            f"/%{ord(inner[0]):02x}{inner[1:]}",
            f"/v1.41/{inner[0]}%{ord(inner[1]):02X}{inner[2:]}",
            f"/v1.41/{inner.replace('/', '%2F', 1)}",
            f"/%761.41%2f{inner}",
            f"http://docker{path}",
            f"x:/v1.41{path}",
        ):
            expect(await _denied(subject, uri, body), f"denied is {path}; allowed is {uri}")
    if not denied:
        raise NotApplicable("it allows everything that the kit asks for")


@_rule(
    "A-EXEC",
    _ERROR,
    "A policy that denies privileged containers denies privileged exec",
    "docker exec --privileged does in any container what a privileged container may.",
    "observed: Docker 20.10",
)
async def _exec(subject: AuthzSubject) -> None:
    await _forbidden(subject, (_PRIVILEGED,))
    for uri in (_EXEC, "/containers/web/exec", "/containers/web/db/exec"):
        body = _process("Privileged")
        expect(await _denied(subject, uri, body), f"allowed is POST {uri} with {body}")


@_rule(
    "A-START",
    _WARNING,
    "A policy that denies privileged containers denies a start that makes one",
    "Docker before 25 serves versions of the API before 1.24, whose start reads a HostConfig.",
    "observed: Docker 20.10",
)
async def _start(subject: AuthzSubject) -> None:
    await _forbidden(subject, (_PRIVILEGED,))
    uri = "/v1.23/containers/0123456789ab/start"
    hidden = await subject.ask({"RequestMethod": "POST", "RequestUri": uri})
    expect(not _allows(hidden), f"POST {uri}, whose body may be hidden: {hidden}")
    body = '{"Privileged":true}'
    expect(await _denied(subject, uri, body), f"allowed is POST {uri} with {body}")


@_rule(
    "A-ERR-ALLOW",
    _ERROR,
    "An answer with an Err does not allow",
    "The engine does not look at Err on 200: what failed is allowed.",
    "observed: Docker 20.10",
)
async def _err_allow(subject: AuthzSubject) -> None:
    messages = (
        {"RequestMethod": "POST", "RequestUri": "/v1.41/volumes/create", "RequestBody": "%%"},
        {"RequestMethod": 7, "RequestUri": ["x"]},
        {"RequestMethod": None, "RequestUri": None, "RequestHeaders": None},
        {"RequestMethod": "GET", "RequestUri": "%zz/../\u202e"},
    )
    for message in messages:
        reply = await subject.ask(message)
        expect(not (_allows(reply) and reply.err), str(reply))


@_rule(
    "A-LARGE",
    _WARNING,
    "A body of 4 MiB is decided on",
    "Large configs and secrets cannot be created: the engine sends bodies up to that size.",
    "moby, pkg/authorization",
)
async def _large(subject: AuthzSubject) -> None:
    reply = await subject.ask(_create(b'{"Data":"' + b"x" * ((4 << 20) - 16) + b'"}'))
    expect(reply.response.status == 200, str(reply))


@_rule(
    "A-PARALLEL",
    _ERROR,
    "Requests that come at the same time are each decided on, with the same decision",
    "docker compose up asks for many things at once.",
    "observed: Docker",
)
async def _parallel(subject: AuthzSubject) -> None:
    alone = await subject.ask(_PING)
    data = request("AuthZPlugin.AuthZReq", _PING, subject.head)
    for response in await subject.at_once([data] * 16):
        reply = Reply("AuthZPlugin.AuthZReq", response)
        _decided(reply)
        if _allows(reply) != _allows(alone):
            raise Violation(f"alone, {alone}; with others, {reply}")


@_rule(
    "A-QUICK",
    _WARNING,
    "A decision takes less than 1 s",
    "Every command waits for two of them.",
    "practice",
)
async def _quick(subject: AuthzSubject) -> None:
    for reply in (await subject.ask(_PING), await subject.ask(_PONG, response=True)):
        expect(reply.took < 1, f"{reply.call} took {reply.took:.1f} s")
