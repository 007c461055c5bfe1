"""A small right metrics collector, and wrong ones made of it."""

from __future__ import annotations

from twisted.web.server import Request

from .kinds import Kind
from .registry import breaks
from .right import Fields, Refused


class RightMetrics(Kind):
    """A collector that knows whether it collects."""

    prefix = "/MetricsCollector."
    implements = ("MetricsCollector",)
    bodiless = ("StartMetrics", "StopMetrics")
    started = 0
    stopped = 0

    def start_metrics(self, request: Request, message: Fields) -> Fields | None:
        self.started += 1
        return {"Err": ""}

    def stop_metrics(self, request: Request, message: Fields) -> Fields | None:
        self.stopped += 1
        return {"Err": ""}


@breaks("M-ACTIVATE")
class Metrics(RightMetrics):
    """Its name is another."""

    implements = ("metricscollector",)


@breaks("M-START")
class NeverStarts(RightMetrics):
    """It does not find the metrics."""

    def start_metrics(self, request: Request, message: Fields) -> Fields | None:
        raise Refused("there is no /run/docker/metrics.sock")


@breaks("M-ANSWER")
class ErrFalse(RightMetrics):
    """Its Err says that there is none."""

    def start_metrics(self, request: Request, message: Fields) -> Fields | None:
        return {"Err": False}


@breaks("M-BODY")
class NoBodyPlease(RightMetrics):
    """It refuses a body."""

    def start_metrics(self, request: Request, message: Fields) -> Fields | None:
        if request.getHeader(b"content-length") not in (None, b"0"):
            raise Refused("there is a body", 400)
        return super().start_metrics(request, message)


@breaks("M-START-AGAIN")
class StartsOnce(RightMetrics):
    """It refuses to start what has started."""

    def start_metrics(self, request: Request, message: Fields) -> Fields | None:
        if self.started > self.stopped and not self.has_body(request):
            raise Refused("it has started")
        return super().start_metrics(request, message)

    def has_body(self, request: Request) -> bool:
        """Return whether there is a body, which another rule is about."""
        return request.getHeader(b"content-length") not in (None, b"0")


@breaks("M-STOP")
class NeverStops(RightMetrics):
    """It fails to stop the first time."""

    def stop_metrics(self, request: Request, message: Fields) -> Fields | None:
        super().stop_metrics(request, message)
        if self.started:
            raise Refused("its socket is gone")
        return {"Err": ""}


@breaks("M-STOP-FIRST")
class StopsOnlyStarted(RightMetrics):
    """It cannot stop what has not started."""

    def stop_metrics(self, request: Request, message: Fields) -> Fields | None:
        if not self.started:
            raise Refused("it has not started")
        return super().stop_metrics(request, message)


@breaks("M-RESTART")
class StopsForGood(RightMetrics):
    """What has stopped stays so."""

    def start_metrics(self, request: Request, message: Fields) -> Fields | None:
        if self.stopped:
            raise Refused("it has stopped")
        return super().start_metrics(request, message)


@breaks("M-QUICK")
class ReadsFirst(RightMetrics):
    """It reads all metrics before it answers."""

    def start_metrics(self, request: Request, message: Fields) -> Fields | None:
        self.started += 1
        self.later(request, 1.5, lambda: {"Err": ""})
        return None
