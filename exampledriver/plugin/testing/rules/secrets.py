"""The rules of secret providers. No text that is made here has a secret's value in it."""

from __future__ import annotations

from functools import partial

from ..http import request
from ..judging import Blocked, NotApplicable, Severity, expect
from ..judging import rule as any_rule
from ..subjects import HiddenReply, SecretSubject

_rule = partial(any_rule, protocol="secretprovider")
_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_GET = "SecretProvider.GetSecret"
_SOURCE = "moby, swarmkit"


def _known(subject: SecretSubject) -> str:
    if not subject.secret:
        raise NotApplicable("no secret of the provider is known; name one")
    return subject.secret


async def _refuses(subject: SecretSubject) -> None:
    """Go on if the provider refuses what it does not have.

    :raises Blocked: it does not, which another rule is about.
    """
    if (await subject.get(subject.unknown())).ok:
        raise Blocked("it gives a secret that does not exist")


@_rule(
    "S-ACTIVATE",
    _ERROR,
    "Activate's Implements has secretprovider",
    "The swarm does not find the provider, and no task that needs a secret of it starts.",
    _SOURCE,
)
async def _activate(subject: SecretSubject) -> None:
    found = await subject.implements()
    expect("secretprovider" in found, f"Implements is {found}")


@_rule(
    "S-VALUE",
    _ERROR,
    "GetSecret answers a Value in base64, of 1 to 511999 bytes",
    "The swarm cannot read it, or does not take it: the task does not start.",
    _SOURCE,
)
async def _value(subject: SecretSubject) -> None:
    reply = await subject.get(_known(subject))
    expect(reply.ok, str(reply))
    expect(not reply.complaint, reply.complaint)


@_rule(
    "S-REUSE",
    _ERROR,
    "DoNotReuse is true, false or absent",
    "The swarm cannot read the answer: the task does not start.",
    _SOURCE,
)
async def _reuse(subject: SecretSubject) -> None:
    reply = await subject.must(_known(subject))
    found = reply.fields.get("DoNotReuse")
    expect(found is None or isinstance(found, bool), f"DoNotReuse is {found!r}")


@_rule(
    "S-ABSENT",
    _ERROR,
    "Every field but SecretName may be absent",
    "The swarm leaves out what is empty: tasks of services without labels or ports do not start.",
    _SOURCE,
)
async def _absent(subject: SecretSubject) -> None:
    await subject.must(_known(subject))
    reply = await subject.ask({"SecretName": subject.secret})
    if not reply.ok:
        # It may want to know for whom: then it says so.
        expect(reply.response.status < 500, str(reply))


@_rule(
    "S-UNKNOWN-FIELDS",
    _WARNING,
    "Fields that the plugin does not know are ignored",
    "The next version of the swarm sends one more: no task starts.",
    "moby, swarmkit: fields were added over time",
)
async def _unknown_fields(subject: SecretSubject) -> None:
    plain = await subject.must(_known(subject))
    reply = await subject.get(subject.secret, KitUnknown={"a": [1, None]})
    expect(reply.response.status == plain.response.status and reply.ok, str(reply))


@_rule(
    "S-UNKNOWN",
    _ERROR,
    "A secret that does not exist is refused",
    "A task starts with somebody else's secret, or with none that is one.",
    "practice",
)
async def _unknown(subject: SecretSubject) -> None:
    reply = await subject.get(subject.unknown())
    expect(not reply.ok, str(reply))


@_rule(
    "S-NAME-TRAVERSAL",
    _WARNING,
    "A name with / or .. in it does not lead to a file outside",
    "Whoever reaches the socket reads any file that the plugin may read; a swarm checks names.",
    "security",
)
async def _traversal(subject: SecretSubject) -> None:
    await _refuses(subject)
    up = "../" * 24
    for name in (f"{up}etc/passwd", "/etc/passwd", f"./{up}proc/self/status", "..", "."):
        reply = await subject.get(name)
        expect(not reply.ok, f"for the name {name!r}, {reply}")


@_rule(
    "S-NAME-ODD",
    _ERROR,
    "Names with NUL, newlines, thousands of characters or none are refused, and it goes on",
    "One request takes the plugin away.",
    "robustness",
)
async def _odd(subject: SecretSubject) -> None:
    await _refuses(subject)
    for name in ("kit\0x", "kit\nx", "k" * 5000, "kit-\u202e\U0001f600", "kit-\ud800", ""):
        reply = await subject.get(name)
        expect(not reply.ok, f"for the name {name[:20]!r}, {reply}")


@_rule(
    "S-ERR-TEXT",
    _ERROR,
    "A refusal is JSON, an object with a text in Err",
    "docker service ps shows no reason.",
    "moby, pkg/plugins",
)
async def _err_text(subject: SecretSubject) -> None:
    reply = await subject.get(subject.unknown())
    expect(reply.ok or reply.err.strip(), str(reply))


@_rule(
    "S-RETRY-EMPTY",
    _ERROR,
    "A call without a body is refused",
    "Docker repeats a call whose connection was cut with an empty body: a task gets a secret "
    "that it did not ask for.",
    "observed: Docker",
)
async def _retry_empty(subject: SecretSubject) -> None:
    await _refuses(subject)
    reply = await subject.ask(b"")
    expect(not reply.ok, f"without a body, {reply}")


@_rule(
    "S-MALFORMED",
    _ERROR,
    "What is no JSON object with a SecretName is refused",
    "What the plugin cannot read gets a secret.",
    "robustness",
)
async def _malformed(subject: SecretSubject) -> None:
    await _refuses(subject)
    for body in (b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"{}", b'{"SecretName":7}'):
        reply = await subject.ask(body)
        expect(not reply.ok, f"for the body {body!r}, {reply}")


@_rule(
    "S-PARALLEL",
    _ERROR,
    "Requests that come at the same time are each answered",
    "Of a service's tasks that start together some do not.",
    "practice",
)
async def _parallel(subject: SecretSubject) -> None:
    known = _known(subject)
    await subject.must(known)
    data = request(_GET, subject.message(known), subject.head)
    for response in await subject.at_once([data] * 16):
        reply = HiddenReply(_GET, response)
        expect(reply.ok, f"with others, {reply}")


@_rule(
    "S-QUICK",
    _WARNING,
    "GetSecret takes less than 5 s",
    "The swarm asks for one secret after the other: the tasks of the node wait.",
    _SOURCE,
)
async def _quick(subject: SecretSubject) -> None:
    reply = await subject.get(subject.secret or subject.unknown())
    expect(reply.took < 5, f"{reply.call} took {reply.took:.1f} s")
