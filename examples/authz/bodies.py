"""What a request's body asks for.

The engine reads JSON as Go does: ``"privileged"`` is as good as ``"Privileged"``, and of a name
that comes twice it may take either. So names are compared without case, and every value counts.
"""

import json
from collections.abc import Callable, Iterator, Mapping

from attrs import frozen


@frozen
class Pairs:
    """A JSON object as it was written: its names, in lower case, and their values."""

    items: list[tuple[str, object]]


@frozen
class Body:
    """A JSON body."""

    root: object

    @classmethod
    def parse(cls, data: bytes) -> "Body":
        """Read a body.

        :raises ValueError: it is not JSON in UTF-8, or too deep.
        """

        def pairs(items: list[tuple[str, object]]) -> Pairs:
            return Pairs([(name.casefold(), value) for name, value in items])

        try:
            return cls(json.loads(data.decode("utf-8"), object_pairs_hook=pairs))
        except RecursionError:
            raise ValueError("too deep") from None

    def values(self, *path: str) -> Iterator[object]:
        """Yield each value at a path that says anything; of arrays, those of each element."""
        found = list(_spread(self.root))
        for name in path:
            found = [
                value
                for item in found
                if isinstance(item, Pairs)
                for key, held in item.items
                if key == name.casefold()
                for value in _spread(held)
            ]
        # False, 0, null, and what is empty ask for nothing.
        yield from (value for value in found if value and value != Pairs([]))

    def host(self, *path: str) -> list[object]:
        """Return the values below HostConfig; engines have also read them without it."""
        return [*self.values("HostConfig", *path), *self.values(*path)]


def _spread(value: object) -> Iterator[object]:
    if isinstance(value, list):
        for item in value:
            yield from _spread(item)
    else:
        yield value


def _privileged(body: Body) -> str:
    # Of a container, and of exec.
    return "privileges (Privileged)" if body.host("Privileged") else ""


def _host_mounts(body: Body) -> str:
    for bind in body.host("Binds"):
        if not isinstance(bind, str) or not bind[:1].isalnum():
            return f"a directory of the host (Binds: {bind})"
    for kind in body.host("Mounts", "Type"):
        if kind not in ("volume", "tmpfs"):
            return f"a mount of type {kind}"
    # A volume of the local driver can be a bind mount: o=bind, device=/.
    for path in (("Mounts", "VolumeOptions", "DriverConfig"), ("DriverOpts",)):
        if body.host(*path):
            return f"options of a volume's driver ({path[-1]})"
    if body.host("VolumesFrom"):
        return "another container's mounts (VolumesFrom)"
    return ""


def _host_namespaces(body: Body) -> str:
    for name in ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode"):
        for mode in body.host(name):
            if mode == "host" or str(mode).startswith("container:"):
                return f"a namespace that is not its own ({name}: {mode})"
    return ""


def _named(what: str, *names: str) -> Callable[[Body], str]:
    """Return the condition that one of these is there at all."""

    def condition(body: Body) -> str:
        for name in names:
            if body.host(name):
                return f"{what} ({name})"
        return ""

    return condition


def _unconfined(body: Body) -> str:
    # An empty list shows what is hidden otherwise; null, and nothing, is the default.
    for name in ("MaskedPaths", "ReadonlyPaths"):
        found = name.casefold()
        if _mentions(body.root, "hostconfig", found) or _mentions(body.root, found):
            return f"other security options ({name})"
    return _named("other security options", "SecurityOpt", "Sysctls", "Runtime")(body)


def _mentions(root: object, *path: str) -> bool:
    """Tell whether a path is there with any value but null."""
    if not path:
        return root is not None
    items = root.items if isinstance(root, Pairs) else ()
    return any(_mentions(held, *path[1:]) for name, held in items if name == path[0])


#: Conditions by name: each returns what a body asks for that a rule may forbid, or nothing.
CONDITIONS: Mapping[str, Callable[[Body], str]] = {
    "privileged": _privileged,
    "host-mounts": _host_mounts,
    "host-namespaces": _host_namespaces,
    "devices": _named("devices", "Devices", "DeviceRequests", "DeviceCgroupRules"),
    "capabilities": _named("more capabilities", "CapAdd"),
    "security-options": _unconfined,
}
