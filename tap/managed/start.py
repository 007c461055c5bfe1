"""What the managed plugin starts: it puts the volumes where the engine looks for them.

The engine shows containers what is mounted below the plugin's ``propagatedMount``. The
volumes are not stored there, where ``docker plugin rm`` would delete them, but in a
directory of the host, and that is mounted there. Then all rights that the daemon does
not need are given up for good, and this process becomes the daemon.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

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
    kept = "".join(f",+{name}" for name in CAPABILITIES)
    command = [
        "/usr/bin/setpriv", "--inh-caps=-all", f"--bounding-set=-all{kept}", "--no-new-privs",
        "/usr/local/bin/twistd", "-n", "--pidfile=", "exampledriver", "--root-only",
        f"--root={ROOT}", f"--state={DATA}/state", f"--runtime={DATA}/run",
        "--listen=unix:/run/docker/plugins/exampledriver.sock",
        *settings(),
    ]  # fmt: skip
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
