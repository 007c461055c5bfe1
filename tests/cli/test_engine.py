"""Registering with Docker a volume that Docker has not created."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.cli import engine
from exampledriver.cli.client import Client
from exampledriver.cli.engine import Engine, EngineError, Registering, line, socket_of
from exampledriver.cli.unixhttp import SilentError

#: What no shell may take for anything but itself.
HOSTILE = (
    "a b",
    "$(id)",
    "`id`",
    "'",
    '"',
    "\\",
    "!x",
    "*",
    "\n",
    "\r\x1b[2J",
    "é\u202e",
    "-o",
    "#",
)


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


class FakeEngine:
    """An engine's API as far as it is used here, and what it was asked.

    :ivar listed: what the driver lists, as the engine describes it.
    :ivar answer: in place of what a creation is answered.
    """

    def __init__(self, path: Path) -> None:
        self.listed: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.answer: tuple[int, object] | None = None
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def address_string(self) -> str:
                return "unix"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                fake.asked.append(("GET", url.path, json.loads(parse_qs(url.query)["filters"][0])))
                self._reply(200, {"Volumes": fake.listed or None})

            def do_POST(self) -> None:
                assert self.headers["Content-Type"] == "application/json"
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.asked.append(("POST", self.path, body))
                told = {"Options": body["DriverOpts"], "Labels": body["Labels"]}
                self._reply(*(fake.answer or (201, {"Name": body["Name"], **told})))

            def _reply(self, status: int, found: object) -> None:
                data = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = _Server(str(path), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def socket_path(case: SynchronousTestCase) -> Path:
    """Return a path that is short enough for a socket, wherever the tests run."""
    place = tempfile.mkdtemp()
    case.addCleanup(shutil.rmtree, place)
    return Path(place, "docker.sock")


class EngineTests(SynchronousTestCase):
    """What is asked of an engine, and what of its answers is believed."""

    def setUp(self) -> None:
        self.path = socket_path(self)
        self.fake = FakeEngine(self.path)
        self.addCleanup(self.fake.close)
        self.engine = Engine(f"unix://{self.path}")

    def see(self, **more: object) -> None:
        """Let the engine see the volume db."""
        self.fake.listed = [{"Name": "db", "Options": None, "Labels": None, **more}]

    def why(self) -> str:
        """Return why db was not registered."""
        with self.assertRaises(EngineError) as raised:
            self.engine.register("x", "db", {"uid": "5"}, {"k": "v"})
        return str(raised.exception)

    def test_registered(self) -> None:
        """The engine gets options and labels, and is never asked for the volume alone.

        A GET of /volumes/NAME would make it remember the volume without them.
        """
        self.see()
        self.engine.register("x", "db", {"uid": "5"}, {"k": "v"})
        self.assertEqual(
            self.fake.asked,
            [
                ("GET", "/volumes", {"driver": ["x", "local"], "name": ["^db$"]}),
                (
                    "POST",
                    "/volumes/create",
                    {"Name": "db", "Driver": "x", "DriverOpts": {"uid": "5"}, "Labels": {"k": "v"}},
                ),
            ],
        )

    def test_not_seen(self) -> None:
        """An engine of another daemon is not asked to create: it would make an empty volume."""
        self.fake.listed = [{"Name": "db2", "Options": None, "Labels": None}]
        self.assertIn('lists no volume "db" of driver "x"', self.why())
        self.assertEqual([method for method, *_ in self.fake.asked], ["GET"])

    def test_known(self) -> None:
        """A volume that the engine created itself is left as it is."""
        self.see(Options={}, Labels={})
        self.engine.register("x", "db", {"uid": "5"}, {"k": "v"})
        self.assertEqual([method for method, *_ in self.fake.asked], ["GET"])

    def test_kept_nothing(self) -> None:
        """An engine that answers without the options has not written them down."""
        self.see()
        self.fake.answer = (201, {"Name": "db", "Options": None, "Labels": None})
        self.assertIn("until dockerd is restarted", self.why())

    def test_refused(self) -> None:
        """What the engine says is passed on: a volume of another driver has the name."""
        self.see()
        self.fake.answer = (409, {"message": "a volume named db already exists"})
        self.assertIn("answered 409: a volume named db already exists", self.why())

    def test_hidden(self) -> None:
        """A local volume of the name is in the way, and nothing is created."""
        self.see(Driver="local", Options={})
        self.assertIn('of its driver "local", which hides this one', self.why())
        self.assertEqual([method for method, *_ in self.fake.asked], ["GET"])

    def test_strange(self) -> None:
        """An answer that is not JSON, or of another shape, is an error and nothing worse."""
        self.see()
        for status, answer in ((500, ["x"]), (404, "x"), (400, None), (201, [])):
            self.fake.answer = (status, answer)
            self.assertIn(str(self.path), self.why())
        self.fake.listed = [[], "x", {"Name": 5}]  # type: ignore[list-item]
        self.assertIn("lists no volume", self.why())

    def test_labels(self) -> None:
        """Labels are read from the list; a volume that is not there has none."""
        self.see(Labels={"k": "v"})
        self.assertEqual(self.engine.labels("x", "db"), {"k": "v"})
        self.assertEqual(self.engine.labels("x", "other"), {})
        self.see()
        self.assertEqual(self.engine.labels("x", "db"), {})

    def test_not_there(self) -> None:
        """No socket, nobody behind it, and another kind of address are named."""
        self.fake.close()
        self.addCleanup(setattr, self, "fake", None)
        self.assertIn("does not answer: nobody listens", self.why())
        self.path.unlink()
        self.assertIn("there is no such socket", self.why())
        self.engine = Engine("tcp://10.0.0.1:2375")
        self.assertIn("only engines at a UNIX socket are supported", self.why())


class SlowEngineTests(SynchronousTestCase):
    """An engine that does not answer, or does not come to an end."""

    def ask(self, data: bytes) -> str:
        """Return why a volume is not registered with an engine that sends this over and over."""
        path = str(socket_path(self))
        ended = threading.Event()
        self.patch(engine, "SILENCE", 0.3)
        self.patch(engine, "LIMIT", 0.6)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                while not ended.wait(0.05):
                    connection.sendall(data)

        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            thread = threading.Thread(target=serve)
            thread.start()
            try:
                volume = {"Name": "db", "Backend": "directory", "Options": {}}
                found = Registering(path, "x", "directory").register(volume)
            finally:
                ended.set()
                thread.join()
        self.assertFalse(found["Registered"])
        return str(found["Why"])

    def test_silent(self) -> None:
        """An engine that is silent is abandoned, and the command goes on."""
        self.assertIn("no answer within", self.ask(b""))

    def test_once(self) -> None:
        """A silent engine, or one that a person has tired of, is waited for once."""
        for error in (SilentError("no answer", 0), KeyboardInterrupt()):
            asked: list[object] = []

            def ask(*arguments: object, error: BaseException = error) -> None:
                asked.append(arguments)  # noqa: B023 called before the next turn
                raise error

            self.patch(engine, "ask", ask)
            registering = Registering("/run/docker.sock", "x", "directory")
            for name in ("a", "b"):
                volume: dict[str, object] = {"Name": name, "Backend": "directory", "Options": {}}
                self.assertFalse(registering.register(volume)["Registered"])
            self.assertEqual(len(asked), 1)

    def test_interrupted(self) -> None:
        """Who interrupts a removal while the engine is asked for labels interrupts the removal."""

        def ask(*arguments: object) -> None:
            raise KeyboardInterrupt

        self.patch(engine, "ask", ask)
        path = socket_path(self)
        path.touch()
        registering = Registering(str(path), "x", "directory")
        client = Client(path)
        self.assertRaises(KeyboardInterrupt, registering.keep_labels, client, "db")

    def test_endless(self) -> None:
        """An engine that sends without an end is abandoned, too."""
        for data in (b"HTTP/1.1 100 Continue\r\n\r\n", b"x"):
            self.assertIn("the engine does not answer", self.ask(data))


class RegisteringTests(SynchronousTestCase):
    """What a command does with its volume."""

    def registered(self, default: str = "directory", **fields: object) -> dict[str, object]:
        """Return what is said of a volume that is registered with no engine."""
        volume = {"Name": "db", "Backend": "directory", "Options": {}, **fields}
        return Registering("", "x", default).register(volume)

    def test_no_engine(self) -> None:
        """With --no-engine the command is all that there is."""
        command = "docker volume create -d x -o mode=0750 --label k=v db"
        self.assertEqual(
            self.registered(Options={"mode": "0750"}, Labels={"k": "v"}),
            {"Registered": False, "Command": command, "Why": "--no-engine"},
        )

    def test_backend(self) -> None:
        """The backend is an option if it is not what a volume without the option gets."""
        self.assertNotIn("backend", str(self.registered()["Command"]))
        self.assertNotIn("backend", str(self.registered("image", Backend="image")["Command"]))
        self.assertIn("-o backend=image db", str(self.registered(Backend="image")["Command"]))
        self.assertIn("-o backend=directory", str(self.registered("image")["Command"]))

    def test_secret(self) -> None:
        """An option of an older volume whose secret the daemon hides is left out."""
        found = self.registered(Options={"mode": "0750", "o": "username=u,password=***"})
        self.assertEqual(found["Command"], "docker volume create -d x -o mode=0750 db")

    def test_failure(self) -> None:
        """An engine that cannot be asked is a reason, not an error."""
        volume = {"Name": "db", "Backend": "directory", "Options": {}}
        found = Registering("/nonexistent.sock", "x", "directory").register(volume)
        self.assertFalse(found["Registered"])
        self.assertIn("there is no such socket", str(found["Why"]))


class LineTests(SynchronousTestCase):
    """The command for a shell."""

    def test_quoted(self) -> None:
        """A shell gives docker each word as it is, and nothing in it reaches the terminal."""
        options = {f"k{number}": text for number, text in enumerate(HOSTILE)}
        command = line("a/b:latest", "db", options, {text: text for text in HOSTILE})
        self.assertTrue(command.isprintable(), command)
        script = command.replace("docker ", "printf '%s\\0' ", 1)
        found = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
        words = found.decode("utf-8", "surrogateescape").split("\0")[:-1]
        expected = ["volume", "create", "-d", "a/b:latest"]
        for key, value in options.items():
            expected += ["-o", f"{key}={value}"]
        for text in HOSTILE:
            expected += ["--label", f"{text}={text}"]
        self.assertEqual(words, [*expected, "db"])

    def test_addresses(self) -> None:
        """An engine is named by a path, as a path or with unix://."""
        self.assertEqual(socket_of("/run/docker.sock"), Path("/run/docker.sock"))
        self.assertEqual(socket_of("unix:///run/docker.sock"), Path("/run/docker.sock"))
        for address in ("ssh://root@host", "unix://docker.sock", "docker.sock", ""):
            self.assertRaises(EngineError, socket_of, address)
