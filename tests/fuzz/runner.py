"""Run a target on numbered inputs; the same seed and number give the same input again."""

from __future__ import annotations

import resource
import tempfile
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from random import Random
from typing import TypeAlias

from attrs import frozen
from twisted.logger import globalLogPublisher

#: Makes one input from the random numbers and gives it to the product; raises if what the
#: product does with it is wrong.
Check: TypeAlias = Callable[[Random], None]

#: Each target's part of all inputs, in percent. A target is a module of this package with a
#: function ``start(directory: Path) -> Check``; the directory is empty and the target's own.
TARGETS: Mapping[str, int] = {"archives": 10, "heads": 20, "mountinfo": 35, "options": 35}

#: Bytes of address space for one process of a fuzz run.
MOST_MEMORY = 4 << 30


@frozen
class Fault:
    """An input that the product handles wrongly.

    :ivar number: the input's number; the same for each run with the same seed.
    :ivar error: the traceback of what the check raised.
    """

    target: str
    number: int
    error: str


def run(target: str, seed: int, first: int, count: int) -> Fault | None:
    """Check the inputs `first` to `first + count - 1`; return the first fault."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        check: Check = import_module(f"{__package__}.{target}").start(Path(directory))
        return check_inputs(check, target, seed, first, count)


def check_inputs(check: Check, target: str, seed: int, first: int, count: int) -> Fault | None:
    """Give `count` numbered inputs to a check; return the first fault."""
    number = first
    try:
        for number in range(first, first + count):
            check(Random(f"{seed}/{target}/{number}"))
    except Exception:
        error = traceback.format_exc().encode("ascii", "backslashreplace").decode("ascii")
        return Fault(target, number, error)
    return None


def limit_process() -> None:
    """Bound this process's memory and write no log: for processes that only run targets."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    for observer in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(observer)
