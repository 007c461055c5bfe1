"""A small right secret provider, and wrong ones made of it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from twisted.web.server import Request

from .kinds import Kind
from .registry import breaks
from .right import Fields, Refused

#: The secret that it has.
SECRET = "db"


class RightSecrets(Kind):
    """A provider of one secret, whose names are those of files."""

    prefix = "/SecretProvider."
    implements = ("secretprovider",)

    def __init__(self, root: Path, *args: Any) -> None:
        super().__init__(root, *args)
        (root / SECRET).write_bytes(b"\xff\x00hunter2")

    def get_secret(self, request: Request, message: Fields) -> Fields | None:
        return self.find(message)

    def find(self, message: Fields) -> Fields:
        """Return the answer to a request."""
        name = message.get("SecretName")
        if not isinstance(name, str):
            raise Refused("SecretName is missing", 400)
        return self.found(self.read_file(name))

    def read_file(self, name: str) -> bytes:
        """Return what is in a secret's file."""
        if "/" in name or name in (".", ".."):
            raise Refused("the name is not valid", 400)
        return (self.root / name).read_bytes()

    def found(self, value: bytes) -> Fields:
        """Return an answer with a value."""
        return {"Value": base64.b64encode(value).decode("ascii"), "DoNotReuse": True, "Err": ""}


@breaks("S-ACTIVATE")
class SecretsByCalls(RightSecrets):
    """It has the name of its calls."""

    implements = ("SecretProvider",)


@breaks("S-VALUE")
class PlainValue(RightSecrets):
    """Its values are texts."""

    def found(self, value: bytes) -> Fields:
        return {"Value": value.decode("latin-1"), "Err": ""}


@breaks("S-REUSE")
class ReuseText(RightSecrets):
    """It says whether to ask again in words."""

    def found(self, value: bytes) -> Fields:
        return {**super().found(value), "DoNotReuse": "yes"}


@breaks("S-ABSENT")
class NeedsLabels(RightSecrets):
    """It looks labels up."""

    def find(self, message: Fields) -> Fields:
        found = super().find(message)
        if "ServiceLabels" not in message:
            raise Refused("KeyError: 'ServiceLabels'")
        return found


@breaks("S-UNKNOWN-FIELDS")
class StrictSecrets(RightSecrets):
    """It refuses what it does not know."""

    def find(self, message: Fields) -> Fields:
        if "KitUnknown" in message:
            raise Refused("unexpected keyword argument", 400)
        return super().find(message)


@breaks("S-UNKNOWN")
class EmptySecrets(RightSecrets):
    """What it does not have is empty."""

    def find(self, message: Fields) -> Fields:
        try:
            return super().find(message)
        except OSError:
            return {"Value": "", "Err": ""}


@breaks("S-NAME-TRAVERSAL")
class AnyFile(RightSecrets):
    """It joins the name to its directory."""

    def read_file(self, name: str) -> bytes:
        return (self.root / name).read_bytes()


@breaks("S-NAME-ODD")
class EmptyName(RightSecrets):
    """Without a name it gives the one that it has."""

    def read_file(self, name: str) -> bytes:
        return super().read_file(name or SECRET)


@breaks("S-ERR-TEXT")
class SilentSecrets(RightSecrets):
    """It refuses without a reason what it does not have."""

    def find(self, message: Fields) -> Fields:
        try:
            return super().find(message)
        except FileNotFoundError:
            raise Refused("") from None


@breaks("S-RETRY-EMPTY")
class NoBodySecret(RightSecrets):
    """Without a message it gives the one that it has."""

    def message(self, body: bytes) -> Fields:
        return super().message(body or b'{"SecretName":"db"}')


@breaks("S-MALFORMED")
class NamelessSecret(RightSecrets):
    """A message without a name gets the one that it has."""

    def find(self, message: Fields) -> Fields:
        return super().find({"SecretName": SECRET, **message})


@breaks("S-PARALLEL")
class BusySecrets(RightSecrets):
    """It reads one at a time."""

    reading = 0

    def get_secret(self, request: Request, message: Fields) -> Fields | None:
        self.reading += 1
        busy = self.reading > 1

        def end() -> Fields:
            self.reading -= 1
            if busy:
                raise Refused("busy")
            try:
                return self.find(message)
            except (OSError, ValueError) as error:
                raise Refused(str(error)) from None

        self.later(request, 0.05, end)
        return None


@breaks("S-QUICK")
class SlowSecrets(RightSecrets):
    """It asks somebody far away."""

    def get_secret(self, request: Request, message: Fields) -> Fields | None:
        found = self.find(message)
        self.later(request, 5.5, lambda: found)
        return None
