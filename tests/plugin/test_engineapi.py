"""A request of the engine's API is read as a real engine reads it; each case was tried on one."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.authz import NEWEST, AuthzRequest
from exampledriver.plugin.engineapi import JsonObject, fold, read_object, split_target
from exampledriver.plugin.errors import BadRequest

from .memory import UNHURRIED


class PathTests(SynchronousTestCase):
    """The path by which the engine routes."""

    def test_spellings(self) -> None:
        """However a path is written, it is what the engine routes by."""
        for uri in (
            "/containers/create",
            "/v1.41/containers/create?name=/v1.41/x",
            "/v1.41.0/containers/create",
            "/v01.041/containers/create",
            "//containers///create",
            "//v1.41//containers/create",
            "/v1.41/images/../containers/create",
            "/./containers/create",
            "/../containers/create",
            "/%63ontainers/create",
            "/%76%31.41/containers/create",
            "/v1.41%2Fcontainers%2fcreate",
            "/v1.41/images/%2e%2e/containers%2Fcreate",
            "http://docker/v1.41/containers/create",
            "http://user@docker/containers/create",
            "http:/containers/create",
            "http:///containers/create",
            "x:/v1.41/containers/create",
        ):
            self.assertEqual(AuthzRequest(uri=uri).path, "/containers/create", uri)

    def test_other_paths(self) -> None:
        """What the engine routes elsewhere stays another path."""
        for uri, path in (
            ("/containers/create/", "/containers/create/"),
            ("/Containers/create", "/Containers/create"),
            ("/containers/create;x", "/containers/create;x"),
            ("/containers/create#x", "/containers/create#x"),
            ("/containers/create%3Fx", "/containers/create?x"),
            ("/containers+/create", "/containers+/create"),
            ("/%2563ontainers/create", "/%63ontainers/create"),
            ("/v1.41/v1.41/containers/create", "/v1.41/containers/create"),
            ("/v1.41a/containers/create", "/v1.41a/containers/create"),
            ("/v/containers/create", "/v/containers/create"),
            ("/v1.41", "/v1.41"),
            ("/v1.41/", "/"),
            ("http://docker", "/"),
            ("/", "/"),
        ):
            self.assertEqual(split_target(uri)[0], path, uri)

    def test_refused(self) -> None:
        """What the engine answers by itself is an error, which denies."""
        for uri in ("", "*", "containers/create", "x:containers/create", "/%zz", "/%f", "/%ff/x",
                    "%2Fcontainers/create", "a?b:/containers/create"):  # fmt: skip
            request = AuthzRequest(method="POST", uri=uri)
            self.assertRaises(BadRequest, lambda request=request: request.path)
            self.assertRaises(BadRequest, lambda request=request: request.version)
            self.assertRaises(BadRequest, request.matches, "POST", "/containers/create")

    def test_version(self) -> None:
        """A version is compared as numbers; a request without one is the newest."""
        for uri, version in (
            ("/v1.41/x", (1, 41)),
            ("/v01.023/x", (1, 23)),
            ("/v..1/x", (0, 0, 1)),
            ("/v1./x", (1, 0)),
            ("/x", NEWEST),
        ):
            self.assertEqual(AuthzRequest(uri=uri).version, version)
        self.assertLess((1, 10**9), NEWEST)
        self.assertLess(AuthzRequest(uri="/v1.9/x").version, (1, 24))
        AuthzRequest(uri=f"/v{'1' * 5000}/x").version  # noqa: B018

    def test_matches(self) -> None:
        """A name in a route is any text, as for the engine: a link's alias has a slash."""
        route = "/containers/{name}/exec"
        for uri in ("/v1.41/containers/c/exec", "/containers/web/db/exec", "/containers/c%2Fexec"):
            self.assertTrue(AuthzRequest(method="POST", uri=uri).matches("POST", route))
        for method, uri in (
            ("GET", "/containers/c/exec"),
            ("post", "/containers/c/exec"),
            ("POST", "/containers/c/exec/"),
            ("POST", "/containers/exec"),
            ("POST", "/x/containers/c/exec"),
        ):
            self.assertFalse(AuthzRequest(method=method, uri=uri).matches("POST", route))
        self.assertFalse(AuthzRequest(method="POST", uri="/aXb").matches("POST", "/a.b"))

    @UNHURRIED
    @given(st.text() | st.text("/.%2eEfF:v1c?", max_size=30))
    def test_any(self, uri: str) -> None:
        """Whatever is asked for, the path is a clean one or an error."""
        try:
            path, version = split_target(uri)
        except BadRequest:
            return
        self.assertTrue(path.startswith("/"))
        self.assertNotIn("//", path)
        self.assertFalse({".", ".."} & set(path.split("/")))
        self.assertGreater(len(version), 0)


class JsonTests(SynchronousTestCase):
    """Bodies."""

    def values(self, text: str, *path: str) -> list[object]:
        """Return the values at a path of a body."""
        return AuthzRequest(body=text.encode("utf-8")).json().values(*path)

    def test_case(self) -> None:
        """Names that Go takes for one are one, and no others."""
        for name in ("hostconfig", "HOSTCONFIG", "Ho\u017ftConfig", "Host\\u0043onfig"):
            self.assertEqual(self.values(f'{{"{name}":1}}', "HostConfig"), [1])
        self.assertEqual(self.values('{"Networ\u212aMode":1}', "networkmode"), [1])
        self.assertNotEqual(fold("Gro\u00dfe"), fold("Grosse"))

    def test_duplicates(self) -> None:
        """Of a name that comes twice each value is there, in every object of the name."""
        text = '{"A":{"b":1,"B":null},"a":{},"A":[{"b":[2,[3]]},4],"c":{"b":5}}'
        self.assertEqual(self.values(text, "A", "B"), [1, None, 2, 3])
        self.assertEqual(self.values(text, "A", "x"), [])
        found = self.values(text, "a")
        self.assertEqual(found[1], JsonObject(()))
        self.assertFalse(found[1])
        self.assertTrue(found[0])

    def test_one_value(self) -> None:
        """A text in place of a list of texts is one, as the engine reads CapAdd."""
        for value in ('"ALL"', '["ALL"]'):
            self.assertEqual(self.values(f'{{"CapAdd":{value}}}', "CapAdd"), ["ALL"])

    def test_refused(self) -> None:
        """What is not shown, or not one object and nothing else, is an error."""
        bodies = (
            None,
            b"",
            b"{",
            b"{} {}",
            b"{}x",
            b"[]",
            b"null",
            b"7",
            b"\xff",
            b"\xef\xbb\xbf{}",
        )
        for body in (*bodies, b'{"a":"\x80"}', "{}".encode("utf-16"), b'{"a":' * 100_000):
            self.assertRaises(BadRequest, read_object, body)
        self.assertIn("does not show", str(self.assertRaises(BadRequest, read_object, None)))

    @UNHURRIED
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abAB"), inner),
        )
    )
    def test_any(self, value: object) -> None:
        """Every body that Python's JSON writes is read, with each of its values."""
        found = read_object(json.dumps({"x": value}).encode()).values("X")
        if not isinstance(value, (list, dict)):
            self.assertEqual(found, [value])
