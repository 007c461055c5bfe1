"""A network driver with its IPAM: containers on a bridge, and bridges joined by a VXLAN.

python -m examples.network
docker network create -d lan --ipam-driver lan home
docker run --network home …
"""

import os
from pathlib import Path

from exampledriver.plugin import Plugin, PluginError

from .addresses import Addresses
from .lan import Lan
from .state import State

STATE = Path(os.environ.get("LAN_STATE", "/var/lib/lan"))


def main() -> None:
    try:
        lan = Lan(State(STATE / "networks.json"))
        addresses = Addresses(State(STATE / "pools.json"))
        lan.restore()
    except (ValueError, OSError, PluginError) as error:
        raise SystemExit(f"lan: {error}") from None
    Plugin("lan", [lan, addresses]).run()


if __name__ == "__main__":
    main()
