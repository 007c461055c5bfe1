"""The policy of ``examples/authz``, without an engine."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.authz import AuthzRequest
from examples.authz.bodies import CONDITIONS
from examples.authz.policy import PolicyError, decide, read_policy


def policy(*rules: dict[str, object]) -> bytes:
    """Return a policy's file."""
    return json.dumps({"rules": rules}).encode()


class PolicyTests(SynchronousTestCase):
    """Rules, and which of them decides."""

    def ask(self, data: bytes, user: str, method: str, uri: str, body: bytes | None = None) -> str:
        """Return "yes", or why not."""
        request = AuthzRequest(user=user, method=method, uri=uri, body=body)
        verdict = decide(read_policy(data), request)
        return "yes" if verdict.allow else verdict.reason

    def test_first(self) -> None:
        """The first rule that fits decides, and without one the answer is no."""
        data = policy(
            {"users": ["ci"], "methods": ["GET"], "paths": ["/images/*/json"], "allow": True},
            {"users": ["ci"], "allow": False, "reason": "read only"},
            {"users": ["ci", "admin"], "allow": True},
        )
        self.assertEqual(self.ask(data, "ci", "GET", "/v1.41/images/busybox/json?x=1"), "yes")
        self.assertEqual(self.ask(data, "ci", "GET", "/images/a/b/json"), "read only")
        self.assertEqual(self.ask(data, "ci", "HEAD", "/images/busybox/json"), "read only")
        self.assertEqual(self.ask(data, "admin", "DELETE", "/images/busybox"), "yes")
        self.assertEqual(self.ask(data, "", "GET", "/x"), "no rule lets who comes by the local "
                         "socket GET /x")  # fmt: skip

    def test_wrong(self) -> None:
        """A policy that is wrong anywhere is none, and says where."""
        for data, why in (
            (b"", "truncated"),
            (b"[]", "Expected `object`"),
            (b"{}", "missing required field `rules`"),
            (policy({}), "missing required field `allow` - at `$.rules[0]`"),
            (policy({"allow": "yes"}), "Expected `bool`, got `str`"),
            (policy({"allow": True, "users": "ci"}), "$.rules[0].users"),
            (policy({"allow": True, "path": ["/x"]}), "unknown field `path`"),
            (policy({"allow": True, "paths": ["x"]}), "rule 0: path 'x'"),
            (policy({"allow": True, "paths": ["/v1.41/x"]}), "has no version"),
            (policy({"allow": True, "forbid": ["root"]}), "'root' is not known; known: privileged"),
            (policy({"allow": False, "forbid": ["devices"]}), "for rules that allow"),
        ):
            error = self.assertRaises(PolicyError, read_policy, data)
            self.assertIn(why, str(error))

    def test_body(self) -> None:
        """With conditions, a body that is not told or not JSON is denied."""
        data = policy({"allow": True, "forbid": ["privileged"]})
        self.assertEqual(self.ask(data, "", "POST", "/x", b"{}"), "yes")
        self.assertIn("does not show", self.ask(data, "", "POST", "/x", None))
        for body in (b"", b"{", b"{} {}", b"\xff", "{}".encode("utf-16"), b"[]"):
            self.assertIn("is not", self.ask(data, "", "POST", "/x", body))
        self.assertIn("too deeply", self.ask(data, "", "POST", "/x", b"[" * 100_000))

    def test_path(self) -> None:
        """The policy checks a path as the engine routes it, and old versions are denied."""
        data = policy({"paths": ["/containers/create"], "allow": True})
        for uri in ("/v1.41/%63ontainers%2Fcreate", "http://docker/containers/create?a=b"):
            self.assertEqual(self.ask(data, "", "POST", uri), "yes")
        self.assertIn("not a path", self.ask(data, "", "POST", "containers/create"))
        self.assertIn("version 1.24", self.ask(data, "", "POST", "/v1.23/containers/create"))


class ConditionTests(SynchronousTestCase):
    """What bodies may not ask for."""

    def found(self, body: object) -> list[str]:
        """Return the names of the conditions that a body fulfils."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        parsed = AuthzRequest(body=data).json()
        return [name for name, condition in CONDITIONS.items() if condition(parsed)]

    def test_each(self) -> None:
        """Each condition finds what it is named for, and nothing else does."""
        for name, options in (
            ("privileged", [{"Privileged": True}]),
            ("host-mounts", [
                {"Binds": ["mine:/data", "/:/host"]},
                {"Binds": ["./x:/data"]},
                {"Binds": [["x"]]} | {"Binds": ["~/x:/y"]},
                {"Mounts": [{"Type": "volume"}, {"Type": "bind", "Source": "/"}]},
                {"Mounts": [{"Type": "volume", "VolumeOptions": {"DriverConfig": {
                    "Options": {"device": "/", "o": "bind"}}}}]},
                {"VolumesFrom": ["other"]},
            ]),
            ("host-namespaces", [
                {"PidMode": "host"}, {"NetworkMode": "container:x"}, {"UsernsMode": "host"},
            ]),
            ("devices", [{"Devices": [{"PathOnHost": "/dev/mem"}]}, {"DeviceRequests": [{"n": 1}]},
                         {"DeviceCgroupRules": ["a *:* rwm"]}]),
            ("capabilities", [{"CapAdd": ["ALL"]}]),
            ("security-options", [{"SecurityOpt": ["x"]}, {"MaskedPaths": []},
                                  {"ReadonlyPaths": []}, {"Sysctls": {"a": "b"}}]),
        ):  # fmt: skip
            for option in options:
                self.assertEqual(self.found({"HostConfig": option}), [name], option)
                # As engines have read them, too.
                self.assertEqual(self.found(option), [name], option)

    def test_nothing(self) -> None:
        """What the docker command sends for a plain container asks for nothing."""
        self.assertEqual(self.found({"Image": "x", "Volumes": {"/data": {}}, "HostConfig": {
            "Binds": ["mine:/data:ro"], "Privileged": False, "CapAdd": None, "Devices": [],
            "SecurityOpt": None, "PidMode": "", "NetworkMode": "default", "IpcMode": "private",
            "Mounts": [{"Type": "volume", "Source": "mine"}, {"Type": "tmpfs"}],
            "MaskedPaths": None, "VolumesFrom": None, "Sysctls": {},
        }}), [])  # fmt: skip

    def test_spellings(self) -> None:
        """Names count in any case, as in Go, and of two values each counts."""
        for body in (
            b'{"hostconfig": {"PRIVILEGED": true}}',
            '{"Ho\u017ftConfig": {"Privileged": true}}'.encode(),
            b'{"HostConfig": {"Privileged": true}, "HostConfig": {}}',
            b'{"HostConfig": {}, "hostConfig": {"Privileged": true, "Privileged": false}}',
        ):
            self.assertEqual(self.found(body), ["privileged"], body)
