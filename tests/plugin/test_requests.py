"""The requests of both engines, as they are on the wire: each is read, whatever its head."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from .memory import (
    CONTENT_TYPE,
    DOCKER,
    NAMED,
    NAMELESS,
    OLD_DOCKER,
    PODMAN,
    Client,
    PluginCase,
    post,
    raw,
)

GET = NAMED["VolumeDriver.Get"]


class HeadTests(PluginCase):
    """Which heads are accepted: all."""

    def good(self, *head: bytes) -> None:
        """Check that calls with this head are answered."""
        for call, message in [("VolumeDriver.Get", GET), ("Plugin.Activate", b"")]:
            self.assertAnswered(self.call(call, message, head))
        self.assertRefused(self.call("VolumeDriver.Nothing", {}, head), 404)

    def test_no_content_type(self) -> None:
        """Docker sends no Content-Type: a body is JSON all the same."""
        self.good(*DOCKER)

    def test_empty_host(self) -> None:
        """Docker 20.10 sends an empty Host."""
        self.good(*OLD_DOCKER)

    def test_no_host(self) -> None:
        """A request without a Host header is answered, on every kind of socket."""
        addresses: list[IAddress] = [
            UNIXAddress("/run/x.sock"),
            UNIXAddress(None),
            IPv4Address("TCP", "127.0.0.1", 8080),
            IPv6Address("TCP", "::1", 8080),
        ]
        for address in addresses:
            self.client = Client(self.site, self.clock, address)
            self.good()

    def test_odd_hosts(self) -> None:
        """No Host makes a difference: a plugin has no virtual hosts."""
        for host in (b"[::1]:80", b"a b", b"\xff\xfe", b"%2Frun%2Fx.sock", b"x" * 5000):
            self.good(b"Host: " + host)
        self.good(b"Host: one", b"Host: two")

    def test_podman(self) -> None:
        """Podman sends the plugin's media type, in version 1.1."""
        self.good(*PODMAN)

    def test_other_content_types(self) -> None:
        """A Content-Type is never believed: form and multipart bodies are not parsed."""
        for kind in (
            b"application/x-www-form-urlencoded",
            b"multipart/form-data; boundary=x",
            b"multipart/form-data",
            b"text/plain; charset=utf-16",
            b"",
            b";;;",
        ):
            self.good(*DOCKER, b"Content-Type: " + kind)

    def test_form_body(self) -> None:
        """A body that looks like a form is an error, not a message."""
        head = (*DOCKER, b"Content-Type: application/x-www-form-urlencoded")
        self.assertRefused(self.call("VolumeDriver.Remove", b"Name=db", head), 400)
        self.assertEqual(self.driver.calls, [])

    def test_query(self) -> None:
        """A query is ignored, and is no source of names."""
        answer = self.client.ask(raw(b"POST", b"/VolumeDriver.Get?Name=a", b'{"Name":"db"}'))
        self.assertAnswered(answer)
        self.assertEqual(self.driver.calls, [("get", "db")])

    def test_chunked(self) -> None:
        """A body in chunks is read like one with a length."""
        head = b"POST /VolumeDriver.Get HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = self.client.ask(head, b'7\r\n{"Name"\r\n', b'6\r\n:"db"}\r\n0\r\n\r\n')
        self.assertAnswered(answer)

    def test_expect(self) -> None:
        """A client that asks whether to send the body is told to."""
        head = b"POST /VolumeDriver.Get HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 13\r\n"
        self.client.feed(head + b"\r\n")
        self.assertEqual(self.client.received(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertAnswered(self.client.ask(b'{"Name":"db"}'))


class BodyTests(PluginCase):
    """The bodies of both engines."""

    def created(self, body: bytes) -> object:
        """Return the options that the driver is given by a Create."""
        self.assertEqual(self.assertAnswered(self.call("VolumeDriver.Create", body)), {"Err": ""})
        self.assertEqual(self.driver.calls[-1][:2], ("create", "v"))
        return self.driver.calls[-1][2]

    def test_newline(self) -> None:
        """A body may end in a newline, as Docker's do, or not, as Podman's."""
        for end in (b"\n", b"", b"\r\n", b" \t\n\n"):
            self.assertAnswered(self.call("VolumeDriver.Get", b'{"Name":"db"}' + end))

    def test_options(self) -> None:
        """Opts that are null, empty or absent are no options; strings are handed on as sent."""
        self.assertEqual(self.created(b'{"Name":"v","Opts":null}\n'), {})
        self.assertEqual(self.created(b'{"Name":"v","Opts":{}}\n'), {})
        self.assertEqual(self.created(b'{"Name":"v"}'), {})
        options = self.created(b'{"Name":"v","Opts":{"size":"1G","":"x","empty":""}}\n')
        self.assertEqual(options, {"size": "1G", "": "x", "empty": ""})

    def test_escapes(self) -> None:
        """Docker escapes <, > and &; the driver gets the characters."""
        options = self.created(b'{"Name":"v","Opts":{"o":"a\\u003cb\\u003ec\\u0026d\\u2028"}}\n')
        self.assertEqual(options, {"o": "a<b>c&d\u2028"})

    def test_unicode(self) -> None:
        """UTF-8 in a body is read as UTF-8, escaped or not."""
        for body in (
            '{"Name":"v","Opts":{"o":"ä😀"}}',
            '{"Name":"v","Opts":{"o":"ä\\ud83d\\ude00"}}',
        ):
            self.assertEqual(self.created(body.encode()), {"o": "ä😀"})

    def test_unchecked_names(self) -> None:
        """Docker checks no names: each arrives at the driver, and comes back, as it was sent."""
        for name in ("..", "a/b", "/etc", "a\0b", "a\nb", " ", "a" * 4096, "ä", "<&>", "\ud800"):
            self.assertAnswered(self.call("VolumeDriver.Create", {"Name": name}))
            self.assertEqual(self.driver.calls[-1], ("create", name, {}))
            answer = self.assertAnswered(self.call("VolumeDriver.Get", {"Name": name}))
            self.assertEqual(answer["Volume"]["Name"], name)
        self.assertEqual(len(self.call("VolumeDriver.List").answer["Volumes"]), 11)

    def test_unknown_fields(self) -> None:
        """A field of a later protocol is ignored."""
        body = {"Name": "db", "ID": "c1", "Later": [{"x": None}]}
        self.assertAnswered(self.call("VolumeDriver.Mount", body))

    def test_nameless(self) -> None:
        """Activate, List and Capabilities are answered with any body, and with none."""
        for call in NAMELESS:
            for body in (b"", b"\n", b"{}\n", b"null", b"[]", b"{", b"\xff", b"x" * 10000):
                self.assertAnswered(self.call(call, body))


class AnswerTests(PluginCase):
    """What every answer has in common."""

    def test_success(self) -> None:
        """A success is 200 and JSON, with an Err that is there and empty."""
        # Activate and Capabilities have no Err in the protocol.
        for call, message in {**NAMED, "VolumeDriver.List": {}}.items():
            self.driver.answers["remove"] = None
            response = self.call(call, message)
            self.assertAnswered(response)
            self.assertEqual(response.answer["Err"], "")

    def test_head(self) -> None:
        """One content type, one length that is right, no chunks: also for errors."""
        requests = [
            *[post(call, message) for call, message in NAMED.items()],
            *[post(call) for call in NAMELESS],
            post("VolumeDriver.Get"),
            post("VolumeDriver.Get", {"Name": "nothing"}),
            post("VolumeDriver.Nothing", {}),
            raw(b"GET", b"/VolumeDriver.Get"),
            raw(b"POST", b"/%ff"),
        ]
        for request in requests:
            self.client.feed(request)
            head, _, body = self.client.received().partition(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            self.assertEqual(lines.count(b"content-type: " + CONTENT_TYPE.encode()), 1, head)
            self.assertEqual(lines.count(b"content-length: %d" % len(body)), 1, head)
            self.assertNotIn(b"transfer-encoding", head.lower())
            self.assertNotIn(b"content-encoding", head.lower())

    def test_ascii(self) -> None:
        """An answer is ASCII: no engine has to guess how it is encoded."""
        self.call("VolumeDriver.Create", {"Name": "ä😀\ud800"})
        response = self.call("VolumeDriver.Get", {"Name": "ä😀\ud800"})
        self.assertTrue(response.body.isascii())

    def test_refusal(self) -> None:
        """What a driver refuses is a 500 with its own text: Podman honours no 200."""
        for call in ("Get", "Path", "Remove"):
            text = self.assertRefused(self.call(f"VolumeDriver.{call}", {"Name": "x"}), 500)
            self.assertEqual(text, "volume 'x' does not exist")
