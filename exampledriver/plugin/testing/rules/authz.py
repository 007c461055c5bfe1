"""The rules of authorization plugins, which the engine does not start without."""

from __future__ import annotations

import base64
from functools import partial

from ..http import request
from ..judging import Severity, Violation, expect
from ..judging import rule as any_rule
from ..reply import Reply
from ..subjects import AuthzSubject

_rule = partial(any_rule, protocol="authz")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

#: What a client asks first, as it was recorded.
_PING = {"RequestMethod": "GET", "RequestUri": "/_ping"}
_PONG = {**_PING, "ResponseStatusCode": 200, "ResponseHeaders": {"Api-Version": "1.41"}}


def _create(body: bytes) -> dict[str, object]:
    return {
        "RequestMethod": "POST",
        "RequestUri": "/v1.41/volumes/create",
        "RequestBody": base64.b64encode(body).decode("ascii"),
        "RequestHeaders": {"Content-Type": "application/json", "User-Agent": "Docker-Client/26"},
    }


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
    for body in (b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b'{"RequestUri":"/x"'):
        reply = await subject.ask(body)
        expect(not _allows(reply), f"for the body {body!r}, {reply}")


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
