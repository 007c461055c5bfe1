"""Health: what is said while a look does not end, and after the start."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, maybeDeferred

from exampledriver.backends import mounts
from exampledriver.backends.directory import DirectoryBackend
from exampledriver.backends.gates import LIMIT, MOST, Gate, SilentError
from exampledriver.backends.registry import Backends
from exampledriver.volumes import sweeping
from exampledriver.volumes.errors import InvalidOptionError, VolumeError
from exampledriver.volumes.health import OVERDUE, HealthChecks
from exampledriver.volumes.service import VolumeService
from exampledriver.volumes.sweeping import Sweep

from .case import ServiceCase

_LOOK = Backends.look


def _no_descriptor() -> NoReturn:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class LookCase(ServiceCase):
    """A service whose looks can be made to hang."""

    def setUp(self) -> None:
        super().setUp()
        self.do(self.service.create("db", {}))
        self.do(self.service.create("there", {"mountpoint": str(self.world.base / "there")}))
        self.world.settle()
        self.hanging: dict[str, Callable[[], None]] = {}
        self.silent: set[str] = set()
        self.queued = False
        self.service = self.world.start(look_threads=self.run_or_hang)

    def run_or_hang(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Run what a thread would; a look at what is silent has begun, and does not end."""
        name = getattr(args[0], "name", "")
        if name not in self.silent:
            return maybeDeferred(function, *args)
        done: Deferred[Any] = Deferred()

        def run() -> None:
            maybeDeferred(function, *args).chainDeferred(done)

        self.hanging[name] = run
        if not self.queued:
            # As in a thread that waits inside of the backend.
            self.patch(Backends, "look", self._begun)
            maybeDeferred(function, *args).addErrback(lambda failure: failure.trap(KeyError))
            self.patch(Backends, "look", _LOOK)
        return done

    @staticmethod
    def _begun(*args: object) -> None:
        raise KeyError("not yet")

    def health(self, name: str = "there") -> str:
        """Return what Get says."""
        return str(self.service.get(name).status["Health"])


class OverdueTests(LookCase):
    """A look that does not end."""

    def test_said(self) -> None:
        """It is said as soon as it is overdue, with how long and which file system."""
        self.assertEqual(self.health(), "ok")
        self.silent.add("there")
        self.world.clock.advance(11)
        self.assertEqual(self.health(), "ok")
        self.world.clock.advance(OVERDUE)
        self.assertRegex(self.health(), r"^has not answered for 1 s: .*, mounted at /")
        self.world.clock.advance(39)
        self.assertRegex(self.health(), r"^has not answered for 40 s: ")
        self.assertEqual(self.health("db"), "ok")

    def test_ends(self) -> None:
        """When it ends, what it has found is said."""
        self.silent.add("there")
        self.health()
        self.world.clock.advance(40)
        self.assertIn("for 40 s", self.health())
        self.silent.clear()
        self.hanging["there"]()
        self.assertEqual(self.health(), "ok")

    def test_never_looked_at(self) -> None:
        """So it is with the first look; until it is overdue nothing is made up."""
        self.silent.add("there")
        self.assertEqual(self.health(), "not checked yet")
        self.world.clock.advance(OVERDUE)
        self.assertIn("has not answered for 1 s", self.health())

    def test_queued(self) -> None:
        """A look that no thread has begun says nothing about the volume's file system."""
        self.queued = True
        self.silent.add("there")
        self.health()
        self.world.clock.advance(40)
        self.assertEqual(self.health(), "not checked for 40 s: other checks have not ended")

    def test_no_descriptor(self) -> None:
        """It is said, by Get, also when nothing is left to read the list of mounts with."""
        self.silent.add("there")
        self.health()
        self.world.clock.advance(40)
        self.patch(mounts, "here", _no_descriptor)
        self.assertEqual(
            self.health(),
            f"has not answered for 40 s: the file system of {self.world.base / 'there'}",
        )

    def test_another_of_that_name(self) -> None:
        """A look at a volume that is gone says nothing of the next one of its name."""
        self.silent.add("there")
        self.health()
        self.world.clock.advance(40)
        self.assertIn("for 40 s", self.health())
        self.do(self.service.remove("there"))
        self.silent.clear()
        self.do(self.service.create("there", {}))
        self.world.clock.advance(40)
        self.health()
        self.assertEqual(self.health(), "ok")
        (self.world.root / "there").rmdir()
        self.hanging["there"]()
        self.assertEqual(self.health(), "ok")

    def test_failed_mount(self) -> None:
        """A Mount that fails makes Health look again at once."""
        self.assertEqual(self.health("db"), "ok")
        (self.world.root / "db").rmdir()
        self.fails(VolumeError, self.service.mount("db", "1"))
        self.assertIn("is missing", self.health("db"))


