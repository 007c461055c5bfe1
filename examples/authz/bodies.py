"""What a request's body asks for.

Engines read names in any case, and of a name that comes twice they may use either value: so
:meth:`JsonObject.values` has all of them, and each counts.
"""

from collections.abc import Callable, Mapping

from exampledriver.plugin.authz import JsonObject
from exampledriver.plugin.engineapi import fold


def _host(body: JsonObject, *path: str) -> list[object]:
    """Return what is asked for below HostConfig; Docker before 25 also reads it without that."""
    # False, 0, null, and what is empty ask for nothing.
    return list(filter(None, [*body.values("HostConfig", *path), *body.values(*path)]))


def _privileged(body: JsonObject) -> str:
    # Of a container, and of exec.
    return "privileges (Privileged)" if _host(body, "Privileged") else ""


def _host_mounts(body: JsonObject) -> str:
    for bind in _host(body, "Binds"):
        if not isinstance(bind, str) or not bind[:1].isalnum():
            return f"a directory of the host (Binds: {bind})"
    for kind in _host(body, "Mounts", "Type"):
        if kind not in ("volume", "tmpfs"):
            return f"a mount of type {kind}"
    # A volume of the local driver can be a bind mount: o=bind, device=/.
    for path in (("Mounts", "VolumeOptions", "DriverConfig"), ("DriverOpts",)):
        if _host(body, *path):
            return f"options of a volume's driver ({path[-1]})"
    if _host(body, "VolumesFrom"):
        return "another container's mounts (VolumesFrom)"
    return ""


def _host_namespaces(body: JsonObject) -> str:
    for name in ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode"):
        for mode in _host(body, name):
            if mode == "host" or str(mode).startswith("container:"):
                return f"a namespace that is not its own ({name}: {mode})"
    return ""


def _named(what: str, *names: str) -> Callable[[JsonObject], str]:
    """Return the condition that one of these is there at all."""

    def condition(body: JsonObject) -> str:
        for name in names:
            if _host(body, name):
                return f"{what} ({name})"
        return ""

    return condition


def _unconfined(body: JsonObject) -> str:
    # An empty list shows what is hidden otherwise; null, and nothing, is the default.
    for name in ("MaskedPaths", "ReadonlyPaths"):
        for place in (body, *body.values("HostConfig")):
            if isinstance(place, JsonObject) and _mentions(place, name):
                return f"other security options ({name})"
    return _named("other security options", "SecurityOpt", "Sysctls", "Runtime")(body)


def _mentions(place: JsonObject, name: str) -> bool:
    """Tell whether an object has any value but null of a name."""
    return any(fold(key) == fold(name) and held is not None for key, held in place.items)


#: Conditions by name: each returns what a body asks for that a rule may forbid, or nothing.
CONDITIONS: Mapping[str, Callable[[JsonObject], str]] = {
    "privileged": _privileged,
    "host-mounts": _host_mounts,
    "host-namespaces": _host_namespaces,
    "devices": _named("devices", "Devices", "DeviceRequests", "DeviceCgroupRules"),
    "capabilities": _named("more capabilities", "CapAdd"),
    "security-options": _unconfined,
}
