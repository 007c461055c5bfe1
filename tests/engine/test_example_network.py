"""``examples/network`` on real engines: two containers that talk, and what is left of them.

Not here: published ports and the way outside; the example has no NAT.
"""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.process import until

from .box import IMAGE, Engine, done
from .example import Example, ExampleCase


class NetworkCase(ExampleCase):
    """An engine, and the example in its network namespace, for each test."""

    def setUp(self) -> None:
        self.engine, self.example = self.host()

    def host(self) -> tuple[Engine, Example]:
        """Return an engine that is up, and its plugin."""
        engine = self.make_engine()
        engine.up()
        environment = {"LAN_STATE": str(engine.base / "lan")}
        example = Example(engine.base, "examples.network", "lan", environment, engine.network)
        return engine, self.add(example)

    def create(self, name: str, *options: str, engine: Engine | None = None) -> None:
        """Create a network."""
        words = ["network", "create", "-d", "lan", "--ipam-driver", "lan", *options, name]
        (engine or self.engine).docker(*words)

    def background(self, name: str, network: str, *options: str) -> None:
        """Start a container that sleeps."""
        self.engine.docker(
            "run", "-d", "--name", name, "--network", network, "--stop-signal=KILL", *options,
            IMAGE, "sleep", "1000",
        )  # fmt: skip

    def address(self, name: str, network: str) -> str:
        """Return a container's address in a network."""
        (found,) = json.loads(self.engine.docker("inspect", name))
        return str(found["NetworkSettings"]["Networks"][network]["IPAddress"])

    def ping(self, name: str, address: str, *options: str) -> None:
        """Ping an address from a container."""
        self.engine.docker("exec", name, "ping", "-c", "1", "-W", "10", *options, address)

    def pings(self, name: str, address: str) -> bool:
        """Tell whether an address answers a container."""
        words = ["exec", name, "ping", "-c", "1", "-W", "1", address]
        return self.engine.run(*words).returncode == 0

    def links(self, engine: Engine | None = None) -> set[str]:
        """Return the links in the engine's network namespace."""
        network = (engine or self.engine).network
        found: list[dict[str, Any]] = json.loads(done(*network, "ip", "-json", "link"))
        return {link["ifname"] for link in found}

    def kept(self, name: str) -> dict[str, Any]:
        """Return what the plugin keeps in a file."""
        found: dict[str, Any] = json.loads((self.engine.base / "lan" / name).read_text())
        return found

    def nothing_left(self) -> None:
        """Check that no link, network, pool or address is left."""
        self.assertEqual(self.links(), {"lo"})
        self.assertEqual(self.kept("networks.json"), {})
        self.assertEqual(self.kept("pools.json"), {})


