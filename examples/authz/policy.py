"""A policy: rules in a JSON file, of which the first that fits a request decides.

What no rule fits is denied, and a file that is wrong anywhere denies everything.
"""

import re
from functools import cache

import msgspec

from exampledriver.plugin import PluginError
from exampledriver.plugin.authz import AuthzRequest

from .bodies import CONDITIONS

#: Before this version of the API, starting a container can give it privileges.
OLDEST = (1, 24)


class PolicyError(Exception):
    """The policy cannot be used; the text is for people."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What some may do, or may not. A list that is left out fits everything.

    :ivar allow: whether a request that fits may be carried out.
    :ivar users: common names of clients' certificates; "" is who comes by the local socket.
    :ivar methods: such as ``GET``.
    :ivar paths: without the API's version; ``*`` is one part of a path, ``**`` any number.
    :ivar forbid: conditions that no body may fulfil, of those in ``bodies.py``; only with `allow`.
    :ivar reason: why not, for the user; only without `allow`.
    """

    allow: bool
    users: list[str] | None = None
    methods: list[str] | None = None
    paths: list[str] | None = None
    forbid: list[str] = []
    reason: str = ""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: its rules, in order."""

    rules: list[Rule]


def read_policy(data: bytes) -> Policy:
    """Read a policy.

    :raises PolicyError: it is none.
    """
    try:
        policy = msgspec.json.decode(data, type=Policy)
    except msgspec.DecodeError as error:
        raise PolicyError(str(error)) from None
    for number, rule in enumerate(policy.rules):
        where = f"rule {number}"
        for name in rule.forbid:
            if name not in CONDITIONS:
                known = ", ".join(CONDITIONS)
                raise PolicyError(f"{where}: condition {name!r} is not known; known: {known}")
        if rule.forbid and not rule.allow:
            raise PolicyError(f'{where}: "forbid" is for rules that allow')
        for path in rule.paths or ():
            if not path.startswith("/") or re.match(r"/v[0-9.]+/", path):
                raise PolicyError(f"{where}: path {path!r}: it begins with / and has no version")
    return policy


class Verdict(msgspec.Struct, frozen=True):
    """A decision.

    :ivar rule: the number of the rule that made it; ``None`` if there was none.
    """

    allow: bool
    rule: int | None
    reason: str = ""


def decide(policy: Policy, request: AuthzRequest) -> Verdict:
    """Decide on a request."""
    user, method = request.user, request.method
    try:
        path, version = request.path, request.version
    except PluginError as error:
        return Verdict(False, None, str(error))
    if version < OLDEST:
        return Verdict(False, None, "use version 1.24 of the engine's API, or a newer one")
    for number, rule in enumerate(policy.rules):
        if not _fits(rule, user, method, path):
            continue
        if not rule.allow:
            return Verdict(False, number, rule.reason or f"{_who(user)} may not {method} {path}")
        if rule.forbid and (wrong := _forbidden(rule, request)):
            return Verdict(False, number, f"{_who(user)} may not {method} {path}{wrong}")
        return Verdict(True, number)
    return Verdict(False, None, f"no rule lets {_who(user)} {method} {path}")


def _fits(rule: Rule, user: str, method: str, path: str) -> bool:
    return (
        (rule.users is None or user in rule.users)
        and (rule.methods is None or method in rule.methods)
        and (rule.paths is None or any(_pattern(p).fullmatch(path) for p in rule.paths))
    )


@cache
def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", text)
    wild = {"*": "[^/]*", "**": ".*"}
    return re.compile("".join(wild.get(part) or re.escape(part) for part in parts), re.DOTALL)


def _forbidden(rule: Rule, request: AuthzRequest) -> str:
    """Return what a body does that it must not, or nothing."""
    try:
        body = request.json()
    except PluginError as error:
        return f": {error}"
    return next((f" with {said}" for n in rule.forbid if (said := CONDITIONS[n](body))), "")


def _who(user: str) -> str:
    return f"user {user}" if user else "who comes by the local socket"
