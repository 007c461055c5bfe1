"""A private Docker Engine and a private Podman, each below one directory.

The engine runs in mount, network and PID namespaces of its own, with its own plugin
directories, so several run side by side and nothing global is touched. The namespaces
die with the test runner (a parent-death signal); what a killed run leaves behind, a
directory and a mount, is cleared by the next run.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from attrs import define, field

from tests.process import PATIENCE, until

PREFIX = "xd-engine-"
IMAGE = "busybox:local"

#: Run inside the namespaces: a /run of its own, and the plugin directories of this engine.
_INIT = """
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/docker/plugins /etc/docker /usr/lib/docker
mount --bind $1/plugins /run/docker/plugins
mount --bind $1/etc /etc/docker
mount --bind $1/lib /usr/lib/docker
ip link set lo up
touch $1/ready
exec sleep infinity
"""


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def done(*words: str, **environment: str) -> str:
    """Run a command that must succeed; return what it printed."""
    found = run(*words, **environment)
    assert found.returncode == 0, f"{words}: {found.returncode}: {found.stdout}{found.stderr}"
    return found.stdout.strip()


def new_base() -> Path:
    """Return a new directory with a shared mount for volumes in it; clear those of dead runs."""
    for old in Path("/tmp").glob(f"{PREFIX}*"):
        # One without an owner is just being made, by another run.
        owner = old / "owner"
        if owner.exists() and not Path("/proc", owner.read_text()).exists():
            remove_base(old)
    base = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    (base / "owner").write_text(str(os.getpid()))
    volumes = base / "volumes"
    volumes.mkdir(mode=0o710)
    done("mount", "--bind", str(volumes), str(volumes))
    done("mount", "--make-shared", str(volumes))
    return base


def remove_base(base: Path) -> None:
    """Unmount and remove a directory of :func:`new_base`, with the control groups of its engine."""
    run("umount", "--lazy", str(base / "volumes"))
    for group in Path("/sys/fs/cgroup").glob(f"*/dkt-{base.name}"):
        run("find", str(group), "-depth", "-type", "d", "-exec", "rmdir", "{}", "+")
    run("rm", "-rf", "--one-file-system", str(base))


def make_rootfs(base: Path) -> Path:
    """Make a root file system of busybox and its links; no registry is needed."""
    binaries = base / "rootfs/bin"
    binaries.mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox, "busybox is missing: make test-engine installs it"
    shutil.copy(busybox, binaries / "busybox")
    for applet in done("busybox", "--list").split():
        if applet != "busybox":
            (binaries / applet).symlink_to("busybox")
    return base / "rootfs"


@define(eq=False)
class Engine:
    """A Docker Engine.

    :ivar base: made by :func:`new_base`; the plugin's socket belongs into ``plugins/``.
    :ivar options: further options of ``dockerd``.
    """

    base: Path
    options: list[str] = field(factory=list)
    box: subprocess.Popen[bytes] | None = field(default=None, init=False)
    init: int = field(default=0, init=False)
    dockerd: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def host(self) -> str:
        """The address of the engine's API."""
        return f"unix://{self.base}/docker.sock"

    @property
    def network(self) -> list[str]:
        """What to put before a command for it to run in the engine's network namespace."""
        return ["nsenter", "-t", str(self.init), "-n", "--"]

    def up(self) -> None:
        """Make the namespaces, start the engine, import the image."""
        for name in ("plugins", "etc", "lib", "data"):
            (self.base / name).mkdir(exist_ok=True)
        self.box = subprocess.Popen(
            [
                "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork",
                "--kill-child", "--mount-proc", "--propagation", "slave", "tini", "-s", "-g", "--",
                "sh", "-c", _INIT, "box", str(self.base),
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        until((self.base / "ready").exists, "the engine's namespaces")
        pid = self.box.pid
        self.init = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        self.start()
        rootfs = make_rootfs(self.base)
        tar = self.base / "rootfs.tar"
        done("tar", "-C", str(rootfs), "-cf", str(tar), ".")
        self.docker("import", str(tar), IMAGE)
        (rootfs / "data/sub").mkdir(parents=True)
        (rootfs / "data/sub/file").write_text("from the image\n")
        os.chown(rootfs / "data", 123, 456)
        done("tar", "-C", str(rootfs), "-cf", str(tar), ".")
        self.docker("import", str(tar), "filled:local")

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start dockerd without waiting for anything."""
        self.dockerd = subprocess.Popen(
            [
                "nsenter", "-t", str(self.init), "-m", "-n", "-p", "--",
                "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none",
                "--storage-driver=overlay2", "-H", self.host,
                "--data-root", f"{self.base}/data", "--exec-root", "/run/dk",
                "--pidfile", "/run/dk.pid", "--cgroup-parent", f"/dkt-{self.base.name}",
                "--shutdown-timeout", "3", *self.options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=(self.base / "dockerd.log").open("ab"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        return self.dockerd

    def start(self) -> None:
        """Start dockerd and wait until it answers."""
        self.spawn()
        until(lambda: self.run("version").returncode == 0, "dockerd")

    def end(self, number: int) -> None:
        """Send dockerd a signal and wait for its end; containers live on after SIGKILL."""
        pid = done("nsenter", "-t", str(self.init), "-m", "--", "cat", "/run/dk.pid")
        done("nsenter", "-t", str(self.init), "-m", "-p", "--", "kill", f"-{number}", pid)
        assert self.dockerd is not None
        self.dockerd.wait(PATIENCE)
        if number == signal.SIGKILL:
            done("nsenter", "-t", str(self.init), "-m", "--", "rm", "-f", "/run/dk.pid")

    def down(self) -> None:
        """End everything: the namespaces take engine, containers and mounts along."""
        if self.box is not None:
            self.box.kill()
            self.box.wait(PATIENCE)
            until(lambda: not Path(f"/proc/{self.init}").exists(), "the end of the namespaces")
        if self.dockerd is not None:
            self.dockerd.wait(PATIENCE)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a docker command."""
        return run("docker", "-H", self.host, *words)

    def docker(self, *words: str) -> str:
        """Run a docker command that must succeed; return what it printed."""
        return done("docker", "-H", self.host, *words)

    def sh(self, mount: str, script: str, *options: str) -> str:
        """Run a script in a container with a volume; return what it printed."""
        return self.docker(
            "run", "--rm", "--network=none", *options, "-v", mount, IMAGE, "sh", "-c", script
        )

    def background(self, name: str, mount: str, image: str = IMAGE) -> None:
        """Start a container that sleeps; it ends at once when it is stopped."""
        self.docker(
            "run", "-d", "--name", name, "--network=none", "--stop-signal=KILL", "-v", mount,
            image, "sleep", "1000",
        )  # fmt: skip


@define(eq=False)
class Podman:
    """Podman with storage and configuration of its own.

    :ivar base: made by :func:`new_base`.
    :ivar plugin: the socket of the driver, known as ``xd``.
    """

    base: Path
    plugin: Path

    def up(self) -> None:
        """Write the configuration and import the image."""
        (self.base / "podman").mkdir()
        (self.base / "containers.conf").write_text(
            # The limits of wherever the tests run may be lower than Podman's own defaults.
            f'[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            f'[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n'
            f'[engine.volume_plugins]\nxd = "{self.plugin}"\n'
        )
        rootfs = self.base / "rootfs"
        if not rootfs.exists():
            make_rootfs(self.base)
        tar = self.base / "podman.tar"
        done("tar", "-C", str(rootfs), "-cf", str(tar), ".")
        self.podman("import", str(tar), IMAGE)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a podman command."""
        place = self.base / "podman"
        options = [
            f"--root={place}/root", f"--runroot={place}/run", "--storage-driver=vfs",
            f"--tmpdir={place}/tmp", "--events-backend=file",
        ]  # fmt: skip
        return run("podman", *options, *words, CONTAINERS_CONF=f"{self.base}/containers.conf")

    def podman(self, *words: str) -> str:
        """Run a podman command that must succeed; return what it printed."""
        found = self.run(*words)
        assert found.returncode == 0, f"{words}: {found.stdout}{found.stderr}"
        return found.stdout.strip()

    def sh(self, mount: str, script: str) -> str:
        """Run a script in a container with a volume; return what it printed."""
        return self.podman("run", "--rm", "--network=none", "-v", mount, IMAGE, "sh", "-c", script)

    def down(self) -> None:
        """End and remove all containers and volumes that are known to it."""
        self.run("rm", "--all", "--force", "--time=0")
