"""Where a plugin is, as engines are told: a socket's path, a URL, a spec file."""

from __future__ import annotations

import json
import os
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

_USAGE = "give a UNIX socket, unix://PATH, http://HOST:PORT, https://HOST:PORT, or a .spec or .json"


class AddressError(ValueError):
    """That is no address of a plugin; the text says what is wrong and what to give."""


@frozen
class Address:
    """Where a plugin is: a socket's `path`, or a `host` and a `port`.

    :ivar text: as people write it.
    :ivar tls: for ``https://``.
    """

    text: str
    path: str | None = None
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that a command's argument gives.

        :raises AddressError: it is none.
        """
        if "://" in text:
            return cls._url(text, {})
        path = Path(text)
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            raise AddressError(f"{text}: {error.strerror}; {_USAGE}") from None
        if stat.S_ISSOCK(mode):
            return cls(text, path=str(path))
        if not stat.S_ISREG(mode) or path.suffix not in (".spec", ".json"):
            raise AddressError(f"{text}: neither a socket nor a .spec or .json; {_USAGE}")
        try:
            return cls._file(path)
        except (OSError, ValueError) as error:
            raise AddressError(f"{text}: no spec of a plugin: {error}") from None

    @classmethod
    def _file(cls, path: Path) -> Address:
        content = path.read_text(encoding="utf-8").strip()
        if path.suffix == ".spec":
            return cls._url(content, {})
        # Go takes a key in any case.
        fields = _lowered(json.loads(content))
        address = fields.get("addr")
        if not isinstance(address, str):
            raise AddressError("it has no Addr")
        return cls._url(address, _lowered(fields.get("tlsconfig") or {}))

    @classmethod
    def _url(cls, text: str, config: Mapping[str, Any]) -> Address:
        parts = urlsplit(text)
        if parts.scheme == "unix":
            return cls(text, path=parts.netloc + parts.path)
        try:
            good, port = True, parts.port
        except ValueError:
            good, port = False, None
        if not good or parts.scheme not in ("tcp", "http", "https") or not parts.hostname:
            raise AddressError(f"{text}: no address of a plugin; {_USAGE}")
        if port is None:
            port = 443 if parts.scheme == "https" else 80
        # Docker too uses TLS with https:// only, whatever the TLSConfig says.
        tls = _context(config) if parts.scheme == "https" else None
        return cls(text, host=parts.hostname, port=port, tls=tls)


def _lowered(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise AddressError("it is no JSON object")
    return {key.lower(): item for key, item in value.items()}


def _context(config: Mapping[str, Any]) -> ssl.SSLContext:
    """Return what Docker would make of a TLSConfig: without a CA nothing is verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if config.get("insecureskipverify") or not config.get("cafile"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(config["cafile"])
    if config.get("certfile") and config.get("keyfile"):
        context.load_cert_chain(config["certfile"], config["keyfile"])
    return context