class ContainerTests(NetworkCase):
    """Networks of one engine."""

    def test_life(self) -> None:
        """Two containers and the gateway reach each other until they are disconnected."""
        self.create("home", "--subnet", "10.77.0.0/24")
        self.background("a1", "home")
        self.background("b1", "home", "--ip", "10.77.0.9")
        self.assertEqual(self.address("a1", "home"), "10.77.0.2")
        self.assertEqual(self.address("b1", "home"), "10.77.0.9")
        self.ping("a1", "10.77.0.9")
        self.ping("b1", "10.77.0.2")
        self.ping("b1", "10.77.0.1")
        self.assertIn("default via 10.77.0.1", self.engine.docker("exec", "a1", "ip", "route"))
        self.assertIn("active endpoints", self.error(self.engine, "network", "rm", "home"))
        self.engine.docker("network", "disconnect", "home", "b1")
        self.assertNotIn("eth0", self.engine.docker("exec", "b1", "ip", "link"))
        self.error(self.engine, "exec", "a1", "ping", "-c", "1", "-W", "1", "10.77.0.9")
        self.engine.docker("network", "connect", "home", "b1")
        self.ping("a1", self.address("b1", "home"))
        self.engine.docker("rm", "-f", "a1", "b1")
        self.assertEqual(len(self.links()), 2)
        self.engine.docker("network", "rm", "home")
        self.nothing_left()

    def test_refusals(self) -> None:
        """What cannot be is refused with a reason, and leaves nothing."""
        create = ["network", "create", "-d", "lan", "--ipam-driver", "lan"]
        self.assertIn("'vlan' is not known", self.error(self.engine, *create, "-o", "vlan=1", "x"))
        self.assertIn(
            "no interface of this host has it",
            self.error(self.engine, *create, "-o", "vxlan=5", "-o", "local=192.0.2.77",
                       "-o", "peers=192.0.2.78", "x"),
        )  # fmt: skip
        self.nothing_left()
        self.create("home", "--subnet", "10.77.0.0/30")
        overlap = self.error(self.engine, *create, "--subnet", "10.77.0.0/16", "x")
        self.assertIn("overlaps 10.77.0.0/30", overlap)
        self.background("a1", "home")
        run = ["run", "--rm", "--network", "home"]
        self.assertIn("no address is free", self.error(self.engine, *run, IMAGE, "true"))
        self.engine.docker("rm", "-f", "a1")
        self.assertIn("no NAT", self.error(self.engine, *run, "-p", "8080:80", IMAGE, "true"))
        self.assertEqual(len(self.links()), 2)
        self.engine.docker("network", "rm", "home")
        self.nothing_left()

    def test_ipv6(self) -> None:
        """Containers have addresses of IPv6, and a gateway, where the network has a pool."""
        self.create("home", "--ipv6", "--subnet", "fd00:77::/64")
        self.background("a1", "home")
        self.background("b1", "home")
        (found,) = json.loads(self.engine.docker("inspect", "b1"))
        address = found["NetworkSettings"]["Networks"]["home"]["GlobalIPv6Address"]
        until(lambda: self.pings("a1", address), "the end of duplicate address detection")
        route = self.engine.docker("exec", "a1", "ip", "-6", "route")
        self.assertIn("default via fd00:77::1", route)
        self.ping("a1", self.address("b1", "home"))
        self.engine.docker("rm", "-f", "a1", "b1")
        self.engine.docker("network", "rm", "home")
        self.nothing_left()

    def test_internal(self) -> None:
        """Containers of an internal network have no way out."""
        self.create("home", "--internal")
        self.background("a1", "home")
        self.background("b1", "home")
        self.ping("a1", self.address("b1", "home"))
        self.assertNotIn("default", self.engine.docker("exec", "a1", "ip", "route"))

    def test_parallel(self) -> None:
        """Networks and containers that are made at once get pools and addresses of their own."""
        names = [f"n{number}" for number in range(6)]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(self.create, names))
            list(pool.map(lambda name: self.background(name, "n0"), names))
        found = json.loads(self.engine.docker("network", "inspect", *names))
        subnets = {network["IPAM"]["Config"][0]["Subnet"] for network in found}
        self.assertEqual(len(subnets), 6)
        addresses = {self.address(name, "n0") for name in names}
        self.assertEqual(len(addresses), 6)
        for address in addresses:
            self.ping("n0", address)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda name: self.engine.docker("rm", "-f", name), names))
            list(pool.map(lambda name: self.engine.docker("network", "rm", name), names))
        self.nothing_left()


