"""The small protocols: secrets and metrics."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.logger import capturedLogs, formatEvent
from zope.interface import implementer

from exampledriver.plugin import PluginError
from exampledriver.plugin.metrics import IMetricsCollector
from exampledriver.plugin.secret import (
    LARGEST,
    EndpointSpec,
    GetSecret,
    ISecretProvider,
    Port,
    Secret,
)

from .protocols import ProtocolCase


@implementer(ISecretProvider)
@define(eq=False)
class Vault:
    """A provider that knows one secret."""

    asked: list[GetSecret] = field(factory=list)

    def get_secret(self, request: GetSecret) -> Secret:
        self.asked.append(request)
        if request.name != "db":
            raise PluginError(f"secret {request.name!r} is not known")
        return Secret(b"\xff\x00tr", do_not_reuse=True)


class SecretTests(ProtocolCase):
    """The secretprovider protocol."""

    def setUp(self) -> None:
        self.vault = Vault()
        self.serve(self.vault)

    def test_activate(self) -> None:
        """The protocol's name is secretprovider, not that of its calls."""
        self.assertEqual(self.answer("Plugin.Activate"), {"Implements": ["secretprovider"]})

    def test_fields(self) -> None:
        """Every field is as it is on the wire; a value is any bytes."""
        port = {
            "Name": "http",
            "Protocol": 1,
            "TargetPort": 80,
            "PublishedPort": 8080,
            "PublishMode": 1,
        }
        spec = EndpointSpec(1, [Port("http", 1, 80, 8080, 1)])
        self.round_trip(spec.ports[0], port)
        self.round_trip(spec, {"Mode": 1, "Ports": [port]})
        self.round_trip(
            GetSecret(
                "db", {"a": "b"}, "h", "s1", "web", {"c": "d"}, "t1", "web.1", "img", "n1", spec
            ),
            {
                "SecretName": "db",
                "SecretLabels": {"a": "b"},
                "ServiceHostname": "h",
                "ServiceID": "s1",
                "ServiceName": "web",
                "ServiceLabels": {"c": "d"},
                "TaskID": "t1",
                "TaskName": "web.1",
                "TaskImage": "img",
                "NodeID": "n1",
                "ServiceEndpointSpec": {"Mode": 1, "Ports": [port]},
            },
        )
        self.round_trip(Secret(b"\xff\x00tr", True), {"Value": "/wB0cg==", "DoNotReuse": True})

    def test_answers(self) -> None:
        """A secret is answered in base64, an unknown one refused; neither costs a log line."""
        with capturedLogs() as events:
            answer = self.answer("SecretProvider.GetSecret", {"SecretName": "db"})
            self.assertEqual(answer, {"Value": "/wB0cg==", "DoNotReuse": True, "Err": ""})
            answer = self.refused("SecretProvider.GetSecret", {"SecretName": "x"})
            self.assertEqual(answer, {"Err": "secret 'x' is not known"})
        self.assertEqual([formatEvent(event) for event in events], [])

    def test_hidden(self) -> None:
        """A secret's value is not shown by its repr, which may be logged."""
        self.assertNotIn("tr", repr(Secret(b"\xff\x00tr")))

    def test_text(self) -> None:
        """A text, which would go out as another secret, is refused, and not shown."""

        @implementer(ISecretProvider)
        class Text:
            def get_secret(self, request: GetSecret) -> Secret:
                return Secret("hunter2")  # type: ignore[arg-type]

        self.serve(Text())
        answer = self.refused("SecretProvider.GetSecret", {"SecretName": "db"})
        text = "driver Text.get_secret returned a Secret whose value is a str; a bytes is expected"
        self.assertEqual(answer, {"Err": text})
        (logged,) = self.flushLoggedErrors()
        self.assertNotIn("hunter2", logged.getTraceback(detail="verbose"))

    def test_size(self) -> None:
        """A value that no swarm takes is the provider's mistake: the swarm does not say so."""

        @implementer(ISecretProvider)
        class Sized:
            def get_secret(self, request: GetSecret) -> Secret:
                return Secret(b"x" * int(request.name))

        self.serve(Sized())
        for size in (0, LARGEST + 1):
            answer = self.refused("SecretProvider.GetSecret", {"SecretName": str(size)})
            self.assertIn(f"whose value has {size} bytes; 1 to 511999", answer["Err"])
            self.assertEqual(len(self.flushLoggedErrors()), 1)
        for size in (1, LARGEST):
            self.answer("SecretProvider.GetSecret", {"SecretName": str(size)})


@implementer(IMetricsCollector)
@define(eq=False)
class Meter:
    """A collector that keeps what it was told."""

    told: list[str] = field(factory=list)

    def start_metrics(self) -> None:
        self.told.append("start")

    async def stop_metrics(self) -> None:
        self.told.append("stop")


class MetricsTests(ProtocolCase):
    """The MetricsCollector protocol."""

    def test_not_run(self) -> None:
        """A method that has not run, for a yield in it, is no success."""

        @implementer(IMetricsCollector)
        class Yields(Meter):
            def start_metrics(self) -> Any:
                yield

        self.serve(Yields())
        answer = self.refused("MetricsCollector.StartMetrics", {})
        self.assertIn("driver Yields.start_metrics returned a generator; a func", answer["Err"])
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_calls(self) -> None:
        """Both calls come without a body, or with any."""
        meter = Meter()
        self.serve(meter)
        self.assertEqual(self.answer("Plugin.Activate"), {"Implements": ["MetricsCollector"]})
        for body in (b"", b"{}", b"x"):
            self.assertEqual(self.answer("MetricsCollector.StartMetrics", body), {"Err": ""})
            self.assertEqual(self.answer("MetricsCollector.StopMetrics", body), {"Err": ""})
        self.assertEqual(meter.told, ["start", "stop"] * 3)
