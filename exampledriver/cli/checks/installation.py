"""What all checks look at: one installation of the driver, and what is known of it.

It is only read. A journal is read without its lock, which a daemon that just
starts may want: a tail that is being written looks torn and is left out.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from attrs import define, field, frozen

from ...journal import JournalError
from ...journal.log import JOURNAL
from ...journal.repair import judge
from ...settings import DEFAULTS
from ...volumes.model import DIRECTORY
from ..unixhttp import Answer, DeadError, NoHTTPError, SilentError, ask, peer
from .findings import CannotLookError
from .proc import holds

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SYSTEMD = Path("/run/systemd/system")
#: What "exampledriver install-systemd" makes, whatever the driver's name is.
SERVICE = "exampledriver.service"


class EngineSilentError(CannotLookError):
    """The engine does not answer in time."""


@frozen
class Known:
    """A volume of the driver.

    :ivar options: in their canonical form.
    :ivar counts: how often each mount ID is counted.
    :ivar backend: its kind of storage.
    :ivar place: which file system its directory lay in; see :class:`.StoredVolume`.
    """

    name: str
    mountpoint: str
    options: Mapping[str, str]
    counts: Mapping[str, int]
    backend: str = DIRECTORY
    place: str = ""


@define(eq=False)
class Installation:
    """Where everything of one installation is.

    :ivar docker: the engine's socket, or ``None`` if there is no Docker.
    :ivar looking_at: the path that is being looked at, for the case that it hangs.
    """

    name: str
    root: Path
    state: Path
    runtime: Path
    socket: Path
    plugin_dirs: Sequence[Path]
    docker: Path | None
    compose: Sequence[Path] = ()
    looking_at: str = field(default="", init=False)
    _volumes: dict[str, Known] | None = field(default=None, init=False)

    @property
    def systemd(self) -> bool:
        """Whether systemd runs this machine."""
        return _SYSTEMD.is_dir()

    def start_command(self) -> str:
        """Return the command that starts the driver."""
        if self.systemd:
            return f"systemctl start {SERVICE}"
        given = {
            "name": self.name,
            "root": str(self.root),
            "state": str(self.state),
            "runtime": str(self.runtime),
            "listen": f"unix:{self.socket}",
        }
        usual = {**DEFAULTS, "listen": f"unix:/run/docker/plugins/{self.name}.sock"}
        words = [f"--{key}={value}" for key, value in given.items() if value != usual[key]]
        return f"twistd --pidfile= exampledriver {shlex.join(words)}".rstrip()

    def exists(self, option: str, path: Path) -> None:
        """See that a directory of the daemon's is there.

        :raises CannotLookError: it is not.
        """
        if self.look(path) is None:
            raise CannotLookError(f"there is no {path}: name the daemon's --{option}")

    def look(self, path: Path | str) -> os.stat_result | None:
        """Return what is at `path`, following no link, or ``None`` if nothing is.

        :raises OSError: it cannot be looked at.
        """
        self.looking_at = str(path)
        try:
            return os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_journal(self, directory: Path) -> bytes:
        """Return a journal as it is now.

        :raises CannotLookError: there is none.
        :raises OSError: it cannot be read.
        """
        path = directory / JOURNAL
        if self.look(path) is None:
            raise CannotLookError(f"there is no journal in {directory}: name the daemon's --state")
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with open(fd, "rb") as file:
            return file.read()

    def _entries(self, directory: Path) -> dict[str, Mapping[str, object]]:
        try:
            verdict = judge(self.read_journal(directory))
        except JournalError as error:
            raise CannotLookError(f"{directory / JOURNAL}: {error}") from None
        if verdict.trouble:
            raise CannotLookError(f"{directory / JOURNAL} is damaged, and the driver does not run")
        return {name: json.loads(value) for name, value in verdict.entries.items()}

    def volumes(self) -> Mapping[str, Known]:
        """Return the driver's volumes: from the daemon, or if it does not run from its files.

        :raises CannotLookError, OSError: neither can be had.
        """
        if self._volumes is None:
            self._volumes = self._listed()
        if self._volumes is None:
            self._volumes = self._stored()
        return self._volumes

    def look_again(self) -> Mapping[str, Known]:
        """Return the driver's volumes as they are now."""
        self._volumes = None
        return self.volumes()

    def _listed(self) -> dict[str, Known] | None:
        try:
            answer = ask(self.socket, "POST", "/VolumeDriver.List", b"{}\n")
            volumes = json.loads(answer.body)["Volumes"] or []
            places = self._places()
            found = [
                Known(
                    volume["Name"],
                    volume["Mountpoint"],
                    volume["Status"]["Options"],
                    volume["Status"].get("MountIDs", {}),
                    volume["Status"].get("Backend", DIRECTORY),
                    places.get(volume["Name"], ""),
                )
                for volume in volumes
            ]
        except (OSError, DeadError, SilentError, NoHTTPError, ValueError, LookupError, TypeError):
            return None  # what is wrong with the socket is another check's business
        return {volume.name: volume for volume in found}

    def _places(self) -> dict[str, str]:
        """Return what the journal has noted of where directories lie, as far as it can be read."""
        try:
            entries = self._entries(self.state)
        except (CannotLookError, OSError):
            return {}  # which is another check's business
        return {name: str(value.get("place", "")) for name, value in entries.items()}

    def _stored(self) -> dict[str, Known]:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
        counts: dict[str, Mapping[str, int]] = {}
        if self.look(self.runtime / JOURNAL):
            for name, value in self._entries(self.runtime).items():
                if value.get("boot") == boot and isinstance(value.get("ids"), dict):
                    counts[name] = value["ids"]  # type: ignore[assignment]
        found = {}
        for name, value in self._entries(self.state).items():
            options = value.get("options")
            if not isinstance(options, dict) or value.get("removing"):
                continue  # no volume; or removed
            # The root may have moved since it was written down.
            mountpoint = options.get("mountpoint") or os.path.join(
                os.path.realpath(self.root), name
            )
            backend = str(value.get("backend", DIRECTORY))
            place = str(value.get("place", ""))
            found[name] = Known(name, mountpoint, options, counts.get(name, {}), backend, place)
        return found

    def pid(self) -> int:
        """Return the daemon's process, or 0 if none runs."""
        lock = self.state / "lock"
        try:
            signed = lock.read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            signed = ""
        if signed.isdigit() and holds(int(signed), lock):
            return int(signed)
        # Behind a socket that systemd made is systemd, which is not the daemon.
        found = peer(self.socket)
        return found if found > 1 else 0

    def engine(self, target: str, **filters: str) -> Answer:
        """Ask the engine's API.

        :raises CannotLookError: there is no answer, or an error.
        """
        assert self.docker is not None
        given = json.dumps({key: [value] for key, value in filters.items()})
        try:
            answer = ask(self.docker, "GET", f"{target}?filters={quote(given)}")
        except FileNotFoundError:
            raise CannotLookError(
                f"there is no engine at {self.docker}: give --docker unix://PATH, or --docker none "
                "on a machine without Docker"
            ) from None
        except SilentError as error:
            raise EngineSilentError(f"the engine at {self.docker}: {error}") from None
        except (DeadError, NoHTTPError) as error:
            raise CannotLookError(f"the engine at {self.docker}: {error}") from None
        if answer.status != 200:
            raise CannotLookError(f"the engine at {self.docker} answered {answer.status}")
        return answer
