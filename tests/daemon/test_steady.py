"""The clock of the reactor."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet import base
from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.daemon.steady import use_steady_clock


class SteadyTests(SynchronousTestCase):
    """Timers when the wall clock is set."""

    def setUp(self) -> None:
        self.jump = 0.0
        self.patch(base.ReactorBase, "seconds", staticmethod(lambda: time.time() + self.jump))
        self.reactor: Any = SelectReactor()
        self.addCleanup(self.reactor.removeAll)
        self.called: list[str] = []

    def test_set_back(self) -> None:
        """A clock that is set back by a year keeps no timer waiting, an earlier one neither."""
        self.reactor.callLater(0.001, self.called.append, "before")
        use_steady_clock(self.reactor)
        self.reactor.callLater(0.001, self.called.append, "after")
        self.jump = -365 * 86400.0
        time.sleep(0.01)
        self.reactor.runUntilCurrent()
        self.assertEqual(sorted(self.called), ["after", "before"])

    def test_set_ahead(self) -> None:
        """A clock that is set ahead by a year lets no timer come early."""
        self.reactor.callLater(3600, self.called.append, "before")
        use_steady_clock(self.reactor)
        self.reactor.callLater(3600, self.called.append, "after")
        self.jump = 365 * 86400.0
        self.reactor.runUntilCurrent()
        self.assertEqual(self.called, [])
        self.assertLess(self.reactor.timeout(), 3601)
