"""Servers for mounts: an sshd on loopback, and a FUSE file system that never answers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from attrs import define, field

from tests.process import PATIENCE, until

from .box import done

#: The beginning of a program that serves a file system of its own: it mounts that, and goes on
#: in the background.
_MOUNTING = """\
fd = os.open("/dev/fuse", os.O_RDWR)
data = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
mount = ctypes.CDLL(None, use_errno=True).mount
if mount(b"test", os.fsencode(target), b"fuse.test", 0, data):
    sys.exit(os.strerror(ctypes.get_errno()))
if os.fork():
    os._exit(0)
os.setsid()
for other in (0, 1, 2):
    os.dup2(os.open("/dev/null", os.O_RDWR), other)
"""

#: Mounts itself and does nothing more: whoever looks at it waits. mount.fuse runs it.
_BLOCKING = """#!{python} -I
import ctypes, os, sys, time
device, target = sys.argv[1:3]
{mounting}time.sleep({seconds})
"""

#: Writes down its arguments and its environment, and mounts something that is there.
_RECORDING = """#!{python} -I
import json, os, sys
with open({record!r}, "w") as file:
    json.dump({{"argv": sys.argv, "environment": dict(os.environ)}}, file)
os.execv({mount!r}, ["mount", "-t", "tmpfs", "none", sys.argv[-1]])
"""


#: Mounts itself, and answers that all is well to statfs(2) and stat(2), and EIO to all else.
_FAILING = """#!{python} -I
import ctypes, errno, os, struct, sys
device, target = sys.argv[1:3]
{mounting}READS = {reads}
attributes = struct.pack("<QII6Q3I5III", 0, 0, 0, 1, *[0] * 8, 0o40755, 2, *[0] * 5)
answers = {{
    26: struct.pack("<IIIIHHI", 7, 12, 4096, 0, 8, 8, 4096),  # INIT
    3: attributes,  # GETATTR
    17: struct.pack("<5Q4I", *[1 << 20] * 5, 4096, 255, 4096, 0) + bytes(24),  # STATFS
}}
if READS:
    answers.update({{27: bytes(16), 28: b"", 29: b""}})  # OPENDIR, READDIR, RELEASEDIR
while True:
    try:
        asked = os.read(fd, 1 << 17)
    except OSError as error:
        if error.errno == errno.ENODEV:
            sys.exit()
        continue
    length, opcode, unique = struct.unpack_from("<IIQ", asked)
    if opcode in (2, 42):  # FORGET
        continue
    body = answers.get(opcode)
    failed = -errno.EIO if body is None else 0
    os.write(fd, struct.pack("<IiQ", 16 + len(body or b""), failed, unique) + (body or b""))
"""


def write_program(path: Path, text: str) -> None:
    """Write a program that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def write_blocking(path: Path) -> None:
    """Write the FUSE file system that never answers; it ends by itself."""
    write_program(
        path, _BLOCKING.format(python=sys.executable, mounting=_MOUNTING, seconds=2 * PATIENCE)
    )


def write_failing(path: Path, reads: bool = False) -> None:
    """Write the FUSE file system on which everything but statfs and stat fails.

    :param reads: its directory can be read.
    """
    write_program(path, _FAILING.format(python=sys.executable, mounting=_MOUNTING, reads=reads))


def write_recording(path: Path, record: Path) -> None:
    """Write a mount(8) that writes down what it is given, and mounts a tmpfs."""
    mount = shutil.which("mount")
    assert mount
    text = _RECORDING.format(python=sys.executable, record=str(record), mount=mount)
    write_program(path, text)


@define(eq=False)
class Sshd:
    """An sshd on loopback for one key.

    :ivar base: where its files are; ``served`` in it is what clients mount.
    """

    base: Path
    port: int = field(init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]

    @property
    def served(self) -> Path:
        """The directory that is served."""
        return self.base / "served"

    @property
    def key(self) -> Path:
        """The client's key."""
        return self.base / "key"

    def options(self, *more: str) -> dict[str, str]:
        """Return the options of a volume on it, without a backend."""
        words = (
            f"port={self.port}", f"UserKnownHostsFile={self.base}/known",
            "StrictHostKeyChecking=yes", "BatchMode=yes", "allow_other", *more,
        )  # fmt: skip
        return {
            "type": "fuse.sshfs",
            "device": f"root@127.0.0.1:{self.served}",
            "o": ",".join(words),
            "credentials-file": str(self.key),
        }

    def up(self) -> None:
        """Make keys, start it, and wait until it accepts."""
        self.served.mkdir(parents=True)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for name in ("host", "key"):
            done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.base / name))
        (self.base / "authorized").write_text((self.base / "key.pub").read_text())
        host = (self.base / "host.pub").read_text()
        (self.base / "known").write_text(f"[127.0.0.1]:{self.port} {host}")
        (self.base / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.base}/host\n"
            f"AuthorizedKeysFile {self.base}/authorized\nPasswordAuthentication no\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n"
            "Subsystem sftp internal-sftp\n"
        )
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "/usr/sbin/sshd", "-D", "-e", "-f",
             str(self.base / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stderr=(self.base / "sshd.log").open("ab"),
        )  # fmt: skip
        until(self._accepts, "sshd")

    def _accepts(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def family(self) -> list[int]:
        """Return the processes of the server: it, and one or two for each connection."""
        assert self.process is not None
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            try:
                waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                found.remove(pid)
        return found

    def signal(self, number: int) -> None:
        """Send a signal to all of its processes."""
        for pid in self.family():
            os.kill(pid, number)

    def down(self) -> None:
        """End it, stopped or not."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(PATIENCE)