class SweepTests(LookCase):
    """The look at all volumes after the start."""

    def sweep(self, service: VolumeService) -> Sweep:
        """Begin it, in a service that has just started."""
        made = Sweep(
            lambda: list(service.volumes),
            service.some,
            service._health,
            self.run_or_hang,
            self.world.clock,
        )
        made.start()
        return made

    def begin(self, volumes: int) -> VolumeService:
        """Start a service with many volumes."""
        for number in range(volumes):
            self.do(self.service.create(f"v{number:03}", {}))
        self.world.settle()
        self.service = self.world.start(look_threads=self.run_or_hang)
        return self.service

    def test_asked_once(self) -> None:
        """Who asks once, some time after the start, gets an answer about every volume."""
        service = self.begin(60)
        (self.world.root / "v007").rmdir()
        self.sweep(service)
        self.world.clock.pump([0.1] * 10)
        self.silent.update(service.volumes)  # the answers are from memory
        for name in service.volumes:
            wanted = "is missing" if name == "v007" else "ok"
            self.assertIn(wanted, self.health(name))
        self.assertEqual(service.get("v050").status["HealthAge"], "0s")

    def test_memory(self) -> None:
        """What is found good is not kept for each volume."""
        service = self.begin(60)
        self.sweep(service)
        self.world.clock.pump([0.1] * 10)
        self.assertEqual(set(service._health._looks), {"there"})

    def test_pace(self) -> None:
        """It pauses nine times as long as a part of it took."""
        self.do(self.service.remove("there"))
        service = self.begin(60)
        looks: list[float] = []

        def slow(self_: object, volume: Any, mounted: bool) -> tuple[str, str | None]:
            looks.append(self.world.clock.seconds())
            self.world.clock.rightNow += 0.01
            return "", None

        self.patch(Backends, "look", slow)
        self.sweep(service)
        first = len(looks)
        self.assertLessEqual(first, 26)
        self.world.clock.advance(8.9 * 0.01 * first)
        self.assertEqual(len(looks), first)
        self.world.clock.advance(0.2 * 0.01 * first)
        self.assertGreater(len(looks), first)

    def test_hanging(self) -> None:
        """A volume that hangs does not keep it from the others, and is not called good."""
        service = self.begin(30)
        self.silent.add("there")
        self.sweep(service)
        self.world.clock.pump([0.5] * 10)
        self.silent.update(service.volumes)
        self.assertEqual(self.health("v029"), "ok")
        self.assertIn("has not answered for", self.health("there"))

    def test_all_in_trouble(self) -> None:
        """When nearly all are in trouble it ends, and each is looked at when it is asked for."""
        service = self.begin(60)
        self.patch(sweeping, "_MOST_TROUBLED", 20)
        for number in range(60):
            (self.world.root / f"v{number:03}").rmdir()
        self.sweep(service)
        self.world.clock.pump([0.1] * 10)
        self.silent.update(service.volumes)
        self.assertEqual(self.health("v059"), "not checked yet")

    def test_stopped(self) -> None:
        """A stop ends it."""
        service = self.begin(60)
        self.sweep(service).stop()
        self.world.clock.pump([0.1] * 10)
        self.silent.update(service.volumes)
        self.assertEqual(self.health("v059"), "not checked yet")

    def test_changed_meanwhile(self) -> None:
        """What happens to a volume meanwhile is newer than what was found."""
        health = HealthChecks(self.world.backend(), self.run_or_hang, self.world.clock)
        health.good("db")
        health.seen("db", {"db": ("was missing", None, "")})
        look = health.last("db")
        assert look is not None
        self.assertEqual(look.trouble, "")


