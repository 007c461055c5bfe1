"""Hostile ``/proc`` files, and what is asked of them.

The model makes mount namespaces at random and writes them down as the kernel does
(``show_mountinfo`` in fs/proc_namespace.c); it shares no code with the product. Some lines are
spoiled on top of that.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from random import Random

from attrs import frozen

from exampledriver.backends.mounts import UNREADABLE, holders, mounts_inside, parse
from exampledriver.cli.checks import proc as checks
from exampledriver.processes import command
from tests.backends.proc import MemoryProc

from .runner import Check

#: Parts of names: everything that some program takes for a line break, a blank or an escape.
_PIECES = (
    b"\r", b"\v", b"\f", b"\x1c", b"\x1d", b"\x1e", "\x85".encode(), b"\x85", "\u2028".encode(),
    "\u2029".encode(), b"\n", b"\t", b" ", b"\\", b"#", b"\xff", b"\xc3", b"\\040", b"\\777",
    b" - ", b"\n36 35 98:0 / /vols/db rw - ext4 a rw\n", b"//deleted", b"a", b"b", b"db", b"-",
    b":", b"0",
    b"\x1b[2J", b"\"", b"\xf0\x9f\x98\x80", b")", b"(", b"self", b"x" * 300,
)  # fmt: skip
_DEVICES = (b"98:0", b"0:21", b"254:1")


@frozen
class _Mount:
    device: bytes
    root: bytes
    place: bytes


@frozen
class _View:
    """What processes of one namespace that have one root directory see.

    :ivar text: their mountinfo; an error number if it cannot be read.
    :ivar spoiled: a line of it is not one.
    """

    mounts: list[_Mount]
    text: bytes | int
    spoiled: bool


def _name(random: Random) -> bytes:
    name = b"".join(random.choices(_PIECES, k=random.randint(1, 3)))
    return name.replace(b"/", b"") or b"a"


def _written(path: bytes) -> bytes:
    """Escape as mangle_path() does."""
    return b"".join(b"\\%03o" % c if c in b" \t\n\\" else b"%c" % c for c in path)


def _line(random: Random, mount: _Mount) -> bytes:
    peers = random.choice((b"", b" shared:2", b" shared:7 master:1", b" unbindable", b" master:3"))
    source = random.choice((b"", b"none", b"/dev/vda", _written(_name(random))))
    return b"%d %d %s %s %s rw,relatime%s - %s %s rw" % (
        random.randrange(9999), random.randrange(9999), mount.device, _written(mount.root),
        _written(mount.place), peers, random.choice((b"ext4", b"fuse.a\\040b")), source,
    )  # fmt: skip


def _spoil(random: Random, line: bytes) -> bytes:
    match random.randrange(6):
        case 0:
            return line[: random.randrange(len(line))]
        case 1:
            fields = line.split(b" ")
            fields[random.randrange(len(fields))] = b""
            return b" ".join(fields)
        case 2:
            return random.randbytes(random.randrange(40)).replace(b"\n", b" ")
        case 3:
            at = random.randrange(len(line))
            return line[:at] + random.choice(_PIECES).replace(b"\n", b"") + line[at + 1 :]
        case 4:
            return line.replace(b" ", random.choice((b"  ", b"\t", b"\r", b"")), 3)
        case _:
            return line * random.randint(2, 50)


def _is_line(line: bytes) -> bool:
    """Tell whether the kernel can have written a line, as far as anybody reads it."""
    fields = line.split(b" ")
    numbers = fields[:2] + (fields[2].split(b":") if len(fields) > 2 else [])
    begins = len(fields) > 4 and len(numbers) == 4 and all(map(bytes.isdigit, numbers))
    return begins and all(fields[:5]) and b"-" in fields[6:-1]


def _view(random: Random, mounts: list[_Mount], spoiling: bool) -> _View:
    lines = [_line(random, mount) for mount in mounts]
    kept = list(mounts)
    spoiled = False
    if spoiling:
        at = random.randrange(len(lines))
        lines[at] = _spoil(random, lines[at])
        del kept[at]
        spoiled = bool(lines[at]) and not _is_line(lines[at])
    return _View(kept, b"".join(line + b"\n" for line in lines), spoiled)


def _below(path: bytes, parent: bytes) -> bool:
    """Compare directory by directory."""
    ours = [part for part in path.split(b"/") if part]
    theirs = [part for part in parent.split(b"/") if part]
    return ours[: len(theirs)] == theirs


@frozen
class _World:
    """The daemon's mounts, a volume in them, and what the containers have mounted."""

    volume: bytes
    in_filesystem: bytes
    own: _View
    others: list[_View]

    @classmethod
    def random(cls, random: Random) -> _World:
        root = random.choice((b"/vols", b"/", b"/" + _name(random)))
        held = random.choice((b"", b"/data", b"/" + _name(random)))
        name = random.choice((b"db", _name(random)))
        volume = root.rstrip(b"/") + b"/" + name
        spoils = random.random() < 0.3
        mine = [_Mount(b"254:1", b"/", b"/"), _Mount(b"0:21", b"/", b"/proc")]
        if root != b"/":
            mine.append(_Mount(b"98:0", held or b"/", root))
            in_filesystem, device = held + b"/" + name, b"98:0"
        else:
            in_filesystem, device = b"/" + name, b"254:1"
        if random.random() < 0.2:
            mine.append(_Mount(b"0:99", b"/", volume + random.choice((b"/sub", b"2", b"\r"))))
        # The mounts that the volume is reached through stay readable.
        own = _view(random, mine, False)
        if spoils and random.random() < 0.3:
            bad = _spoil(random, _line(random, _Mount(b"0:99", b"/", b"/elsewhere")))
            # One that looks like a line would be a mount, of whatever.
            if bad and not _is_line(bad):
                own = _View(own.mounts, own.text + bad + b"\n", True)  # type: ignore[operator]
        others = []
        for _ in range(random.randint(0, 3)):
            mounts = [_Mount(random.choice(_DEVICES), b"/" + _name(random), b"/")]
            for _ in range(random.randint(0, 3)):
                where = random.choice((in_filesystem, b"/" + _name(random), in_filesystem + b"2"))
                inner = random.choice((b"", b"", b"/" + _name(random), b"//deleted"))
                mounts.append(
                    _Mount(
                        random.choice((device, random.choice(_DEVICES))),
                        where + inner,
                        b"/" + _name(random),
                    )
                )
            others.append(_view(random, mounts, spoils and random.random() < 0.5))
            if random.random() < 0.05:
                number = random.choice((errno.EMFILE, errno.ENOMEM, errno.ESRCH, errno.EINVAL))
                others[-1] = _View([], number, number in (errno.EMFILE, errno.ENOMEM))
        return cls(volume, in_filesystem, own, others)

    def device(self) -> bytes:
        """Return the file system that the volume is in."""
        places = [(len(m.place), m.device) for m in self.own.mounts if _below(self.volume, m.place)]
        return max(places)[1]

    def is_held(self, view: _View) -> bool:
        """Tell whether the kernel would say so."""
        return view.spoiled or any(
            mount.device == self.device() and _below(mount.root, self.in_filesystem)
            for mount in view.mounts
        )


