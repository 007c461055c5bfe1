"""The kernel's side: bridges, veth pairs and VXLAN devices, by pyroute2.

Each function ends in the state that it is named for, whatever it finds: the plugin may have been
killed half-way, and an engine asks again.
"""

from ipaddress import ip_interface
from typing import Any

from attrs import frozen
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from exampledriver.plugin import PluginError

#: What a frame grows by on its way through a VXLAN over IPv4, in bytes.
OVERHEAD = 50
#: The address under which a VXLAN device finds where to send what goes to everybody.
EVERYBODY = "00:00:00:00:00:00"


@frozen
class Vxlan:
    """A VXLAN that joins bridges of the same number on several hosts.

    :ivar number: 1 to 16777215.
    :ivar local: this host's address.
    :ivar peers: the other hosts' addresses; a frame for everybody goes to each.
    :ivar port: of UDP.
    """

    number: int
    local: str
    peers: tuple[str, ...]
    port: int = 4789


def _index(ip: Any, name: str) -> int | None:
    found = ip.link_lookup(ifname=name)
    return found[0] if found else None


def _owner(ip: Any, address: str) -> Any:
    """Return the link that has an address."""
    for found in ip.get_addr(address=address):
        return ip.get_links(found["index"])[0]
    raise PluginError(f"local address {address}: no interface of this host has it")


def make_bridge(name: str, gateways: list[str], vxlan: Vxlan | None) -> None:
    """Make a bridge with addresses in CIDR notation, and a VXLAN device at it.

    :raises PluginError: the kernel does not make it; what it has made is still there.
    """
    try:
        with IPRoute() as ip:
            mtu = 1500
            if _index(ip, name) is None:
                ip.link("add", ifname=name, kind="bridge")
            bridge = _index(ip, name)
            if vxlan is not None:
                mtu = _make_vxlan(ip, vxlan_name(name), vxlan, bridge)
            for gateway in gateways:
                own = ip_interface(gateway)
                prefix = own.network.prefixlen
                ip.addr("replace", index=bridge, address=str(own.ip), prefixlen=prefix)
            ip.link("set", index=bridge, mtu=mtu, state="up")
    except NetlinkError as error:
        raise PluginError(f"bridge {name}: the kernel refuses it: {error}") from None


def vxlan_name(bridge: str) -> str:
    """Return the name of the VXLAN device of a bridge."""
    return "xv" + bridge[2:]


def _make_vxlan(ip: Any, name: str, vxlan: Vxlan, bridge: int | None) -> int:
    under = _owner(ip, vxlan.local)
    mtu: int = under.get("mtu") - OVERHEAD
    device = _index(ip, name)
    if device is None:
        ip.link("add", ifname=name, kind="vxlan", vxlan_id=vxlan.number, vxlan_local=vxlan.local,
                vxlan_link=under["index"], vxlan_port=vxlan.port, vxlan_learning=1)  # fmt: skip
        device = _index(ip, name)
    # Before the device is up and learns where single addresses are, which is something else. To
    # append what is there already changes nothing.
    for peer in vxlan.peers:
        ip.fdb("append", ifindex=device, lladdr=EVERYBODY, dst=peer)
    ip.link("set", index=device, mtu=mtu, master=bridge, state="up")
    return mtu


def remove_bridge(name: str) -> None:
    """Remove a bridge and everything at it."""
    with IPRoute() as ip:
        bridge = _index(ip, name)
        if bridge is not None:
            for link in ip.get_links():
                if link.get("master") == bridge:
                    _remove(ip, link["index"])
            _remove(ip, bridge)
        _remove(ip, _index(ip, vxlan_name(name)))


def make_pair(outside: str, inside: str, bridge: str, mac: str) -> None:
    """Make a veth pair: one end at a bridge, the other one, with a MAC address, for a container.

    :raises PluginError: the kernel does not make the pair; nothing of it is left.
    """
    with IPRoute() as ip:
        try:
            link = ip.get_links(_index(ip, bridge))[0]
            if _index(ip, outside) is None:
                ip.link("add", ifname=outside, kind="veth", peer={"ifname": inside})
            ip.link("set", index=_index(ip, inside), address=mac, mtu=link.get("mtu"))
            ip.link("set", index=_index(ip, outside), mtu=link.get("mtu"), master=link["index"],
                    state="up")  # fmt: skip
        except NetlinkError as error:
            _remove(ip, _index(ip, outside))
            raise PluginError(f"veth {outside}: the kernel refuses it: {error}") from None


def attached(outside: str, bridge: str) -> bool:
    """Return whether a pair is there, with its outer end at a bridge."""
    with IPRoute() as ip:
        index, master = _index(ip, outside), _index(ip, bridge)
        return index is not None and ip.get_links(index)[0].get("master") == master is not None


def remove_pair(outside: str) -> None:
    """Remove a veth pair by its outer end, wherever the other one is."""
    with IPRoute() as ip:
        _remove(ip, _index(ip, outside))


def _remove(ip: Any, index: int | None) -> None:
    if index is not None:
        try:
            ip.link("del", index=index)
        except NetlinkError as error:
            # Gone meanwhile: a container's namespace takes its end, and so the pair, along.
            if error.code != 19:
                raise
