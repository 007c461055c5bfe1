"""How many function calls a request takes: ``make bench-check``.

No clock is read, so it holds on any machine: the calls of Python and of C functions are
counted while a request is answered in this process, with nothing to wait for. A figure that
has grown by more than a tenth since it was recorded is an error; one that has fallen is
printed, to be recorded anew. Another Python or library may need other figures.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from attrs import define, field
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogBeginner

from exampledriver.journal.records import encode_change, encode_header, scan
from exampledriver.plugin import Plugin
from exampledriver.plugin.site import PluginChannel
from tests.process import request_bytes
from tests.volumes.fixtures import World

#: Calls for each of these, as they were when it was last looked at; Python 3.11.
RECORDED = {
    "Get": 41,
    "Path": 34,
    "Create and Remove": 679,
    "List of 1,000": 36,
    "1,000 records of the journal": 4076,
}
#: What may be added before it is an error.
TOLERANCE = 1.1


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called by `work`, once it has run before."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    work()
    work()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted


@define(eq=False)
class Served:
    """A daemon's parts in one process, and a connection to them."""

    world: World
    created: int = field(default=0, init=False)
    channel: PluginChannel = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make a thousand volumes, and connect."""
        service = self.world.start()
        for number in range(1000):
            Deferred.fromCoroutine(service.create(f"volume-{number:06}", {}))
        self.channel = Plugin("x", [service], Clock()).site().buildProtocol(None)
        address = UNIXAddress(None)
        transport = StringTransport(address, address, lenient=True)
        self.channel.makeConnection(transport)  # type: ignore[no-untyped-call]

    def ask(self, *requests: tuple[str, object]) -> Callable[[], None]:
        """Return what makes these requests."""
        data = [request_bytes(call, message) for call, message in requests]

        def run() -> None:
            for each in data:
                self.channel.dataReceived(each)

        return run

    def create_and_remove(self) -> None:
        """Create a volume of a name that was not there yet, and remove it."""
        self.created += 1
        new = {"Name": f"new-{self.created:06}"}
        self.ask(("VolumeDriver.Create", {**new, "Opts": None}), ("VolumeDriver.Remove", new))()


def measure() -> dict[str, int]:
    """Return the figures of this version."""
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    with tempfile.TemporaryDirectory() as directory:
        served = Served(World(Path(directory).resolve()))
        name = {"Name": "volume-000500"}
        journal = encode_header(0) + b"".join(
            encode_change(n + 1, n, (f"volume-{n:06}", b'{"options":{}}')) for n in range(1000)
        )
        return {
            "Get": calls(served.ask(("VolumeDriver.Get", name))),
            "Path": calls(served.ask(("VolumeDriver.Path", name))),
            "Create and Remove": calls(served.create_and_remove),
            "List of 1,000": calls(served.ask(("VolumeDriver.List", {}))),
            "1,000 records of the journal": calls(lambda: scan(journal)),
        }


def main() -> int:
    """Print the figures; return 1 if one has grown."""
    grown = False
    for what, found in measure().items():
        recorded = RECORDED[what]
        worse = found > recorded * TOLERANCE
        grown = grown or worse
        print(f"{what}: {found} calls, recorded {recorded}{': GROWN' if worse else ''}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
