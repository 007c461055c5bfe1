"""An administration over real directories and a service, and a client of its routes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.admin import AdminServer
from exampledriver.backends.measuring import measure
from exampledriver.volumes.administration import Administration
from exampledriver.volumes.copies import Copies
from exampledriver.volumes.health import HealthChecks
from exampledriver.volumes.ledger import MountLedger
from exampledriver.volumes.removed import RemovedVolumes
from exampledriver.volumes.service import VolumeService
from exampledriver.volumes.usage import Usages
from exampledriver.volumes.waiting import Waits
from tests.plugin.memory import Client, Response, post
from tests.volumes.fixtures import NOON, World

#: What runs in threads elsewhere.
Threads = Callable[..., Deferred[Any]]


class AdminCase(SynchronousTestCase):
    """A world, a service in it, and the administrator's view of that."""

    def setUp(self) -> None:
        self.world = World(Path(os.path.realpath(self.mktemp())))
        self.start()

    def start(self, deletions: Threads = execute, looks: Threads = execute) -> None:
        """Start a service, as after a crash of the one before."""
        world = self.world
        self.trash = world.new_trash()
        backend = world.backend(self.trash)
        self.ledger = MountLedger(world.counts, world.boot)
        self.ledger.load()
        health = HealthChecks(backend, looks, world.clock)
        self.service = VolumeService(
            world.catalog, self.ledger, backend, health, execute, world.clock, lambda: NOON
        )
        self.service.load()
        self.service.start()
        self.usages = Usages(measure, execute, world.clock)
        waits = Waits(world.clock)
        removed = RemovedVolumes(
            self.service,
            self.trash,
            self.usages,
            execute,
            deletions,
            waits,
            backend.data_path,
            lambda: world.wall,
            timedelta(days=1),
        )
        self.administration = Administration(
            self.service,
            self.ledger,
            backend,
            health,
            self.usages,
            removed,
            world.root,
            execute,
            looks,
            waits,
            lambda: "1.0",
        )
        self.copies = Copies(
            self.service,
            self.ledger,
            backend,
            self.trash,
            world.root,
            world.base / "run",
            execute,
            execute,
            execute,
            waits,
        )
        self.service.clone_with(self.copies)
        self.server = AdminServer(self.administration, world.clock, self.copies)
        self.client = Client(self.server.site(), world.clock)

    def do(self, call: Any) -> Any:
        """Return what a call gives at once."""
        return self.successResultOf(Deferred.fromCoroutine(call))

    def fails(self, error: type[Exception], call: Any) -> str:
        """Return the text with which a call fails at once."""
        return str(self.failureResultOf(Deferred.fromCoroutine(call), error).value)

    def removed(self, name: str = "db", **options: str) -> None:
        """Make a volume with a file in it, and remove it; let the disk have that."""
        self.do(self.service.create(name, options))
        (self.world.root / name / "file").write_text("precious")
        self.do(self.service.remove(name))
        self.world.settle()

    def call(self, call: str, **fields: object) -> Response:
        """Return the answer to a call, made on the one client."""
        return self.client.ask(post(f"Admin.{call}", fields))

    def answered(self, call: str, **fields: object) -> Any:
        """Return the answer of a call that succeeds."""
        response = self.call(call, **fields)
        self.assertEqual(response.status, 200, response.body)
        self.assertEqual(response.answer["Err"], "")
        return response.answer

    def refused(self, status: int, call: str, **fields: object) -> str:
        """Return the text of a call that is refused."""
        response = self.call(call, **fields)
        self.assertEqual(response.status, status, response.body)
        self.assertEqual(list(response.answer), ["Err"])
        return str(response.answer["Err"])


def lines(data: bytes) -> list[Any]:
    """Return the JSON lines of a chunked answer; it need not be whole."""
    _, _, body = data.partition(b"\r\n\r\n")
    found = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        found += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return [json.loads(line) for line in found.splitlines()]
