"""The IPAM of ``examples/network`` and what it keeps, without an engine."""

from __future__ import annotations

import json
from ipaddress import ip_interface, ip_network
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule
from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin import PluginError
from exampledriver.plugin.ipam import ReleaseAddress, ReleasePool, RequestAddress, RequestPool
from examples.network.addresses import Addresses
from examples.network.state import State
from tests.plugin.memory import UNHURRIED
from tests.process import remove_directory, short_directory


class AddressTests(SynchronousTestCase):
    """Pools and addresses."""

    def setUp(self) -> None:
        directory = short_directory()
        self.addCleanup(remove_directory, directory)
        self.path = directory / "state/pools.json"
        self.ipam = Addresses(State(self.path))

    def again(self) -> None:
        """Start again, with what is on disk."""
        self.ipam = Addresses(State(self.path))

    def pool(self, pool: str = "", sub_pool: str = "", v6: bool = False) -> str:
        """Ask for a pool; return its ID."""
        request = RequestPool("s", pool, sub_pool, {}, v6)
        return self.ipam.request_pool(request).pool_id

    def ask(self, pool_id: str, address: str = "") -> str:
        """Ask for an address."""
        return self.ipam.request_address(RequestAddress(pool_id, address)).address

    def refused(self, function: object, *arguments: object) -> str:
        """Return why something is refused."""
        return str(self.assertRaises(PluginError, function, *arguments))

    def test_addresses(self) -> None:
        """The lowest free address is given, or the one that is asked for, and none twice."""
        pool = self.pool("10.1.0.0/29")
        self.assertEqual(self.ask(pool, "10.1.0.1"), "10.1.0.1/29")
        self.assertEqual(self.ask(pool), "10.1.0.2/29")
        self.again()
        self.assertEqual(self.ask(pool), "10.1.0.3/29")
        self.assertIn("already in use", self.refused(self.ask, pool, "10.1.0.2"))
        for address in ("10.1.0.0", "10.1.0.7", "10.1.0.8", "fd00::1"):
            self.assertIn("not one for a host", self.refused(self.ask, pool, address))
        self.ipam.release_address(ReleaseAddress(pool, "10.1.0.2"))
        self.ipam.release_address(ReleaseAddress(pool, "10.1.0.2"))
        self.again()
        self.assertEqual([self.ask(pool) for _ in range(4)],
                         [f"10.1.0.{n}/29" for n in (2, 4, 5, 6)])  # fmt: skip
        self.assertIn("no address is free", self.refused(self.ask, pool))

    def test_range(self) -> None:
        """Addresses that nobody chose are of the range, others of the whole pool."""
        pool = self.pool("10.1.0.0/16", "10.1.2.0/24")
        self.assertEqual(self.ask(pool), "10.1.2.0/16")
        self.assertEqual(self.ask(pool, "10.1.9.9"), "10.1.9.9/16")
        self.assertIn("not within", self.refused(self.pool, "10.2.0.0/16", "10.3.0.0/24"))

    def test_pools(self) -> None:
        """Pools do not overlap, before and after a restart, until they are given back."""
        first = self.pool("10.1.0.0/16")
        self.again()
        for other in ("10.1.0.0/16", "10.1.7.0/24", "10.0.0.0/8"):
            self.assertIn("overlaps 10.1.0.0/16", self.refused(self.pool, other))
        self.assertIn("host bits", self.refused(self.pool, "10.3.0.1/16"))
        self.ipam.release_pool(ReleasePool(first))
        self.ipam.release_pool(ReleasePool(first))
        self.again()
        self.pool("10.1.7.0/24")
        self.assertIn("not known", self.refused(self.ask, first))
        self.ipam.release_address(ReleaseAddress(first, "10.1.0.1"))

    def test_any_pool(self) -> None:
        """Pools that nobody chose are free ones, until there are none."""
        taken = self.pool("10.213.1.0/24")
        found = [self.pool() for _ in range(255)]
        self.assertEqual(len({taken, *found}), 256)
        self.assertIn("no pool is free", self.refused(self.pool))

    def test_ipv6(self) -> None:
        """Pools of IPv6 are chosen, and may be as large as they are."""
        pool = self.pool("fd00:1::/64", v6=True)
        self.assertEqual(self.ask(pool), "fd00:1::1/64")
        self.assertEqual(self.ask(pool), "fd00:1::2/64")
        self.assertIn("chosen", self.refused(self.pool, "", "", True))

    def test_damage(self) -> None:
        """A file that is none of ours is left as it is, and nothing starts with it."""
        self.pool()
        for text in ("", "{", "[]", '{"a": 1}'):
            self.path.write_text(text)
            error = self.assertRaises(ValueError, State, self.path)
            self.assertIn("move it away", str(error))
            self.assertEqual(self.path.read_text(), text)

    def test_modes(self) -> None:
        """Nobody else reads the file, and no temporary one stays."""
        self.pool()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(list(self.path.parent.iterdir()), [self.path])


class Ipam(RuleBasedStateMachine):
    """Any order of calls and restarts, beside a plain set of what is out."""

    pools = Bundle("pools")

    def __init__(self) -> None:
        super().__init__()
        self.directory: Path = short_directory()
        self.restart()
        self.out: dict[str, set[str]] = {}

    def teardown(self) -> None:
        remove_directory(self.directory)

    @rule()
    def restart(self) -> None:
        """Start again, with what is on disk."""
        self.ipam = Addresses(State(self.directory / "pools.json"))

    @rule(target=pools, number=st.integers(0, 3))
    def pool(self, number: int) -> str:
        """Ask for a pool, which is refused if it is out."""
        wanted = f"10.1.{number}.0/29"
        try:
            name = self.ipam.request_pool(RequestPool("s", wanted)).pool_id
        except PluginError:
            assert f"s/{wanted}" in self.out
            return f"s/{wanted}"
        assert name not in self.out
        self.out[name] = set()
        return name

    @rule(pool=pools)
    def address(self, pool: str) -> None:
        """Ask for an address, which nobody else has."""
        try:
            found = self.ipam.request_address(RequestAddress(pool)).address
        except PluginError:
            assert len(self.out.get(pool, range(6))) == 6
            return
        assert ip_interface(found).ip in ip_network(pool.partition("/")[2])
        assert found not in self.out[pool]
        self.out[pool].add(found)

    @rule(pool=pools, data=st.data())
    def release(self, pool: str, data: st.DataObject) -> None:
        """Give an address back."""
        if self.out.get(pool):
            address = data.draw(st.sampled_from(sorted(self.out[pool])))
            self.out[pool].remove(address)
            self.ipam.release_address(ReleaseAddress(pool, address.partition("/")[0]))

    @rule(pool=consumes(pools))
    def release_pool(self, pool: str) -> None:
        """Give a pool back."""
        self.out.pop(pool, None)
        self.ipam.release_pool(ReleasePool(pool))
        kept = json.loads((self.directory / "pools.json").read_text())
        assert set(kept) == set(self.out)


class MachineTests(SynchronousTestCase):
    """Whatever happens, no address is out twice."""

    def test_machine(self) -> None:
        """Calls and restarts in any order."""
        case = Ipam.TestCase
        case.settings = settings(UNHURRIED, max_examples=30, stateful_step_count=30)
        case("runTest").debug()
