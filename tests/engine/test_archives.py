"""Archives between all file systems that volumes are on; root mounts them."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.backends.growing import Seed, forests
from tests.backends.test_archives import check_round_trip
from tests.process import short_directory

from .loops import file_system


class RoundTripTests(SynchronousTestCase):
    """Exports from each file system, and imports into each."""

    def test_any_tree(self) -> None:
        """Every field of every node is restored; a time that cannot be is reported."""
        base = short_directory()
        self.addCleanup(shutil.rmtree, base)
        with ExitStack() as mounted:
            places = [mounted.enter_context(file_system(k, base)) for k in ("btrfs", "ext4", "xfs")]

            @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
            @given(planted=forests, seed=st.integers())
            def check(planted: list[Seed], seed: int) -> None:
                here, there = Random(seed).choices([*map(str, places), "/dev/shm"], k=2)
                check_round_trip(planted, here, there)

            check()
