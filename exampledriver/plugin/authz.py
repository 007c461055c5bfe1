"""The ``authz`` protocol: who may ask the engine for what.

The engine asks twice: before it carries out a request of its API, and with the answer before it
is sent. It does not start without its authorization plugins, and denies everything while one of
them does not answer: a driver that fails closes the door.

What the engine does not show is not permission: it shows the body of a request only with
``Content-Type: application/json`` and a size up to 4 MiB, and headers without ``Authorization``.
Docker 20.10 hides bodies of 1 MiB and more, and carries such requests out.

A client may write one request in many ways. Decide by :meth:`AuthzRequest.matches`,
:attr:`AuthzRequest.path` and :meth:`AuthzRequest.json`, which read it as the engine does, not by
``uri`` and ``body``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from attrs import field, frozen
from zope.interface import Interface

from .convert import call
from .engineapi import NEWEST, JsonObject, fits, read_object, split_target
from .protocol import Protocol, bind
from .wire import Answer, Fields, Wire

__all__ = [
    "ALLOW",
    "IMPLEMENTS",
    "MAX_BODY",
    "NEWEST",
    "AuthzRequest",
    "AuthzResponse",
    "Decision",
    "IAuthzDriver",
    "JsonObject",
    "deny",
]

#: The name of this protocol in the answer to ``Plugin.Activate``.
IMPLEMENTS = "authz"
#: Two bodies of 4 MiB in base64, and headers.
MAX_BODY = 16 << 20


@frozen
class AuthzRequest:
    """A request of the engine's API, before it is carried out. Any field may be empty.

    :ivar user: who asks, if the engine knows: the common name of a client's certificate.
    :ivar authn_method: how the engine knows, such as ``TLS``.
    :ivar method: ``GET``, ``POST`` …
    :ivar uri: path and query as the client wrote them, such as ``/v1.41/volumes/create?a=b``.
    :ivar body: the body of a JSON request; ``None`` if there is none or the engine does not show
        it.
    :ivar headers: without ``Authorization``.
    :ivar peer_certificates: the client's chain, each one in PEM.
    """

    user: Annotated[str, "User"] = ""
    authn_method: Annotated[str, "UserAuthNMethod"] = ""
    method: Annotated[str, "RequestMethod"] = ""
    uri: Annotated[str, "RequestUri"] = ""
    body: Annotated[bytes | None, "RequestBody"] = field(default=None, repr=False)
    headers: Annotated[Mapping[str, str], "RequestHeaders"] = field(factory=dict, repr=False)
    peer_certificates: Annotated[Sequence[bytes], "RequestPeerCertificates"] = field(
        default=(), repr=False
    )

    @property
    def path(self) -> str:
        """The path that the engine routes the request by, such as ``/volumes/create``.

        It is decoded, without the API's version, and without doubled slashes and ``..``.

        :raises BadRequest: it is not one of the API's. Raised by a driver, that denies.
        """
        return split_target(self.uri)[0]

    @property
    def version(self) -> tuple[int, ...]:
        """The version of the API, such as ``(1, 41)``; :data:`NEWEST` if the path names none.

        :raises BadRequest: the path is not one of the API's.
        """
        return split_target(self.uri)[1]

    def matches(self, method: str, route: str) -> bool:
        """Return whether the engine takes this request for one of a route's.

        :param method: such as ``POST``.
        :param route: a path without a version, such as ``/containers/{name}/exec``; what is in
            braces stands for any text, with slashes too, as it does for the engine.
        :raises BadRequest: the path is not one of the API's.
        """
        return fits(route, self.path) and self.method == method

    def json(self) -> JsonObject:
        """Read the request's body, a JSON object.

        :raises BadRequest: the engine does not show the body, or it is not a JSON object. Raised
            by a driver, that denies.
        """
        return read_object(self.body)


@frozen
class AuthzResponse(AuthzRequest):
    """A request that was carried out, and the engine's answer, before it is sent.

    :ivar status: the HTTP status of the answer; 0 while there is none, as for a stream.
    :ivar response_body: the answer's body; ``None`` if the engine does not show it.
    :ivar response_headers: the answer's headers.
    """

    status: Annotated[int, "ResponseStatusCode"] = 0
    response_body: Annotated[bytes | None, "ResponseBody"] = field(default=None, repr=False)
    response_headers: Annotated[Mapping[str, str], "ResponseHeaders"] = field(
        factory=dict, repr=False
    )


@frozen
class Decision:
    """What the driver says to a request.

    :ivar allow: whether it may be carried out, or its answer be sent.
    :ivar message: why not, for the user.
    """

    allow: Annotated[bool, "Allow"]
    message: Annotated[str, "Msg"] = ""


#: The decision to let it pass.
ALLOW = Decision(True)


def deny(message: str) -> Decision:
    """Return the decision to refuse, with a reason for the user."""
    return Decision(False, message)


class IAuthzDriver(Interface):
    """What the author of an authorization driver writes.

    A method returns its value, a Deferred of it, or a coroutine. Whatever it raises denies.
    """

    def authorize_request(request: AuthzRequest) -> Answer[Decision]:
        """Decide whether a request may be carried out."""

    def authorize_response(response: AuthzResponse) -> Answer[Decision]:
        """Decide whether an answer may be sent. What was asked for has been done by then."""


def _refuse(text: str) -> Fields:
    return {"Allow": False, "Msg": "", "Err": text}


def add_routes(wire: Wire, driver: IAuthzDriver) -> None:
    """Serve ``driver`` under ``/AuthZPlugin.*``."""
    for name, method, request in (
        ("AuthZPlugin.AuthZReq", driver.authorize_request, AuthzRequest),
        ("AuthZPlugin.AuthZRes", driver.authorize_response, AuthzResponse),
    ):
        wire.route(call(name, method, request, Decision, refuse=_refuse))


bind(IAuthzDriver, Protocol(IMPLEMENTS, add_routes, MAX_BODY))
