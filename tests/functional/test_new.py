"""``python -m exampledriver.plugin new``: every kind of project passes its own checks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.plugin.new import KINDS
from tests.process import PATIENCE, remove_directory, short_directory

ROOT = Path(__file__).parents[2]


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in a project."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=directory,
        # First the project: it and this tree have packages of their own.
        env={**os.environ, "PYTHONPATH": f"{directory}:{ROOT}", "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=10 * PATIENCE,
    )


class NewTests(SynchronousTestCase):
    """New projects."""

    def setUp(self) -> None:
        self.base = short_directory()
        self.addCleanup(remove_directory, self.base)

    def new(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return run(self.base, "exampledriver.plugin", "new", *words)

    def passes(self, directory: Path, *words: str) -> None:
        """Check that a program finds nothing to complain of."""
        found = run(directory, *words)
        self.assertEqual(found.returncode, 0, f"{words}: {found.stdout}{found.stderr}")

    def test_every_kind(self) -> None:
        """A project of every kind passes its tests, ruff, and mypy in its strict mode."""
        together = self.base / "together"
        together.mkdir()
        for kind in KINDS:
            found = self.new(f"my-{kind}", "--kind", kind)
            self.assertEqual(found.returncode, 0, found.stderr)
            project = self.base / f"my-{kind}"
            self.passes(project, "twisted.trial", f"my_{kind}")
            self.passes(project, "ruff", "check", ".")
            self.passes(project, "ruff", "format", "--check", ".")
            shutil.copytree(project / f"my_{kind}", together / f"my_{kind}")
            shutil.copy(project / "pyproject.toml", together)
        # Once for all, for it takes long.
        self.passes(together, "mypy", *(f"my_{kind}" for kind in KINDS))

    def test_mistakes(self) -> None:
        """mypy finds a method that is missing, and one that returns the wrong type."""
        self.new("mine")
        driver = self.base / "mine/mine/driver.py"
        text = driver.read_text()
        text = text.replace("def unmount(", "def umount(")
        text = text.replace(
            "def get(self, name: str) -> Volume:", "def get(self, name: str) -> str:"
        )
        driver.write_text(text)
        found = run(self.base / "mine", "mypy", "mine/driver.py")
        self.assertIn(
            "'Driver' is missing following 'IVolumeDriver' interface members: unmount.",
            found.stdout,
        )
        self.assertIn('Return type "str" of "Driver" incompatible', found.stdout)

    def test_refused(self) -> None:
        """A name that cannot be, and a directory that is in use, are refused in one line."""
        (self.base / "used").mkdir()
        (self.base / "used/file").touch()
        for name in ("a/b", "-x", "os", "class", "1st", "exampledriver", "used"):
            found = self.new("--", name) if name.startswith("-") else self.new(name)
            self.assertEqual((found.returncode, found.stdout), (1, ""), name)
            self.assertRegex(found.stderr, "^new: .*\n$")
        self.assertEqual(sorted(os.listdir(self.base)), ["used"])
