"""What the managed plugin starts, without an engine: what it makes of mounts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.mounts import Mount, parse
from exampledriver.processes import Proc

_FILE = Path(__file__).parents[1] / "tap/managed/start.py"

#: The plugin's propagated mount, the volumes on top of it, and what a killed run has left.
BELOW = "124 107 254:0 /plugins/id/propagated-mount {root} rw,relatime shared:2 - ext4 /dev/vda rw"
ABOVE = "74 124 254:0 /data/volumes {root} rw,relatime shared:4 master:1 - ext4 /dev/vda rw"
LEFT = "75 107 254:0 /data/volumes {root} rw,relatime shared:4 master:1 - ext4 /dev/vda rw"
OTHER = "107 75 254:0 /plugins/id/rootfs / rw,relatime - ext4 /dev/vda rw"
#: What the engine has.
PEER = "70 44 254:0 /data /data rw,relatime shared:2 - ext4 /dev/vda rw"
SLAVE = "70 44 254:0 /data /data rw,relatime shared:9 master:2 - ext4 /dev/vda rw"
MOUNTED = "84 70 254:0 /data/volumes /data/x rw,relatime shared:4 master:1 - ext4 /dev/vda rw"
STRANGER = "64 44 254:0 / /srv rw,relatime shared:24 master:22 - ext4 /dev/vda rw"

ENGINE = 17


class CheckTests(SynchronousTestCase):
    """Whether the engine's containers see the volumes."""

    def setUp(self) -> None:
        spec = importlib.util.spec_from_file_location("start", _FILE)
        assert spec is not None and spec.loader is not None
        self.start = cast(Any, importlib.util.module_from_spec(spec))
        spec.loader.exec_module(self.start)
        base = Path(self.mktemp())
        self.root = base / "root"
        (base / "data/volumes").mkdir(parents=True)
        self.root.symlink_to("data/volumes")
        self.start.DATA, self.start.ROOT = base / "data", self.root

    def check(self, ours: list[str], engines: list[str] | None) -> None:
        """Check with these mounts; None if the engine's cannot be read."""

        def mounts(process: int | str) -> list[Mount]:
            found = {"self": [OTHER, *ours], ENGINE: engines}[process]
            if found is None:
                raise PermissionError
            return parse("\n".join(found).format(root=self.root).encode())

        self.start.mounts = mounts
        self.start.check_seen(ENGINE)

    def refused(self, ours: list[str], engines: list[str] | None) -> None:
        """See that the check ends the process."""
        error = self.assertRaises(SystemExit, self.check, ours, engines)
        self.assertIn("the engine has unmounted", str(error))

    def test_seen(self) -> None:
        """What is mounted on a mount of the engine's peer group, or on its master, is seen."""
        for engines in ([PEER], [STRANGER, SLAVE]):
            self.check([BELOW, ABOVE], engines)
            self.check([ABOVE, BELOW], engines)

    def test_far(self) -> None:
        """So it is on a slave of a slave."""
        far = "71 44 254:0 /data /data rw,relatime master:9 - ext4 /dev/vda rw"
        self.refused([BELOW, ABOVE], [far])
        between = SLAVE.replace("shared:9", "shared:31")
        self.check([BELOW, ABOVE], [STRANGER, far.replace("master:9", "master:31"), between])

    def test_odd_paths(self) -> None:
        """Mounts of the host may have any bytes in their paths."""
        proc = Path(self.mktemp())
        (proc / str(ENGINE)).mkdir(parents=True)
        line = b"1 2 0:3 / /m/\xe9\xe2\x80\xa8\x0b\r rw shared:7 - nfs shared:8 rw\n"
        (proc / str(ENGINE) / "mountinfo").write_bytes(line + b"short\n" + line)
        self.patch(self.start, "PROC", Proc(str(proc)))
        first, second = self.start.mounts(ENGINE)
        self.assertEqual(first, second)
        self.assertEqual(first.peers("shared"), {"7"})

    def test_left(self) -> None:
        """What a killed run has left mounted is seen."""
        self.check([LEFT], [PEER, MOUNTED])
        self.refused([LEFT], [PEER])

    def test_not_seen(self) -> None:
        """A propagated mount that nothing of the engine is a peer of any more is of no use."""
        self.refused([BELOW, ABOVE], [STRANGER, MOUNTED])
        self.refused([BELOW.replace("shared:2 ", ""), ABOVE], [PEER, MOUNTED])
        self.refused([], [PEER])

    def test_taken(self) -> None:
        """The volumes must be there, whatever is known of the engine."""
        self.root.unlink()
        self.root.mkdir()
        self.refused([BELOW], [PEER])
        self.refused([BELOW], None)

    def test_unknown(self) -> None:
        """An engine that cannot be looked at is trusted."""
        self.check([BELOW, ABOVE], None)
