"""Plugins that are wrong about which volumes there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.web.server import Request

from .registry import breaks
from .right import Fields, PlainRequest, Refused, Right


class Later(Right):
    """A right plugin whose Create takes a moment."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.creating: list[str] = []

    def create(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        name, options = message["Name"], self.options(message)
        self.check_name(name)
        self.creating.append(name)

        def end() -> Fields:
            self.creating.remove(name)
            self.make(name, options)
            return {"Err": ""}

        self.later(request, 0.05, end)
        return None


@breaks("V-CREATE")
class Eventually(Right):
    """What was created is there a little later."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen: set[str] = set()

    def get(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        found = super().get(request, message)
        if message["Name"] not in self.seen:
            self.seen.add(message["Name"])
            raise Refused("there is no such volume yet")
        return found


@breaks("V-CREATE-AGAIN")
class Once(Right):
    """What exists cannot be created."""

    def again(self, name: str, options: Fields) -> None:
        raise Refused("it exists")


@breaks("V-CREATE-OTHER")
class SameIsSame(Right):
    """Other options are dropped silently."""

    def again(self, name: str, options: Fields) -> None:
        pass


@breaks("V-CREATE-PARALLEL")
class LostUpdate(Later):
    """Of two Creates at a time one is lost."""

    def make(self, name: str, options: Fields) -> None:
        if not set(self.creating) - {name}:
            super().make(name, options)


@breaks("V-GET-UNKNOWN")
class Everything(Right):
    """Get finds whatever it is asked for."""

    def get(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        name = message["Name"]
        if name in self.created:
            return super().get(request, message)
        return {"Volume": {"Name": name, "Mountpoint": str(self.place(name))}, "Err": ""}


@breaks("V-GET-NAME")
class NullVolume(Right):
    """Get answers another name."""

    def shown(self, name: str) -> Fields:
        return {**super().shown(name), "Name": f"driver/{name}"}


@breaks("V-GET-MOUNTPOINT")
class Relative(Right):
    """Get shows a relative path."""

    def shown(self, name: str) -> Fields:
        shown = super().shown(name)
        if not self.mounts[name].total():
            shown["Mountpoint"] = name
        return shown


@breaks("V-GET-CREATED")
class NoZone(Right):
    """It writes times as people do."""

    def shown(self, name: str) -> Fields:
        return {**super().shown(name), "CreatedAt": "2026-11-24 12:00:00"}


@breaks("V-GET-STATUS")
class StatusText(Right):
    """Its Status is a word."""

    def shown(self, name: str) -> Fields:
        return {**super().shown(name), "Status": "good"}


@breaks("V-GET-STEADY")
class Flaky(Right):
    """Now and then a Get fails."""

    gets = 0

    def get(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        self.gets += 1
        if self.gets % 60 == 0:
            raise Refused("the backend timed out")
        return super().get(request, message)


@breaks("V-GET-BUSY")
class Locked(Later):
    """While it creates it answers nothing."""

    def get(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        if self.creating:
            raise Refused("the database is locked")
        return super().get(request, message)


@breaks("V-LIST")
class MapOfVolumes(Right):
    """List answers an object."""

    def list(self, request: Request, body: bytes) -> Fields:
        return {"Volumes": {name: self.shown(name) for name in self.created}}


@breaks("V-LIST-ALL")
class FirstPage(Right):
    """List has the first two."""

    def list(self, request: Request, body: bytes) -> Fields:
        return {"Volumes": super().list(request, body)["Volumes"][:2]}


@breaks("V-LIST-NULL")
class Holes(Right):
    """What List cannot read is null."""

    def list(self, request: Request, body: bytes) -> Fields:
        return {"Volumes": [*super().list(request, body)["Volumes"], None]}


@breaks("V-LIST-FIELDS")
class ListNoZone(Right):
    """List writes times as people do."""

    def listed(self, name: str) -> Fields:
        return {**super().shown(name), "CreatedAt": "yesterday"}


@breaks("V-LIST-EMPTY-BODY")
class ListNeedsBody(Right):
    """List wants a message."""

    def list(self, request: Request, body: bytes) -> Fields:
        if not body:
            raise Refused("there is no body", 400)
        return super().list(request, body)


@breaks("V-REMOVE")
class KeepsAll(Right):
    """Remove does nothing."""

    def forget(self, name: str) -> None:
        pass


@breaks("V-REMOVE-UNKNOWN")
class DefaultDict(Right):
    """To look a volume up makes it."""

    def remove(self, request: Request, message: Mapping[str, Any]) -> Fields:
        if message["Name"] not in self.created:
            self.check_name(message["Name"])
            self.make(message["Name"], {})
            raise Refused("there was no such volume")
        return super().remove(request, message)


@breaks("V-REMOVE-CREATE")
class Tombstones(Right):
    """A name is used once."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.gone: set[str] = set()

    def forget(self, name: str) -> None:
        self.gone.add(name)
        super().forget(name)

    def make(self, name: str, options: Fields) -> None:
        if name in self.gone:
            raise Refused("that name was used before")
        super().make(name, options)


@breaks("V-DROPPED-CREATE")
class HalfDone(Later):
    """A Create whose client goes stops half way, and the name is taken."""

    def lost(self, request: PlainRequest) -> None:
        if request.path == b"/VolumeDriver.Create":
            self.stuck = True

    stuck = False

    def make(self, name: str, options: Fields) -> None:
        if self.stuck:
            raise Refused("it is being created")
        super().make(name, options)


@breaks("V-QUICK")
class Slow(Right):
    """Unmount syncs the disk first."""

    def unmount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        super().unmount(request, message)
        self.later(request, 6, lambda: {"Err": ""})
        return None
