"""Kill a real daemon again and again under load, and hold it to what it answered.

A program: ``python -m tests.functional.torture --kills 500``. Sixteen clients with a
keep-alive connection each create, mount, unmount and remove volumes, some with
requests that must be refused. At a random moment the daemon gets SIGKILL, sometimes
before it has even started. After each restart every name is compared with what was
answered: a change that was answered is there, one that was refused is not, and one that was
under way is either. It prints what it counted, and exits with 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import selectors
import sys
import time
from pathlib import Path
from socket import AF_UNIX, socket

from attrs import define, field

from tests.process import Daemon, remove_directory, request_bytes, short_directory

CLIENTS = 16
#: Names that one client works on; no other client does.
NAMES = 4
#: What a volume can be known to be.
ABSENT, PRESENT = "absent", "present"


@define(eq=False)
class Model:
    """What is known of one volume.

    :ivar states: the states that it can be in: one, or two while a change is in doubt.
    :ivar mounts: the counts that its one mount ID can have.
    :ivar token: what was written into it, if anything.
    """

    name: str
    states: set[str] = field(factory=lambda: {ABSENT})
    mounts: set[int] = field(factory=lambda: {0})
    token: str = ""


@define(eq=False)
class Tally:
    """What is printed at the end."""

    kills: int = 0
    starts: int = 0
    answered: int = 0
    refused: int = 0
    in_doubt: int = 0
    faults: list[str] = field(factory=list)


@define(eq=False)
class Client:
    """One connection: one request under way, over and over."""

    number: int
    root: Path
    random: random.Random
    tally: Tally
    models: list[Model] = field(init=False)
    connection: socket | None = field(default=None, init=False)
    busy: bool = field(default=False, init=False)
    call: str = field(default="", init=False)
    model: Model = field(init=False)
    _data: bytes = field(default=b"", init=False)

    def __attrs_post_init__(self) -> None:
        self.models = [Model(f"c{self.number}-{n}") for n in range(NAMES)]
        self.model = self.models[0]

    def begin(self, connection: socket) -> None:
        """Take a fresh connection and send the first request."""
        self.connection, self._data = connection, b""
        self.send()

    def send(self) -> None:
        """Choose a change of a volume, note that it is in doubt, and ask for it."""
        self.model = model = self.random.choice(self.models)
        message: dict[str, object] = {"Name": model.name}
        if self.random.random() < 0.05:
            self.call, message["Opts"] = "Refused", {"sise": "1G"}
        elif model.states == {ABSENT}:
            self.call = "Create"
        else:
            self.call = self.random.choice(["Remove", "Mount", "Unmount"])
        if self.call == "Create":
            model.states = {ABSENT, PRESENT}
        elif self.call == "Remove":
            model.states, model.mounts = {ABSENT, PRESENT}, model.mounts | {0}
        elif self.call in ("Mount", "Unmount"):
            message["ID"] = "one"
            step = 1 if self.call == "Mount" else -1
            model.mounts = model.mounts | {max(0, count + step) for count in model.mounts}
        assert self.connection is not None
        self.busy = True
        wire = "Create" if self.call == "Refused" else self.call
        self.connection.sendall(request_bytes(f"VolumeDriver.{wire}", message))

    def receive(self) -> bool:
        """Read what has come; after a whole answer the client is no longer busy.

        :return: whether the connection is still there.
        """
        assert self.connection is not None
        try:
            more = self.connection.recv(65536)
        except ConnectionResetError:
            return False
        self._data += more
        head, found, body = self._data.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            if len(body) >= length:
                self._data, self.busy = b"", False
                self.answered(int(head.split(b" ")[1]), json.loads(body))
        return bool(more)

    def answered(self, status: int, answer: dict[str, object]) -> None:
        """Note what an answer makes certain."""
        model = self.model
        if self.call == "Refused":
            self.tally.refused += 1
            if status != 400 or "sise" not in str(answer["Err"]):
                self.tally.faults.append(f"{model.name}: not refused: {status} {answer}")
            return
        if status != 200 or answer.get("Err"):
            self.tally.faults.append(f"{model.name}: {self.call}: {status} {answer}")
            return
        self.tally.answered += 1
        if self.call == "Create":
            model.states, model.mounts = {PRESENT}, {0}
            model.token = f"{self.number}-{self.tally.answered}"
            (self.root / model.name / "token").write_text(model.token)
        elif self.call == "Remove":
            model.states, model.mounts, model.token = {ABSENT}, {0}, ""
        elif self.call == "Mount":
            model.mounts = {max(model.mounts)}
        else:
            model.mounts = {min(model.mounts)}

    def cut(self) -> None:
        """Note that the daemon is gone: what was under way stays in doubt."""
        self.tally.in_doubt += self.busy
        if self.busy and self.call == "Create":
            self.model.token = ""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


@define(eq=False)
class Torture:
    """A daemon, its clients, and what they know."""

    daemon: Daemon
    random: random.Random
    tally: Tally = field(factory=Tally)
    clients: list[Client] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.clients = [
            Client(number, self.daemon.root, self.random, self.tally) for number in range(CLIENTS)
        ]

    def run(self, kills: int) -> None:
        """Kill the daemon so many times."""
        for turn in range(kills):
            if turn % 10 == 9:
                # In the middle of a start, whatever it is doing.
                self.daemon.spawn()
                time.sleep(self.random.uniform(0, 0.6))
                self.daemon.kill()
                self.tally.kills += 1
            self.start()
            self.load(self.random.uniform(0.0, 1.0))
        self.start()
        self.daemon.stop()

    def start(self) -> None:
        """Start the daemon and compare."""
        self.daemon.start()
        self.tally.starts += 1
        self.compare()

    def load(self, seconds: float) -> None:
        """Let the clients work for a while, then kill the daemon."""
        with selectors.DefaultSelector() as selector:
            for client in self.clients:
                connection = socket(AF_UNIX)
                connection.connect(os.fspath(self.daemon.socket))
                selector.register(connection, selectors.EVENT_READ, client)
                client.begin(connection)
            limit = time.monotonic() + seconds
            while time.monotonic() < limit:
                for key, _ in selector.select(0.01):
                    client = key.data
                    if not client.receive():
                        self.tally.faults.append(f"client {client.number}: cut without a kill")
                        selector.unregister(key.fileobj)
                    elif not client.busy:
                        client.send()
            self.daemon.kill()
            self.tally.kills += 1
            # Answers that were on their way count: the client has them.
            for key in list(selector.get_map().values()):
                client = key.data
                while client.receive():
                    pass
                client.cut()

    def compare(self) -> None:
        """Hold the daemon to what was answered; settle what was in doubt."""
        listed = {volume["Name"]: volume for volume in self.daemon.ok("List")["Volumes"]}
        known = [model for client in self.clients for model in client.models]
        for name in set(listed) - {model.name for model in known}:
            self.tally.faults.append(f"{name}: nobody created it")
        for model in known:
            volume = listed.get(model.name)
            state = ABSENT if volume is None else PRESENT
            if state not in model.states:
                self.tally.faults.append(f"{model.name}: is {state}, answered was {model.states}")
            model.states = {state}
            count = volume["Status"]["Mounts"] if volume else 0
            if volume and count not in model.mounts:
                self.tally.faults.append(
                    f"{model.name}: {count} mounts, answered were {model.mounts}"
                )
            model.mounts = {count}
            directory = self.daemon.root / model.name
            if volume and not directory.is_dir():
                self.tally.faults.append(f"{model.name}: its directory is gone")
            elif volume and model.token and (directory / "token").read_text() != model.token:
                self.tally.faults.append(f"{model.name}: its data is gone")


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Kill a real daemon again and again under load.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"torture --kills {options.kills} --seed {options.seed}", flush=True)
    base = short_directory()
    torture = Torture(Daemon(base, ["--trash-retention=0"]), random.Random(options.seed))
    began = time.monotonic()
    try:
        torture.run(options.kills)
    finally:
        torture.daemon.close()
    tally = torture.tally
    print(
        f"{tally.kills} kills, {tally.starts} of {options.kills + 1} starts, "
        f"{tally.answered} answered changes, {tally.refused} refused, {tally.in_doubt} in doubt, "
        f"{len(tally.faults)} lost or wrong, {time.monotonic() - began:.0f} s"
    )
    for fault in tally.faults[:50]:
        print(f"  {fault}")
    if tally.faults:
        print(f"  kept for inspection: {base}")
        return 1
    remove_directory(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
