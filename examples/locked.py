"""A driver for asyncio's users: it awaits asyncio's own locks, timeouts and subprocesses.

Its methods are coroutines that know nothing of Twisted; ``run(asyncio=True)`` serves them on
Twisted's asyncio reactor, each call in an asyncio task of its own.

    python locked.py
    docker volume create -d locked db
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from zope.interface import implementer

from exampledriver.plugin import Capabilities, IVolumeDriver, Plugin, PluginError, Volume

ROOT = Path(os.environ.get("LOCKED_ROOT", "/var/lib/locked"))


async def run(*words: str) -> None:
    """Run a program, without blocking, for at most ten seconds."""
    process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
    try:
        _, error = await asyncio.wait_for(process.communicate(), 10)
    except asyncio.TimeoutError:
        process.kill()
        raise PluginError(f"{words[0]} takes longer than ten seconds") from None
    if process.returncode:
        raise PluginError(error.decode(errors="replace").strip())


@implementer(IVolumeDriver)
class Locked:
    def __init__(self) -> None:
        self.locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def create(self, name: str, options: Mapping[str, str]) -> None:
        if options:
            raise PluginError(f"volume {name!r}: this driver has no options")
        if "/" in name or "\0" in name or name in (".", ".."):
            raise PluginError(f"volume {name!r}: a name without slashes is needed")
        async with self.locks[name]:
            await run("mkdir", "-p", "--", str(ROOT / name))

    async def remove(self, name: str) -> None:
        async with self.locks[name]:
            await run("rm", "-r", "--", self.get(name).mountpoint)

    async def mount(self, name: str, mount_id: str) -> str:
        async with self.locks[name]:
            return self.get(name).mountpoint

    async def unmount(self, name: str, mount_id: str) -> None: ...

    def path(self, name: str) -> str:
        return self.get(name).mountpoint

    def get(self, name: str) -> Volume:
        for volume in self.list():
            if volume.name == name:
                return volume
        raise PluginError(f"volume {name!r} does not exist")

    def list(self) -> Iterable[Volume]:
        return [Volume(path.name, str(path)) for path in ROOT.glob("*")]

    def capabilities(self) -> Capabilities:
        return Capabilities("local")


if __name__ == "__main__":
    Plugin("locked", [Locked()]).run(asyncio=True)