def _asked(random: Random) -> None:
    world = _World.random(random)
    proc = MemoryProc.of(world.own.text, [view.text for view in world.others])  # type: ignore[arg-type]
    # Two views of one namespace, as of a process with another root directory.
    if len(world.others) > 1 and random.random() < 0.3:
        proc.spaces[102] = ("mnt:[101]", "/jail")  # type: ignore[index]
    for pid in proc.spaces:
        proc.files[pid, "comm"] = _name(random)[:15] + b"\n"  # type: ignore[index]
    path = os.fsdecode(world.volume)
    found = holders(path, proc)
    named = {pid for holder in found for pid in holder.pids}
    for pid, view in enumerate(world.others, 101):
        spoiled = isinstance(view.text, bytes) and any(
            line and not _is_line(line) for line in view.text.split(b"\n")
        )
        if spoiled or world.is_held(view):
            assert pid in named, (world, found)
        elif not _is_mixed(view):
            assert pid not in named, (world, found)
    assert any(holder.here for holder in found) >= world.own.spoiled, (world, found)
    for holder in found:
        text = holder.describe(proc)
        assert text.isprintable() and len(text.split("\n")) == 1, text
        assert holder.here or str(holder.pids[0]) in text, text
    inside = mounts_inside(path, proc)
    assert (UNREADABLE in inside) == world.own.spoiled, (world, inside)
    wanted = {os.fsdecode(m.place) for m in world.own.mounts if _below(m.place, world.volume)}
    assert wanted <= set(inside), (world, inside)


def _is_mixed(view: _View) -> bool:
    """Tell whether a spoiled line may by accident be one of the volume's."""
    return isinstance(view.text, bytes) and view.text.count(b"\n") != len(view.mounts)


def _any_bytes(random: Random) -> None:
    text = b"".join(
        random.choice((*_PIECES, b"36 35 98:0 ", b"/", b" ", b"\n", random.randbytes(3)))
        for _ in range(random.randint(0, 40))
    )
    for mount in parse(text, random.choice(("", "98:0"))):
        mount.source()
        mount.peers("shared")
    assert any(not mount.device for mount in parse(text)) == any(
        line and not _is_line(line) for line in text.split(b"\n")
    ), text
    files: dict[tuple[int | str, str], bytes | int] = {
        (7, name): text for name in ("comm", "stat", "status", "cgroup")
    }
    proc = MemoryProc(files=files)
    assert command(7, proc).isprintable()
    checks.started(7, proc)
    checks.user(7, proc)
    assert re.fullmatch(r"[ -~]*", checks.unit(7, proc))


def _names(random: Random) -> None:
    """A process's name does not forge what else the kernel says of it."""
    name = _name(random)[: random.choice((15, 40))]
    forged = random.choice((b"\rUid:\t0\t0\t0\t0", b") S 1 1", b"\x0bUid: 0 0", b""))
    name = (name + forged)[-15:]
    shown = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    files: dict[tuple[int | str, str], bytes | int] = {
        (7, "status"): b"Name:\t%s\nUmask:\t0022\nUid:\t5\t6\t7\t8\n" % shown,
        (7, "stat"): b"7 (%s) S %s\n" % (name, b" ".join(b"%d" % n for n in range(4, 53))),
        (7, "cgroup"): b"0::/a%s/exampledriver.service\n" % name.replace(b"\n", b""),
        (7, "comm"): name + b"\n",
    }
    proc = MemoryProc(files=files)
    assert checks.user(7, proc) == 6
    assert checks.started(7, proc) == 22
    assert checks.unit(7, proc) == "exampledriver.service"
    assert command(7, proc).isprintable()


def start(directory: Path) -> Check:
    """Return the check; nothing is written."""

    def check(random: Random) -> None:
        random.choices((_asked, _any_bytes, _names), (8, 3, 1))[0](random)

    return check
