"""A registry that a Docker Engine pulls plugins from; read-only, made of files.

Run as a program it serves a directory on the loopback: ``python registry.py DIRECTORY PORT``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def publish(directory: Path, tag: str, plugin: Path) -> None:
    """Put a plugin, made by ``make managed-plugin``, under a tag into a registry's directory."""
    tar = subprocess.run(
        ["tar", "-C", str(plugin / "rootfs"), "-c", "."], check=True, capture_output=True
    ).stdout
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _store(
            directory,
            (plugin / "config.json").read_bytes(),
            "application/vnd.docker.plugin.v1+json",
        ),
        "layers": [
            _store(
                directory,
                gzip.compress(tar, compresslevel=1),
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            )
        ],
    }
    data = json.dumps(manifest).encode("ascii")
    _store(directory, data, MANIFEST)
    (directory / tag).write_bytes(data)


def _store(directory: Path, data: bytes, kind: str) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    (directory / digest).write_bytes(data)
    return {"mediaType": kind, "size": len(data), "digest": digest}


class Handler(BaseHTTPRequestHandler):
    """Answers with the files of the working directory, by tag or digest."""

    def do_GET(self) -> None:
        path = Path(self.path.rsplit("/", 1)[1] or ".")
        if not self.path.startswith("/v2/") or not path.exists():
            self.send_error(404)
            return
        data = path.read_bytes() if path.is_file() else b"{}"
        self.send_response(200)
        if "/manifests/" in self.path:
            self.send_header("Content-Type", MANIFEST)
            self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(data).hexdigest()}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
