"""Programs that are run as children: with a deadline, without a shell, their words kept.

A child has a process group of its own, and a mark in its environment which everything that
it starts inherits. After a failure or at the deadline whatever has the mark is killed, so
that nothing is left at work: not a helper in another group, not a server of a FUSE file
system. A child that the kernel does not let go of (it waits for a dead server) is left behind.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import uuid4

from ..processes import printable

#: The variable in the environment by which what a child has started is found.
MARK = "EXAMPLEDRIVER_CHILD"

#: How much of a child's output is kept, in bytes: the end of it, where the reason stands.
KEPT = 4096

#: Where programs of the administrator are, should the daemon's PATH lack it.
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")

#: Seconds for a killed child to end.
_REAP = 1.0


class CommandError(Exception):
    """A program has failed, or not ended in time.

    :ivar program: its name.
    :ivar status: its exit status; negative for a signal; ``None`` if it could not be started.
    :ivar words: what it has written, on one line.
    :ivar late: it was killed at the deadline.
    :ivar found: it is installed.
    """

    def __init__(
        self, program: str, status: int | None, words: str, late: bool = False, found: bool = True
    ) -> None:
        self.program, self.status, self.words = program, status, words
        self.late, self.found = late, found
        super().__init__(words or f"{program} ended with status {status}")


def run(
    argv: Sequence[str],
    seconds: float,
    kept: Sequence[int] = (),
    more: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it has written, at most :data:`KEPT` bytes.

    :param kept: descriptors that it inherits; it lives on when the daemon is killed.
    :param more: further variables of its environment.
    :raises CommandError: it failed, or has not ended within `seconds`.
    """
    mark = uuid4().hex
    reader, writer = os.pipe()
    try:
        try:
            child = subprocess.Popen(  # noqa: S603 (no shell, and no text of the network's)
                argv,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                start_new_session=True,
                pass_fds=kept,
                cwd="/",
                env={**os.environ, "PATH": _path(), "LC_ALL": "C", MARK: mark, **(more or {})},
            )
        except OSError as error:
            found = not isinstance(error, FileNotFoundError)
            why = error.strerror if found else "not installed"
            raise CommandError(argv[0], None, f"{argv[0]}: {why}", found=found) from None
        finally:
            os.close(writer)
        output = _read(reader, child, time.monotonic() + seconds)
    finally:
        os.close(reader)
    # A server far away may have chosen them.
    words = printable(" ".join(output.decode("utf-8", "replace").split()))
    if child.returncode is None:
        _kill(child, mark)
        raise CommandError(argv[0], None, words, late=True)
    if child.returncode:
        _kill(child, mark)
        raise CommandError(argv[0], child.returncode, words)
    return output.decode("utf-8", "replace")


def _path() -> str:
    path = os.environ.get("PATH", "")
    return ":".join([*([path] if path else []), *(p for p in _SBIN if p not in path.split(":"))])


def _read(reader: int, child: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Read a child's output until it ends; whom it left behind may keep the pipe open."""
    os.set_blocking(reader, False)
    ended = os.pidfd_open(child.pid)
    # Not select(), which knows the first 1,024 descriptors only.
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.register(ended, select.POLLIN)
    output = b""
    try:
        while child.poll() is None and (left := deadline - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                if fd == reader:
                    data = _available(reader)
                    output = (output + (data or b""))[-KEPT:]
                    if data is None:
                        poll.unregister(reader)
    finally:
        os.close(ended)
    return (output + (_available(reader) or b""))[-KEPT:]


def _available(reader: int) -> bytes | None:
    """Return what can be read at once; ``None`` at the end."""
    try:
        return os.read(reader, 1 << 20) or None
    except BlockingIOError:
        return b""


def _kill(child: subprocess.Popen[bytes], mark: str) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    wanted = f"{MARK}={mark}".encode("ascii")
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                with open(f"/proc/{entry}/environ", "rb") as file:
                    marked = wanted in file.read().split(b"\0")
                if marked:
                    os.kill(int(entry), signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(_REAP)
