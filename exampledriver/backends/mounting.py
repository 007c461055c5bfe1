"""Mounting and unmounting in children with a deadline; what is mounted says the kernel.

Nothing here touches a mounted file system: its server may be dead, and whoever waits for it
waits for ever.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from twisted.logger import Logger

from .. import processes
from . import mounts
from .commands import CommandError, run

_log = Logger()

#: Seconds for what is no network's business.
LOCAL = 60.0
#: Seconds for an unmount; after that the mount is detached, and goes when nobody uses it.
UNMOUNT = 10.0
#: How many mounts on top of each other are taken away.
_MOST = 16

#: What lets a daemon do what CAP_SYS_ADMIN is needed for.
MAY_MOUNT = (
    "run it as root with CAP_SYS_ADMIN; under systemd, put the drop-in mounts.conf in place: "
    '"exampledriver install-systemd --mounts"'
)

#: How programs say that the kernel does not let them.
_DENIED = (
    "only root can", "superuser", "not permitted", "permission denied", "failed to setup loop",
)  # fmt: skip
#: The bits of CAP_SYS_ADMIN and CAP_SYS_RESOURCE; capabilities(7).
_SYS_ADMIN, SYS_RESOURCE = 21, 24

#: The packages (of Debian and its like) that have the helper of a type of file system.
_PACKAGES = {
    "nfs": "nfs-common",
    "nfs4": "nfs-common",
    "cifs": "cifs-utils",
    "smb3": "cifs-utils",
    "sshfs": "sshfs",
    "fuse.sshfs": "sshfs",
    "efs": "amazon-efs-utils",
    "glusterfs": "glusterfs-client",
    "ceph": "ceph-common",
    "davfs": "davfs2",
    "s3fs": "s3fs",
    "fuse.s3fs": "s3fs",
    "rclone": "rclone",
    "ntfs-3g": "ntfs-3g",
    "xfs": "xfsprogs",
    "btrfs": "btrfs-progs",
    "ext4": "e2fsprogs",
}

#: What the words of a failed mount point to, the first that fits.
_HINTS = (
    (
        ("only root can", "must be superuser", "operation not permitted"),
        f"the daemon may not do that: {MAY_MOUNT}",
    ),
    (
        ("permission denied", "access denied", "error(13)", "authentication", "host key"),
        "the server refuses: look at its exports or shares, the user's name, and the "
        "credentials or key",
    ),
    (
        (
            "no route to host", "connection refused", "connection timed out", "timed out",
            "name or service not known", "failed to resolve", "could not resolve",
            "network is unreachable", "connection reset", "temporary failure in name",
            "host is down", "error(110)", "error(111)", "error(112)", "error(113)", "error(115)",
        ),
        "the server cannot be reached: look at its name, that it runs, and the firewall",
    ),
    (
        ("no such device", "not supported by the system", "not configured in kernel"),
        "this machine's kernel has no such file system: load its module, such as with modprobe",
    ),
    (
        ("no such file or directory", "does not exist", "error(2)", "no such share"),
        "there is no such export, share, directory or device: look at device= or share=",
    ),
    (("no space left on device",), "the file system in which that is made is full"),
    (
        ("not a directory",),
        "that, or a part of its path, is no directory, or a symbolic link, which subpath= does "
        "not follow",
    ),
    (
        ("failed to setup loop", "cannot find an unused loop", "could not find any free loop"),
        "there is no free loop device: look at losetup -a, and that /dev/loop-control is there",
    ),
    (
        ("wrong fs type", "bad option", "invalid argument", "error(22)"),
        "an option or the type is not one that this file system knows: look at o= and type=, "
        "and at the kernel's log (dmesg)",
    ),
)  # fmt: skip


def layers(path: str) -> list[mounts.Mount]:
    """Return what is mounted at a path in this namespace, the visible one last."""
    return [mount for mount in mounts.here() if mount.mountpoint == path]


def helper(kind: str) -> str | None:
    """Return the path of the program that mounts a type of file system, if there is one."""
    if not kind:
        return None
    places = ":".join(("/sbin", "/sbin/fs.d", "/sbin/fs", "/usr/sbin"))
    return shutil.which(f"mount.{kind}", path=places)


def hint(kind: str, error: CommandError, seconds: float) -> str:
    """Return what is likely to be wrong when a mount has failed, for people."""
    package = _PACKAGES.get(kind)
    if not error.found:
        return f"install it{f', such as the package {package}' if package else ''}"
    if error.late:
        return (
            f"no answer within {seconds:.0f} s: is the server up, and its address right? "
            "timeout= changes how long to wait"
        )
    words = error.words.lower()
    if any(sign in words for sign in _DENIED) and not is_capable(_SYS_ADMIN):
        return f"the daemon may not mount: {MAY_MOUNT}"
    if kind not in ("", "none", "bind") and helper(kind) is None and not _in_kernel(kind):
        if package:
            return f"the helper mount.{kind} is missing: install the package {package}"
        return f"neither the kernel nor a helper (/sbin/mount.{kind}) knows the type {kind}"
    if kind.endswith("sshfs") and "connection reset" in words:
        return (
            "ssh could not log in, or not reach the server, and sshfs does not say which: look at "
            "the user's name, the key (credentials-file=), known_hosts, the port and the firewall"
        )
    for signs, text in _HINTS:
        if any(sign in words for sign in signs):
            return text
    return "look at the kernel's log (dmesg)"


def is_capable(capability: int) -> bool:
    """Tell whether this process has a capability, which is given by its bit."""
    effective = processes.status("self", "CapEff")
    return bool(effective and int(effective[0], 16) >> capability & 1)


def _in_kernel(kind: str) -> bool:
    """Tell whether the kernel has a type of file system; a mount has loaded its module."""
    with open("/proc/filesystems", "rb") as file:
        return any(line.split()[-1:] == [os.fsencode(kind)] for line in file)


def mount(kind: str, options: Sequence[str], device: str, target: str, seconds: float) -> None:
    """Mount a file system; on an error nothing is mounted.

    :param kind: its type, or an empty text.
    :raises CommandError: it could not be done within `seconds`.
    """
    argv = ["mount"]
    if kind:
        argv += ["-t", kind]
    if options:
        argv += ["-o", ",".join(options)]
    # Nobody is there to be asked for a password: without one mount.cifs would wait for ever.
    asks = kind in ("cifs", "smb3") and not any(word.startswith("cred") for word in options)
    try:
        run([*argv, "--", device, target], seconds, more={"PASSWD": ""} if asks else {})
        if not layers(target):
            raise CommandError("mount", 0, "it says that all is well, and nothing is mounted")
    except CommandError:
        detach(target)
        raise


def unmount(target: str, force: bool) -> None:
    """Take away all that is mounted at a path.

    :param force: detach what is in use or does not answer: it goes when nobody uses it.
    :raises CommandError: it could not be done, and the last of it is mounted.
    """
    for _ in range(_MOST):
        if not layers(target):
            return
        try:
            run(["umount", "--no-canonicalize", "--", target], UNMOUNT)
        except CommandError:
            if not layers(target):
                return
            if not force:
                raise
            run(["umount", "--no-canonicalize", "--lazy", "--", target], UNMOUNT)


def detach(target: str) -> None:
    """Take away all that is mounted at a path, without waiting for anybody."""
    for _ in range(_MOST):
        if not layers(target):
            return
        try:
            run(["umount", "--no-canonicalize", "--lazy", "--", target], UNMOUNT)
        except CommandError as error:
            _log.error("{target} stays mounted: {error}", target=target, error=error)
            return


def file_system(path: str) -> tuple[str, str]:
    """Return the type and the source of the file system that a path lies in.

    :param path: real and absolute; what is mounted at it counts.
    """
    found = mounts.around(path, mounts.here())
    return found.source() if found else ("", "")
