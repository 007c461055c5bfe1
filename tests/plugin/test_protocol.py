"""What the author of a driver did wrong is said when the plugin is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import classImplements, implementer

from exampledriver.plugin import IVolumeDriver, Plugin
from exampledriver.plugin.authz import ALLOW, AuthzRequest, AuthzResponse, Decision, IAuthzDriver
from exampledriver.plugin.ipam import IIpamDriver
from exampledriver.plugin.network import IExternalConnectivity

from .memory import FakeDriver
from .protocols import ProtocolCase
from .test_ipam import Addresses
from .test_network import Wires


def mistake(driver: object) -> str:
    """Return the error of a plugin that cannot be made."""
    try:
        Plugin("x", [driver])
    except TypeError as error:
        return str(error)
    raise AssertionError("the plugin was made")


class MistakeTests(SynchronousTestCase):
    """Drivers that make no plugin."""

    def test_no_interface(self) -> None:
        """A driver that declares no interface is told how."""
        self.assertIn("@implementer(IVolumeDriver)", mistake(object()))

    def test_class(self) -> None:
        """A class in a driver's place is told to be one."""
        self.assertEqual(
            mistake(FakeDriver), "FakeDriver is a class: give the plugin an instance of it"
        )

    def test_methods(self) -> None:
        """Every method that is missing, or has other parameters, is named with its own."""

        class Half:
            def authorize_request(self) -> None: ...

        # mypy must not find it here.
        declare: Any = classImplements
        declare(Half, IAuthzDriver)
        text = mistake(Half())
        self.assertIn("driver Half: IAuthzDriver: ", text)
        self.assertIn("authorize_request(request) is expected", text)
        self.assertIn("authorize_response(response) is missing", text)

    def test_collision(self) -> None:
        """One object for two protocols that both have a method of one name is refused."""

        class Both(Wires):
            pass

        for name in IIpamDriver.names():
            if not hasattr(Both, name):
                setattr(Both, name, getattr(Addresses, name))
        declare: Any = classImplements
        declare(Both, IIpamDriver)
        self.assertIn("both have a method capabilities: give the plugin two", mistake(Both()))

    def test_part(self) -> None:
        """The optional part of a protocol alone is no plugin."""

        @implementer(IExternalConnectivity)
        class Ports:
            def program_external_connectivity(self, request: Any) -> None: ...
            def revoke_external_connectivity(self, request: Any) -> None: ...

        self.assertIn("is a part of NetworkDriver: implement that too", mistake(Ports()))

    def test_names(self) -> None:
        """A name that cannot be a part of a path is refused."""
        for name in ("", "a/b", "..", "-x", "x" * 64, "a b"):
            self.assertRaises(ValueError, Plugin, name, [Wires()])

    def test_no_reactor(self) -> None:
        """A site needs a reactor, and the error says what else there is."""
        error = self.assertRaises(ValueError, Plugin("x", [Wires()]).site)
        self.assertIn("run()", str(error))


@implementer(IAuthzDriver, IVolumeDriver)
class Both(FakeDriver):
    """One driver of two protocols."""

    def authorize_request(self, request: AuthzRequest) -> Decision:
        return ALLOW

    def authorize_response(self, response: AuthzResponse) -> Decision:
        return ALLOW


class ManyTests(ProtocolCase):
    """Several protocols in one plugin."""

    def test_one_driver(self) -> None:
        """One driver may implement several protocols."""
        self.serve(Both())
        self.assertEqual(self.answer("Plugin.Activate"), {"Implements": ["authz", "VolumeDriver"]})
        self.assertEqual(self.answer("VolumeDriver.List")["Volumes"], [])
        self.assertIs(self.answer("AuthZPlugin.AuthZReq", {})["Allow"], True)

    def test_several_drivers(self) -> None:
        """Several drivers make one plugin, in their order."""
        plugin = Plugin("x", [Wires(), Addresses()])
        answer = plugin.wire.begin(plugin.wire.calls["Plugin.Activate"], b"")
        self.assertEqual(answer, (200, b'{"Implements":["NetworkDriver","IpamDriver"]}'))


class LazyTests(SynchronousTestCase):
    """What a plugin costs that does not use it."""

    def test_imports(self) -> None:
        """A volume plugin imports no other protocol, no server of processes, and no reactor."""
        names = ("authz", "network", "ipam", "secret", "logdriver", "metrics", "streaming")
        modules = [f"exampledriver.plugin.{name}" for name in (*names, "convert", "serving")]
        script = (
            "import sys, examples.directories as d; d.Plugin('x', [d.Directories()]);"
            f"print([m for m in {[*modules, 'twisted.internet.reactor']!r} if m in sys.modules])"
        )
        root = Path(__file__).parents[2]
        found = subprocess.run(
            [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
        )
        self.assertEqual(found.stdout, "[]\n")
