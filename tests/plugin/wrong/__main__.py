"""``python -m tests.plugin.wrong RULE SOCKET ROOT``: serve the plugin that breaks a rule.

``right`` in place of a rule's id is the one that breaks none, ``places`` the one whose options
name places.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

from . import http, kinds, logs, messages, metrics, mounts, secrets, volumes
from .places import Placed
from .registry import WRONG
from .right import Right

#: The modules that fill the registry.
MODULES = (http, kinds, logs, messages, metrics, mounts, secrets, volumes)


def main(rule: str, socket: str, root: str) -> None:
    """Serve until a signal comes."""
    plugin = {**WRONG, "places": Placed}.get(rule, Right)(Path(root), reactor)
    reactor.listenUNIX(socket, plugin.site(), mode=plugin.socket_mode)  # type: ignore[attr-defined]
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