class RestartTests(NetworkCase):
    """Whatever ends, pools and addresses are kept."""

    def check(self) -> None:
        """Check that the network of before serves, and gives no address or pool twice."""
        pools = self.kept("pools.json")
        self.engine.docker("restart", "-t", "0", "a1", "b1")
        self.ping("a1", self.address("b1", "home"))
        self.background("c1", "home")
        addresses = {self.address(name, "home") for name in ("a1", "b1", "c1")}
        self.assertEqual(len(addresses), 3)
        self.ping("c1", self.address("a1", "home"))
        self.create("next")
        self.assertLess(set(pools), set(self.kept("pools.json")))
        self.engine.docker("rm", "-f", "a1", "b1", "c1")
        self.engine.docker("network", "rm", "home", "next")
        self.nothing_left()

    def prepare(self) -> None:
        """Make a network with two containers."""
        self.create("home")
        self.background("a1", "home")
        self.background("b1", "home")
        self.ping("a1", self.address("b1", "home"))

    def test_plugin(self) -> None:
        """A plugin that is killed serves again, and containers go on meanwhile."""
        self.prepare()
        self.example.end(signal.SIGKILL)
        self.ping("a1", self.address("b1", "home"))
        self.example.start()
        self.check()

    def test_between(self) -> None:
        """A plugin that is restarted while networks are created fails none of them."""
        names = [f"n{number}" for number in range(8)]
        with ThreadPoolExecutor(4) as pool:
            made = [pool.submit(self.create, name) for name in names]
            for number in (1, 3, 5):
                made[number].result()
                self.example.end()
                self.example.start()
            for each in made:
                each.result()
        self.assertEqual(len(self.kept("networks.json")), 8)
        self.engine.docker("network", "rm", *names)
        self.nothing_left()

    def test_dockerd(self) -> None:
        """An engine that is stopped, or killed, finds its networks again."""
        self.prepare()
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.engine.end(number)
            self.engine.start()
        self.check()

    def test_reboot(self) -> None:
        """After a reboot, which takes all links along, networks are made again."""
        self.prepare()
        self.engine.docker("stop", "-t", "0", "a1", "b1")
        self.engine.end(signal.SIGTERM)
        self.example.end()
        for link in self.links() - {"lo"}:
            done(*self.engine.network, "ip", "link", "del", link)
        self.example.start()
        self.engine.start()
        self.check()


class VxlanTests(NetworkCase):
    """Two engines, each in a network namespace of its own, as two hosts at one wire."""

    def test_pair(self) -> None:
        """Containers of two hosts reach each other, with frames as large as they may be."""
        other, second = self.host()
        done("ip", "link", "add", "wire", "netns", str(self.engine.init), "type", "veth",
             "peer", "name", "wire", "netns", str(other.init))  # fmt: skip
        hosts = ((self.engine, 1), (other, 2))
        for engine, number in hosts:
            done(*engine.network, "ip", "addr", "add", f"192.0.2.{number}/24", "dev", "wire")
            done(*engine.network, "ip", "link", "set", "wire", "up")
        for engine, number in hosts:
            peer = f"peers=192.0.2.{3 - number}"
            self.create(
                "far", "--subnet", "10.78.0.0/16", "--ip-range", f"10.78.{number}.0/24",
                "-o", "vxlan=42", "-o", f"local=192.0.2.{number}", "-o", peer,
                engine=engine,
            )  # fmt: skip
            engine.docker("run", "-d", "--name", "c1", "--network", "far", "--stop-signal=KILL",
                          "--ip", f"10.78.{number}.9", IMAGE, "sleep", "1000")  # fmt: skip
        self.ping("c1", "10.78.2.9")
        other.docker("exec", "c1", "ping", "-c", "1", "-W", "10", "10.78.1.9")
        # 28 bytes of headers: as much as fits, in one piece.
        mtu = int(self.engine.docker("exec", "c1", "cat", "/sys/class/net/eth0/mtu"))
        self.assertEqual(mtu, 1450)
        self.engine.docker(
            "exec", "c1", "ping", "-c", "1", "-W", "10", "-s", str(mtu - 28), "10.78.2.9"
        )
        # The plugin's end is no end of the network's, on either host.
        self.example.restart()
        second.restart()
        self.ping("c1", "10.78.2.9")
        for engine, _ in hosts:
            engine.docker("rm", "-f", "c1")
            engine.docker("network", "rm", "far")
            self.assertEqual(self.links(engine), {"lo", "wire"})
