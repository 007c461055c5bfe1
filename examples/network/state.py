"""What must outlive the plugin: one small JSON file, replaced as a whole."""

import json
import os
from pathlib import Path
from typing import Any


class State:
    """Objects by name, in a file.

    After :meth:`put` and :meth:`drop` the change is on disk, or nothing has changed: the new file
    is written beside the old one, flushed, renamed over it, and the directory flushed.

    :raises ValueError: the file is there and is not one of ours; it is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.objects: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path}: not JSON ({error}): restore it, or move it away") from None
        if not isinstance(found, dict) or not all(isinstance(o, dict) for o in found.values()):
            raise ValueError(f"{path}: not an object of objects: restore it, or move it away")
        self.objects = found

    def put(self, name: str, value: dict[str, Any]) -> None:
        self._write({**self.objects, name: value})

    def drop(self, name: str) -> None:
        if name in self.objects:
            self._write({other: o for other, o in self.objects.items() if other != name})

    def _write(self, objects: dict[str, dict[str, Any]]) -> None:
        new = self.path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(objects, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self.objects = objects
