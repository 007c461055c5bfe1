"""A volume driver in forty lines: each volume is a directory below one.

python directories.py
docker volume create -d directories db
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from zope.interface import implementer

from exampledriver.plugin import Capabilities, IVolumeDriver, Plugin, PluginError, Volume

ROOT = Path(os.environ.get("DIRECTORIES_ROOT", "/var/lib/directories"))


@implementer(IVolumeDriver)
class Directories:
    def create(self, name: str, options: Mapping[str, str]) -> None:
        if options:
            raise PluginError(f"volume {name!r}: this driver has no options")
        if "/" in name or "\0" in name or name in (".", ".."):
            raise PluginError(f"volume {name!r}: a name without slashes is needed")
        try:
            (ROOT / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PluginError(f"volume {name[:80]!r}: {error.strerror}") from None

    def remove(self, name: str) -> None:
        shutil.rmtree(self.get(name).mountpoint)

    def mount(self, name: str, mount_id: str) -> str:
        return self.get(name).mountpoint

    def unmount(self, name: str, mount_id: str) -> None: ...

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
    Plugin("directories", [Directories()]).run()
