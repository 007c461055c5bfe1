"""Build the managed plugin: ``config.json`` and ``rootfs/``, for ``docker plugin create``.

The root file system is this machine's own Python, with the shared libraries that it
needs, and a wheel with its dependencies at the versions of ``requirements.lock``. It
needs no container engine, and what it makes depends on those packages alone: the same
packages give the same bytes.

    tap/managed/build.py --wheel NAME.whl --output build/managed-plugin

It downloads nothing but what pip installs.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE.parents[1] / "requirements.lock"

#: Programs of the distribution that start.py calls.
PROGRAMS = ("mount", "setpriv")

#: Scripts of the installed packages: the daemon, and the operator's command.
SCRIPTS = ("exampledriver", "twistd")

#: What is left out of the standard library, as paths below it.
STDLIB_LEFT_OUT = (
    "config-*", "curses", "dbm", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data",
    "sqlite3", "tkinter", "turtle.py", "turtledemo", "venv",
    "lib-dynload/_curses*", "lib-dynload/_dbm*", "lib-dynload/_sqlite3*", "lib-dynload/_test*",
    "lib-dynload/_tkinter*", "lib-dynload/_xx*", "lib-dynload/nis*", "lib-dynload/readline*",
    "lib-dynload/xx*",
    "dist-packages", "site-packages", "sitecustomize.py", "LICENSE.txt", "EXTERNALLY-MANAGED",
)  # fmt: skip

#: What is left out of the installed packages, as paths below site-packages.
PACKAGES_LEFT_OUT = (
    "pip", "pip-*", "setuptools", "setuptools-*", "wheel", "wheel-*", "pkg_resources",
    "_distutils_hack", "distutils-precedence.pth",
    "twisted/conch", "twisted/mail", "twisted/names", "twisted/newsfragments", "twisted/pair",
    "twisted/positioning", "twisted/trial", "twisted/words",
    "twisted/plugins/cred_*", "twisted/plugins/twisted_[!r]*", "twisted/plugins/twisted_runner.py",
)  # fmt: skip

#: Names that are left out everywhere.
NAMES_LEFT_OUT = ("__pycache__", "test", "tests", "_test", "*.c", "*.h", "*.pyi", "*.rst")

#: Of a package's metadata, what can matter when it runs.
METADATA_KEPT = ("METADATA", "entry_points.txt", "licenses", "LICENSE*")

#: Where engines and settings expect directories.
DIRECTORIES = ("dev", "etc", "proc", "run/docker/plugins", "sys", "tmp", "var/lib/exampledriver")


def output_of(*words: str) -> str:
    """Run a command that must succeed; return what it printed."""
    # Without a seed of its own Python compiles sets in another order each time.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    found = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return found.stdout


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether one of the shell patterns matches the whole of `path`."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def copy_tree(source: Path, target: Path, left_out: Iterable[str]) -> None:
    """Copy the files of a directory, without what is left out."""
    patterns = tuple(left_out)

    def ignore(directory: str, names: list[str]) -> set[str]:
        below = os.path.relpath(directory, source)
        metadata = below.endswith(".dist-info")
        return {
            name
            for name in names
            if matches(name, NAMES_LEFT_OUT)
            or matches(os.path.normpath(os.path.join(below, name)), patterns)
            or (metadata and not matches(name, METADATA_KEPT))
        }

    shutil.copytree(source, target, ignore=ignore, dirs_exist_ok=True)


def libraries(binary: Path) -> Iterator[Path]:
    """Yield the shared libraries that a binary is linked with, the loader among them."""
    for line in output_of("ldd", os.fspath(binary)).splitlines():
        if "not found" in line:
            raise SystemExit(f"build.py: {binary}: {line.strip()}: install its package")
        found = re.search(r"(/\S+) \(0x", line)
        if found:
            yield Path(found[1])


class Builder:
    """Builds one root file system from one Python."""

    def __init__(self, python: str, output: Path) -> None:
        self.python = python
        self.output = output
        self.rootfs = output / "rootfs"
        if shutil.which(python) is None:
            raise SystemExit(f"build.py: --python={python}: not found: apt-get install python3")
        describe = (
            "import json, os, sys, sysconfig; paths = sysconfig.get_paths(); print(json.dumps("
            "[os.path.realpath(sys.executable), paths['stdlib'], paths['purelib']]))"
        )
        executable, stdlib, packages = json.loads(output_of(python, "-I", "-c", describe))
        self.executable = Path(executable)
        self.stdlib = Path(stdlib)
        self.packages = Path(packages)

    def inside(self, path: Path) -> Path:
        """Return where a path of this machine is in the root file system."""
        # Its directory's real path: /lib is a link to usr/lib, here and there.
        return self.rootfs / (path.parent.resolve() / path.name).relative_to("/")

    def build(self, wheel: Path) -> None:
        """Make everything anew."""
        shutil.rmtree(self.rootfs, ignore_errors=True)
        self.rootfs.mkdir(parents=True)
        for name in DIRECTORIES:
            (self.rootfs / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (self.rootfs / "usr" / name).mkdir(parents=True)
            (self.rootfs / name).symlink_to(f"usr/{name}")
        (self.rootfs / "etc/passwd").write_text("root:x:0:0:root:/:/bin/false\n")
        (self.rootfs / "etc/group").write_text("root:x:0:\n")
        self.copy_python()
        self.install(wheel)
        self.copy_programs()
        self.copy_libraries()
        self.compile()
        shutil.copy(HERE / "config.json", self.output / "config.json")
        self.finish()

    def copy_python(self) -> None:
        """Copy the interpreter and the standard library."""
        binary = self.inside(self.executable)
        binary.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.executable, binary)
        (self.rootfs / "usr/bin/python3").symlink_to(f"/{binary.relative_to(self.rootfs)}")
        copy_tree(self.stdlib, self.inside(self.stdlib), STDLIB_LEFT_OUT)

    def install(self, wheel: Path) -> None:
        """Install the wheel and what it depends on, at the versions of the lock."""
        venv = self.output / "venv"
        shutil.rmtree(venv, ignore_errors=True)
        if subprocess.run([self.python, "-c", "import ensurepip, venv"], check=False).returncode:
            raise SystemExit(f"build.py: {self.python} lacks venv: apt-get install python3-venv")
        output_of(self.python, "-m", "venv", os.fspath(venv))
        output_of(
            f"{venv}/bin/pip", "install", "--quiet", "--no-compile", "--only-binary=:all:",
            f"--constraint={LOCK}", os.fspath(wheel),
        )  # fmt: skip
        describe = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
        installed = Path(output_of(f"{venv}/bin/python", "-c", describe).strip())
        copy_tree(installed, self.inside(self.packages), PACKAGES_LEFT_OUT)
        for name in SCRIPTS:
            script = (venv / "bin" / name).read_text().split("\n", 1)[1]
            target = self.rootfs / "usr/local/bin" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(f"#!/usr/bin/python3\n{script}")
            target.chmod(0o755)
        shutil.rmtree(venv)

    def copy_programs(self) -> None:
        """Copy the programs of the distribution, and our own start."""
        for name in PROGRAMS:
            found = shutil.which(name)
            if found is None:
                raise SystemExit(f"build.py: {name} is missing: install util-linux")
            shutil.copy(found, self.rootfs / "usr/bin" / name)
        for name in ("start.py", "config.json"):
            shutil.copy(HERE / name, self.rootfs / name)

    def copy_libraries(self) -> None:
        """Copy the shared libraries of every binary that is there."""
        binaries = [self.inside(self.executable), *self.rootfs.rglob("*.so")]
        binaries += [self.rootfs / "usr/bin" / name for name in PROGRAMS]
        for library in {library for binary in binaries for library in libraries(binary)}:
            target = self.inside(library)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)

    def compile(self) -> None:
        """Compile all modules once; a file's time is not part of it."""
        for directory in (self.inside(self.stdlib), self.inside(self.packages)):
            output_of(
                self.python, "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash",
                "-s", os.fspath(self.rootfs), "-p", "/", os.fspath(directory),
            )  # fmt: skip

    def finish(self) -> None:
        """Give every file the same time, and permissions that do not depend on the umask."""
        for path in [self.output / "config.json", self.rootfs, *self.rootfs.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
            os.utime(path, (0, 0), follow_symlinks=False)

    def size(self) -> int:
        """Return the bytes that the root file system takes on a disk."""
        return sum(path.lstat().st_blocks * 512 for path in self.rootfs.rglob("*"))


def main() -> None:
    """Build, and say what was built and what to do with it."""
    parser = argparse.ArgumentParser(description="Build the managed plugin.")
    parser.add_argument("--wheel", type=Path, required=True, help="the wheel of exampledriver")
    parser.add_argument("--output", type=Path, required=True, help="a directory of its own")
    parser.add_argument(
        "--python", default="/usr/bin/python3", help="the Python to put into it [%(default)s]"
    )
    given = parser.parse_args()
    builder = Builder(given.python, given.output.resolve())
    builder.build(given.wheel)
    sys.stdout.write(
        f"{builder.rootfs}: {builder.size() / 2**20:.1f} MiB\n"
        f"as root: docker plugin create exampledriver {builder.output}\n"
    )


if __name__ == "__main__":
    main()
