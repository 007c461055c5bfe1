"""An authorization plugin with a policy: who may do what, and a line for each decision.

python -m examples.authz
dockerd --authorization-plugin=gate
"""

import json
import os
from datetime import datetime, timezone
from errno import ENOSPC
from pathlib import Path

from twisted.logger import Logger
from zope.interface import implementer

from exampledriver.plugin import Plugin, PluginError
from exampledriver.plugin.authz import (
    ALLOW,
    AuthzRequest,
    AuthzResponse,
    Decision,
    IAuthzDriver,
    deny,
)

from .policy import Policy, PolicyError, Verdict, decide, read_policy

POLICY = Path(os.environ.get("GATE_POLICY", "/etc/gate/policy.json"))
AUDIT = Path(os.environ.get("GATE_AUDIT", "/var/log/gate.log"))

_log = Logger()


@implementer(IAuthzDriver)
class Gate:
    """Decides by the policy as the file has it now, and notes every decision first.

    Whatever fails, denies: the policy, and the audit log, too.
    """

    def __init__(self, policy: Path, audit: Path) -> None:
        self.path = policy
        self.audit = audit
        self.version: object = None
        self.policy: Policy | str = ""

    def authorize_request(self, request: AuthzRequest) -> Decision:
        policy = self.current()
        if isinstance(policy, Policy):
            verdict = decide(policy, request)
        else:
            verdict = Verdict(False, None, policy)
        self.note(request, verdict)
        return ALLOW if verdict.allow else deny(verdict.reason)

    def authorize_response(self, response: AuthzResponse) -> Decision:
        return ALLOW

    def current(self) -> Policy | str:
        """Return the policy, read again if the file is another one; or why there is none."""
        try:
            status = self.path.stat()
            version: object = (
                status.st_ino,
                status.st_size,
                status.st_mtime_ns,
                status.st_ctime_ns,
            )
            if version != self.version:
                self.policy = read_policy(self.path.read_bytes())
                self.version = version
                _log.info("policy {path}: {n} rules", path=self.path, n=len(self.policy.rules))
        except (OSError, PolicyError) as error:
            text = f"policy {self.path}: {error}: everything is denied until it is mended"
            if self.policy != text:
                _log.error("{text}", text=text)
            # Read again for each request: a clock is too coarse to tell a mended file by.
            self.policy, self.version = text, None
        return self.policy

    def note(self, request: AuthzRequest, verdict: Verdict) -> None:
        """Append a line of JSON to the audit log; bodies and queries may be secret."""
        line = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "user": request.user,
            "method": request.method,
            "path": request.uri.partition("?")[0],
            "allow": verdict.allow,
            "rule": verdict.rule,
            "reason": verdict.reason,
        }
        try:
            self.append(json.dumps(line).encode("ascii") + b"\n")
        except OSError as error:
            raise PluginError(
                f"audit log {self.audit}: {error.strerror}: nothing is done that cannot be noted"
            ) from None

    def append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.audit, flags, 0o600)
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(ENOSPC, "the line was not written whole")
        finally:
            os.close(descriptor)


def main() -> None:
    gate = Gate(POLICY, AUDIT)
    # Told at the start, not by the first request.
    gate.current()
    Plugin("gate", [gate]).run()


if __name__ == "__main__":
    main()
