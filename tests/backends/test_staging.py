"""Stages: nothing under the final name until all of it is there, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from exampledriver.backends.copying import staging
from exampledriver.backends.copying.staging import Stage, clear_stages
from exampledriver.volumes.errors import BusyError


class StagingTests(SynchronousTestCase):
    """Stage and clear_stages."""

    def setUp(self) -> None:
        self.base = Path(os.path.realpath(self.mktemp()))
        self.base.mkdir()
        self.final = self.base / "db"

    def crash(self) -> None:
        """Leave what a process leaves that was killed with a stage half full."""
        directory = Stage(self.final).directory
        (directory / "content/a").mkdir(parents=True)
        (directory / "content/a/b").touch()

    def test_order(self) -> None:
        """The file system is synced, then the name given, then its directory synced."""
        calls: list[str] = []

        def note(name: str) -> None:
            function = getattr(staging, name)

            def noted(*args: object) -> None:
                calls.append(name)
                function(*args)

            self.patch(staging, name, noted)

        for name in ("sync_filesystem", "rename_new", "sync"):
            note(name)
        with Stage(self.final) as stage:
            stage.content.mkdir()
            stage.publish()
        self.assertEqual(calls, ["sync_filesystem", "rename_new", "sync"])
        self.assertEqual(os.listdir(self.base), ["db"])

    def test_unpublished(self) -> None:
        """A stage that is left by an error leaves nothing."""

        def fail() -> None:
            with Stage(self.final) as stage:
                stage.content.mkdir()
                (stage.content / "x").touch()
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual(os.listdir(self.base), [])

    def test_nothing_replaced(self) -> None:
        """What has the name stays, even an empty directory."""
        with Stage(self.final) as stage:
            stage.content.mkdir()
            (stage.content / "x").touch()
            self.final.mkdir()
            self.assertRaises(FileExistsError, stage.publish)
        self.assertEqual(os.listdir(self.final), [])
        self.assertEqual(os.listdir(self.base), ["db"])

    def test_again(self) -> None:
        """The same work again clears what a crash left of it."""
        self.crash()
        with Stage(self.final) as stage:
            self.assertEqual(os.listdir(stage.directory), [])
            stage.content.mkdir()
            stage.publish()
        self.assertEqual(os.listdir(self.base), ["db"])

    def test_clear(self) -> None:
        """What crashes left is cleared; a stage in use is not, nor anything else."""
        self.crash()
        (self.base / "volume").mkdir()
        with Stage(self.base / "other") as stage:
            self.assertEqual(clear_stages(self.base.iterdir()), [Stage(self.final).directory])
            self.assertTrue(stage.directory.is_dir())
        self.assertEqual(os.listdir(self.base), ["volume"])

    def test_clear_spares_names(self) -> None:
        """A volume, and a snapshot, may be called as a stage is: only what is hidden is cleared."""
        volume = self.base / f"db{staging.SUFFIX}"
        (volume / "data").mkdir(parents=True)
        self.assertEqual(clear_stages([volume]), [])
        self.assertTrue((volume / "data").is_dir())

    def test_clear_meanwhile(self) -> None:
        """A stage whose work ends meanwhile keeps none of the others from being cleared."""
        self.crash()
        ended = self.base / f".0{staging.SUFFIX}"
        left = Stage(self.final).directory
        self.assertEqual(clear_stages([ended, left]), [left])

    def test_busy(self) -> None:
        """Two cannot do the same work at the same time."""
        with Stage(self.final):
            error = self.assertRaises(BusyError, Stage(self.final).__enter__)
        self.assertIn(str(self.final), str(error))
        with Stage(self.final):
            pass
