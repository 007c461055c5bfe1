"""A minimal volume plugin on plain Klein and Twisted's default Site, with a map in memory.

Run as ``python klein_plugin.py SOCKET``.
"""

from __future__ import annotations

import json
import sys
from typing import cast

from klein import Klein
from twisted.internet import reactor
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.interfaces import IReactorCore, IReactorUNIX
from twisted.web.http import Request
from twisted.web.iweb import IRequest
from twisted.web.server import Site

app = Klein()
volumes: dict[str, dict[str, str]] = {}


def _asked(request: IRequest) -> str:
    content = cast(Request, request).content
    assert content is not None
    return str(json.loads(content.read())["Name"])


def _answer(request: IRequest, **fields: object) -> bytes:
    body = json.dumps({**fields, "Err": ""}, separators=(",", ":")).encode()
    request.setHeader(b"Content-Type", b"application/vnd.docker.plugins.v1.2+json")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    return body


@app.route("/Plugin.Activate", methods=["POST"])
def activate(request: IRequest) -> bytes:
    """Say what this is."""
    return _answer(request, Implements=["VolumeDriver"])


@app.route("/VolumeDriver.Create", methods=["POST"])
def create(request: IRequest) -> bytes:
    """Make a volume."""
    name = _asked(request)
    volumes[name] = {"Name": name, "Mountpoint": f"/nowhere/{name}"}
    return _answer(request)


@app.route("/VolumeDriver.Get", methods=["POST"])
def get(request: IRequest) -> bytes:
    """Show a volume."""
    return _answer(request, Volume=volumes[_asked(request)])


@app.route("/VolumeDriver.Path", methods=["POST"])
def path(request: IRequest) -> bytes:
    """Say where a volume is."""
    return _answer(request, Mountpoint=volumes[_asked(request)]["Mountpoint"])


@app.route("/VolumeDriver.List", methods=["POST"])
def list_(request: IRequest) -> bytes:
    """Show all volumes."""
    return _answer(request, Volumes=list(volumes.values()))


if __name__ == "__main__":
    endpoint = UNIXServerEndpoint(cast(IReactorUNIX, reactor), sys.argv[1], mode=0o600)
    endpoint.listen(Site(app.resource()))
    cast(IReactorCore, reactor).run()
