"""The policy that ``new --kind authz`` wrote at first: it passed the kit of its time.

A real engine carried out what it forbids in six ways, and ``docker exec --privileged``.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from zope.interface import implementer

from exampledriver.plugin.authz import (
    ALLOW,
    AuthzRequest,
    AuthzResponse,
    Decision,
    IAuthzDriver,
    deny,
)

CREATE = re.compile(r"/*(v[0-9.]+/+)?containers/+create/*")


@implementer(IAuthzDriver)
class OldTemplate:
    """No privileged containers, it thinks."""

    def authorize_request(self, request: AuthzRequest) -> Decision:
        if not CREATE.fullmatch(urlsplit(request.uri).path):
            return ALLOW
        if request.body is None:
            return deny("the container's configuration was not told: send it as JSON")
        host = json.loads(request.body).get("HostConfig") or {}
        if host.get("Privileged"):
            return deny("privileged containers are not allowed here")
        return ALLOW

    def authorize_response(self, response: AuthzResponse) -> Decision:
        return ALLOW
