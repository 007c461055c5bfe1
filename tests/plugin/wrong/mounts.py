"""Plugins that are wrong about mounts and data."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.web.server import Request

from .registry import breaks
from .right import Fields, PlainRequest, Refused, Right


class Moving(Right):
    """A right plugin in which an unmounted volume's files are elsewhere."""

    def away(self, name: str) -> None:
        """Unmount: leave an empty directory."""
        place, to = self.place(name), self.root / f".{name}"
        if place.is_dir() and not to.exists():
            place.rename(to)
            place.mkdir()

    def forget(self, name: str) -> None:
        super().forget(name)
        shutil.rmtree(self.root / f".{name}", ignore_errors=True)

    def back(self, name: str) -> None:
        """Mount."""
        place, to = self.place(name), self.root / f".{name}"
        if to.is_dir():
            place.rmdir()
            to.rename(place)

    def mount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        found = super().mount(request, message)
        self.back(message["Name"])
        return found


@breaks("V-MOUNT")
class EmptyPath(Right):
    """Mount answers an empty path."""

    def mount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        super().mount(request, message)
        return {"Mountpoint": "", "Err": ""}


@breaks("V-MOUNT-DIRECTORY")
class NotThere(Right):
    """It makes no directories."""

    def make(self, name: str, options: Fields) -> None:
        super().make(name, options)
        shutil.rmtree(self.place(name), ignore_errors=True)


@breaks("V-MOUNT-FRESH")
class LostAndFound(Right):
    """A volume is the root of a file system."""

    def make(self, name: str, options: Fields) -> None:
        super().make(name, options)
        (self.place(name) / "lost+found").mkdir(exist_ok=True)


@breaks("V-MOUNT-AGAIN")
class OncePerID(Right):
    """An ID can have a volume once."""

    def mount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        self.there(message["Name"])
        if self.mounts[message["Name"]][message["ID"]]:
            raise Refused("it is mounted for that already")
        return super().mount(request, message)


@breaks("V-MOUNT-TWO")
class Exclusive(Right):
    """A volume is for one at a time."""

    def mount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        self.there(message["Name"])
        if any(self.mounts[message["Name"]].keys() - {message["ID"]}):
            raise Refused("another one has it")
        return super().mount(request, message)


@breaks("V-MOUNT-PARALLEL")
class OneMountAtATime(Right):
    """While it mounts for one it refuses others."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.mounting: list[str] = []

    def mount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        mount_id = message["ID"]
        if set(self.mounting) - {mount_id}:
            raise Refused("it is busy")
        found = super().mount(request, message)
        self.mounting.append(mount_id)

        def end() -> Fields:
            self.mounting.remove(mount_id)
            return found or {}

        self.later(request, 0.05, end)
        return None


@breaks("V-MOUNT-UNKNOWN")
class MakesOnMount(Right):
    """What is mounted is made."""

    def mount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        self.make(message["Name"], {})
        return super().mount(request, message)


@breaks("V-MOUNT-ONE-ID")
class ByID(Right):
    """It keeps the path of each ID."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.paths: dict[str, Any] = {}

    def mount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        found = super().mount(request, message)
        if not Path(self.paths.get(message["ID"], {}).get("Mountpoint", "/nowhere")).is_dir():
            self.paths[message["ID"]] = found
        return dict(self.paths[message["ID"]])


@breaks("V-UNMOUNT")
class NeverUnmounts(Right):
    """It has no Unmount."""

    def unmount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        raise Refused("not implemented")


@breaks("V-UNMOUNT-OTHERS")
class NoCount(Moving):
    """The first Unmount is for all."""

    def unmount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        self.there(message["Name"])
        if self.mounts[message["Name"]][message["ID"]]:
            self.away(message["Name"])
        return super().unmount(request, message)


