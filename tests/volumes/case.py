"""A case with a world and a service in it; it has no tests of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from .fixtures import World, listed


def hang_at(method: str) -> Callable[..., Deferred[Any]]:
    """Return threads in which one method of the backend never returns."""

    def run(function: Callable[..., Any], *args: object) -> Deferred[Any]:
        if getattr(function, "__name__", "") == method:
            return Deferred()
        return execute(function, *args)

    return run


class ServiceCase(SynchronousTestCase):
    """A world, and a service in it."""

    def setUp(self) -> None:
        self.world = World(Path(os.path.realpath(self.mktemp())))
        self.service = self.world.start()

    def do(self, call: Any) -> Any:
        """Return what a call of the service gives at once."""
        return self.successResultOf(Deferred.fromCoroutine(call))

    def fails(self, error: type[Exception], call: Any) -> str:
        """Return the text with which a call of the service fails at once."""
        return str(self.failureResultOf(Deferred.fromCoroutine(call), error).value)

    def names(self) -> list[str]:
        """Return the volumes' names."""
        return listed(self.service)
