"""Plugins that are wrong about messages, options, errors and names."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.web.server import NOT_DONE_YET, Request

from .registry import breaks
from .right import Fields, Refused, Right


@breaks("V-ACTIVATE")
class OtherProtocol(Right):
    """It says that it is something else."""

    implements = ("volumedriver",)


@breaks("V-CAPABILITIES")
class OddScope(Right):
    """Its scope is its own invention."""

    def capabilities(self, request: Request, body: bytes) -> Fields:
        return {"Capabilities": {"Scope": "machine"}}


@breaks("V-TYPE-NONE")
class NeedsType(Right):
    """It reads JSON only with a Content-Type, as frameworks do."""

    def read(self, request: Request, body: bytes) -> Mapping[str, Any] | None:
        if not request.getHeader(b"content-type"):
            raise Refused("unsupported media type", 415)
        return super().read(request, body)


@breaks("V-TYPE-PODMAN")
class NeedsVersion(Right):
    """It wants the newest version of the protocol."""

    def read(self, request: Request, body: bytes) -> Mapping[str, Any] | None:
        if b"v1.1" in (request.getHeader(b"content-type") or b""):
            raise Refused("unsupported media type", 415)
        return super().read(request, body)


@breaks("V-ESCAPES")
class Grep(Right):
    """It finds the name with a pattern."""

    def read(self, request: Request, body: bytes) -> Mapping[str, Any] | None:
        if b"\\u" in body:
            raise Refused("the name has odd characters", 400)
        return super().read(request, body)


@breaks("V-FIELDS-UNKNOWN")
class Strict(Right):
    """It refuses what it does not know."""

    def read(self, request: Request, body: bytes) -> Mapping[str, Any] | None:
        message = super().read(request, body)
        if message is not None and set(message) - set(self.known):
            raise Refused("an unknown field", 400)
        return message


@breaks("V-PIECES")
class HeadAndBody(Right):
    """It takes what came with the head for the body."""

    def received(self, protocol: Any, data: bytes) -> bytes:
        if data.startswith(b"POST /VolumeDriver.Get") and data.endswith(b"\r\n\r\n"):
            return re.sub(rb"Content-Length: \d+", b"Content-Length: 0", data)
        return data


@breaks("V-BODY-BOUND")
class Hungry(Right):
    """It reads whatever comes."""

    largest = 1 << 40


@breaks("V-OPTS-OBJECT")
class NoOptions(Right):
    """It refuses all options, and the absence of them in an object too."""

    def options(self, message: Mapping[str, Any]) -> Fields:
        if isinstance(message.get("Opts"), dict):
            raise Refused("this driver has no options", 400)
        return super().options(message)


@breaks("V-OPTS-NULL")
class NullOptions(Right):
    """It iterates over null."""

    def options(self, message: Mapping[str, Any]) -> Fields:
        if message.get("Opts", "") is None:
            raise Refused("'NoneType' object is not iterable")
        return super().options(message)


@breaks("V-OPTS-ABSENT")
class OptionsMissing(Right):
    """It looks Opts up without a default."""

    def options(self, message: Mapping[str, Any]) -> Fields:
        if "Opts" not in message:
            raise Refused("KeyError: 'Opts'")
        return super().options(message)


@breaks("V-OPTS-TYPE")
class AnyOptions(Right):
    """It does not look at the type of Opts."""

    def options(self, message: Mapping[str, Any]) -> Fields:
        opts = message.get("Opts")
        return opts if isinstance(opts, dict) else {}


@breaks("V-RETRY-EMPTY")
class EmptyIsFine(Right):
    """It takes no body for an empty message."""

    def read(self, request: Request, body: bytes) -> Mapping[str, Any] | None:
        return super().read(request, body) if body else None


@breaks("V-BODY-MALFORMED")
class Tolerant(Right):
    """It takes what it cannot read for an empty message."""

    def read(self, request: Request, body: bytes) -> Mapping[str, Any] | None:
        try:
            json.loads(body or b"{}")
        except ValueError:
            return None
        return super().read(request, body)


@breaks("V-BODY-NO-OBJECT")
class AnyJson(Right):
    """It takes what is no object for an empty message."""

    def read(self, request: Request, body: bytes) -> Mapping[str, Any] | None:
        return None if re.match(rb"(null|\[|\"x|7|true)", body) else super().read(request, body)


@breaks("V-NAME-MISSING")
class NamelessIsFine(Right):
    """It does nothing for nobody, and calls it a success."""

    def read(self, request: Request, body: bytes) -> Mapping[str, Any] | None:
        nameless = (b"{}", b'{"Name":""}', b'{"Name":null}')
        return None if body.strip() in nameless else super().read(request, body)


@breaks("V-NAME-TYPE")
class AnyName(Right):
    """It makes a string of whatever is a name."""

    def read(self, request: Request, body: bytes) -> Mapping[str, Any] | None:
        return super().read(request, re.sub(rb'^{"Name":7}', b'{"Name":"7"}', body))


@breaks("V-ERR-TEXT")
class Traceback(Right):
    """Its errors are pages of HTML."""

    def say(self, request: Request, path: str, status: int, fields: Fields) -> bytes:
        body = super().say(request, path, status, fields)
        if status >= 400 and path.startswith("/Volume"):
            body = b"<pre>Traceback (most recent call last): ...</pre>"
            request.setHeader(b"Content-Length", b"%d" % len(body))
        return body


@breaks("V-ERR-STATUS")
class AlwaysOk(Right):
    """It answers 200 with an Err, as many published examples do."""

    def say(self, request: Request, path: str, status: int, fields: Fields) -> bytes:
        if path.startswith("/Volume") and status != 413:
            status = 200
        return super().say(request, path, status, fields)


@breaks("V-OK-STATUS")
class FalseErr(Right):
    """No error is false, it thinks."""

    def unmount(self, request: Request, message: Mapping[str, Any]) -> Fields | None:
        super().unmount(request, message)
        return {"Err": False}


@breaks("V-NAME-TRAVERSAL")
class AnyPath(Right):
    """It joins paths."""

    def check_name(self, name: str) -> None:
        pass

    def place(self, name: str) -> Path:
        return Path(f"{self.root}", name)


@breaks("V-NAME-DOTS")
class Looks(Right):
    """A volume is there if its directory is."""

    def there(self, name: str) -> None:
        if not Path(f"{self.root}/{name}").is_dir():
            raise Refused("there is no such volume")

    def shown(self, name: str) -> Fields:
        return {"Name": name, "Mountpoint": f"{self.root}/{name}"}


@breaks("V-NAME-ODD")
class Hangs(Right):
    """A NUL in a name stops the thread that has it."""

    def render(self, request: Request) -> int | bytes:
        assert request.content is not None
        odd = b"\\u0000" in request.content.read()
        request.content.seek(0)
        return NOT_DONE_YET if odd else super().render(request)


@breaks("V-NAME-SHELL")
class ShellScript(Right):
    """It runs mkdir, and a volume is there if its directory is."""

    def check_name(self, name: str) -> None:
        if not re.fullmatch(r"[^\0/\n]{1,99}", name):
            raise Refused("the name is not valid", 400)

    def make(self, name: str, options: Fields) -> None:
        if name in self.created:
            self.again(name, options)
            return
        subprocess.run(f'mkdir -p "{self.place(name)}"', shell=True, check=True)
        for found in self.root.iterdir():
            if found.name not in self.created:
                super().make(found.name, options)


@breaks("V-NAME-DISTINCT")
class Slug(Right):
    """It makes directory names of volume names."""

    def place(self, name: str) -> Path:
        return self.root / re.sub("[^a-z0-9]+", "-", name.lower())
