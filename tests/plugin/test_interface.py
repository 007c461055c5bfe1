"""What a plugin is made of: drivers that declare an interface, activation, a resource."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from exampledriver.plugin import BadRequest, IVolumeDriver, Plugin, PluginError, Volume

from .memory import DOCKER, NAMED, FakeDriver, PluginCase, Response, Transport, post


class PluginTests(SynchronousTestCase):
    """Which drivers make a plugin."""

    def test_fake(self) -> None:
        """The fake driver of these tests is a volume driver."""
        verifyObject(IVolumeDriver, FakeDriver())

    def test_no_protocol(self) -> None:
        """A driver that provides no protocol is refused, and the error says what to do."""
        error = self.assertRaises(TypeError, Plugin, "x", [object()])
        self.assertIn("@implementer", str(error))

    def test_class_for_object(self) -> None:
        """A driver's class, handed over instead of a driver, is refused."""
        self.assertRaises(TypeError, Plugin, "x", [FakeDriver])

    def test_twice(self) -> None:
        """Two drivers of one protocol are refused, and the error names both and the protocol."""

        class Other(FakeDriver):
            pass

        error = self.assertRaises(TypeError, Plugin, "x", [Other(), FakeDriver()])
        self.assertEqual(
            str(error),
            "driver FakeDriver: driver Other provides VolumeDriver already: give the plugin one "
            "of them",
        )

    def test_no_list(self) -> None:
        """Drivers are a list of at least one; anything else is refused, with an example."""
        for drivers in (FakeDriver(), "VolumeDriver", {FakeDriver()}, None):
            wrong: Any = drivers
            error = self.assertRaises(TypeError, Plugin, "x", wrong)
            self.assertIn(
                f"drivers is a {type(drivers).__name__}; a list",
                f"{error}".replace("is None", "is a NoneType"),
            )
            self.assertIn("such as Plugin('x', [driver])", str(error))
        error = self.assertRaises(ValueError, Plugin, "x", [])
        self.assertEqual(str(error), "plugin x: drivers is empty; give it at least one")

    def test_named(self) -> None:
        """A text names a driver by its class, not by its place in memory."""
        for drivers in ([object()], [FakeDriver(), FakeDriver()]):
            error = self.assertRaises(TypeError, Plugin, "x", drivers)
            self.assertIn(f"driver {type(drivers[0]).__name__}", str(error))
            self.assertNotIn(" at 0x", str(error))

    def test_errors(self) -> None:
        """A request that is wrong is a plugin's error with a status of its own."""
        self.assertEqual((PluginError.status, BadRequest.status), (500, 400))
        self.assertTrue(issubclass(BadRequest, PluginError))


class ActivateTests(PluginCase):
    """Plugin.Activate."""

    def test_implements(self) -> None:
        """Activate names the protocols, and nothing else."""
        answer = self.assertAnswered(self.call("Plugin.Activate"))
        self.assertEqual(answer, {"Implements": ["VolumeDriver"]})

    def test_again(self) -> None:
        """Podman activates before each command: the answer stays the same."""
        answers = [self.call("Plugin.Activate").answer for _ in range(3)]
        self.assertEqual(answers, [{"Implements": ["VolumeDriver"]}] * 3)

    def test_asks_nobody(self) -> None:
        """Docker waits for Activate without a limit: it is answered without the driver."""
        self.call("Plugin.Activate")
        self.assertEqual(self.driver.calls, [])


class CallTests(PluginCase):
    """What a driver is called with."""

    def test_arguments(self) -> None:
        """Each call reaches its own method, with what the engine sent."""
        self.call("VolumeDriver.Create", {"Name": "a", "Opts": {"size": "1G"}})
        for call in ("Get", "Path", "Remove"):
            self.call(f"VolumeDriver.{call}", {"Name": "a"})
        for call in ("Mount", "Unmount"):
            self.call(f"VolumeDriver.{call}", {"Name": "db", "ID": "c1"})
        self.call("VolumeDriver.List", {})
        self.call("VolumeDriver.Capabilities", {})
        self.assertEqual(
            self.driver.calls,
            [
                ("create", "a", {"size": "1G"}),
                ("get", "a"),
                ("path", "a"),
                ("remove", "a"),
                ("mount", "db", "c1"),
                ("unmount", "db", "c1"),
                ("list",),
                ("capabilities",),
            ],
        )

    def test_shapes(self) -> None:
        """A driver may answer with a value, a Deferred or a coroutine, all to one effect."""

        async def coroutine() -> Volume:
            return await succeed(Volume("db", "/srv/db"))

        bodies = []
        for shape in (Volume("db", "/srv/db"), succeed(Volume("db", "/srv/db")), coroutine()):
            self.driver.answers["get"] = shape
            response = self.call("VolumeDriver.Get", {"Name": "db"})
            self.assertAnswered(response)
            bodies.append(response.body)
        self.assertEqual(len(set(bodies)), 1, bodies)


class ResourceTests(PluginCase):
    """Plugin.resource, within somebody else's web server."""

    def ask(self, request: bytes) -> Response:
        """Return the answer of a plain Twisted site."""
        site = Site(self.plugin.resource(), reactor=Clock())
        channel = site.buildProtocol(self.client.address)
        channel.callLater = Clock().callLater
        transport = Transport(self.client.address, self.client.address)
        channel.makeConnection(transport)
        channel.dataReceived(request)
        response, rest = Response.parse(transport.value())
        self.assertEqual(rest, b"")
        return response

    def test_calls(self) -> None:
        """The calls, and the errors that Klein finds, are answered there as in the plugin's own."""
        for call, message in NAMED.items():
            self.driver.volumes["db"] = Volume("db")
            self.assertAnswered(self.ask(post(call, message)))
        self.assertRefused(self.ask(post("VolumeDriver.Get")), 400)
        self.assertRefused(self.ask(post("VolumeDriver.Nothing", {}, DOCKER)), 404)
