"""Fuzz target: names and options of Creates, hostile ones, and some with a secret in them.

Each input goes the way of a Create up to where the disk would be touched. Whatever it is, it
becomes canonical options that are read as themselves again, or is refused with one bounded line.
A secret is always refused, and is neither in that line nor in what a log shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random

from exampledriver.backends.btrfs import BtrfsOptions
from exampledriver.backends.clones import clone_options
from exampledriver.backends.imageoptions import ImageOptions
from exampledriver.backends.kinds import KNOWN, OPTIONS, PARSE, Choice, judge
from exampledriver.backends.owned import Access
from exampledriver.backends.sharing import MountOptions
from exampledriver.backends.tmpfs import TmpfsOptions
from exampledriver.plugin.errors import BadRequest
from exampledriver.plugin.message import Message
from exampledriver.plugin.redaction import hidden_options, masked, shown
from exampledriver.volumes.model import Wanted, check_name
from tests.secret_forms import NAMES, SECRET, TOKENS, VALUES

from .runner import Check

#: Options that a good Create of each backend has; half of all inputs begin with them.
_GOOD: Mapping[str, Mapping[str, str]] = {
    "directory": {},
    "image": {"size": "1G"},
    "tmpfs": {"size": "64M"},
    "btrfs": {},
    "mount": {"type": "cifs", "device": "//host/share"},
}

#: Choices of operators; the first is without a configuration.
_CHOICES = (
    Choice(),
    Choice(("image", "mount"), "mount", {"mount": {"type": "nfs", "o": "soft", "timeout": "9s"}}),
    Choice(
        default="image", defaults={"image": {"size": "1G", "uid": "7"}, "tmpfs": {"size": "1M"}}
    ),
)

#: What reads the canonical options of each backend.
_READ = {
    "directory": Access.of,
    "image": ImageOptions.of,
    "tmpfs": TmpfsOptions.of,
    "btrfs": BtrfsOptions.of,
    "mount": MountOptions.of,
}

_KEYS = (*sorted(KNOWN), "UID", "GID", "SIZE", "MODE", "INODES", "nocopy", "copy", "sise", "")

#: Values that are good somewhere, or nearly.
_VALUES = (
    "", "0", "1", "007", "1000", "4294967294", "4294967295", "-1", "0750", "7777", "10000",
    "1G", "1g", "512MiB", "1025T", "8M", "256M", "1.5G", "9" * 30, "yes", "no", "TRUE", "off", "on",
    "ext4", "xfs", "btrfs", "zstd", "none", "nfs", "nfs4", "cifs", "efs", "fuse.sshfs", "tmpfs",
    "30", "30s", "1m", "110s", "111s", "/", "/srv/x", "/srv/x ", " /srv", "/srv//x/..", "../x",
    "a/b", "a/../b", ".", "host:/path", ":/path", "host/share", "//host/share", "db", "db@nightly",
    "db@", "@x", "soft,ro", "addr=10.0.0.1,rw", "soft, ro", "soft,,ro", ",", "uid=1", "uid=1,gid=2",
    "uid=1,uid=2", "size=1G,mode=700", "UID=5", "uid=", "=", "1,gid=2", "1 gid=2", "1 -o gid=2",
    "directory", "image", "mount", "zfs", "/etc/credentials", "username=me,domain=D", "vers=3.0",
    "\u0661", "\u00a01", "1\u2003", "{}", "[]", "null", '"', "'", "\\", "%", "%2", "%00",
    "%s", "{x}",
)  # fmt: skip

_LETTERS = "abz09._-/:@=,;%&?#'\"\\ {}[]<>\t\n\r\0\x1b\x85\u2028\u202eäß漢\U0001f600\ud800"


def start(directory: Path) -> Check:
    """Return the check; nothing is written into the directory."""
    return check


def _text(random: Random) -> str:
    kind = random.randrange(10)
    if kind < 6:
        return random.choice(_VALUES)
    if kind < 9:
        return "".join(random.choices(_LETTERS, k=random.choice((1, 2, 3, 5, 8, 13, 40))))
    return random.choice(_VALUES + tuple(_LETTERS)) * random.choice((10, 50, 100, 300, 5000))


def _name(random: Random) -> str:
    if random.randrange(4):
        return random.choice(("db", "x" * 240, "x" * 241, "x" * 255, "A.b-c_d", "0"))
    return random.choice(("", "..", "a/b", ".x", "-x", "x" * 256, _text(random)))


def _planted(random: Random, given: dict[str, str]) -> str:
    """Put a secret into options, in one of its forms; return it."""
    secret = f"zq{random.getrandbits(48):012x}"
    key = random.choice(_KEYS)
    if random.randrange(5) == 0:
        name = random.choice(NAMES)
        given[random.choice((name, name.upper(), f"my-{name}", f"{name}2"))] = secret
        return secret
    form = random.choice(VALUES)
    assert SECRET in form
    kind = random.randrange(6)
    if kind == 0 and form not in TOKENS:
        form = form.upper().replace(SECRET.upper(), SECRET)
    elif kind == 1:
        form = f"{random.choice(('soft', 'vers=3.0', '1000', '/srv/x'))},{form}"
    elif kind == 2:
        form = f"{form},{random.choice(('ro', 'vers=3.0', 'uid=5'))}"
    elif kind == 3:
        form = json.dumps({random.choice(("a", "o", "list")): [form]})
    elif kind == 4:
        form = f'"{form}"'
    given[key] = form.replace(SECRET, secret)
    return secret


def _options(random: Random) -> dict[str, str]:
    backend = random.choice(tuple(PARSE))
    given: dict[str, str] = {}
    if random.randrange(8):
        given["backend"] = backend
    if random.randrange(2):
        given.update(_GOOD[backend])
    keys = sorted(OPTIONS[backend])
    for _ in range(random.choice((0, 1, 1, 2, 3, 5))):
        key = random.choice(keys if random.randrange(5) else _KEYS)
        given[key] = _text(random)
    if random.randrange(50) == 0:
        given[_text(random)] = _text(random)
    return given


def check(random: Random) -> None:
    """Give one Create to the code that reads its message, its name and its options."""
    name, given = _name(random), _options(random)
    secret = _planted(random, given) if random.randrange(3) == 0 else ""
    choice = _CHOICES[0 if random.randrange(3) else random.randrange(len(_CHOICES))]
    whole = random.randrange(10) == 0
    body = json.dumps({"Name": name, "Opts": given}).encode("ascii")
    try:
        message = Message.decode("VolumeDriver.Create", body)
        name, options = message.text("Name"), message.text_map("Opts")
        check_name(name)
        if random.randrange(10) == 0:
            backend = random.choice(("directory", "image", "btrfs"))
            options = dict(clone_options(name, backend, _GOOD[backend], options))
            whole = True
        wanted = choice.parse(name, options, whole)
    except BadRequest as error:
        _check_line(str(error), secret)
    else:
        assert not secret, f"{secret} is not refused: {given!r}"
        _check_canonical(name, wanted, choice)
    _check_hidden(name, given, secret)


def _check_line(text: str, secret: str) -> None:
    """Check the text of a refusal."""
    assert 0 < len(text) < 3000, f"{len(text)} characters"
    assert text.replace("…", "").isprintable(), repr(text)
    assert not secret or secret not in text, text
    assert not secret or secret not in masked(text, 5000, sentence=True), text


def _check_canonical(name: str, wanted: Wanted, choice: Choice) -> None:
    """Check that canonical options are read as themselves, by every reader of them."""
    given = {"backend": wanted.backend, **wanted.options}
    again = Choice().parse(name, given, whole=True)
    assert again == wanted, f"{wanted} is read as {again}"
    assert list(wanted.options) == sorted(wanted.options)
    assert wanted.backend in choice.allowed
    judge(wanted.backend, wanted.options)
    _READ[wanted.backend](wanted.options)
    assert hidden_options(wanted.options) == wanted.options
    json.dumps(wanted.options).encode("ascii")


def _check_hidden(name: str, given: Mapping[str, str], secret: str) -> None:
    """Check what a log and a Status would show."""
    log = str(shown({"Name": name, "Opts": given}))
    assert len(log) <= 11_000
    if secret:
        assert secret not in log, log
        assert secret not in str(hidden_options(given))