@breaks("V-UNMOUNT-UNKNOWN")
class CountsAnybody(Moving):
    """It counts without looking at the ID."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.count: dict[str, int] = {}

    def mount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        found = super().mount(request, message)
        self.count[message["Name"]] = self.count.get(message["Name"], 0) + 1
        return found

    def unmount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        found = super().unmount(request, message)
        name = message["Name"]
        self.count[name] = self.count.get(name, 0) - 1
        if self.count[name] <= 0:
            self.away(name)
        return found


@breaks("V-PATH-MOUNTED")
class OtherPath(Right):
    """Path knows another path for a mounted volume."""

    def path(self, request: Request, message: Mapping[str, Any]) -> Fields:
        found = super().path(request, message)
        if self.mounts[message["Name"]].total():
            found["Mountpoint"] += "/_data"
        return found


@breaks("V-PATH-UNMOUNTED")
class PathWhileMounted(Right):
    """Path is an error while a volume is not mounted."""

    def path(self, request: Request, message: Mapping[str, Any]) -> Fields:
        found = super().path(request, message)
        if not self.mounts[message["Name"]].total():
            raise Refused("it is not mounted")
        return found


@breaks("V-PATH-UNKNOWN")
class PathOfAnything(Right):
    """Path joins paths."""

    def path(self, request: Request, message: Mapping[str, Any]) -> Fields:
        return {"Mountpoint": str(self.place(message["Name"])), "Err": ""}


@breaks("V-GET-WHILE-MOUNTED")
class InternalPath(Right):
    """Get shows where a mounted volume really is."""

    def shown(self, name: str) -> Fields:
        shown = super().shown(name)
        if self.mounts[name].total():
            shown["Mountpoint"] = f"/dev/mapper/{name}"
        return shown


@breaks("V-DATA-KEPT")
class Formats(Right):
    """Each Create formats."""

    def again(self, name: str, options: Fields) -> None:
        super().again(name, options)
        shutil.rmtree(self.place(name))
        self.place(name).mkdir()


@breaks("V-DATA-GONE")
class KeepsData(Right):
    """Remove leaves the files, Create adopts them."""

    def forget(self, name: str) -> None:
        del self.created[name], self.mounts[name]


@breaks("V-REMOVE-MOUNTED")
class RefusesTooLate(Right):
    """Remove of a mounted volume is refused after it is done."""

    def remove(self, request: Request, message: Mapping[str, Any]) -> Fields:
        self.there(message["Name"])
        mounted = bool(set(+self.mounts[message["Name"]]))
        self.mounts[message["Name"]].clear()
        found = super().remove(request, message)
        if mounted:
            raise Refused("it is mounted")
        return found

    def unmount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        self.there(message["Name"])
        self.mounts[message["Name"]].pop(message["ID"], None)
        return {"Err": ""}


@breaks("V-REMOVE-LEAKED")
class Counts(Right):
    """A count that leaked keeps a volume for ever."""

    def remove(self, request: Request, message: Mapping[str, Any]) -> Fields:
        self.there(message["Name"])
        if self.mounts[message["Name"]].total():
            raise Refused("it is mounted")
        return super().remove(request, message)


@breaks("V-MOUNT-DROPPED")
class LeavesLock(Right):
    """A Mount whose client goes leaves a lock."""

    locked = False

    def lost(self, request: PlainRequest) -> None:
        if request.path == b"/VolumeDriver.Mount":
            self.locked = True

    def mount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        if self.locked:
            raise Refused("it is being mounted")
        found = super().mount(request, message)
        self.later(request, 0.05, lambda: found or {})
        return None


@breaks("V-MOUNT-UNMOUNT-RACE")
class Lazy(Moving):
    """An Unmount looks at the count, and acts a little later."""

    def unmount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        super().unmount(request, message)
        name = message["Name"]
        last = not self.mounts[name].total()

        def end() -> Fields:
            if last:
                self.away(name)
            return {"Err": ""}

        self.later(request, 0.05, end)
        return None
