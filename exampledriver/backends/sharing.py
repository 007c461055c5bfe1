"""The options of ``backend=mount``, and what those of other drivers mean there.

Docker's ``local`` driver has ``type``, ``device`` and ``o``; netshare has ``share`` and
names of its own for options of NFS, CIFS and EFS. All become ``type``, ``device``, ``o``
and ``subpath``. Options are shown by ``docker volume inspect``, written in the journal, and
given to programs as arguments: a Create with a secret in one is refused, by :mod:`.given`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from ..volumes import values
from ..volumes.model import Wanted

MOUNT = "mount"

#: Types of file systems on a network, in the families that differ in how a share is written.
NFS, CIFS, EFS = ("nfs", "nfs4"), ("cifs", "smb3"), ("efs",)

#: The option of mount(8) in which a type takes the path of a file with what is secret.
CREDENTIALS = {
    "cifs": "credentials",
    "smb3": "credentials",
    "ceph": "secretfile",
    "sshfs": "IdentityFile",
    "fuse.sshfs": "IdentityFile",
    "davfs": "conf",
    "s3fs": "passwd_file",
    "fuse.s3fs": "passwd_file",
}

#: What netshare calls options of mount.cifs(8).
_NETSHARE_CIFS = {
    "username": "username",
    "domain": "domain",
    "security": "sec",
    "fileMode": "file_mode",
    "dirMode": "dir_mode",
}

#: The options of mount(8) that netshare takes in one text.
_NETSHARE_RAW = {"nfsopts": NFS, "cifsopts": CIFS}

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


def _kind(value: str) -> str:
    if not _TYPE.fullmatch(value):
        raise ValueError("give a type of mount(8), such as nfs, cifs, fuse.sshfs or ext4")
    return value


def _word(value: str) -> str:
    if "," in value:
        raise ValueError("it has a comma, which separates options")
    return values.text(value)


#: The options that there are.
READERS: Mapping[str, values.Reader] = {
    "cifsopts": values.text,
    "create": values.yes_no,
    "credentials-file": values.path,
    "device": values.text,
    "dirMode": _word,
    "domain": _word,
    "fileMode": _word,
    "nfsopts": values.text,
    "o": values.text,
    "security": _word,
    "share": values.text,
    "subpath": values.relative,
    "timeout": values.duration(1, 110),
    "type": _kind,
    "username": _word,
}

#: Of these a volume keeps its options.
KEPT = ("credentials-file", "device", "o", "subpath", "timeout", "type")


@frozen
class MountOptions:
    """The options of a volume.

    :ivar kind: the type of the file system, for mount(8).
    :ivar words: options of mount(8).
    :ivar credentials: the path of a file with secrets.
    :ivar seconds: how long a Mount may take.
    :ivar subpath: the directory of the file system that is the volume, or an empty text.
    """

    kind: str
    device: str
    words: tuple[str, ...]
    credentials: str
    seconds: float
    subpath: str

    @classmethod
    def of(cls, options: Mapping[str, str]) -> MountOptions:
        """Read canonical texts."""
        return cls(
            options["type"],
            options["device"],
            tuple(options["o"].split(",")) if "o" in options else (),
            options.get("credentials-file", ""),
            float(options.get("timeout", "30s")[:-1]),
            options.get("subpath", ""),
        )

    def all_words(self) -> list[str]:
        """Return the options for mount(8), with the file of the credentials."""
        words = list(self.words)
        if self.credentials:
            words.append(f"{CREDENTIALS[self.kind]}={self.credentials}")
        return words

    def full_device(self) -> str:
        """Return the device as helpers want it; Docker's local takes a server's name from addr."""
        if self.kind in NFS and self.device.startswith(":"):
            for word in self.words:
                if word.startswith("addr="):
                    host = word.removeprefix("addr=")
                    return (f"[{host}]" if ":" in host else host) + self.device
        return self.device


def parse(name: str, given: Mapping[str, str]) -> Wanted:
    """Read the options of a Create.

    :raises InvalidOptionError: one cannot be used.
    """
    options = values.canonical(name, MOUNT, given, READERS)
    if "type" not in options:
        rule = "the type of the file system for mount(8), such as nfs, cifs or fuse.sshfs"
        raise values.missing(name, MOUNT, "type", rule)
    kind = options["type"]
    words = options.get("o", "").split(",") if "o" in options else []
    _take_share(name, kind, options)
    words += _netshare_words(name, kind, options)
    if options.pop("create", "no") == "yes":
        if "subpath" in options:
            raise values.bad(name, "create", "yes", "subpath is given, which is created anyway")
        options["subpath"] = name
    if "device" not in options:
        rule = "what is mounted, such as server:/path"
        raise values.missing(name, MOUNT, "device (or share)", rule)
    if "credentials-file" in options and kind not in CREDENTIALS:
        rule = f"the type {kind} takes none here; those that do: {', '.join(sorted(CREDENTIALS))}"
        raise values.bad(name, "credentials-file", options["credentials-file"], rule)
    named = any(word.startswith("addr=") for word in words)
    if kind in NFS and options["device"].startswith(":") and not named:
        rule = "the server is missing: give server:/path, or addr=server in o"
        raise values.bad(name, "device", options["device"], rule)
    kept = {key: value for key, value in options.items() if key in KEPT}
    if words:
        kept["o"] = ",".join(words)
    kept.setdefault("timeout", "30s")
    return Wanted(MOUNT, dict(sorted(kept.items())), unresolved=True)


def _take_share(name: str, kind: str, options: dict[str, str]) -> None:
    """Make a device of netshare's share."""
    share = options.pop("share", None)
    if share is None:
        return
    if "device" in options:
        raise values.bad(name, "share", share, "device is given too: one of them is enough")
    if kind in CIFS:
        options["device"] = "//" + share.lstrip("/")
    elif kind in (*NFS, *EFS):
        host, found, path = share.partition("/")
        options["device"] = share if ":" in host or not found else f"{host}:/{path}"
    else:
        raise values.bad(name, "share", share, f"is for NFS, CIFS and EFS; type {kind} has device")


def _netshare_words(name: str, kind: str, options: dict[str, str]) -> list[str]:
    """Return the options of mount(8) that netshare's options stand for, and take those out."""
    words = []
    for key, word in _NETSHARE_CIFS.items():
        value = options.pop(key, None)
        if value is not None:
            if kind not in CIFS:
                raise values.bad(name, key, value, f"is for CIFS; the type is {kind}")
            words.append(f"{word}={value}")
    for key, kinds in _NETSHARE_RAW.items():
        value = options.pop(key, None)
        if value is not None:
            if kind not in kinds:
                raise values.bad(name, key, value, f"is for {kinds[0]}; the type is {kind}")
            words = [*value.split(","), *words]
    return words
