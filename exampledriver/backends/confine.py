"""A program: show only a directory of what is mounted at a place.

``confine.py TARGET SUBPATH`` goes down from TARGET one directory at a time, makes what is
missing, follows no symbolic link (a server could make them lead out), and binds the directory
that it has open over TARGET. It is a process of its own because a server that does not answer
would keep it for ever.
"""

import ctypes
import os
import sys
from contextlib import suppress

MS_BIND = 4096
#: The permissions of a directory that is made, as those of a new volume.
MODE = 0o755


def main(target: str, subpath: str) -> None:
    """Bind the directory over the target.

    :raises OSError: it could not be done; nothing more is mounted.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(target, flags)
    for part in subpath.split("/"):
        with suppress(FileExistsError):
            os.mkdir(part, MODE, dir_fd=fd)
        fd = os.open(part, flags, dir_fd=fd)
    mount = ctypes.CDLL(None, use_errno=True).mount
    if mount(f"/proc/self/fd/{fd}".encode(), os.fsencode(target), None, MS_BIND, None):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), subpath)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2])
    except OSError as error:
        sys.exit(f"{error.filename or sys.argv[2]}: {error.strerror}")