class GateTests(ServiceCase):
    """File systems outside the root that hang take few threads."""

    def setUp(self) -> None:
        super().setUp()
        self.seconds = 0.0
        self.gate = Gate(lambda: self.seconds)

    def enter(self) -> Any:
        """Let a call pass, and hang."""
        entered = self.gate.passing("/proc/1")
        entered.__enter__()
        self.addCleanup(entered.__exit__, None, None, None)
        return entered

    def test_refused(self) -> None:
        """Further calls of one that does not answer are refused at once; others pass."""
        for _ in range(MOST):
            self.enter()
        self.seconds = LIMIT + 1
        with self.assertRaises(SilentError) as caught, self.gate.passing("/proc/2"):
            pass
        text = str(caught.exception)
        self.assertIn("proc proc, mounted at /proc, has not answered for 21 s", text)
        with self.gate.passing(str(self.world.base)):
            pass

    def test_answers_again(self) -> None:
        """When one of them ends the next one passes."""
        entered = [self.gate.passing("/proc/1") for _ in range(MOST)]
        for each in entered:
            each.__enter__()
        self.seconds = LIMIT + 1
        for each in entered:
            each.__exit__(None, None, None)
        with self.gate.passing("/proc/2"):
            pass

    def test_links(self) -> None:
        """Who goes through a link to such a file system waits at its gate, not at the link's."""
        base = self.world.base
        (base / "link").symlink_to("../proc")
        (base / "loop").symlink_to("loop")
        gates: list[str] = []

        class Noting(Gate):
            def passing(self, path: str) -> Any:
                gates.append(path)
                return super().passing(path)

        backends = self.service._state.backend
        assert isinstance(backends, Backends)
        backend = backends._kinds["directory"]
        assert isinstance(backend, DirectoryBackend)
        backend._gate = Noting()
        for given in (f"{base}/link/./new", f"{base}/link/../there//x/..", f"{base}/no/../file"):
            self.assertEqual(backend._real(given), os.path.realpath(given))
        self.assertEqual(gates[gates.index(f"{base}/link") + 1], f"{base.parent}/proc")
        text = self.fails(
            InvalidOptionError, self.service.create("v", {"mountpoint": f"{base}/loop"})
        )
        self.assertIn("symbolic links", text)

    def test_volumes(self) -> None:
        """A volume on such a file system says so; those of the root have no gate."""
        there = self.world.base / "there"
        self.do(self.service.create("there", {"mountpoint": str(there)}))
        self.do(self.service.create("db", {}))
        gates: list[str] = []

        class Refusing(Gate):
            def passing(self, path: str) -> Any:
                gates.append(path)
                raise SilentError(110, "nfs has not answered for 11 s")

        backends = self.service._state.backend
        assert isinstance(backends, Backends)
        backend = backends._kinds["directory"]
        assert isinstance(backend, DirectoryBackend)
        backend._gate = Refusing()
        text = self.fails(VolumeError, self.service.mount("there", "1"))
        self.assertIn(f"directory {there} cannot be reached: nfs has not answered for 11 s", text)
        self.do(self.service.mount("db", "1"))
        new = {"mountpoint": str(self.world.base / "new")}
        self.assertIn("nfs has not", self.fails(Exception, self.service.create("new", new)))
        self.assertEqual(len(gates), 3)
