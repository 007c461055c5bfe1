"""Addresses: pools that do not overlap, and the lowest free address of a pool.

Everything is on disk before the engine has its answer, so the plugin, the engine or the machine
may be restarted at any time and no address is given twice.
"""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, TypeAlias

from zope.interface import implementer

from exampledriver.plugin import PluginError
from exampledriver.plugin.ipam import (
    Address,
    AddressSpaces,
    IIpamDriver,
    IpamCapabilities,
    Pool,
    ReleaseAddress,
    ReleasePool,
    RequestAddress,
    RequestPool,
)

from .state import State

Network: TypeAlias = IPv4Network | IPv6Network
HostAddress: TypeAlias = IPv4Address | IPv6Address

#: Where pools come from when none is asked for, and how large they are.
DEFAULT, PREFIX = IPv4Network("10.213.0.0/16"), 24


@implementer(IIpamDriver)
class Addresses:
    def __init__(self, state: State) -> None:
        self.state = state

    def capabilities(self) -> IpamCapabilities:
        return IpamCapabilities()

    def default_address_spaces(self) -> AddressSpaces:
        return AddressSpaces("lan-local", "lan-shared")

    def request_pool(self, request: RequestPool) -> Pool:
        space = request.address_space or "lan-local"
        taken = [ip_network(o["pool"]) for o in self.state.objects.values() if o["space"] == space]
        pool = self._network(request.pool) if request.pool else _free(taken, request.v6)
        part = self._network(request.sub_pool) if request.sub_pool else pool
        if not _within(part, pool):
            raise PluginError(f"pool {pool}: the range {part} is not within it")
        for other in taken:
            if pool.overlaps(other):
                raise PluginError(f"pool {pool}: overlaps {other}, which a network has already")
        name = f"{space}/{pool}"
        self.state.put(
            name, {"space": space, "pool": str(pool), "range": str(part), "addresses": []}
        )
        return Pool(name, str(pool))

    def release_pool(self, request: ReleasePool) -> None:
        self.state.drop(request.pool_id)

    def request_address(self, request: RequestAddress) -> Address:
        found = self._pool(request.pool_id)
        pool, taken = ip_network(found["pool"]), set(found["addresses"])
        if request.address:
            address = self._address(request.address)
            if address not in pool or address in _reserved(pool):
                raise PluginError(f"address {address}: not one for a host of pool {pool}")
            if str(address) in taken:
                raise PluginError(f"address {address}: already in use")
        else:
            address = self._lowest(pool, ip_network(found["range"]), taken)
        self._keep(request.pool_id, [*found["addresses"], str(address)])
        return Address(f"{address}/{pool.prefixlen}")

    def release_address(self, request: ReleaseAddress) -> None:
        # A call may come twice, and for what the plugin never gave: engines forget.
        found = self.state.objects.get(request.pool_id)
        if found is not None and request.address:
            gone = str(self._address(request.address))
            if gone in found["addresses"]:
                left = [address for address in found["addresses"] if address != gone]
                self._keep(request.pool_id, left)

    def _keep(self, pool_id: str, addresses: list[str]) -> None:
        self.state.put(pool_id, {**self._pool(pool_id), "addresses": addresses})

    def _pool(self, pool_id: str) -> dict[str, Any]:
        if pool_id not in self.state.objects:
            raise PluginError(f"pool {pool_id!r}: not known; create the network again")
        return self.state.objects[pool_id]

    def _network(self, text: str) -> Network:
        try:
            return ip_network(text)
        except ValueError as error:
            raise PluginError(f"pool {text!r}: {error}; give it as in 10.1.0.0/16") from None

    def _address(self, text: str) -> HostAddress:
        try:
            return ip_address(text)
        except ValueError as error:
            raise PluginError(f"address {text!r}: {error}") from None

    def _lowest(self, pool: Network, part: Network, taken: set[str]) -> HostAddress:
        reserved = _reserved(pool)
        for number in range(part.num_addresses):
            address = part[number]
            if str(address) not in taken and address not in reserved:
                return address
        raise PluginError(f"pool {pool}: no address is free in {part}")


def _within(part: Network, pool: Network) -> bool:
    same = part.version == pool.version
    return same and part[0] in pool and part[-1] in pool


def _reserved(pool: Network) -> tuple[HostAddress, ...]:
    """Return the addresses that no host may have: those of the network and of broadcasts."""
    if pool.max_prefixlen - pool.prefixlen < 2:
        return ()
    return (pool[0], pool[-1]) if pool.version == 4 else (pool[0],)


def _free(taken: list[Network], v6: bool) -> Network:
    if v6:
        raise PluginError("a pool of IPv6 has to be chosen: --subnet, as in fd00:1::/64")
    for pool in DEFAULT.subnets(new_prefix=PREFIX):
        if not any(pool.overlaps(other) for other in taken):
            return pool
    raise PluginError(f"no pool is free in {DEFAULT}; choose one: --subnet, as in 10.1.0.0/16")
