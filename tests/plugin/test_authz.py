"""The authz protocol: fields, decisions, and that every failure denies."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from attrs import define, field
from zope.interface import implementer

from exampledriver.plugin import PluginError
from exampledriver.plugin.authz import (
    ALLOW,
    AuthzRequest,
    AuthzResponse,
    Decision,
    IAuthzDriver,
    deny,
)

from .protocols import ProtocolCase, exchanges

REQ, RES = "AuthZPlugin.AuthZReq", "AuthZPlugin.AuthZRes"


@implementer(IAuthzDriver)
@define(eq=False)
class Gate:
    """A driver that says what it is told to say."""

    says: Any = ALLOW
    asked: list[AuthzRequest] = field(factory=list)

    def _say(self, asked: AuthzRequest) -> Any:
        self.asked.append(asked)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def authorize_request(self, request: AuthzRequest) -> Any:
        return self._say(request)

    def authorize_response(self, response: AuthzResponse) -> Any:
        return self._say(response)


def encoded(data: bytes) -> str:
    """Return bytes as Go's JSON has them."""
    return b64encode(data).decode("ascii")


class AuthzTests(ProtocolCase):
    """A plugin of the authz protocol."""

    def setUp(self) -> None:
        self.gate = Gate()
        self.serve(self.gate)

    def test_activate(self) -> None:
        """The protocol's name is authz, not that of its calls."""
        self.assertEqual(self.answer("Plugin.Activate"), {"Implements": ["authz"]})

    def test_fields(self) -> None:
        """Every field of a request and of an answer is read as it is on the wire."""
        sent = {
            "User": "alice",
            "UserAuthNMethod": "TLS",
            "RequestMethod": "POST",
            "RequestUri": "/v1.41/volumes/create?a=b",
            "RequestBody": encoded(b"{}\n"),
            "RequestHeaders": {"Content-Type": "application/json"},
            "RequestPeerCertificates": [encoded(b"-----BEGIN CERTIFICATE-----")],
        }
        headers = {"Content-Type": "application/json"}
        values = (
            "alice",
            "TLS",
            "POST",
            "/v1.41/volumes/create?a=b",
            b"{}\n",
            headers,
            [b"-----BEGIN CERTIFICATE-----"],
        )
        self.round_trip(AuthzRequest(*values), sent)
        answered = {
            "ResponseStatusCode": 201,
            "ResponseBody": encoded(b"\xff"),
            "ResponseHeaders": {"Server": "Docker"},
        }
        response = AuthzResponse(*values, 201, b"\xff", {"Server": "Docker"})
        self.round_trip(response, {**sent, **answered})

    def test_absent(self) -> None:
        """A body that was not told is None, which is something else than an empty one."""
        self.call(REQ, {"RequestMethod": "GET"})
        self.call(REQ, {"RequestBody": ""})
        self.assertEqual([asked.body for asked in self.gate.asked], [None, b""])

    def test_decisions(self) -> None:
        """Both calls answer the decision, with its reason."""
        for call in (REQ, RES):
            self.gate.says = ALLOW
            self.assertEqual(self.answer(call, {}), {"Allow": True, "Msg": "", "Err": ""})
            self.gate.says = deny("not on Sundays")
            answer = self.answer(call, {})
            self.assertEqual(answer, {"Allow": False, "Msg": "not on Sundays", "Err": ""})

    def test_failures_deny(self) -> None:
        """An error denies twice: by its status, and by Allow; its text is for the user."""
        for error in (PluginError("the directory is down"), ValueError("bug")):
            self.gate.says = error
            for call in (REQ, RES):
                answer = self.refused(call, {})
                self.assertIs(answer["Allow"], False)
                self.assertNotEqual(answer["Err"], "")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_mistakes_deny(self) -> None:
        """What is no Decision denies, above all what is true."""
        yes: Any = "yes"
        nothing: Any = None
        wrong = (Decision(yes), Decision(True, nothing))
        for says in (True, None, "yes", {"Allow": True}, *wrong):
            self.gate.says = says
            answer = self.refused(REQ, {})
            self.assertIs(answer["Allow"], False)
            self.assertIn("driver Gate.authorize_request returned", answer["Err"])
        self.assertEqual(len(self.flushLoggedErrors()), 6)

    def test_unreadable_denies(self) -> None:
        """A message that cannot be read denies, and does not reach the driver."""
        for message in (b"", b"[]", {"RequestBody": "*"}, {"RequestHeaders": {"a": 1}}):
            answer = self.refused(REQ, message, 400)
            self.assertIs(answer["Allow"], False)
        self.assertEqual(self.gate.asked, [])

    def test_large_bodies(self) -> None:
        """Bodies of 4 MiB, which engines tell of, are read."""
        body = b"x" * (4 << 20)
        self.answer(RES, {"RequestBody": encoded(body), "ResponseBody": encoded(body)})
        (asked,) = self.gate.asked
        self.assertEqual(asked.body, body)

    def test_recorded(self) -> None:
        """What an engine sent is read, each field of it, and answered as it was content with."""
        count = 0
        for exchange in exchanges("authz"):
            if exchange.status != 200 or "Allow" not in exchange.answer or exchange.answer["Err"]:
                continue
            self.gate.asked.clear()
            self.gate.says = Decision(exchange.answer["Allow"], exchange.answer["Msg"])
            response = self.client.ask(exchange.request)
            self.assertEqual(response.answer, {"Err": "", **exchange.answer})
            (asked,) = self.gate.asked
            self.assertEqual(asked.method, exchange.message["RequestMethod"])
            self.assertEqual(asked.uri, exchange.message["RequestUri"])
            self.assertEqual(asked.headers, exchange.message.get("RequestHeaders", {}))
            count += 1
        self.assertGreater(count, 10)
