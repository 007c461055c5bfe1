"""The fake engines: they send what was recorded of the real ones, and conclude what those do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin import Plugin, PluginError, Volume
from exampledriver.plugin.testing import (
    EngineCrash,
    EngineError,
    FakeDocker,
    FakePodman,
    MemoryTarget,
    run,
)
from exampledriver.plugin.testing.clients import PODMAN_ID

from .memory import FakeDriver
from .replay import TRACES, requests

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"


class Scripted(Protocol):
    """A plugin that says what it is told to."""

    script: Script

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.script.sent.append((self.script.clock.seconds(), data))
        answer = self.script.answer(data)
        if answer is None:
            self.transport.loseConnection()
        elif answer:
            self.transport.write(answer)


class Script(Factory):
    """Serves :class:`Scripted`.

    :ivar sent: what came, and when.
    """

    noisy = False

    def __init__(self, clock: Clock, answer: Callable[[bytes], bytes | None]) -> None:
        self.clock = clock
        self.answer = answer
        self.sent: list[tuple[float, bytes]] = []

    def buildProtocol(self, addr: IAddress | None) -> Scripted:
        protocol = Scripted()
        protocol.script = self
        return protocol


class Tap(Factory):
    """Serves a plugin, and keeps what came."""

    noisy = False

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.sent: list[bytes] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        protocol = self.inner.buildProtocol(addr)
        received = protocol.dataReceived

        def tapped(data: bytes) -> None:
            self.sent.append(data)
            received(data)

        protocol.dataReceived = tapped
        return protocol


def ok(text: bytes) -> bytes:
    """Return an answer with status 200."""
    return OK % (len(text), text)


class EngineCase(SynchronousTestCase):
    """A plugin with a driver in memory, in front of fake engines."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.driver = FakeDriver({"db": Volume("db")})
        self.tap = Tap(Plugin("x", [self.driver], self.clock).site())
        self.target = MemoryTarget(self.tap, self.clock)

    def script(self, answer: Callable[[bytes], bytes | None]) -> Script:
        """Put a scripted plugin in the driver's place."""
        script = Script(self.clock, answer)
        self.target = MemoryTarget(script, self.clock)
        return script

    def fails(self, work: Coroutine[Any, Any, Any]) -> str:
        """Return what an engine tells its user."""
        return str(self.assertRaises(EngineError, run, work))


def recorded(name: str) -> list[bytes]:
    """Return the requests of a recording."""
    (file,) = [file for file in TRACES if file.stem == name]
    return [request for _, request in requests(file)]


class RecordedTests(EngineCase):
    """Against the recordings, byte for byte."""

    def test_docker(self) -> None:
        """FakeDocker sends what Docker 20.10 sent for the same commands."""
        self.driver.volumes.clear()
        docker = FakeDocker(self.target, old=True)
        run(docker.create("v1"))
        run(docker.create("v1"))
        run(docker.create("v1", {"a": "b"}))
        run(docker.create("v2", {"empty": "", "size": "10G", "type": "nfs"}))
        run(docker.create("v3"))
        self.assertEqual(self.tap.sent, recorded("s01_basic")[:10])

    def test_docker_remove(self) -> None:
        """For docker volume ls, inspect, run and rm too."""
        sent = recorded("s01_basic")
        docker = FakeDocker(self.target, old=True)
        self.driver.volumes = {"outside": Volume("outside")}
        run(docker.list())
        run(docker.inspect("outside"))
        container = "7c6c24a199c56ad2db8775a48823bb44a91c0c9653f2ba24da9603de6056ffa6"
        run(docker.run("outside", container))
        run(docker.stop("outside", container))
        run(docker.remove("outside"))
        self.assertEqual(self.tap.sent[2:], sent[-10:])

    def test_podman(self) -> None:
        """FakePodman sends what Podman 4.3 sent for the same commands."""
        self.driver.volumes.clear()
        podman = FakePodman(self.target)
        run(podman.create("v1"))
        run(podman.create("v2", {"a": "", "size": "1G"}))
        sent = recorded("s40_podman")
        self.assertEqual(self.tap.sent[:3], sent[:3])
        self.assertIn(self.tap.sent[5], sent)

    def test_podman_mount(self) -> None:
        """For podman run too: one connection and Activate for each command, one ID for all."""
        podman = FakePodman(self.target)
        run(podman.mount("db"))
        run(podman.unmount("db"))
        sent = [request for request in recorded("s40_podman") if PODMAN_ID.encode() in request]
        mount = next(request for request in sent if b"/VolumeDriver.Mount" in request)
        self.assertEqual(self.tap.sent[1], mount.replace(b'"v1"', b'"db"'))
        self.assertEqual(len(self.tap.sent), 4)


