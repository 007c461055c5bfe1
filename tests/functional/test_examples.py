"""Every example is a process that keeps the rules of the conformance kit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.examples.strict import POLICY
from tests.process import PATIENCE, remove_directory, short_directory, until

from .test_conformance import ROOT, check, outcomes

#: What serves each example, and what is before it: links are made in a network of its own.
EXAMPLES = {
    "directories": ["examples/directories.py"],
    "locked": ["examples/locked.py"],
    "secretfiles": ["examples/secretfiles.py"],
    "authz": ["-m", "examples.authz"],
    "network": ["-m", "examples.network"],
}


class ExampleTests(SynchronousTestCase):
    """Examples."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)
        secrets = self.base / "secrets"
        secrets.mkdir(mode=0o700)
        (secrets / "password").write_text("hunter2")
        (self.base / "policy").write_text(json.dumps(POLICY))

    def keeps(self, name: str, *prefix: str) -> None:
        """Serve an example; check that it keeps each rule, and has no bug on the way."""
        socket, log = self.base / "s", self.base / "log"
        places = {
            "DIRECTORIES_ROOT": "volumes",
            "LOCKED_ROOT": "volumes",
            "SECRETFILES_ROOT": "secrets",
            "GATE_POLICY": "policy",
            "GATE_AUDIT": "audit",
            "LAN_STATE": "lan",
        }
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *prefix, sys.executable, *EXAMPLES[name],
             f"--listen=unix:{socket}"],
            env={**os.environ, "PYTHONPATH": str(ROOT),
                 **{key: str(self.base / place) for key, place in places.items()}},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        until(lambda: socket.exists() or process.poll() is not None, "a socket")
        found = check("--json", "--idle=1", "--secret=password", str(socket))
        wrong = {rule: how for rule, how in outcomes(found).items() if how != "passed"}
        self.assertEqual(wrong, {}, found.stdout)
        self.assertNotIn("Traceback", log.read_text(errors="replace"))

    def test_directories(self) -> None:
        """``examples/directories.py`` keeps every rule of volume drivers."""
        self.keeps("directories")

    def test_locked(self) -> None:
        """``examples/locked.py`` keeps every rule of volume drivers."""
        self.keeps("locked")

    def test_secretfiles(self) -> None:
        """``examples/secretfiles.py`` keeps every rule of secret providers."""
        self.keeps("secretfiles")

    def test_authz(self) -> None:
        """``examples/authz`` keeps every rule of authorization plugins."""
        self.keeps("authz")

    def test_network(self) -> None:
        """``examples/network`` keeps every rule of network and IPAM drivers."""
        self.keeps("network", "unshare", "--net", "--")

    def test_each(self) -> None:
        """No example is left out."""
        there = {
            path.stem
            for path in Path(ROOT, "examples").iterdir()
            if path.suffix == ".py" or (path / "__main__.py").exists()
        }
        self.assertEqual(set(EXAMPLES), there)


class LinkTests(SynchronousTestCase):
    """``examples/network``'s links, in a network namespace of its own."""

    def script(self, text: str) -> str:
        """Run a script with the links' module, in a host with an interface; return its output."""
        begin = (
            "import subprocess\n"
            "from examples.network import links\n"
            "def ip(text): return subprocess.run(text.split(), check=True, text=True,\n"
            "    stdout=subprocess.PIPE).stdout\n"
            "ip('ip link add wire type veth peer name other')\n"
            "ip('ip addr add 192.0.2.1/24 dev wire'); ip('ip link set wire up')\n"
            "peers = ('192.0.2.2', '192.0.2.3')\n"
            "def make(*peers): links.make_bridge('xb1', ['10.0.0.1/24'],\n"
            "    links.Vxlan(42, '192.0.2.1', peers))\n"
            "def floods(): return sorted(line.split()[2] for line in\n"
            "    ip('bridge fdb show dev xv1').splitlines() if line.startswith('00:00'))\n"
        )
        found = subprocess.run(
            ["unshare", "--net", "--", sys.executable, "-c", begin + text],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(found.returncode, 0, found.stderr)
        return found.stdout.strip()

    def test_learned(self) -> None:
        """A learned address of a peer is not the entry by which frames for all go to the peer."""
        text = (
            "make('192.0.2.2')\n"
            "ip('bridge fdb add 02:42:0a:00:00:09 dev xv1 dst 192.0.2.3 self dynamic')\n"
            "make(*peers); make(*peers)\n"
            "print(*floods())"
        )
        self.assertEqual(self.script(text), "192.0.2.2 192.0.2.3")

    def test_before_up(self) -> None:
        """A VXLAN that does not flood to each of its peers is not up."""
        text = (
            "try: make('192.0.2.2', 'fd00::2')\n"
            "except links.PluginError: print(*floods(), 'UP' in ip('ip link show xv1'))"
        )
        self.assertEqual(self.script(text), "192.0.2.2 False")
