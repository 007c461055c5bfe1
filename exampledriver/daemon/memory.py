"""Memory during a start: what is loaded then stays, and what was needed for that is given back."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Hold what is loaded meanwhile for as long as the process lives.

    The collector does not walk it, neither again and again while it grows nor later. What the
    C library keeps of the memory that was freed goes back to the system, where the library
    can do that (malloc_trim(3) of glibc; musl's keeps little).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
