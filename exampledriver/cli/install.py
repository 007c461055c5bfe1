"""``exampledriver install-systemd``: puts the units in place, and starts nothing."""

from __future__ import annotations

import argparse
import os
import re
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

#: Where each file of the distribution belongs.
PLACES = {
    "exampledriver.service": "etc/systemd/system/exampledriver.service",
    "exampledriver.socket": "etc/systemd/system/exampledriver.socket",
    "exampledriver.tmpfiles.conf": "etc/tmpfiles.d/exampledriver.conf",
}
LOGROTATE = {"exampledriver.logrotate": "etc/logrotate.d/exampledriver"}

_RUN = """\
To start it now and at every boot:
  systemd-tmpfiles --create exampledriver.conf
  systemctl daemon-reload
  systemctl enable --now exampledriver.socket exampledriver.service
To see how it is doing:
  systemctl status exampledriver.service
"""


class InstallError(Exception):
    """The units cannot be put in place; the text says why and what to do."""


@frozen
class Installation:
    """What is installed.

    :ivar daemon: options of ``twistd exampledriver`` that differ from their defaults.
    :ivar logrotate: rotate the log by logrotate, and not by the daemon.
    :ivar twistd: the program's absolute path.
    """

    daemon: Mapping[str, str]
    logrotate: bool
    twistd: Path

    def files(self, source: Path) -> dict[str, str]:
        """Return the text of each file by its place below ``/``."""
        places = {**PLACES, **(LOGROTATE if self.logrotate else {})}
        texts = {place: (source / name).read_text("utf-8") for name, place in places.items()}
        service = PLACES["exampledriver.service"]
        texts[service] = self._service(texts[service])
        name = self.daemon.get("name", "exampledriver")
        socket = PLACES["exampledriver.socket"]
        texts[socket] = texts[socket].replace(
            "/run/docker/plugins/exampledriver.sock", f"/run/docker/plugins/{name}.sock"
        )
        return texts

    def _service(self, text: str) -> str:
        words = [f"--{key}={value}" for key, value in self.daemon.items()]
        if self.logrotate:
            words.append("--log-rotate-size=0")
        tail = "".join(f" {quoted(word)}" for word in words)
        text = re.sub(
            r"^ExecStart=/usr/bin/twistd (.*)$",
            lambda found: f"ExecStart={quoted(str(self.twistd))} {found[1]}{tail}",
            text,
            flags=re.MULTILINE,
        )
        mounts = [self.daemon[key] for key in ("root", "state") if key in self.daemon]
        needed = "".join(f" {quoted(path)}" for path in mounts)
        return re.sub(
            r"^(RequiresMountsFor=.*)$",
            lambda found: f"{found[1]}{needed}",
            text,
            flags=re.MULTILINE,
        )


def quoted(word: str) -> str:
    """Return a word as a systemd unit has it; systemd.syntax(7), systemd.unit(5)."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if re.search(r"[^\w@%+=:,./-]", word) else escaped


def distribution() -> Path:
    """Return the directory with the units: of a source tree, or of an installation.

    :raises InstallError: there is none.
    """
    beside = Path(__file__).parents[2] / "tap"
    shared = Path(sysconfig.get_path("data"), "share/exampledriver")
    for place in (beside, shared, Path("/usr/share/exampledriver")):
        if all((place / name).is_file() for name in (*PLACES, *LOGROTATE)):
            return place
    raise InstallError(f"the units are not in {beside} nor in {shared}: install exampledriver anew")


def _twistd() -> Path:
    found = Path(sys.executable).parent / "twistd"
    if not found.is_file():
        raise InstallError(f"there is no {found}: install exampledriver with the Python that runs")
    return found


def _write(path: Path, text: str) -> None:
    """Write a whole file at once, so that nobody reads a half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as temporary:
        try:
            temporary.write(text)
            temporary.flush()
            os.fchmod(temporary.fileno(), 0o644)
            os.fsync(temporary.fileno())
            os.replace(temporary.name, path)
        except BaseException:
            os.unlink(temporary.name)
            raise


def install(options: argparse.Namespace) -> int:
    """Put the units in place, or show what would be written.

    :raises InstallError: a file was edited by somebody, or cannot be written.
    """
    daemon = {
        key: value
        for key in ("name", "root", "state", "trash-retention")
        if (value := getattr(options, key.replace("-", "_"))) is not None
    }
    for key in ("root", "state"):
        if key in daemon and not os.path.isabs(daemon[key]):
            raise InstallError(f"--{key}={daemon[key]}: give an absolute path")
    texts = Installation(daemon, options.logrotate, _twistd()).files(distribution())
    for place, text in texts.items():
        path = Path(options.destdir, place)
        there = path.read_text("utf-8") if path.exists() else None
        if options.dry_run:
            print(f"# {path}\n{text}")
        elif there == text:
            print(f"unchanged: {path}")
        elif there is not None and not options.force:
            raise InstallError(
                f'{path} is there and differs: keep your changes in a drop-in ("systemctl edit '
                'exampledriver.service") and give --force to replace the file'
            )
        else:
            _write(path, text)
            print(f"written: {path}")
    print(_RUN, end="")
    return 0


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "install-systemd",
        help="put the systemd units in place",
        description="Put the systemd units in place, and print what to run. Nothing is started.",
    )
    command.add_argument("--name", help="the driver's name for engines")
    command.add_argument("--root", help="where volumes live")
    command.add_argument("--state", help="where the journal is")
    command.add_argument("--trash-retention", help="how long removed volumes are kept")
    command.add_argument(
        "--logrotate", action="store_true", help="let logrotate rotate the log, not the daemon"
    )
    command.add_argument("--destdir", default="/", help="write below DESTDIR in place of /")
    command.add_argument("--force", action="store_true", help="replace files that differ")
    command.add_argument("--dry-run", action="store_true", help="write nothing: show the files")
    command.set_defaults(action=install)