class DockerTests(EngineCase):
    """What Docker does with wrong answers."""

    def test_retry(self) -> None:
        """A call whose connection is cut is sent again after 1, 2, 4 and 8 s, without its body."""
        script = self.script(lambda data: None)
        self.fails(FakeDocker(self.target).call("VolumeDriver.Create", {"Name": "x"}))
        self.assertEqual([round(when) for when, _ in script.sent], [0, 1, 3, 7, 15])
        bodies = [data.partition(b"\r\n\r\n")[2] for _, data in script.sent]
        self.assertEqual(bodies, [b'{"Name":"x"}\n', b"", b"", b"", b""])

    def test_no_retry(self) -> None:
        """A call whose answer has begun is not sent again."""
        script = self.script(lambda data: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
        found = self.fails(FakeDocker(self.target).call("VolumeDriver.List", {}, limit=60))
        self.assertIn("no answer within 60 s", found)
        self.assertEqual(len(script.sent), 1)

    def test_forgets(self) -> None:
        """One Get that fails is enough: the labels are gone, and a local volume comes instead."""
        docker = FakeDocker(self.target)
        run(docker.create("db", labels={"a": "b"}))
        self.assertEqual(run(docker.inspect("db"))["Labels"], {"a": "b"})
        self.driver.answers["get"] = PluginError("busy")
        self.fails(docker.inspect("db"))
        path = run(docker.run("db", "c1", driver=False))
        self.assertEqual((docker.local, path), ({"db"}, "/var/lib/docker/volumes/db/_data"))
        del self.driver.answers["get"]
        self.assertEqual(run(docker.inspect("db"))["Labels"], {})

    def test_bad_get(self) -> None:
        """Whatever it cannot read is a volume that does not exist."""
        for volume in (
            b"null",
            b"[]",
            b'{"Name":"db","CreatedAt":""}',
            b'{"Name":"db","CreatedAt":"2026-01-01 00:00:00"}',
            b'{"Name":"db","Status":"good"}',
            b'{"Name":7}',
        ):
            self.script(
                lambda data, volume=volume: (
                    ok(b'{"Volume":%s}' % volume)  # type: ignore[misc]
                    if b"Get" in data
                    else ok(b'{"Implements":["VolumeDriver"]}')
                )
            )
            docker = FakeDocker(self.target)
            docker.known["db"] = {}
            self.fails(docker.inspect("db"))
            self.assertEqual(docker.known, {}, volume)

    def test_options_dropped(self) -> None:
        """Options for a volume that Get finds never reach the driver."""
        run(FakeDocker(self.target).create("db", {"a": "b"}))
        self.assertNotIn("create", [call[0] for call in self.driver.calls])

    def test_crash(self) -> None:
        """A null in List's Volumes ends the engine."""
        self.script(
            lambda data: ok(b'{"Implements":["VolumeDriver"],"Volumes":[{"Name":"a"},null]}')
        )
        self.assertRaises(EngineCrash, run, FakeDocker(self.target).list())

    def test_activation(self) -> None:
        """It activates once in its life, and only a volume driver."""
        docker = FakeDocker(self.target)
        for _ in range(2):
            run(docker.list())
        activations = [data for data in self.tap.sent if b"Activate" in data]
        self.assertEqual(len(activations), 1)
        self.assertEqual(docker.capabilities, {"Scope": "local"})
        self.script(lambda data: ok(b'{"Implements":["authz"]}'))
        self.assertIn("does not implement", self.fails(FakeDocker(self.target).list()))

    def test_hang(self) -> None:
        """It waits for Activate without a limit, here until it is clear that nothing comes."""
        self.script(lambda data: b"")
        self.fails(FakeDocker(self.target, hang=1000).list())
        self.assertGreaterEqual(self.clock.seconds(), 1000)

    def test_empty_mountpoint(self) -> None:
        """An empty Mountpoint becomes the engine's own directory."""
        self.script(
            lambda data: ok(
                b'{"Implements":["VolumeDriver"],"Volume":{"Name":"db"},"Mountpoint":""}'
            )
        )
        self.assertEqual(run(FakeDocker(self.target).run("db", "c")), "/var/run/docker")

    def test_idle_connections(self) -> None:
        """Calls one after the other go over one connection."""
        docker = FakeDocker(self.target)
        run(docker.list())
        run(docker.inspect("db"))
        self.assertEqual(len(self.tap.inner.channels), 1)
        docker.close()
        self.assertEqual(len(self.tap.inner.channels), 0)


class PodmanTests(EngineCase):
    """What Podman does with wrong answers."""

    def test_err_on_200(self) -> None:
        """It does not see an Err on 200 of a Create."""
        self.script(
            lambda data: (
                ok(b'{"Implements":["VolumeDriver"]}')
                if b"Activate" in data
                else ok(b'{"Err":"no"}')
            )
        )
        podman = FakePodman(self.target)
        run(podman.create("db"))
        self.assertEqual(podman.known, {"db": 0})

    def test_limit(self) -> None:
        """It goes away after 5 s."""
        self.script(
            lambda data: ok(b'{"Implements":["VolumeDriver"]}') if b"Activate" in data else b""
        )
        self.assertIn("no answer within 5 s", self.fails(FakePodman(self.target).inspect("db")))
        self.assertAlmostEqual(self.clock.seconds(), 5, places=3)

    def test_counts(self) -> None:
        """It mounts for the first container, unmounts for the last, and forgets at a reboot."""
        podman = FakePodman(self.target)
        for _ in range(2):
            run(podman.mount("db"))
        run(podman.unmount("db"))
        podman.reboot()
        run(podman.mount("db"))
        run(podman.unmount("db"))
        calls = [call[0] for call in self.driver.calls]
        self.assertEqual(calls, ["mount", "mount", "unmount"])

    def test_remove_unknown(self) -> None:
        """Of a volume that Get does not find only its own entry goes, with an error."""
        podman = FakePodman(self.target)
        podman.known["gone"] = 0
        self.fails(podman.remove("gone"))
        self.assertEqual(podman.known, {})

    def test_reload(self) -> None:
        """Reload takes what List has; a null in it ends the process."""
        podman = FakePodman(self.target)
        run(podman.reload())
        self.assertEqual(podman.known, {"db": 0})
        self.script(lambda data: ok(b'{"Implements":["VolumeDriver"],"Volumes":[null]}'))
        self.assertRaises(EngineCrash, run, FakePodman(self.target).reload())
