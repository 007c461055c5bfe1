"""The ``MetricsCollector`` protocol: a plugin that reads the engine's metrics.

Once it has been told to start, Prometheus' metrics of the engine are at :data:`SOCKET`, by
HTTP under ``/metrics``. Engines offer this to managed plugins only.
"""

from __future__ import annotations

from zope.interface import Interface

from .convert import call
from .protocol import Protocol, bind
from .wire import Answer, Wire

#: The name of this protocol in the answer to ``Plugin.Activate``.
IMPLEMENTS = "MetricsCollector"

#: Where the metrics are, inside the plugin's own root file system.
SOCKET = "/run/docker/metrics.sock"


class IMetricsCollector(Interface):
    """What the author of a metrics collector writes.

    A method returns its value, a Deferred of it, or a coroutine.
    """

    def start_metrics() -> Answer[None]:
        """Begin to read: the socket is there."""

    def stop_metrics() -> Answer[None]:
        """Read no more: the socket goes. What this raises, the engine passes over."""


def add_routes(wire: Wire, driver: IMetricsCollector) -> None:
    """Serve ``driver`` under ``/MetricsCollector.*``."""
    for name, method in (
        ("MetricsCollector.StartMetrics", driver.start_metrics),
        ("MetricsCollector.StopMetrics", driver.stop_metrics),
    ):
        wire.route(call(name, method, None, changes="Name", nameless=True))


bind(IMetricsCollector, Protocol(IMPLEMENTS, add_routes))
