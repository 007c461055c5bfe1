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

from ..settings import DEFAULTS, check_driver_name, parse_retention

#: Where each file of the distribution belongs.
PLACES = {
    "exampledriver.service": "etc/systemd/system/exampledriver.service",
    "exampledriver.socket": "etc/systemd/system/exampledriver.socket",
    "exampledriver.tmpfiles.conf": "etc/tmpfiles.d/exampledriver.conf",
}
LOGROTATE = {"exampledriver.logrotate": "etc/logrotate.d/exampledriver"}
MOUNTS = {"exampledriver.mounts.conf": "etc/systemd/system/exampledriver.service.d/mounts.conf"}

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
    :ivar mounts: let the daemon mount.
    :ivar twistd: the program's absolute path.
    """

    daemon: Mapping[str, str]
    logrotate: bool
    mounts: bool
    twistd: Path

    def files(self, source: Path) -> dict[str, str]:
        """Return the text of each file by its place below ``/``."""
        places = {
            **PLACES,
            **(LOGROTATE if self.logrotate else {}),
            **(MOUNTS if self.mounts else {}),
        }
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
        needed = "".join(f" {quoted(path, command=False)}" for path in mounts)
        return re.sub(
            r"^(RequiresMountsFor=.*)$",
            lambda found: f"{found[1]}{needed}",
            text,
            flags=re.MULTILINE,
        )


def quoted(word: str, command: bool = True) -> str:
    """Return a word as a systemd unit has it; systemd.syntax(7), systemd.service(5).

    :param command: it is part of a command line, where ``$`` begins a variable.
    """
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if command:
        escaped = escaped.replace("$", "$$")
    return f'"{escaped}"' if re.search(r"[^\w@%+=:,./$-]", word) else escaped


def distribution() -> Path:
    """Return the directory with the units: of a source tree, or of an installation.

    :raises InstallError: there is none.
    """
    beside = Path(__file__).parents[2] / "tap"
    shared = Path(sysconfig.get_path("data"), "share/exampledriver")
    for place in (beside, shared, Path("/usr/share/exampledriver")):
        if all((place / name).is_file() for name in (*PLACES, *LOGROTATE, *MOUNTS)):
            return place
    raise InstallError(f"the units are not in {beside} nor in {shared}: install exampledriver anew")


def _twistd() -> Path:
    # Debian's own pip puts programs elsewhere than Python is.
    places = (sysconfig.get_path("scripts"), Path(sys.argv[0]).parent, Path(sys.executable).parent)
    for place in places:
        if Path(place, "twistd").is_file():
            return Path(place, "twistd").absolute()
    raise InstallError(
        f"there is no twistd in {', '.join(map(str, places))}: install exampledriver with the "
        "Python that runs this"
    )


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
    _judge(daemon)
    wanted = Installation(daemon, options.logrotate, options.mounts, _twistd())
    texts = wanted.files(distribution())
    files = {Path(options.destdir, place): text for place, text in texts.items()}
    if options.dry_run:
        for path, text in files.items():
            print(f"# {path}\n{text}")
    else:
        _put(files, options.force)
    print(_RUN, end="")
    return 0


def _judge(daemon: Mapping[str, str]) -> None:
    """Refuse what the daemon would refuse at its start.

    :raises InstallError: a value cannot be used.
    """
    for key, value in daemon.items():
        if not value.isprintable():
            raise InstallError(f"--{key}={value!r}: a unit cannot have such characters")
        if key in ("root", "state") and not os.path.isabs(value):
            raise InstallError(f"--{key}={value}: give an absolute path")
    try:
        check_driver_name(daemon.get("name", DEFAULTS["name"]))
        parse_retention(daemon.get("trash-retention", DEFAULTS["trash-retention"]))
    except ValueError as error:
        raise InstallError(str(error)) from None


def _put(files: Mapping[Path, str], force: bool) -> None:
    """Write the files that are not there yet; all of them, or none.

    :raises InstallError: somebody has edited one, and `force` is false.
    """
    there = {path: path.read_text("utf-8") for path in files if path.exists()}
    for path, text in there.items():
        if text != files[path] and not force:
            raise InstallError(
                f'{path} is there and differs: keep your changes in a drop-in ("systemctl edit '
                'exampledriver.service") and give --force to replace the file'
            )
    for path, text in files.items():
        if there.get(path) == text:
            print(f"unchanged: {path}")
        else:
            _write(path, text)
            print(f"written: {path}")


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
    command.add_argument(
        "--mounts", action="store_true",
        help="let the daemon mount: for the backends image, tmpfs, mount and btrfs, and quotas",
    )  # fmt: skip
    command.add_argument("--destdir", default="/", help="write below DESTDIR in place of /")
    command.add_argument("--force", action="store_true", help="replace files that differ")
    command.add_argument("--dry-run", action="store_true", help="write nothing: show the files")
    command.set_defaults(action=install)
