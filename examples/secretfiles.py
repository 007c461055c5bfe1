"""A secrets provider for a swarm: each secret is a file of one directory.

install -d -m 0700 /etc/secretfiles
python examples/secretfiles.py
docker secret create -d secretfiles password
"""

import os
import stat
from pathlib import Path

from zope.interface import implementer

from exampledriver.plugin import Plugin, PluginError
from exampledriver.plugin.secret import LARGEST, GetSecret, ISecretProvider, Secret

ROOT = Path(os.environ.get("SECRETFILES_ROOT", "/etc/secretfiles"))


@implementer(ISecretProvider)
class SecretFiles:
    def get_secret(self, request: GetSecret) -> Secret:
        name = request.name
        if "/" in name or "\0" in name or name.startswith("."):
            raise PluginError(f"secret {name!r}: a file's name without slashes is needed")
        try:
            return Secret(read_file(ROOT, name), do_not_reuse=True)
        except OSError as error:
            raise PluginError(f"secret {name!r}: {error.strerror}") from None


def read_file(root: Path, name: str) -> bytes:
    """Return what is in a file of a directory that only its owner may enter."""
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(directory).st_mode & 0o077:
            raise PluginError(f"secret {name!r}: others may enter the directory: chmod 0700 it")
        # No link, which might lead elsewhere, and nothing that waits, as a FIFO would.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(name, flags, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PluginError(f"secret {name!r}: it is no regular file")
        with open(descriptor, "rb", closefd=False) as file:
            value = file.read(LARGEST + 1)
    finally:
        os.close(descriptor)
    if not 0 < len(value) <= LARGEST:
        raise PluginError(f"secret {name!r}: 1 to {LARGEST} bytes are possible")
    return value


if __name__ == "__main__":
    Plugin("secretfiles", [SecretFiles()]).run()
