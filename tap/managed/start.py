"""What the managed plugin starts: it puts the volumes where the engine looks for them.

The engine shows containers what is mounted below the plugin's ``propagatedMount``. The
volumes are not stored there, where ``docker plugin rm`` would delete them, but in a
directory of the host, and that is mounted there. Then all rights that the daemon does
not need are given up for good, and this process becomes the daemon.

An engine that stops an earlier run and starts this one at once, as dockerd does when it
comes back after a crash, unmounts what the earlier one had in a thread of its own
(``HandleExitEvent`` in moby's ``plugin/manager.go``), and now and then takes the new mount
instead. That is looked for here; to end is to be started again, with a new one.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from exampledriver.backends.mounts import Mount, parse
from exampledriver.processes import PROC

#: The directory of the host, and the plugin's ``propagatedMount``; both as in config.json.
DATA = Path("/data")
ROOT = Path("/var/lib/exampledriver/volumes")

#: What the daemon needs: owner, mode and removal of directories that belong to others, and
#: to ask every process of the host what it has mounted ("ptrace access mode" in ptrace(2)).
CAPABILITIES = ("chown", "dac_override", "fowner", "fsetid", "sys_ptrace")


def mount_volumes() -> None:
    """Mount the volumes at the propagated mount, unless a killed run has left them there."""
    volumes = DATA / "volumes"
    volumes.mkdir(mode=0o710, exist_ok=True)
    if not os.path.samefile(volumes, ROOT):
        subprocess.run(["/usr/bin/mount", "--rbind", volumes, ROOT], check=True)


def mounts(process: int | str) -> list[Mount]:
    """Return the mounts of a process that can be read."""
    return [mount for mount in parse(PROC.read(process, "mountinfo")) if mount.device]


def is_reached(theirs: list[Mount], peers: set[str]) -> bool:
    """Tell whether what is mounted on a mount of these peer groups appears among other mounts.

    It appears in all of a peer group, in the slaves of that, and in their peer groups:
    mount_namespaces(7).
    """
    new = reached = peers
    while new:
        slaves = [mount for mount in theirs if new & mount.peers("master")]
        new = {group for mount in slaves for group in mount.peers("shared")} - reached
        reached = reached | new
    return any(reached & (m.peers("shared") | m.peers("master")) for m in theirs)


def check_seen(engine: int) -> None:
    """End this process if a process of the engine does not get what is mounted here."""
    ours = {mount.number: mount for mount in mounts("self") if mount.mountpoint == str(ROOT)}
    # What is mounted on top may be the volumes themselves, that a killed run has left there.
    lowest = [mount for mount in ours.values() if mount.parent not in ours]
    peers = {group for mount in lowest for group in mount.peers("shared")}
    try:
        seen = is_reached(mounts(engine), peers)
    except OSError:
        seen = True  # It cannot be told; a container that is started will.
    if not seen or not os.path.samefile(DATA / "volumes", ROOT):
        raise SystemExit(
            f"exampledriver: the engine has unmounted {ROOT} while the plugin was starting, and "
            "its containers would not find their volumes; the engine starts the plugin again"
        )


def settings() -> list[str]:
    """Return the options that config.json lets people set: TRASH_RETENTION is --trash-retention."""
    names = [entry["name"] for entry in json.loads(Path("/config.json").read_text())["env"]]
    return [
        f"--{name.lower().replace('_', '-')}={os.environ[name]}"
        for name in names
        if os.environ.get(name)
    ]


def main() -> None:
    """Become the daemon."""
    try:
        mount_volumes()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"exampledriver: cannot mount {DATA}/volumes at {ROOT}: {error}; needed are a "
            "/var/lib/exampledriver on the host that can be written, and CAP_SYS_ADMIN"
        ) from None
    check_seen(os.getppid())
    kept = "".join(f",+{name}" for name in CAPABILITIES)
    command = [
        "/usr/bin/setpriv", "--inh-caps=-all", f"--bounding-set=-all{kept}", "--no-new-privs",
        "/usr/local/bin/twistd", "-n", "--pidfile=", "exampledriver", "--root-only",
        f"--root={ROOT}", f"--same-root={DATA}/volumes", f"--state={DATA}/state",
        f"--runtime={DATA}/run",
        "--listen=unix:/run/docker/plugins/exampledriver.sock",
        *settings(),
    ]  # fmt: skip
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
